#include "services/runtime/containers/image_merge.h"

#include <algorithm>
#include <set>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/time/time.h"
#include "libs/base/status_macros.h"
#include "services/runtime/containers/spec_check.h"

namespace darse::runtime {
namespace {

void MergeCommand(const v1::ContainerSpec& asked, const oci::ImageConfig& image,
                  v1::ContainerSpec& merged) {
  merged.clear_entrypoint();
  v1::Command* argv = merged.mutable_command();
  argv->clear_args();
  if (asked.has_entrypoint()) {
    *argv->mutable_args() = asked.entrypoint().args();
  } else {
    argv->mutable_args()->Add(image.entrypoint.begin(), image.entrypoint.end());
  }
  if (asked.has_command()) {
    argv->mutable_args()->MergeFrom(asked.command().args());
  } else if (!asked.has_entrypoint()) {
    argv->mutable_args()->Add(image.cmd.begin(), image.cmd.end());
  }
}

std::string KeyOf(const std::string& entry) { return entry.substr(0, entry.find('=')); }

void MergeEnv(const v1::ContainerSpec& asked, const oci::ImageConfig& image,
              v1::ContainerSpec& merged) {
  std::vector<std::string> env;
  auto set = [&env](const std::string& entry) {
    auto same = std::find_if(env.begin(), env.end(),
                             [&](const std::string& old) { return KeyOf(old) == KeyOf(entry); });
    if (same == env.end()) {
      env.push_back(entry);
    } else {
      *same = entry;
    }
  };
  for (const std::string& entry : image.env) set(entry);
  for (const std::string& entry : asked.env()) set(entry);
  merged.clear_env();
  merged.mutable_env()->Add(env.begin(), env.end());
}

void SetDuration(google::protobuf::Duration& target, absl::Duration value) {
  int64_t nanos = absl::ToInt64Nanoseconds(value);
  target.set_seconds(nanos / 1'000'000'000);
  target.set_nanos(static_cast<int32_t>(nanos % 1'000'000'000));
}

v1::Healthcheck FromImage(const oci::Healthcheck& image) {
  v1::Healthcheck check;
  check.mutable_test()->Add(image.test.begin(), image.test.end());
  if (image.interval > absl::ZeroDuration()) SetDuration(*check.mutable_interval(), image.interval);
  if (image.timeout > absl::ZeroDuration()) SetDuration(*check.mutable_timeout(), image.timeout);
  if (image.start_period > absl::ZeroDuration()) {
    SetDuration(*check.mutable_start_period(), image.start_period);
  }
  if (image.start_interval > absl::ZeroDuration()) {
    SetDuration(*check.mutable_start_interval(), image.start_interval);
  }
  check.set_retries(image.retries);
  return check;
}

void MergeHealthcheck(const v1::ContainerSpec& asked, const oci::ImageConfig& image,
                      v1::ContainerSpec& merged) {
  v1::Healthcheck check;
  if (image.healthcheck) check = FromImage(*image.healthcheck);
  if (asked.has_healthcheck()) {
    if (!asked.healthcheck().test().empty()) check.clear_test();
    check.MergeFrom(asked.healthcheck());
  }
  if (check.test().empty() || check.test(0) == "NONE") {
    merged.clear_healthcheck();
  } else {
    *merged.mutable_healthcheck() = check;
  }
}

absl::Status MergeVolumes(const oci::ImageConfig& image, v1::ContainerSpec& merged) {
  std::set<std::string> taken;
  for (const v1::Mount& mount : merged.mounts()) taken.insert(mount.target());
  for (const std::string& volume : image.volumes) {
    if (volume.empty() || volume[0] != '/') {
      return absl::InvalidArgumentError(
          absl::StrCat("the image's volume \"", volume, "\" is not an absolute path"));
    }
    std::string target = CleanPath(volume);
    if (target == "/" || !taken.insert(target).second) continue;
    v1::Mount* mount = merged.add_mounts();
    mount->set_type(v1::MOUNT_TYPE_VOLUME);
    mount->set_target(target);
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<v1::ContainerSpec> MergeImage(const v1::ContainerSpec& asked,
                                             const oci::ImageConfig& image) {
  v1::ContainerSpec merged = asked;
  MergeCommand(asked, image, merged);
  if (merged.command().args().empty() || merged.command().args(0).empty()) {
    return absl::InvalidArgumentError(
        "no command: neither the image nor the request says what to run");
  }
  MergeEnv(asked, image, merged);
  if (merged.working_dir().empty()) merged.set_working_dir(image.working_dir);
  merged.set_working_dir(CleanPath(absl::StrCat("/", merged.working_dir())));
  if (merged.user().empty()) merged.set_user(image.user);
  if (merged.stop_signal().empty()) merged.set_stop_signal(image.stop_signal);
  if (merged.stop_signal().empty()) merged.set_stop_signal("SIGTERM");
  RETURN_IF_ERROR(Annotate(ParseSignal(merged.stop_signal()).status(), "the image's stop signal"));
  for (const auto& [key, value] : image.labels) merged.mutable_labels()->insert({key, value});
  MergeHealthcheck(asked, image, merged);
  RETURN_IF_ERROR(MergeVolumes(image, merged));
  return merged;
}

}  // namespace darse::runtime
