#include "services/metrics/containers/runtime_loop.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "libs/base/log.h"
#include "libs/base/status_macros.h"

namespace darse::metrics {
namespace {

constexpr int64_t kMarksKept = 50'000;
// Between tries while the runtime answers, but with an error.
constexpr absl::Duration kRetry = absl::Seconds(1);

}  // namespace

absl::StatusOr<std::unique_ptr<RuntimeLoop>> RuntimeLoop::Start(sqlite::Database& db,
                                                                RuntimeClient& client,
                                                                Clock& clock) {
  std::unique_ptr<RuntimeLoop> loop(new RuntimeLoop(db, client, clock));
  RETURN_IF_ERROR(Annotate(loop->Load(), "load known containers"));
  loop->thread_ = std::thread([loop = loop.get()] { loop->Run(); });
  return loop;
}

RuntimeLoop::~RuntimeLoop() {
  {
    absl::MutexLock lock(&mu_);
    stopping_ = true;
  }
  client_.Cancel();
  if (thread_.joinable()) thread_.join();
}

std::shared_ptr<const std::vector<KnownContainer>> RuntimeLoop::containers() const {
  absl::MutexLock lock(&mu_);
  return containers_;
}

absl::Status RuntimeLoop::Load() {
  return db_.Read([&](sqlite::Transaction& tx) -> absl::Status {
    ASSIGN_OR_RETURN(std::vector<KnownContainer> containers, containers_store_.List(tx));
    ASSIGN_OR_RETURN(std::optional<int64_t> cursor, containers_store_.Cursor(tx));
    ASSIGN_OR_RETURN(deployments_, marks_.ListDeployments(tx));
    has_cursor_ = cursor.has_value();
    cursor_ = cursor.value_or(0);
    Publish(std::move(containers));
    return absl::OkStatus();
  });
}

void RuntimeLoop::Publish(std::vector<KnownContainer> containers) {
  auto published = std::make_shared<const std::vector<KnownContainer>>(std::move(containers));
  absl::MutexLock lock(&mu_);
  containers_ = std::move(published);
}

bool RuntimeLoop::WaitOrStop(absl::Duration time) {
  absl::MutexLock lock(&mu_);
  return mu_.AwaitWithTimeout(absl::Condition(&stopping_), time);
}

void RuntimeLoop::Run() {
  std::string told;
  while (!WaitOrStop(absl::ZeroDuration())) {
    // In short steps, since the link does not know when this loop is to stop.
    if (!client_.WaitUntilPresent(clock_.Now() + absl::Milliseconds(500))) continue;
    absl::Status ended = Follow();
    if (WaitOrStop(absl::ZeroDuration())) return;
    // The same error each second is worth one line.
    std::string why(ended.message());
    if (why != told) Log(LogLevel::kWarning, "not following the runtime", {{"why", why}});
    told = why;
    if (WaitOrStop(kRetry)) return;
  }
}

absl::Status RuntimeLoop::Follow() {
  // The position first: what happens between the two answers is then seen twice and not lost.
  int64_t position = cursor_;
  if (!has_cursor_) {
    ASSIGN_OR_RETURN(position, client_.NewestEvent());
  }
  ASSIGN_OR_RETURN(std::vector<KnownContainer> containers, client_.ListContainers());
  RETURN_IF_ERROR(db_.Write([&](sqlite::Transaction& tx) -> absl::Status {
    RETURN_IF_ERROR(containers_store_.Replace(tx, containers));
    return containers_store_.SetCursor(tx, position);
  }));
  cursor_ = position;
  has_cursor_ = true;
  Log(LogLevel::kInfo, "following the runtime",
      {{"containers", absl::StrCat(containers.size())}, {"sequence", absl::StrCat(position)}});
  Publish(std::move(containers));
  absl::Status ended = client_.WatchEvents(
      position, [this](const std::vector<RuntimeEvent>& events) { return Handle(events); });
  if (absl::IsOutOfRange(ended)) has_cursor_ = false;
  return ended;
}

absl::Status RuntimeLoop::Handle(const std::vector<RuntimeEvent>& events) {
  // One list for the whole batch, however long.
  ASSIGN_OR_RETURN(std::vector<KnownContainer> containers, client_.ListContainers());
  Deployments deployments = deployments_;
  std::vector<Mark> marks;
  for (const RuntimeEvent& event : events) {
    std::optional<Mark> mark = MarkOf(event, deployments);
    if (mark) marks.push_back(*std::move(mark));
  }
  int64_t sequence = events.back().sequence;
  RETURN_IF_ERROR(db_.Write([&](sqlite::Transaction& tx) -> absl::Status {
    for (const Mark& mark : marks) RETURN_IF_ERROR(marks_.Insert(tx, mark));
    for (const auto& [subject, hash] : deployments) {
      auto before = deployments_.find(subject);
      if (before != deployments_.end() && before->second == hash) continue;
      RETURN_IF_ERROR(marks_.SetDeployment(tx, subject, hash));
    }
    if (!marks.empty()) RETURN_IF_ERROR(marks_.Trim(tx, kMarksKept));
    RETURN_IF_ERROR(containers_store_.Replace(tx, containers));
    return containers_store_.SetCursor(tx, sequence);
  }));
  deployments_ = std::move(deployments);
  cursor_ = sequence;
  Publish(std::move(containers));
  return absl::OkStatus();
}

}  // namespace darse::metrics
