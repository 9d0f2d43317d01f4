// up and down: change what the scheduler wants, and show what it does about it until it has
// settled.
#include <signal.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <functional>
#include <optional>
#include <string>
#include <thread>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/time/clock.h"
#include "libs/base/status_macros.h"
#include "libs/base/unique_fd.h"
#include "tools/darse/cli/arguments.h"
#include "tools/darse/output/units.h"
#include "tools/darse/session/proto_time.h"
#include "tools/darse/session/scheduler_methods.h"
#include "tools/darse/session/session.h"
#include "tools/darse/session/signals.h"
#include "tools/darse/stack/project.h"
#include "tools/darse/stack/stack_text.h"
#include "tools/darse/verbs.h"

namespace darse::client {
namespace {

using namespace darse::scheduler::v1;  // NOLINT: message names only

struct Watched {
  // Nothing when the stack is gone.
  std::optional<Stack> stack;
  // A signal or the timeout ended the watching, not the scheduler.
  int signal = 0;
  bool timed_out = false;
  // It waits for a service that is missing, and has done so for a while.
  bool peer_missing = false;
};

// A service that died is usually back within seconds: so long a missing one is waited for.
constexpr absl::Duration kPeerPatience = absl::Seconds(3);

// Ends the stream when a signal comes or the time is up.
class StreamGuard {
 public:
  StreamGuard(std::function<void()> cancel, absl::Duration timeout)
      : caught_({SIGINT, SIGTERM}), done_(eventfd(0, EFD_CLOEXEC)), thread_([=, this] {
          const absl::Time end = absl::Now() + timeout;
          while (!finished_.load() && signal_.load() == 0 && !timed_out_.load() &&
                 !impatient_.load()) {
            signal_.store(caught_.Wait(done_.get(), 250));
            const int64_t waiting = waiting_since_.load();
            impatient_.store(waiting != 0 &&
                             absl::Now() - absl::FromUnixMillis(waiting) > kPeerPatience);
            timed_out_.store(absl::Now() > end);
          }
          if (!finished_.load()) cancel();
        }) {}
  ~StreamGuard() { Finish(); }

  void Finish() {
    finished_.store(true);
    const uint64_t one = 1;
    if (write(done_.get(), &one, sizeof one) < 0) return;
    if (thread_.joinable()) thread_.join();
  }
  // Whether a missing peer is what it waits for.
  void PeerIsMissing(bool missing) {
    if (!missing) {
      waiting_since_.store(0);
    } else if (waiting_since_.load() == 0) {
      waiting_since_.store(absl::ToUnixMillis(absl::Now()));
    }
  }
  int signal() const { return signal_.load(); }
  bool impatient() const { return impatient_.load(); }
  bool timed_out() const { return timed_out_.load(); }

