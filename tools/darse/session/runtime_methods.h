// Methods of the runtime that the client calls; methods_test holds each against the protos.
#pragma once

#include "darse/runtime/v1/container_service.pb.h"
#include "darse/runtime/v1/event_service.pb.h"
#include "darse/runtime/v1/image_service.pb.h"
#include "darse/runtime/v1/network_service.pb.h"
#include "darse/runtime/v1/node_service.pb.h"
#include "darse/runtime/v1/volume_service.pb.h"
#include "tools/darse/session/method.h"

namespace darse::client::runtime {

namespace v1 = ::darse::runtime::v1;
inline constexpr Method<v1::CreateContainerRequest, v1::CreateContainerResponse> kCreateContainer{
    Service::kRuntime, "/darse.runtime.v1.ContainerService/CreateContainer"};
inline constexpr Method<v1::StartContainerRequest, v1::StartContainerResponse> kStartContainer{
    Service::kRuntime, "/darse.runtime.v1.ContainerService/StartContainer"};
inline constexpr Method<v1::RunContainerRequest, v1::RunContainerResponse> kRunContainer{
    Service::kRuntime, "/darse.runtime.v1.ContainerService/RunContainer"};
inline constexpr Method<v1::StopContainerRequest, v1::StopContainerResponse> kStopContainer{
    Service::kRuntime, "/darse.runtime.v1.ContainerService/StopContainer"};
inline constexpr Method<v1::KillContainerRequest, v1::KillContainerResponse> kKillContainer{
    Service::kRuntime, "/darse.runtime.v1.ContainerService/KillContainer"};
inline constexpr Method<v1::RestartContainerRequest, v1::RestartContainerResponse>
    kRestartContainer{Service::kRuntime, "/darse.runtime.v1.ContainerService/RestartContainer"};
inline constexpr Method<v1::PauseContainerRequest, v1::PauseContainerResponse> kPauseContainer{
    Service::kRuntime, "/darse.runtime.v1.ContainerService/PauseContainer"};
inline constexpr Method<v1::UnpauseContainerRequest, v1::UnpauseContainerResponse>
    kUnpauseContainer{Service::kRuntime, "/darse.runtime.v1.ContainerService/UnpauseContainer"};
inline constexpr Method<v1::DeleteContainerRequest, v1::DeleteContainerResponse> kDeleteContainer{
    Service::kRuntime, "/darse.runtime.v1.ContainerService/DeleteContainer"};
inline constexpr Method<v1::GetContainerRequest, v1::GetContainerResponse> kGetContainer{
    Service::kRuntime, "/darse.runtime.v1.ContainerService/GetContainer"};
inline constexpr Method<v1::ListContainersRequest, v1::ListContainersResponse> kListContainers{
    Service::kRuntime, "/darse.runtime.v1.ContainerService/ListContainers"};
inline constexpr Method<v1::WaitContainerRequest, v1::WaitContainerResponse> kWaitContainer{
    Service::kRuntime, "/darse.runtime.v1.ContainerService/WaitContainer"};
inline constexpr Method<v1::UpdateContainerRequest, v1::UpdateContainerResponse> kUpdateContainer{
    Service::kRuntime, "/darse.runtime.v1.ContainerService/UpdateContainer"};
inline constexpr StreamMethod<v1::ReadLogsRequest, v1::ReadLogsResponse> kReadLogs{
    Service::kRuntime, "/darse.runtime.v1.ContainerService/ReadLogs"};
inline constexpr StreamMethod<v1::AttachRequest, v1::AttachResponse> kAttach{
    Service::kRuntime, "/darse.runtime.v1.ContainerService/Attach"};
inline constexpr StreamMethod<v1::ExecRequest, v1::ExecResponse> kExec{
    Service::kRuntime, "/darse.runtime.v1.ContainerService/Exec"};
inline constexpr Method<v1::ListProcessesRequest, v1::ListProcessesResponse> kListProcesses{
    Service::kRuntime, "/darse.runtime.v1.ContainerService/ListProcesses"};
inline constexpr Method<v1::GetStatsRequest, v1::GetStatsResponse> kGetStats{
    Service::kRuntime, "/darse.runtime.v1.ContainerService/GetStats"};
inline constexpr StreamMethod<v1::WatchEventsRequest, v1::WatchEventsResponse> kWatchEvents{
    Service::kRuntime, "/darse.runtime.v1.EventService/WatchEvents"};
inline constexpr Method<v1::GetEventPositionRequest, v1::GetEventPositionResponse>
    kGetEventPosition{Service::kRuntime, "/darse.runtime.v1.EventService/GetEventPosition"};
inline constexpr Method<v1::GetImageRequest, v1::GetImageResponse> kGetImage{
    Service::kRuntime, "/darse.runtime.v1.ImageService/GetImage"};
inline constexpr Method<v1::ListImagesRequest, v1::ListImagesResponse> kListImages{
    Service::kRuntime, "/darse.runtime.v1.ImageService/ListImages"};
inline constexpr Method<v1::DeleteImageRequest, v1::DeleteImageResponse> kDeleteImage{
    Service::kRuntime, "/darse.runtime.v1.ImageService/DeleteImage"};
inline constexpr Method<v1::TagImageRequest, v1::TagImageResponse> kTagImage{
    Service::kRuntime, "/darse.runtime.v1.ImageService/TagImage"};
inline constexpr StreamMethod<v1::LoadImagesRequest, v1::LoadImagesResponse> kLoadImages{
    Service::kRuntime, "/darse.runtime.v1.ImageService/LoadImages"};
inline constexpr StreamMethod<v1::SaveImagesRequest, v1::SaveImagesResponse> kSaveImages{
    Service::kRuntime, "/darse.runtime.v1.ImageService/SaveImages"};
inline constexpr StreamMethod<v1::ImportImageRequest, v1::ImportImageResponse> kImportImage{
    Service::kRuntime, "/darse.runtime.v1.ImageService/ImportImage"};
inline constexpr StreamMethod<v1::BootstrapImageRequest, v1::BootstrapImageResponse>
    kBootstrapImage{Service::kRuntime, "/darse.runtime.v1.ImageService/BootstrapImage"};
inline constexpr Method<v1::PruneImagesRequest, v1::PruneImagesResponse> kPruneImages{
    Service::kRuntime, "/darse.runtime.v1.ImageService/PruneImages"};
inline constexpr Method<v1::CreateNetworkRequest, v1::CreateNetworkResponse> kCreateNetwork{
    Service::kRuntime, "/darse.runtime.v1.NetworkService/CreateNetwork"};
inline constexpr Method<v1::GetNetworkRequest, v1::GetNetworkResponse> kGetNetwork{
    Service::kRuntime, "/darse.runtime.v1.NetworkService/GetNetwork"};
inline constexpr Method<v1::ListNetworksRequest, v1::ListNetworksResponse> kListNetworks{
    Service::kRuntime, "/darse.runtime.v1.NetworkService/ListNetworks"};
inline constexpr Method<v1::DeleteNetworkRequest, v1::DeleteNetworkResponse> kDeleteNetwork{
    Service::kRuntime, "/darse.runtime.v1.NetworkService/DeleteNetwork"};
inline constexpr Method<v1::PruneNetworksRequest, v1::PruneNetworksResponse> kPruneNetworks{
    Service::kRuntime, "/darse.runtime.v1.NetworkService/PruneNetworks"};
inline constexpr Method<v1::GetNodeRequest, v1::GetNodeResponse> kGetNode{
    Service::kRuntime, "/darse.runtime.v1.NodeService/GetNode"};
inline constexpr Method<v1::GetDiskUsageRequest, v1::GetDiskUsageResponse> kGetDiskUsage{
    Service::kRuntime, "/darse.runtime.v1.NodeService/GetDiskUsage"};
inline constexpr Method<v1::CreateVolumeRequest, v1::CreateVolumeResponse> kCreateVolume{
    Service::kRuntime, "/darse.runtime.v1.VolumeService/CreateVolume"};
inline constexpr Method<v1::GetVolumeRequest, v1::GetVolumeResponse> kGetVolume{
    Service::kRuntime, "/darse.runtime.v1.VolumeService/GetVolume"};
inline constexpr Method<v1::ListVolumesRequest, v1::ListVolumesResponse> kListVolumes{
    Service::kRuntime, "/darse.runtime.v1.VolumeService/ListVolumes"};
inline constexpr Method<v1::DeleteVolumeRequest, v1::DeleteVolumeResponse> kDeleteVolume{
    Service::kRuntime, "/darse.runtime.v1.VolumeService/DeleteVolume"};
inline constexpr Method<v1::PruneVolumesRequest, v1::PruneVolumesResponse> kPruneVolumes{
    Service::kRuntime, "/darse.runtime.v1.VolumeService/PruneVolumes"};

}  // namespace darse::client::runtime
