// Methods of the scheduler that the client calls; methods_test holds each against the protos.
#pragma once

#include "darse/scheduler/v1/node_service.pb.h"
#include "darse/scheduler/v1/stack_service.pb.h"
#include "tools/darse/session/method.h"

namespace darse::client::scheduler {

namespace v1 = ::darse::scheduler::v1;
inline constexpr Method<v1::ListPeersRequest, v1::ListPeersResponse> kListPeers{
    Service::kScheduler, "/darse.scheduler.v1.SchedulerNodeService/ListPeers"};
inline constexpr Method<v1::ApplyStackRequest, v1::ApplyStackResponse> kApplyStack{
    Service::kScheduler, "/darse.scheduler.v1.StackService/ApplyStack"};
inline constexpr Method<v1::PlanStackRequest, v1::PlanStackResponse> kPlanStack{
    Service::kScheduler, "/darse.scheduler.v1.StackService/PlanStack"};
inline constexpr Method<v1::GetStackRequest, v1::GetStackResponse> kGetStack{
    Service::kScheduler, "/darse.scheduler.v1.StackService/GetStack"};
inline constexpr Method<v1::ListStacksRequest, v1::ListStacksResponse> kListStacks{
    Service::kScheduler, "/darse.scheduler.v1.StackService/ListStacks"};
inline constexpr StreamMethod<v1::WatchStackRequest, v1::WatchStackResponse> kWatchStack{
    Service::kScheduler, "/darse.scheduler.v1.StackService/WatchStack"};
inline constexpr Method<v1::DeleteStackRequest, v1::DeleteStackResponse> kDeleteStack{
    Service::kScheduler, "/darse.scheduler.v1.StackService/DeleteStack"};
inline constexpr Method<v1::RestartStackRequest, v1::RestartStackResponse> kRestartStack{
    Service::kScheduler, "/darse.scheduler.v1.StackService/RestartStack"};
inline constexpr Method<v1::HasContextRequest, v1::HasContextResponse> kHasContext{
    Service::kScheduler, "/darse.scheduler.v1.StackService/HasContext"};
inline constexpr StreamMethod<v1::UploadContextRequest, v1::UploadContextResponse> kUploadContext{
    Service::kScheduler, "/darse.scheduler.v1.StackService/UploadContext"};

}  // namespace darse::client::scheduler
