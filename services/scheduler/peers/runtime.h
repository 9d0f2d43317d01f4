// The runtime as the scheduler needs it. Second implementation: fake_runtime.h.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "darse/runtime/v1/container.pb.h"
#include "darse/runtime/v1/event_service.pb.h"
#include "darse/runtime/v1/network_service.pb.h"
#include "darse/runtime/v1/volume_service.pb.h"

namespace darse::scheduler {

// Thread-safe. UNAVAILABLE from each verb while the runtime is away; other errors are the runtime's
// own.
class Runtime {
 public:
  virtual ~Runtime() = default;

  // Empty while it is there.
  virtual std::optional<absl::Time> MissingSince() const = 0;
  // False at the deadline, and when Cancel() was called.
  virtual bool WaitUntilPresent(absl::Time deadline) = 0;

  virtual absl::StatusOr<runtime::v1::Container> CreateContainer(
      const runtime::v1::ContainerSpec& spec, absl::string_view request_id) = 0;
  virtual absl::StatusOr<runtime::v1::Container> StartContainer(absl::string_view id) = 0;
  // `timeout` empty: the container's own, which `longest` must cover.
  virtual absl::StatusOr<runtime::v1::Container> StopContainer(
      absl::string_view id, std::optional<absl::Duration> timeout, absl::Duration longest) = 0;
  virtual absl::StatusOr<runtime::v1::Container> RestartContainer(absl::string_view id,
                                                                  absl::Duration longest) = 0;
  // OK if it is gone already.
  virtual absl::Status DeleteContainer(absl::string_view id, bool delete_volumes) = 0;
  virtual absl::StatusOr<runtime::v1::Container> GetContainer(absl::string_view id) = 0;
  // Those that have the label.
  virtual absl::StatusOr<std::vector<runtime::v1::Container>> ListContainers(
      absl::string_view label) = 0;

  virtual absl::StatusOr<runtime::v1::Network> CreateNetwork(
      const runtime::v1::CreateNetworkRequest& request) = 0;
  // OK if it is gone already.
  virtual absl::Status DeleteNetwork(absl::string_view name) = 0;
  virtual absl::StatusOr<std::vector<runtime::v1::Network>> ListNetworks() = 0;

  virtual absl::StatusOr<runtime::v1::Volume> CreateVolume(
      const runtime::v1::CreateVolumeRequest& request) = 0;
  // OK if it is gone already.
  virtual absl::Status DeleteVolume(absl::string_view name) = 0;
  virtual absl::StatusOr<std::vector<runtime::v1::Volume>> ListVolumes() = 0;

  // Id of the image; NOT_FOUND if there is none.
  virtual absl::StatusOr<std::string> FindImage(absl::string_view reference) = 0;

  struct Position {
    int64_t newest = 0;
    int64_t oldest = 0;
  };
  virtual absl::StatusOr<Position> EventPosition() = 0;
  // Events as they come, and the sequence up to which none is left out; events may be empty.
  using OnEvents =
      std::function<absl::Status(const std::vector<runtime::v1::Event>&, int64_t complete_to)>;
  // Until the runtime goes away, `on_events` fails, or Cancel(). Of containers those that carry
  // `container_label`. OUT_OF_RANGE when the log no longer goes back so far.
  virtual absl::Status WatchEvents(int64_t after_sequence, absl::string_view container_label,
                                   const OnEvents& on_events) = 0;
  // Ends waits and watches, now and later: the scheduler stops.
  virtual void Cancel() = 0;
};

}  // namespace darse::scheduler
