#include "services/runtime/shims/shim_pool.h"

#include <poll.h>

#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_split.h"
#include "libs/base/log.h"
#include "libs/os/files.h"

namespace darse::runtime {
namespace {

// A start that is going on is not to share its cores with the making of the next one; a burst that
// has emptied the pool does not wait.
constexpr absl::Duration kQuiet = absl::Milliseconds(150);
constexpr absl::Duration kRest = absl::Seconds(5);
constexpr int64_t kLeastBytes = int64_t{64} << 20;
constexpr int64_t kLeastShare = 25;  // one 25th of all

bool Lives(const ParkedShim& shim) {
  pollfd wait = {.fd = shim.process.pidfd(), .events = POLLIN};
  return poll(&wait, 1, 0) == 0;
}

}  // namespace

ShimPool::ShimPool(Options options, Clock& clock) : options_(std::move(options)), clock_(clock) {
  if (options_.size > 0) thread_ = std::thread([this] { Fill(); });
}

ShimPool::~ShimPool() {
  {
    absl::MutexLock lock(&mu_);
    stopping_ = true;
  }
  if (thread_.joinable()) thread_.join();
}

std::optional<ParkedShim> ShimPool::Take() {
  std::vector<ParkedShim> dead;
  std::optional<ParkedShim> taken;
  {
    absl::MutexLock lock(&mu_);
    last_taken_ = clock_.Now();
    while (!parked_.empty() && !taken) {
      ParkedShim shim = std::move(parked_.back());
      parked_.pop_back();
      if (Lives(shim)) {
        taken = std::move(shim);
      } else {
        dead.push_back(std::move(shim));
      }
    }
  }
  for (ParkedShim& shim : dead) LetGo(std::move(shim));
  return taken;
}

void ShimPool::LetGo(ParkedShim shim) {
  shim.socket.Reset();
  options_.let_go(shim);
}

bool ShimPool::WaitUntilFull(absl::Time deadline) {
  absl::MutexLock lock(&mu_);
  auto full = [this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
    return parked_.size() >= static_cast<size_t>(options_.size);
  };
  return mu_.AwaitWithDeadline(absl::Condition(&full), deadline);
}

bool ShimPool::Wanted() const { return parked_.size() < static_cast<size_t>(options_.size); }

bool ShimPool::MemoryIsShort() const {
  auto [available, total] = options_.memory();
  return available < std::max(kLeastBytes, total / kLeastShare);
}

void ShimPool::Fill() {
  while (true) {
    {
      absl::MutexLock lock(&mu_);
      auto act = [this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) { return stopping_ || Wanted(); };
      // A look at the memory now and then, also when nothing is to be done.
      mu_.AwaitWithTimeout(absl::Condition(&act), kRest);
      if (stopping_) break;
    }
    if (MemoryIsShort()) {
      std::vector<ParkedShim> dropped;
      absl::MutexLock lock(&mu_);
      dropped.swap(parked_);
      if (!dropped.empty()) {
        Log(LogLevel::kInfo, "memory is short: no shims are kept in advance");
      }
      for (ParkedShim& shim : dropped) LetGo(std::move(shim));
      mu_.AwaitWithTimeout(absl::Condition(&stopping_), kRest);
      continue;
    }
    {
      absl::MutexLock lock(&mu_);
      if (!Wanted()) continue;
      absl::Duration since = clock_.Now() - last_taken_;
      if (!parked_.empty() && since < kQuiet) {
        mu_.AwaitWithTimeout(absl::Condition(&stopping_), kQuiet - since);
        continue;
      }
    }
    absl::StatusOr<ParkedShim> made = options_.park();
    absl::MutexLock lock(&mu_);
    if (made.ok()) {
      parked_.push_back(*std::move(made));
      continue;
    }
    Log(LogLevel::kWarning, "no shim was started in advance", {{"why", made.status().ToString()}});
    mu_.AwaitWithTimeout(absl::Condition(&stopping_), kRest);
  }
}

std::pair<int64_t, int64_t> HostMemory() {
  int64_t available = 0, total = 0;
  for (absl::string_view line :
       absl::StrSplit(ReadFile("/proc/meminfo").value_or(""), '\n', absl::SkipEmpty())) {
    std::vector<absl::string_view> words = absl::StrSplit(line, ' ', absl::SkipEmpty());
    if (words.size() < 2) continue;
    int64_t kib = 0;
    if (!absl::SimpleAtoi(words[1], &kib)) continue;
    if (words[0] == "MemTotal:") total = kib << 10;
    if (words[0] == "MemAvailable:") available = kib << 10;
  }
  return {available, total};
}

}  // namespace darse::runtime
