#include "services/runtime/images/bootstrap.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "libs/base/status_macros.h"
#include "libs/base/unique_fd.h"
#include "libs/oci/reference.h"
#include "libs/os/files.h"
#include "libs/os/spawn.h"
#include "services/runtime/images/apt_sources.h"
#include "services/runtime/images/bootstrap_clean.h"
#include "services/runtime/snapshots/commit_layer.h"

namespace darse::runtime {
namespace {

constexpr char kScripts[] = "/usr/share/debootstrap/scripts";
constexpr char kSources[] = "/etc/apt/sources.list";
constexpr char kSourcesDirectory[] = "/etc/apt/sources.list.d";
constexpr char kPath[] = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
constexpr int kPollMilliseconds = 200;
// Of output that is shown when debootstrap fails.
constexpr size_t kLastLines = 5;

bool IsWord(absl::string_view text, absl::string_view also) {
  if (text.empty() || text.size() > 100 || !absl::ascii_isalnum(text[0])) return false;
  for (char c : text) {
    if (!absl::ascii_islower(c) && !absl::ascii_isdigit(c) && !absl::StrContains(also, c)) {
      return false;
    }
  }
  return true;
}

// "debian:bookworm" → "bookworm"
absl::StatusOr<std::string> SuiteOf(const std::string& distribution) {
  std::pair<std::string, std::string> parts = absl::StrSplit(distribution, absl::MaxSplits(':', 1));
  if (parts.first != "debian" || !IsWord(parts.second, ".-")) {
    return absl::InvalidArgumentError(absl::StrCat(
        "distribution \"", distribution, "\": give it as debian:SUITE, like debian:bookworm"));
  }
  if (!Exists(kScripts)) {
    return absl::FailedPreconditionError("debootstrap is not installed on this host");
  }
  if (!Exists(JoinPath(kScripts, parts.second))) {
    return absl::InvalidArgumentError(
        absl::StrCat("distribution \"", distribution, "\": debootstrap knows no such suite"));
  }
  return parts.second;
}

absl::Status CheckRequest(const BootstrapRequest& request) {
  if (!request.mirror.empty() && !absl::StartsWith(request.mirror, "http://") &&
      !absl::StartsWith(request.mirror, "https://")) {
    return absl::InvalidArgumentError(
        absl::StrCat("mirror \"", request.mirror, "\": not an http or https address"));
  }
  for (char c : request.mirror) {
    if (!absl::ascii_isgraph(c)) {
      return absl::InvalidArgumentError("mirror: a character that no address has");
    }
  }
  for (const std::string& package : request.include_packages) {
    if (!IsWord(package, "+.-")) {
      return absl::InvalidArgumentError(absl::StrCat("package \"", package, "\": malformed name"));
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<std::vector<AptSource>> HostSources() {
  std::vector<AptSource> sources;
  auto add = [&sources](std::vector<AptSource> more) {
    sources.insert(sources.end(), more.begin(), more.end());
  };
  if (Exists(kSources)) {
    ASSIGN_OR_RETURN(std::string text, ReadFile(kSources));
    add(ParseSourcesList(text));
  }
  if (!Exists(kSourcesDirectory)) return sources;
  ASSIGN_OR_RETURN(std::vector<std::string> names, ListDirectory(kSourcesDirectory));
  for (const std::string& name : names) {
    if (!absl::EndsWith(name, ".list") && !absl::EndsWith(name, ".sources")) continue;
    ASSIGN_OR_RETURN(std::string text, ReadFile(JoinPath(kSourcesDirectory, name)));
    add(absl::EndsWith(name, ".list") ? ParseSourcesList(text) : ParseSourcesStanzas(text));
  }
  return sources;
}

// Its own pid and mount namespaces: when the first process dies, all do, and no mount of theirs is
// ever seen outside. The first dies with the thread that started it.
SpawnOptions DebootstrapCommand(const BootstrapRequest& request, const std::string& suite,
                                const std::string& root, const std::string& mirror, int output) {
  std::vector<std::string> args = {
      "--pdeathsig", "KILL",   "unshare",      "--mount",     "--propagation",    "private",
      "--pid",       "--fork", "--kill-child", "debootstrap", "--variant=minbase"};
  if (!request.include_packages.empty()) {
    args.push_back(absl::StrCat("--include=", absl::StrJoin(request.include_packages, ",")));
  }
  args.insert(args.end(), {suite, root, mirror});
  return {.program = "setpriv",
          .args = std::move(args),
          .env = std::vector<std::string>{absl::StrCat("PATH=", kPath), "LC_ALL=C", "HOME=/",
                                          "DEBIAN_FRONTEND=noninteractive"},
          .fds = {{output, 1}, {output, 2}},
          .working_dir = "/",
          .new_session = true};
}

// Reads lines until the output ends. CANCELLED when asked to stop.
absl::Status Follow(int output, const BootstrapWatch& watch, std::vector<std::string>* last) {
  std::string pending;
  while (true) {
    if (watch.cancelled && watch.cancelled()) return absl::CancelledError("bootstrap cancelled");
    struct pollfd wait = {.fd = output, .events = POLLIN, .revents = 0};
    int ready = poll(&wait, 1, kPollMilliseconds);
    if (ready < 0 && errno != EINTR) return absl::ErrnoToStatus(errno, "waiting for debootstrap");
    if (ready <= 0) continue;
    char buffer[4096];
    ssize_t got = read(output, buffer, sizeof buffer);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return absl::ErrnoToStatus(errno, "reading from debootstrap");
    if (got == 0) return absl::OkStatus();
    pending.append(buffer, got);
    size_t end;
    while ((end = pending.find('\n')) != std::string::npos) {
      std::string line = pending.substr(0, end);
      pending.erase(0, end + 1);
      if (watch.on_line) watch.on_line(line);
      last->push_back(std::move(line));
      if (last->size() > kLastLines) last->erase(last->begin());
    }
  }
}

absl::Status RunDebootstrap(const BootstrapRequest& request, const std::string& suite,
                            const std::string& root, const std::string& mirror,
                            const BootstrapWatch& watch) {
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) != 0) return absl::ErrnoToStatus(errno, "pipe");
  UniqueFd output(ends[0]), input(ends[1]);
  ASSIGN_OR_RETURN(Process process,
                   Process::Spawn(DebootstrapCommand(request, suite, root, mirror, input.get())));
  input.Reset();
  std::vector<std::string> last;
  absl::Status followed = Follow(output.get(), watch, &last);
  if (!followed.ok()) process.Kill(SIGKILL).IgnoreError();
  ASSIGN_OR_RETURN(ExitStatus exit, process.Wait());
  if (!followed.ok()) {
    // The pipe ends when the last of the tree is gone; then nothing writes below `root` any more.
    char buffer[4096];
    while (read(output.get(), buffer, sizeof buffer) > 0) {
    }
    return followed;
  }
  if (exit.code != 0) {
    return absl::UnavailableError(absl::StrCat("debootstrap of ", suite, " from ", mirror,
                                               ": exit code ", exit.code, ": ",
                                               absl::StrJoin(last, "; ")));
  }
  return absl::OkStatus();
}

std::string ConfigOf(const std::string& time, const oci::Digest& diff_id,
                     const std::string& distribution, absl::Status* status) {
  absl::StatusOr<std::string> config = oci::MakeImageConfig(
      {.config_json = absl::StrCat(R"({"Env":["PATH=)", kPath, R"("],"Cmd":["bash"]})"),
       .created = time,
       .architecture = oci::HostArchitecture(),
       .os = "linux",
       .diff_ids = {diff_id},
       .history = {
           {.created = time, .created_by = absl::StrCat("darse image bootstrap ", distribution)}}});
  *status = config.status();
  return config.ok() ? *std::move(config) : "";
}

}  // namespace

absl::StatusOr<std::string> Bootstrap(ImageEngine& images, Clock& clock,
                                      const BootstrapRequest& request, const BootstrapWatch& watch,
                                      absl::string_view actor) {
  RETURN_IF_ERROR(CheckRequest(request));
  ASSIGN_OR_RETURN(std::string suite, SuiteOf(request.distribution));
  ASSIGN_OR_RETURN(
      std::vector<std::string> names,
      FullNames({request.reference.empty() ? request.distribution : request.reference}));
  ASSIGN_OR_RETURN(std::vector<AptSource> sources, HostSources());
  ArchivePlan plan = PlanArchive(sources, suite, request.mirror);

  ASSIGN_OR_RETURN(std::unique_ptr<Staging> staging, images.snapshots().driver().MakeStaging());
  std::string root = JoinPath(staging->path(), "root");
  // dpkg in there reads it: no sync for each of some 4000 files.
  RETURN_IF_ERROR(MakeDirectories(JoinPath(root, "etc/dpkg/dpkg.cfg.d")));
  RETURN_IF_ERROR(
      WriteFileVolatile(JoinPath(root, "etc/dpkg/dpkg.cfg.d/container"), "force-unsafe-io\n"));
  RETURN_IF_ERROR(RunDebootstrap(request, suite, root, plan.mirror, watch));
  absl::Time date = ReleaseDate(root, clock.Now());
  RETURN_IF_ERROR(CleanBootstrap(root, plan.sources_list));
  if (chmod(root.c_str(), 0755) != 0) return absl::ErrnoToStatus(errno, "setting up the root");

  std::string layer = JoinPath(staging->path(), "layer");
  RETURN_IF_ERROR(MakeDirectories(layer, 0700));
  ASSIGN_OR_RETURN(std::optional<PackedLayer> packed,
                   PackLayer({.upper = root,
                              .parent_root = root,
                              .staging = layer,
                              .clamp_seconds = absl::ToUnixSeconds(date)}));
  if (!packed) return absl::InternalError("debootstrap made nothing");
  if (watch.cancelled && watch.cancelled()) return absl::CancelledError("bootstrap cancelled");
  std::string time = absl::FormatTime(absl::RFC3339_sec, date, absl::UTCTimeZone());
  absl::Status made;
  std::string config = ConfigOf(time, packed->diff_id, request.distribution, &made);
  RETURN_IF_ERROR(made);
  StagedLayer staged{.directory = layer,
                     .diff_id = packed->diff_id,
                     .bytes = packed->bytes,
                     .tar_bytes = packed->tar_bytes};
  ASSIGN_OR_RETURN(std::vector<std::string> ids,
                   images.Register({staged}, {{.config_json = config, .references = names}},
                                   "bootstrap", actor));
  return ids[0];
}

}  // namespace darse::runtime
