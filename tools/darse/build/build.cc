// build: packs the context, hands it to the builder, shows the steps, ends with the image. Also
// builder ls, prune, builds.
#include <signal.h>
#include <stdio.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <atomic>
#include <deque>
#include <mutex>
#include <thread>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "absl/time/clock.h"
#include "libs/base/status_macros.h"
#include "libs/base/unique_fd.h"
#include "tools/darse/build/build_view.h"
#include "tools/darse/build/context.h"
#include "tools/darse/build/upload.h"
#include "tools/darse/cli/arguments.h"
#include "tools/darse/options/key_values.h"
#include "tools/darse/output/json.h"
#include "tools/darse/output/listing.h"
#include "tools/darse/output/units.h"
#include "tools/darse/session/builder_methods.h"
#include "tools/darse/session/proto_time.h"
#include "tools/darse/session/request_id.h"
#include "tools/darse/session/session.h"
#include "tools/darse/session/signals.h"
#include "tools/darse/verbs.h"

namespace darse::client {
namespace {

using namespace darse::builder::v1;  // NOLINT: message names only

absl::StatusOr<std::string> ReadStandardInput() {
  RealSurroundings around;
  return around.ReadFile("/dev/stdin");
}

// Where the Dockerfile is: in the context, or sent as text.
absl::Status ReadDockerfile(const Arguments& arguments, const std::string& directory,
                            RealSurroundings& around, BuildSpec& spec, BuildContext* context) {
  const std::string file = arguments.Text("file", directory + "/Dockerfile");
  if (file == "-") {
    ASSIGN_OR_RETURN(*spec.mutable_dockerfile_text(), ReadStandardInput());
    return absl::OkStatus();
  }
  const std::string path = AbsolutePath(file, around);
  const bool inside = absl::StartsWith(path, directory + "/");
  spec.set_dockerfile(inside ? path.substr(directory.size() + 1)
                             : path.substr(path.rfind('/') + 1));
  absl::StatusOr<std::string> text = around.ReadFile(path);
  if (absl::IsNotFound(text.status())) {
    return absl::NotFoundError(absl::StrCat("there is no ", path, ": name the Dockerfile with -f"));
  }
  RETURN_IF_ERROR(text.status());
  // One that the rules of .dockerignore keep out, or that lies elsewhere, goes as text.
  if (context == nullptr || !inside || !context->Holds(spec.dockerfile())) {
    *spec.mutable_dockerfile_text() = *std::move(text);
  }
  return absl::OkStatus();
}

absl::StatusOr<BuildSpec> SpecFrom(Session& session, const Arguments& arguments) {
  RealSurroundings around;
  BuildSpec spec;
  for (const std::string& tag : arguments.Texts("tag")) spec.add_tags(tag);
  spec.set_target(arguments.Text("target"));
  spec.set_no_cache(arguments.On("no-cache"));
  const std::string network = arguments.Text("network");
  spec.set_network(network == "default" || network == "bridge" ? "" : network);
  // KEY alone takes the client's value, as -e does.
  ASSIGN_OR_RETURN(std::vector<std::string> build_args,
                   EnvironmentFrom({}, arguments.Texts("build-arg"), around));
  ASSIGN_OR_RETURN(auto pairs, PairsFrom("--build-arg", build_args));
  spec.mutable_build_args()->insert(pairs.begin(), pairs.end());
  ASSIGN_OR_RETURN(auto labels, LabelsFrom({}, arguments.Texts("label"), around));
  spec.mutable_labels()->insert(labels.begin(), labels.end());
  if (auto epoch = around.Variable("SOURCE_DATE_EPOCH"); epoch) {
    ASSIGN_OR_RETURN(absl::Time time,
                     Annotate(ParseMoment(*epoch, absl::Now()), "SOURCE_DATE_EPOCH"));
    spec.set_source_date_epoch(absl::ToUnixSeconds(time));
  }
  RETURN_IF_ERROR(session.CheckAlive(Service::kBuilder));
  // "-": the Dockerfile alone, from standard input.
  if (arguments.At(0) == "-") {
    ASSIGN_OR_RETURN(*spec.mutable_dockerfile_text(), ReadStandardInput());
    return spec;
  }
  const std::string directory = AbsolutePath(arguments.At(0), around);
  const std::string file = arguments.Text("file", directory + "/Dockerfile");
  const std::string full = file == "-" ? "" : AbsolutePath(file, around);
  absl::string_view relative = full;
  if (!absl::ConsumePrefix(&relative, directory + "/")) relative = "";
  ASSIGN_OR_RETURN(BuildContext context, BuildContext::Open(directory, relative));
  RETURN_IF_ERROR(ReadDockerfile(arguments, directory, around, spec, &context));
  ProgressLine progress(session.errors_are_terminal() && !arguments.On("quiet"));
  ASSIGN_OR_RETURN(*spec.mutable_context_digest(), UploadToBuilder(session, context, progress));
  return spec;
}

bool Ended(const Build& build) {
  return build.state() == BUILD_STATE_SUCCEEDED || build.state() == BUILD_STATE_FAILED ||
         build.state() == BUILD_STATE_CANCELED;
}

size_t ScreenWidth() {
  winsize size = {};
  if (ioctl(STDERR_FILENO, TIOCGWINSZ, &size) != 0 || size.ws_col < 20) return 80;
  return size.ws_col;
}

// Follows one build to its end. A broken stream is taken up again where it broke: the builder may
// have been restarted.
class BuildWatch {
 public:
  BuildWatch(Session& session, std::string id, bool quiet)
      : session_(session),
        id_(std::move(id)),
        quiet_(quiet),
        view_({.terminal = session.errors_are_terminal() && !quiet, .width = ScreenWidth()}) {}

