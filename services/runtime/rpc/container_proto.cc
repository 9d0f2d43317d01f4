#include "services/runtime/rpc/container_proto.h"

namespace darse::runtime {

void ToProto(absl::Time time, google::protobuf::Timestamp& proto) {
  int64_t nanos = absl::ToUnixNanos(time);
  proto.set_seconds(nanos / 1'000'000'000);
  proto.set_nanos(static_cast<int32_t>(nanos % 1'000'000'000));
}

void ToProto(absl::Duration duration, google::protobuf::Duration& proto) {
  int64_t nanos = absl::ToInt64Nanoseconds(duration);
  proto.set_seconds(nanos / 1'000'000'000);
  proto.set_nanos(static_cast<int32_t>(nanos % 1'000'000'000));
}

absl::Time FromProto(const google::protobuf::Timestamp& proto) {
  return absl::FromUnixSeconds(proto.seconds()) + absl::Nanoseconds(proto.nanos());
}

absl::Duration FromProto(const google::protobuf::Duration& proto) {
  return absl::Seconds(proto.seconds()) + absl::Nanoseconds(proto.nanos());
}

void ToProto(const ContainerRecord& record, v1::Container& proto) {
  proto.set_id(record.id);
  proto.set_name(record.name);
  *proto.mutable_spec() = record.spec;
  proto.set_image_id(record.image_id);
  // The numbers are the same: see lifecycle.h and container_record.h.
  proto.set_state(static_cast<v1::ContainerState>(record.state));
  ToProto(record.created_at, *proto.mutable_create_time());
  if (record.started_at != absl::InfinitePast()) {
    ToProto(record.started_at, *proto.mutable_start_time());
  }
  if (record.finished_at != absl::InfinitePast()) {
    ToProto(record.finished_at, *proto.mutable_finish_time());
  }
  proto.set_exit_code(record.exit_code);
  proto.set_oom_killed(record.oom_killed);
  proto.set_error(record.error);
  proto.set_pid(record.pid);
  proto.set_restart_count(record.restart_count);
  proto.set_stop_requested(record.stop_requested);
  proto.mutable_health()->set_status(static_cast<v1::Health::Status>(record.health.status));
  proto.mutable_health()->set_failing_streak(record.health.failing_streak);
  proto.mutable_health()->set_last_output(record.health.last_output);
  if (record.health.last_probe_at != absl::InfinitePast()) {
    ToProto(record.health.last_probe_at, *proto.mutable_health()->mutable_last_probe_time());
  }
  for (const Endpoint& endpoint : record.endpoints) {
    v1::NetworkEndpoint* out = proto.add_endpoints();
    out->set_network_id(endpoint.network_id);
    out->set_network_name(endpoint.network_name);
    out->set_ipv4_address(endpoint.ipv4_address);
    out->set_ipv4_prefix_length(endpoint.ipv4_prefix_length);
    out->set_gateway(endpoint.gateway);
    out->set_mac_address(endpoint.mac_address);
    out->set_host_interface(endpoint.host_interface);
    out->mutable_aliases()->Add(endpoint.aliases.begin(), endpoint.aliases.end());
  }
  for (const PortMapping& port : record.ports) {
    v1::PortMapping* out = proto.add_ports();
    out->set_host_ip(port.host_ip);
    out->set_host_port(port.host_port);
    out->set_container_port(port.container_port);
    out->set_protocol(port.protocol);
  }
  proto.set_revision(record.revision);
  proto.set_cgroup_path(record.cgroup_path);
  if (IsLive(record.state)) proto.set_first_user_id(record.first_user_id);
  proto.set_user_namespace_obstacle(record.user_namespace_obstacle);
}

void ToProto(const ContainerFigures& figures, v1::ContainerStats& proto) {
  const cgroup::Stats& stats = figures.stats;
  proto.set_container_id(figures.id);
  proto.set_name(figures.name);
  ToProto(figures.time, *proto.mutable_time());
  ToProto(absl::Nanoseconds(stats.cpu_usage_ns), *proto.mutable_cpu_time());
  proto.set_memory_working_set_bytes(static_cast<int64_t>(cgroup::WorkingSet(stats)));
  proto.set_memory_limit_bytes(static_cast<int64_t>(stats.memory_limit_bytes));
  proto.set_pids(static_cast<int64_t>(stats.pids));
  proto.set_network_receive_bytes(figures.network_receive_bytes);
  proto.set_network_transmit_bytes(figures.network_transmit_bytes);
  proto.set_block_read_bytes(static_cast<int64_t>(stats.block_read_bytes));
  proto.set_block_write_bytes(static_cast<int64_t>(stats.block_write_bytes));
}

void ToProto(const ContainerProcess& process, v1::ListProcessesResponse::Process& proto) {
  proto.set_pid(process.pid);
  proto.set_parent_pid(process.parent_pid);
  proto.set_uid(process.uid);
  proto.set_command(process.command);
  ToProto(process.cpu_time, *proto.mutable_cpu_time());
  proto.set_resident_bytes(process.resident_bytes);
  ToProto(process.started_at, *proto.mutable_start_time());
}

void ToProto(const LogRecord& record, v1::LogLine& proto) {
  ToProto(record.time, *proto.mutable_time());
  proto.set_stream(record.is_stderr ? v1::STREAM_STDERR : v1::STREAM_STDOUT);
  proto.set_text(record.text);
  proto.set_partial(record.partial);
}

ListFilter FromProto(const v1::ListContainersRequest& request) {
  ListFilter filter;
  for (int state : request.states()) filter.states.push_back(static_cast<ContainerState>(state));
  filter.labels.assign(request.labels().begin(), request.labels().end());
  filter.names.assign(request.names().begin(), request.names().end());
  return filter;
}

LogFilter FromProto(const v1::ReadLogsRequest& request) {
  LogFilter filter;
  bool neither = !request.stdout() && !request.stderr();
  filter.want_stdout = neither || request.stdout();
  filter.want_stderr = neither || request.stderr();
  if (request.has_since()) filter.since = FromProto(request.since());
  if (request.has_until()) filter.until = FromProto(request.until());
  filter.tail = request.tail();
  return filter;
}

ExecOptions FromProto(const v1::ExecRequest::Start& start) {
  return {.args = {start.args().begin(), start.args().end()},
          .env = {start.env().begin(), start.env().end()},
          .working_dir = start.working_dir(),
          .user = start.user(),
          .tty = start.tty(),
          .stdin_open = start.stdin(),
          .privileged = start.privileged(),
          .detach = start.detach(),
          .columns = start.size().columns(),
          .rows = start.size().rows()};
}

}  // namespace darse::runtime
