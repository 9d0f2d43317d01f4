// Methods of the builder that the client calls; methods_test holds each against the protos.
#pragma once

#include "darse/builder/v1/build_service.pb.h"
#include "tools/darse/session/method.h"

namespace darse::client::builder {

namespace v1 = ::darse::builder::v1;
inline constexpr Method<v1::HasContextRequest, v1::HasContextResponse> kHasContext{
    Service::kBuilder, "/darse.builder.v1.BuildService/HasContext"};
inline constexpr StreamMethod<v1::UploadContextRequest, v1::UploadContextResponse> kUploadContext{
    Service::kBuilder, "/darse.builder.v1.BuildService/UploadContext"};
inline constexpr Method<v1::CreateBuildRequest, v1::CreateBuildResponse> kCreateBuild{
    Service::kBuilder, "/darse.builder.v1.BuildService/CreateBuild"};
inline constexpr Method<v1::GetBuildRequest, v1::GetBuildResponse> kGetBuild{
    Service::kBuilder, "/darse.builder.v1.BuildService/GetBuild"};
inline constexpr Method<v1::ListBuildsRequest, v1::ListBuildsResponse> kListBuilds{
    Service::kBuilder, "/darse.builder.v1.BuildService/ListBuilds"};
inline constexpr StreamMethod<v1::WatchBuildRequest, v1::WatchBuildResponse> kWatchBuild{
    Service::kBuilder, "/darse.builder.v1.BuildService/WatchBuild"};
inline constexpr Method<v1::CancelBuildRequest, v1::CancelBuildResponse> kCancelBuild{
    Service::kBuilder, "/darse.builder.v1.BuildService/CancelBuild"};
inline constexpr Method<v1::ListCacheEntriesRequest, v1::ListCacheEntriesResponse>
    kListCacheEntries{Service::kBuilder, "/darse.builder.v1.BuildService/ListCacheEntries"};
inline constexpr Method<v1::PruneCacheRequest, v1::PruneCacheResponse> kPruneCache{
    Service::kBuilder, "/darse.builder.v1.BuildService/PruneCache"};

}  // namespace darse::client::builder