  absl::StatusOr<Build> Run() {
    std::atomic<bool> done{false};
    // Readable then, too: nobody waits for the watcher's next look.
    UniqueFd ended(eventfd(0, EFD_CLOEXEC));
    CaughtSignals caught({SIGINT, SIGTERM});
    std::thread watcher([&] { WaitForSignals(caught, done, ended.get()); });
    absl::Status status;
    while (true) {
      status = Read();
      if (!status.ok() || Ended(view_.build())) break;
    }
    done.store(true);
    eventfd_write(ended.get(), 1);
    watcher.join();
    Show(view_.End());
    RETURN_IF_ERROR(status);
    return view_.build();
  }

 private:
  absl::Status Read() {
    WatchBuildRequest request;
    request.set_id(id_);
    request.set_after_sequence(sequence_);
    ASSIGN_OR_RETURN(auto stream, session_.Open(builder::kWatchBuild, request));
    WatchBuildResponse response;
    while (stream.Read(response)) {
      std::lock_guard<std::mutex> lock(mutex_);
      for (const BuildEvent& event : response.events()) {
        sequence_ = event.sequence();
        Show(view_.Take(event, absl::Now()));
      }
    }
    absl::Status end = stream.Finish();
    if (Ended(view_.build())) return absl::OkStatus();
    if (end.ok()) {
      // It ended without its last state: ask.
      GetBuildRequest get;
      get.set_id(id_);
      ASSIGN_OR_RETURN(GetBuildResponse found, session_.Call(builder::kGetBuild, get));
      BuildEvent event;
      *event.mutable_build() = found.build();
      std::lock_guard<std::mutex> lock(mutex_);
      Show(view_.Take(event, absl::Now()));
      return absl::OkStatus();
    }
    // A builder that comes back within ten seconds goes on with the build, and so do we.
    if (!absl::IsUnavailable(end)) return end;
    for (int i = 0; i < 50 && !canceled_.load(); ++i) {
      if (session_.CheckAlive(Service::kBuilder).ok()) return absl::OkStatus();
      absl::SleepFor(absl::Milliseconds(200));
    }
    return end;
  }

  void WaitForSignals(CaughtSignals& caught, const std::atomic<bool>& done, int ended) {
    while (!done.load()) {
      if (caught.Wait(ended, 100) != 0) {
        canceled_.store(true);
        CancelBuildRequest request;
        request.set_id(id_);
        session_.Call(builder::kCancelBuild, request, absl::Seconds(5)).IgnoreError();
      }
      std::lock_guard<std::mutex> lock(mutex_);
      Show(view_.Redraw(absl::Now()));
    }
  }

  void Show(const std::string& text) {
    if (quiet_ || text.empty()) return;
    fwrite(text.data(), 1, text.size(), stderr);
  }

