#include "services/runtime/rpc/node_rpc.h"

#include <fts.h>
#include <sys/stat.h>

#include <algorithm>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "libs/base/status_macros.h"
#include "libs/os/files.h"
#include "libs/rpc/status.h"
#include "services/runtime/rpc/container_proto.h"

namespace darse::runtime {
namespace {

// Of all files below; 0 if there is no such directory.
int64_t TreeBytes(const std::string& directory) {
  char* paths[] = {const_cast<char*>(directory.c_str()), nullptr};
  std::unique_ptr<FTS, int (*)(FTS*)> walk(fts_open(paths, FTS_PHYSICAL | FTS_NOCHDIR, nullptr),
                                           fts_close);
  if (walk == nullptr) return 0;
  int64_t bytes = 0;
  while (FTSENT* entry = fts_read(walk.get())) {
    if (entry->fts_info == FTS_F) bytes += entry->fts_statp->st_size;
  }
  return bytes;
}

}  // namespace

NodeRpc::NodeRpc(NodeEngine& node, ContainerEngine& containers, ImageEngine& images,
                 VolumeEngine& volumes, NetworkEngine& networks, std::string data_root)
    : node_(node),
      containers_(containers),
      images_(images),
      volumes_(volumes),
      networks_(networks),
      data_root_(std::move(data_root)) {}

grpc::Status NodeRpc::GetNode(grpc::ServerContext*, const v1::GetNodeRequest*,
                              v1::GetNodeResponse* response) {
  return rpc::ToGrpc(FillNode(*response));
}

grpc::Status NodeRpc::GetDiskUsage(grpc::ServerContext*, const v1::GetDiskUsageRequest*,
                                   v1::GetDiskUsageResponse* response) {
  return rpc::ToGrpc(FillUsage(*response));
}

absl::Status NodeRpc::FillNode(v1::GetNodeResponse& response) {
  ASSIGN_OR_RETURN(NodeFacts facts, node_.Read());
  ASSIGN_OR_RETURN(std::vector<ContainerRecord> containers, containers_.ListAll());
  ASSIGN_OR_RETURN(std::vector<ImageView> images, images_.List(std::nullopt, -1));
  response.set_version(kVersion);
  ToProto(facts.start_time, *response.mutable_start_time());
  response.set_hostname(facts.hostname);
  response.set_kernel_version(facts.kernel_version);
  response.set_operating_system(facts.operating_system);
  response.set_cpu_count(facts.cpu_count);
  response.set_memory_bytes(facts.memory_bytes);
  response.set_cgroup_mode(facts.cgroup_mode);
  response.set_data_root(data_root_);
  response.set_containers_total(static_cast<int32_t>(containers.size()));
  response.set_containers_running(static_cast<int32_t>(
      std::count_if(containers.begin(), containers.end(),
                    [](const ContainerRecord& record) { return IsLive(record.state); })));
  response.set_images(static_cast<int32_t>(images.size()));
  for (const std::string& warning : facts.warnings) response.add_warnings(warning);
  for (const std::string& warning : networks_.Warnings()) response.add_warnings(warning);
  for (const std::string& warning : containers_.Warnings()) response.add_warnings(warning);
  response.set_node_id(facts.node_id);
  return absl::OkStatus();
}

absl::Status NodeRpc::FillUsage(v1::GetDiskUsageResponse& response) {
  ASSIGN_OR_RETURN(ContainerEngine::DiskUsage usage, containers_.ReadDiskUsage());
  ASSIGN_OR_RETURN(int64_t volumes, volumes_.Usage());
  response.set_image_layer_bytes(TreeBytes(JoinPath(data_root_, "layers")));
  response.set_blob_bytes(TreeBytes(JoinPath(data_root_, "blobs")));
  response.set_container_bytes(usage.container_bytes);
  response.set_volume_bytes(volumes);
  response.set_log_bytes(usage.log_bytes);
  return absl::OkStatus();
}

}  // namespace darse::runtime
