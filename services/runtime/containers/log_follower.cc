#include "services/runtime/containers/log_follower.h"

#include <sys/epoll.h>
#include <sys/inotify.h>
#include <unistd.h>

#include <utility>

#include "libs/base/status_macros.h"

namespace darse::runtime {
namespace {

// Where the kernel gives no more inotify watches.
constexpr absl::Duration kLookAgain = absl::Milliseconds(500);

}  // namespace

LogFollower::LogFollower(IoLoop& loop, ChangeHub& changes, std::string id, std::string directory,
                         const LogFilter& filter, std::function<bool()> lives,
                         std::function<void()> wake)
    : loop_(loop), reader_(directory, filter), lives_(std::move(lives)), wake_(std::move(wake)) {
  subscription_ = changes.Subscribe(std::move(id), wake_);
  inotify_.Reset(inotify_init1(IN_CLOEXEC | IN_NONBLOCK));
  if (inotify_.valid() && inotify_add_watch(inotify_.get(), directory.c_str(),
                                            IN_MODIFY | IN_CREATE | IN_MOVED_TO) >= 0) {
    key_ = loop_.Add(inotify_.get(), wake_);
  }
}

LogFollower::LogFollower(IoLoop& loop, std::string directory, const LogFilter& filter)
    : loop_(loop), reader_(std::move(directory), filter) {}

LogFollower::~LogFollower() {
  subscription_.reset();
  if (key_ != 0) loop_.Remove(key_);
}

void LogFollower::Arm() {
  if (key_ == 0) {
    loop_.After(kLookAgain, wake_);
    return;
  }
  char events[4096];
  while (read(inotify_.get(), events, sizeof(events)) > 0) {
  }
  loop_.Arm(key_, EPOLLIN);
}

absl::StatusOr<std::optional<std::vector<LogRecord>>> LogFollower::Next() {
  if (!lives_) {
    ASSIGN_OR_RETURN(std::vector<LogRecord> records, reader_.Next());
    if (records.empty()) return std::nullopt;
    return records;
  }
  // Asked before reading: what was written before the end is then read after it.
  bool lives = lives_();
  ASSIGN_OR_RETURN(std::vector<LogRecord> records, reader_.Next());
  if (!records.empty()) return records;
  if (!lives || reader_.past_end()) return std::nullopt;
  Arm();
  // Something may have come between the two.
  ASSIGN_OR_RETURN(records, reader_.Next());
  return records;
}

}  // namespace darse::runtime