 private:
  CaughtSignals caught_;
  UniqueFd done_;
  std::atomic<bool> finished_{false};
  std::atomic<bool> timed_out_{false};
  std::atomic<bool> impatient_{false};
  std::atomic<int64_t> waiting_since_{0};
  std::atomic<int> signal_{0};
  std::thread thread_;  // last: it uses all above
};

// True if a service that the message names is missing: a stack may wait for a dependency, too.
bool PeerMissing(Session& session, const std::string& message) {
  absl::StatusOr<ListPeersResponse> peers =
      session.Call(scheduler::kListPeers, {}, absl::Seconds(2));
  if (!peers.ok()) return false;
  return std::any_of(peers->peers().begin(), peers->peers().end(), [&](const Peer& peer) {
    return !peer.up() && absl::StrContains(message, peer.name());
  });
}

absl::StatusOr<Watched> WatchUntilSettled(Session& session, const std::string& name,
                                          absl::Duration timeout) {
  WatchStackRequest request;
  request.set_name(name);
  request.set_until_settled(true);
  ASSIGN_OR_RETURN(auto stream, session.Open(scheduler::kWatchStack, request));
  StreamGuard guard([&stream] { stream.Cancel(); }, timeout);
  Watched watched;
  std::string said;
  WatchStackResponse response;
  while (stream.Read(response)) {
    for (const std::string& line : response.progress()) session.Print(line + "\n");
    watched.stack.reset();
    if (response.has_stack()) watched.stack = response.stack();
    // Why nothing goes on is said once, when it changes.
    const bool waits = response.has_stack() && response.stack().state() == STACK_STATE_WAITING;
    guard.PeerIsMissing(waits && PeerMissing(session, response.stack().message()));
    if (waits && response.stack().message() != said) {
      said = response.stack().message();
      session.Print(said + "\n");
    }
    if (!session.Flush()) break;
  }
  guard.Finish();
  watched.signal = guard.signal();
  watched.timed_out = guard.timed_out();
  watched.peer_missing = guard.impatient();
  absl::Status end = stream.Finish();
  if (watched.signal == 0 && !watched.timed_out && !watched.peer_missing) RETURN_IF_ERROR(end);
  return watched;
}

absl::StatusOr<absl::Duration> WaitTimeout(const Arguments& arguments) {
  if (!arguments.Has("wait-timeout")) return absl::InfiniteDuration();
  return Annotate(ParseDuration(arguments.Text("wait-timeout")), "--wait-timeout");
}

int Conclude(Session& session, const std::string& name, const Watched& watched) {
  if (watched.signal != 0) {
    session.Note(absl::StrCat("stack ", name, " is stored and goes on by itself: `darse ps ", name,
                              "` shows it, `darse down -p ", name, "` takes it down"));
    return 128 + watched.signal;
  }
  const std::string state = watched.stack ? StateWord(watched.stack->state()) : "gone";
  const std::string message = watched.stack ? watched.stack->message() : "";
  if (watched.peer_missing) {
    session.Note(absl::StrCat("stack ", name, " is stored and goes on by itself: ", message));
    return kServiceMissingCode;
  }
  if (watched.timed_out) {
    session.Note(absl::StrCat("stack ", name, " has not settled yet (", state,
                              message.empty() ? "" : ": ", message, "); it goes on by itself"));
    return kFailed;
  }
  if (watched.stack && watched.stack->state() == STACK_STATE_FAILED) {
    session.Note(absl::StrCat("stack ", name, ": ", message,
                              "\n  it is tried again by itself; `darse logs -p ", name,
                              "` shows what its services said"));
    return kFailed;
  }
  session.Print(absl::StrCat("stack ", name, " is ", state, "\n"));
  return kOk;
}

absl::StatusOr<int> RunUp(Session& session, const Arguments& arguments) {
  ASSIGN_OR_RETURN(absl::Duration timeout, WaitTimeout(arguments));
  ASSIGN_OR_RETURN(compose::Project project,
                   LoadProject(session, arguments, arguments.positional()));
  RETURN_IF_ERROR(PrepareBuilds(session, project, Contexts::kUpload));
  const std::string name = project.stack.name();
  ApplyStackRequest request;
  *request.mutable_spec() = std::move(project.stack);
  request.set_remove_orphans(arguments.On("remove-orphans"));
  request.set_force_recreate(arguments.On("force-recreate"));
  request.set_rebuild(arguments.On("build"));
  request.set_no_dependencies(arguments.On("no-deps"));
  for (const std::string& service : arguments.positional()) request.add_services(service);
  ASSIGN_OR_RETURN(ApplyStackResponse response, session.Call(scheduler::kApplyStack, request));
  if (!response.orphans().empty()) {
    session.Note(
        absl::StrCat("no longer in the compose file: ", absl::StrJoin(response.orphans(), ", "),
                     "; `darse up --remove-orphans` deletes them"));
  }
  if (!response.changed() && response.plan().empty() && response.waiting().empty()) {
    session.Print(absl::StrCat("stack ", name, ": nothing to do, all ",
                               request.spec().services_size(), " services are as the file says\n"));
    return kOk;
  }
  for (const PlanStep& step : response.plan()) {
    if (step.action() != PlanStep::NONE)
      session.Print(absl::StrCat("to do: ", StepText(step), "\n"));
  }
  session.Flush();
  ASSIGN_OR_RETURN(Watched watched, WatchUntilSettled(session, name, timeout));
  return Conclude(session, name, watched);
}

absl::StatusOr<int> RunDown(Session& session, const Arguments& arguments) {
  std::string name = arguments.At(0);
  if (name.empty()) {
    ASSIGN_OR_RETURN(name, RequireStackName(session, arguments));
  }
  DeleteStackRequest request;
  request.set_name(name);
  request.set_delete_volumes(arguments.On("volumes"));
  if (arguments.Has("timeout")) {
    ASSIGN_OR_RETURN(absl::Duration timeout,
                     Annotate(ParseDuration(arguments.Text("timeout")), "--timeout"));
    *request.mutable_timeout() = ToProto(timeout);
  }
  absl::Status deleted = session.Call(scheduler::kDeleteStack, request).status();
  if (absl::IsNotFound(deleted)) {
    session.Print(absl::StrCat("stack ", name, ": nothing to do, there is none\n"));
    return kOk;
  }
  RETURN_IF_ERROR(deleted);
  ASSIGN_OR_RETURN(absl::Duration timeout, WaitTimeout(arguments));
  // Nothing can go while the runtime is away.
  ASSIGN_OR_RETURN(ListPeersResponse peers,
                   session.Call(scheduler::kListPeers, {}, absl::Seconds(5)));
  for (const Peer& peer : peers.peers()) {
    if (peer.name() != NameOf(Service::kRuntime) || peer.up()) continue;
    session.Note(absl::StrCat("that stack ", name,
                              " is to go is stored and done when the runtime is back; it "
                              "is missing since ",
                              ClockTime(ToTime(peer.since()), absl::Now())));
    return kServiceMissingCode;
  }
  absl::StatusOr<Watched> watched = WatchUntilSettled(session, name, timeout);
  // It may be gone before one can look.
  if (absl::IsNotFound(watched.status())) watched = Watched();
  RETURN_IF_ERROR(watched.status());
  return Conclude(session, name, *watched);
}

}  // namespace

const Verb& UpVerb() {
  static const Verb* const kVerb = new Verb{
      .name = "up",
      .summary = "bring a stack to what its compose file says, and show the steps",
      .arguments = "[SERVICE…]",
      .max_arguments = -1,
      .flags = WithProjectFlags(
          {{"build", 0, Flag::kSwitch, "", "build images even if they are there"},
           {"detach", 'd', Flag::kSwitch, "",
            "always so: the stack runs on, up returns when it has settled"},
           {"force-recreate", 0, Flag::kSwitch, "", "make containers new even if nothing changed"},
           {"no-deps", 0, Flag::kSwitch, "", "without what the named services depend on"},
           {"remove-orphans", 0, Flag::kSwitch, "",
            "delete containers of services no longer there"},
           {"wait-timeout", 0, Flag::kText, "DURATION", "return after so long in any case"}}),
      .examples =
          "darse up\n"
          "darse up --build web\n"
          "darse up -p blue --env-file blue.env   # the same stack once more, beside the first\n",
      .text =
          "Only what changed is recreated. Exit code 0 when all runs, 1 if a step failed, 75 if "
          "the "
          "stack is\nstored but a service that it needs is missing: it goes on by itself.",
      .run = RunUp,
  };
  return *kVerb;
}

const Verb& DownVerb() {
  static const Verb* const kVerb = new Verb{
      .name = "down",
      .summary = "stop and delete the containers and networks of a stack",
      .arguments = "[STACK]",
      .max_arguments = 1,
      .flags = WithProjectFlags(
          {{"volumes", 'v', Flag::kSwitch, "", "and its volumes, with what is in them"},
           {"timeout", 't', Flag::kText, "SECONDS", "wait so long before SIGKILL"},
           {"wait-timeout", 0, Flag::kText, "DURATION", "return after so long in any case"}}),
      .examples = "darse down\ndarse down -p blue -v\n",
      .completes = "@stack",
      .run = RunDown,
  };
  return *kVerb;
}

}  // namespace darse::client