  Session& session_;
  const std::string id_;
  const bool quiet_;
  std::mutex mutex_;
  BuildView view_;
  int64_t sequence_ = 0;
  std::atomic<bool> canceled_{false};
};

absl::Status WriteIdFile(const Arguments& arguments, const std::string& id) {
  if (!arguments.Has("iidfile")) return absl::OkStatus();
  const std::string path = arguments.Text("iidfile");
  FILE* file = fopen(path.c_str(), "we");
  if (file == nullptr) return absl::ErrnoToStatus(errno, absl::StrCat("--iidfile ", path));
  const bool written = fputs(id.c_str(), file) >= 0;
  if (fclose(file) != 0 || !written)
    return absl::ErrnoToStatus(errno, absl::StrCat("--iidfile ", path));
  return absl::OkStatus();
}

absl::StatusOr<int> RunBuild(Session& session, const Arguments& arguments) {
  CreateBuildRequest request;
  ASSIGN_OR_RETURN(*request.mutable_spec(), SpecFrom(session, arguments));
  request.set_request_id(NewRequestId());
  ASSIGN_OR_RETURN(CreateBuildResponse created, session.Call(builder::kCreateBuild, request));
  const bool quiet = arguments.On("quiet");
  BuildWatch watch(session, created.build().id(), quiet);
  ASSIGN_OR_RETURN(Build build, watch.Run());
  if (build.state() == BUILD_STATE_CANCELED) {
    session.Note("build canceled; finished steps stay in the cache");
    return kInterrupted;
  }
  if (build.state() != BUILD_STATE_SUCCEEDED) {
    return absl::UnknownError(absl::StrCat("build failed: ", build.error()));
  }
  RETURN_IF_ERROR(WriteIdFile(arguments, build.image_id()));
  session.Print(build.image_id() + "\n");
  if (quiet) return kOk;
  const absl::Duration took = ToTime(build.finish_time()) - ToTime(build.create_time());
  std::string note = absl::StrCat(
      "built in ", absl::FormatDuration(absl::Trunc(took, absl::Milliseconds(1))), ", ",
      build.steps_cached(), " of ", build.steps_total(), " steps from the cache");
  for (const std::string& tag : build.spec().tags()) absl::StrAppend(&note, ", named ", tag);
  session.Flush();
  session.Note(note);
  return kOk;
}

absl::StatusOr<int> RunCacheList(Session& session, const Arguments& arguments) {
  ListCacheEntriesRequest request;
  std::vector<Json> rows;
  const bool truncate = !arguments.On("no-trunc");
  do {
    ASSIGN_OR_RETURN(ListCacheEntriesResponse page,
                     session.Call(builder::kListCacheEntries, request));
    for (const CacheEntry& entry : page.entries()) {
      rows.push_back(Json::Object({
          {"Key", truncate ? ShortId(entry.key()) : entry.key()},
          {"Step", truncate ? Shorten(entry.step_name(), 60) : entry.step_name()},
          {"Size", DecimalSize(entry.size_bytes())},
          {"CreatedSince", Ago(ToTime(entry.create_time()), absl::Now())},
          {"UsedSince", Ago(ToTime(entry.use_time()), absl::Now())},
          {"ChainID", entry.chain_id()},
      }));
    }
    request.set_page_token(page.next_page_token());
  } while (!request.page_token().empty());
  ASSIGN_OR_RETURN(std::string text, Listing(rows,
                                             {{"Key", "KEY"},
                                              {"Step", "STEP"},
                                              {"Size", "SIZE"},
                                              {"CreatedSince", "CREATED"},
                                              {"UsedSince", "LAST USED"}},
                                             arguments.Text("format"), {"ChainID"}));
  session.Print(text);
  return kOk;
}

absl::StatusOr<int> RunCachePrune(Session& session, const Arguments& arguments) {
  PruneCacheRequest request;
  if (arguments.Has("unused-for")) {
    ASSIGN_OR_RETURN(absl::Duration unused,
                     Annotate(ParseDuration(arguments.Text("unused-for")), "--unused-for"));
    *request.mutable_unused_since() = ToProto(absl::Now() - unused);
  }
  ASSIGN_OR_RETURN(PruneCacheResponse response, session.Call(builder::kPruneCache, request));
  session.Print(absl::StrCat("Deleted entries: ", response.deleted(), "\nTotal reclaimed space: ",
                             DecimalSize(response.reclaimed_bytes()), "\n"));
  return kOk;
}

std::string StateText(const Build& build) {
  switch (build.state()) {
    case BUILD_STATE_QUEUED:
      return "queued";
    case BUILD_STATE_WAITING:
      return build.waiting_for().empty() ? "waiting" : build.waiting_for();
    case BUILD_STATE_RUNNING:
      return absl::StrCat("running ", build.steps_done(), "/", build.steps_total());
    case BUILD_STATE_SUCCEEDED:
      return "succeeded";
    case BUILD_STATE_FAILED:
      return "failed";
    case BUILD_STATE_CANCELED:
      return "canceled";
    default:
      return "unknown";
  }
}

absl::StatusOr<int> RunBuilds(Session& session, const Arguments& arguments) {
  ListBuildsRequest request;
  std::vector<Json> rows;
  const int64_t last = arguments.Number("last", 20);
  do {
    ASSIGN_OR_RETURN(ListBuildsResponse page, session.Call(builder::kListBuilds, request));
    for (const Build& build : page.builds()) {
      if (static_cast<int64_t>(rows.size()) >= last) break;
      rows.push_back(Json::Object({
          {"ID", build.id()},
          {"Tag", build.spec().tags_size() > 0 ? build.spec().tags(0) : ""},
          {"State", StateText(build)},
          {"CreatedSince", Ago(ToTime(build.create_time()), absl::Now())},
          {"Steps", absl::StrCat(build.steps_total(), " (", build.steps_cached(), " cached)")},
          {"Image", ShortId(build.image_id())},
          {"Error", build.error()},
      }));
    }
    request.set_page_token(page.next_page_token());
  } while (!request.page_token().empty() && static_cast<int64_t>(rows.size()) < last);
  ASSIGN_OR_RETURN(std::string text, Listing(rows,
                                             {{"ID", "BUILD"},
                                              {"Tag", "TAG"},
                                              {"State", "STATE"},
                                              {"CreatedSince", "CREATED"},
                                              {"Steps", "STEPS"},
                                              {"Image", "IMAGE ID"}},
                                             arguments.Text("format"), {"Error"}));
  session.Print(text);
  return kOk;
}

}  // namespace

std::vector<const Verb*> BuildVerbs() {
  static const Verb* const kBuild = new Verb{
      .name = "build",
      .summary = "build an image from a Dockerfile",
      .arguments = "DIRECTORY|-",
      .min_arguments = 1,
      .max_arguments = 1,
      .flags = {{"tag", 't', Flag::kTexts, "NAME[:TAG]", "name of the image"},
                {"file", 'f', Flag::kText, "FILE", "Dockerfile; -: standard input", "@file"},
                {"target", 0, Flag::kText, "STAGE", "build this stage, not the last"},
                {"build-arg", 0, Flag::kTexts, "KEY=VALUE", "value of an ARG; KEY alone: yours"},
                {"label", 0, Flag::kTexts, "KEY=VALUE", "label of the image"},
                {"network", 0, Flag::kText, "MODE", "network of RUN", "default|bridge|none|host"},
                {"no-cache", 0, Flag::kSwitch, "", "run every step again"},
                {"iidfile", 0, Flag::kText, "FILE", "write the image's id there", "@file"},
                {"quiet", 'q', Flag::kSwitch, "", "print the image's id only"}},
      .examples =
          "darse build -t web .\n"
          "darse build -t web --target test --build-arg VERSION=2 -f docker/web.Dockerfile .\n"
          "darse build -t tiny - < Dockerfile\n",
      .text =
          "The directory is the context; what its .dockerignore names is not sent, and what the "
          "builder has\nalready is not sent again. Ctrl-C cancels the build.",
      .completes = "@file",
      .aliases = {"image build", "builder build"},
      .run = RunBuild,
  };
  static const Verb* const kList = new Verb{
      .name = "builder ls",
      .summary = "list what the build cache holds",
      .arguments = "",
      .flags = {kFormatFlag, kNoTruncFlag},
      .examples = "darse builder ls\n",
      .run = RunCacheList,
  };
  static const Verb* const kPrune = new Verb{
      .name = "builder prune",
      .summary = "forget the build cache",
      .arguments = "",
      .flags = {{"unused-for", 0, Flag::kText, "DURATION", "only entries not used for so long"}},
      .examples = "darse builder prune --unused-for 168h\n",
      .run = RunCachePrune,
  };
  static const Verb* const kBuilds = new Verb{
      .name = "builder builds",
      .summary = "list builds, newest first",
      .arguments = "",
      .flags = {kFormatFlag, {"last", 'n', Flag::kNumber, "NUMBER", "at most so many (20)"}},
      .examples = "darse builder builds -n 5\n",
      .run = RunBuilds,
  };
  return {kBuild, kList, kPrune, kBuilds};
}

}  // namespace darse::client
