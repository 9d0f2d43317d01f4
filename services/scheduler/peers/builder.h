// The builder as the scheduler needs it. Second implementation: fake_builder.h.
#pragma once

#include <functional>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "darse/builder/v1/build_service.pb.h"

namespace darse::scheduler {

// Thread-safe. UNAVAILABLE from each verb while the builder is away.
class Builder {
 public:
  virtual ~Builder() = default;

  // Empty while it is there.
  virtual std::optional<absl::Time> MissingSince() const = 0;
  virtual absl::StatusOr<bool> HasContext(absl::string_view digest) = 0;
  virtual absl::Status UploadContext(absl::string_view digest, absl::string_view path) = 0;
  virtual absl::StatusOr<builder::v1::Build> CreateBuild(const builder::v1::BuildSpec& spec,
                                                         absl::string_view request_id) = 0;
  virtual absl::StatusOr<builder::v1::Build> GetBuild(absl::string_view id) = 0;
  // Hands on events until the build has ended, the builder goes away, or Cancel().
  virtual absl::Status WatchBuild(
      absl::string_view id, int64_t after_sequence,
      const std::function<void(const builder::v1::BuildEvent&)>& on_event) = 0;
  // Ends watches, now and later: the scheduler stops.
  virtual void Cancel() = 0;
};

}  // namespace darse::scheduler
