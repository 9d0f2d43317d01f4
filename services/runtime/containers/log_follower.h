// A container's log for one reader, and when to look again. Holds no thread.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "libs/base/unique_fd.h"
#include "services/runtime/containers/change_hub.h"
#include "services/runtime/containers/container_engine.h"
#include "services/runtime/containers/log_reader.h"
#include "services/runtime/shims/io_loop.h"

namespace darse::runtime {

// One thread at a time; `wake` comes on any.
class LogFollower {
 public:
  // `lives`: whether more may be written.
  LogFollower(IoLoop& loop, ChangeHub& changes, std::string id, std::string directory,
              const LogFilter& filter, std::function<bool()> lives, std::function<void()> wake);
  // Reads to the present end only.
  LogFollower(IoLoop& loop, std::string directory, const LogFilter& filter);
  ~LogFollower();

  // Records; none: wait for `wake`; nothing at all: the end.
  absl::StatusOr<std::optional<std::vector<LogRecord>>> Next();

 private:
  void Arm();

  IoLoop& loop_;
  LogReader reader_;
  const std::function<bool()> lives_;
  const std::function<void()> wake_;
  std::unique_ptr<ChangeHub::Subscription> subscription_;
  UniqueFd inotify_;
  uint64_t key_ = 0;
};

}  // namespace darse::runtime
