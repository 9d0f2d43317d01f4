#include "services/builder/builds/build_record.h"

namespace darse::builder {

google::protobuf::Timestamp TimeToProto(absl::Time time) {
  google::protobuf::Timestamp proto;
  int64_t seconds = absl::ToUnixSeconds(time);
  proto.set_seconds(seconds);
  proto.set_nanos(
      static_cast<int32_t>(absl::ToInt64Nanoseconds(time - absl::FromUnixSeconds(seconds))));
  return proto;
}

v1::Build ToProto(const BuildRecord& record) {
  v1::Build build;
  build.set_id(record.id);
  *build.mutable_spec() = record.spec;
  build.set_state(static_cast<v1::BuildState>(record.state));
  *build.mutable_create_time() = TimeToProto(record.created_at);
  if (record.started_at) *build.mutable_start_time() = TimeToProto(*record.started_at);
  if (record.finished_at) *build.mutable_finish_time() = TimeToProto(*record.finished_at);
  build.set_image_id(record.image_id);
  build.set_error(record.error);
  build.set_failed_exit_code(record.failed_exit_code);
  build.set_steps_total(record.steps_total);
  build.set_steps_cached(record.steps_cached);
  build.set_steps_done(record.steps_done);
  build.set_waiting_for(record.waiting_for);
  return build;
}

}  // namespace darse::builder
