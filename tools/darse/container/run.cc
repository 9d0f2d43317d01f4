// run and create: the same flags; run also starts, and stays with the container unless --detach.
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "libs/base/reason.h"
#include "libs/base/status_macros.h"
#include "libs/base/unique_fd.h"
#include "tools/darse/cli/arguments.h"
#include "tools/darse/container/interact.h"
#include "tools/darse/container/start_failure.h"
#include "tools/darse/options/container_spec.h"
#include "tools/darse/output/json.h"
#include "tools/darse/session/request_id.h"
#include "tools/darse/session/runtime_methods.h"
#include "tools/darse/session/session.h"
#include "tools/darse/verbs.h"

namespace darse::client {
namespace {

using namespace darse::runtime::v1;  // NOLINT: message names only

// --cidfile is opened before anything is made, so that a bad path leaves nothing behind.
absl::StatusOr<UniqueFd> OpenIdFile(const Arguments& arguments) {
  UniqueFd file;
  if (!arguments.Has("cidfile")) return file;
  const std::string path = arguments.Text("cidfile");
  file.Reset(open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666));
  if (!file.valid()) return absl::ErrnoToStatus(errno, absl::StrCat("--cidfile ", path));
  return file;
}

absl::Status WriteId(const UniqueFd& file, const std::string& id) {
  if (file.valid() && write(file.get(), id.data(), id.size()) != static_cast<ssize_t>(id.size())) {
    return absl::ErrnoToStatus(errno, "writing --cidfile");
  }
  return absl::OkStatus();
}

void NoteWarnings(Session& session,
                  const google::protobuf::RepeatedPtrField<std::string>& warnings) {
  for (const std::string& warning : warnings) session.Note(absl::StrCat("warning: ", warning));
}

// -P: every port that the image exposes, each on a free port of the host.
absl::Status PublishAll(Session& session, ContainerSpec& spec) {
  GetImageRequest request;
  request.set_image(spec.image());
  ASSIGN_OR_RETURN(GetImageResponse response, session.Call(runtime::kGetImage, request));
  ASSIGN_OR_RETURN(Json config, Json::Parse(response.image().config_json()));
  const Json* inner = config.Find("config");
  const Json* exposed = inner != nullptr ? inner->Find("ExposedPorts") : nullptr;
  if (exposed == nullptr) return absl::OkStatus();
  for (const Json::Member& port : exposed->members()) {
    const size_t slash = port.first.find('/');
    PortMapping& mapping = *spec.add_ports();
    mapping.set_container_port(static_cast<uint32_t>(std::stoul(port.first.substr(0, slash))));
    mapping.set_protocol(slash == std::string::npos ? "tcp" : port.first.substr(slash + 1));
  }
  return absl::OkStatus();
}

absl::StatusOr<ContainerSpec> SpecFrom(Session& session, const Arguments& arguments) {
  RealSurroundings around;
  ASSIGN_OR_RETURN(ContainerSpec spec, ReadContainerSpec(arguments, around));
  if (arguments.On("publish-all")) RETURN_IF_ERROR(PublishAll(session, spec));
  return spec;
}

// What could not be found may be the image: then say how to get one.
absl::Status WithImageHint(Session& session, const ContainerSpec& spec, const absl::Status& error) {
  if (!absl::IsNotFound(error)) return error;
  GetImageRequest request;
  request.set_image(spec.image());
  if (!absl::IsNotFound(session.Call(runtime::kGetImage, request).status())) return error;
  return absl::NotFoundError(absl::StrCat(
      error.message(), "\n  there is no registry yet: build it (`darse build -t ", spec.image(),
      " .`), load it (`darse image load -i FILE`), or make a\n  base image (`darse image bootstrap "
      "debian:bookworm`); `darse images` lists what is here"));
}

void Delete(Session& session, const std::string& id) {
  DeleteContainerRequest request;
  request.set_container(id);
  request.set_force(true);
  request.set_delete_volumes(true);
  session.Call(runtime::kDeleteContainer, request).IgnoreError();
}

absl::StatusOr<int> RunDetached(Session& session, const ContainerSpec& spec,
                                const UniqueFd& id_file) {
  RunContainerRequest request;
  *request.mutable_spec() = spec;
  request.set_request_id(NewRequestId());
  absl::StatusOr<RunContainerResponse> response = session.Call(runtime::kRunContainer, request);
  if (!response.ok()) {
    return ReportStartFailure(session, WithImageHint(session, spec, response.status()));
  }
  NoteWarnings(session, response->warnings());
  RETURN_IF_ERROR(WriteId(id_file, response->container().id()));
  session.Print(absl::StrCat(response->container().id(), "\n"));
  return kOk;
}

absl::StatusOr<int> RunAttached(Session& session, const Arguments& arguments,
                                const ContainerSpec& spec, const UniqueFd& id_file) {
  InteractOptions options;
  options.input = spec.stdin_open();
  options.tty = spec.tty();
  if (arguments.Has("detach-keys")) {
    ASSIGN_OR_RETURN(options.detach_keys, ParseDetachKeys(arguments.Text("detach-keys")));
  }
  if (options.tty && options.input && !isatty(STDIN_FILENO)) {
    return UsageError("-t needs a terminal on standard input, and there is none: leave out -t");
  }
  // From here on Ctrl-C is for the container: nothing may be left half done.
  CaughtSignals caught({SIGWINCH, SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGUSR1, SIGUSR2});
  options.starts = true;
  AttachRequest::Start start;
  *start.mutable_create() = spec;
  absl::StatusOr<std::unique_ptr<Attachment>> attached =
      OpenAttach(session, std::move(start), options);
  if (!attached.ok()) {
    return ReportStartFailure(session, WithImageHint(session, spec, attached.status()));
  }
  const Container& container = (*attached)->created().container();
  const std::string& id = container.id();
  NoteWarnings(session, (*attached)->created().warnings());
  absl::Status written = WriteId(id_file, id);
  if (!written.ok()) {
    Delete(session, id);
    return ReportStartFailure(session, written);
  }
  options.caught = &caught;
  options.forward = [&session, &id, proxy = arguments.On("sig-proxy", true)](int number) {
    if (!proxy) _exit(128 + number);
    KillContainerRequest request;
    request.set_container(id);
    request.set_signal(SignalName(number));
    session.Call(runtime::kKillContainer, request, absl::Seconds(5)).IgnoreError();
  };
  ASSIGN_OR_RETURN(std::optional<int> exit_code, Interact(**attached, options));
  if (!exit_code) {
    session.Note(absl::StrCat("detached; `darse attach ", container.name(),
                              "` comes back, `darse stop ", container.name(), "` ends it"));
    return kOk;
  }
  return *exit_code;
}

absl::StatusOr<int> Run(Session& session, const Arguments& arguments) {
  ASSIGN_OR_RETURN(ContainerSpec spec, SpecFrom(session, arguments));
  ASSIGN_OR_RETURN(UniqueFd id_file, OpenIdFile(arguments));
  const bool detach = arguments.On("detach");
  absl::StatusOr<int> code =
      detach ? RunDetached(session, spec, id_file) : RunAttached(session, arguments, spec, id_file);
  const bool empty = id_file.valid() && lseek(id_file.get(), 0, SEEK_CUR) == 0;
  if (empty) unlink(arguments.Text("cidfile").c_str());
  return code;
}

absl::StatusOr<int> RunCreate(Session& session, const Arguments& arguments) {
  ASSIGN_OR_RETURN(ContainerSpec spec, SpecFrom(session, arguments));
  ASSIGN_OR_RETURN(UniqueFd id_file, OpenIdFile(arguments));
  CreateContainerRequest request;
  *request.mutable_spec() = std::move(spec);
  request.set_request_id(NewRequestId());
  absl::StatusOr<CreateContainerResponse> created =
      session.Call(runtime::kCreateContainer, request);
  if (!created.ok()) {
    if (id_file.valid()) unlink(arguments.Text("cidfile").c_str());
    return WithImageHint(session, request.spec(), created.status());
  }
  NoteWarnings(session, created->warnings());
  RETURN_IF_ERROR(WriteId(id_file, created->container().id()));
  session.Print(absl::StrCat(created->container().id(), "\n"));
  return kOk;
}

std::vector<Flag> FlagsWith(std::vector<Flag> flags) {
  flags.push_back({"publish-all", 'P', Flag::kSwitch, "", "publish every port the image exposes"});
  flags.insert(flags.end(), ContainerSpecFlags().begin(), ContainerSpecFlags().end());
  return flags;
}

}  // namespace

const Verb& RunVerb() {
  static const Verb* const kVerb = new Verb{
      .name = "run",
      .summary = "make a container from an image and start it",
      .arguments = "IMAGE [COMMAND [ARGUMENT…]]",
      .min_arguments = 1,
      .max_arguments = -1,
      .ends_at_first_argument = true,
      .flags = FlagsWith(
          {{"detach", 'd', Flag::kSwitch, "", "do not stay with it: print its id"},
           {"detach-keys", 0, Flag::kText, "KEYS", "leave a terminal with these (ctrl-p,ctrl-q)"},
           {"sig-proxy", 0, Flag::kSwitch, "", "hand signals to the container (true)"}}),
      .examples =
          "darse run --rm -it debian:bookworm bash\n"
          "darse run -d --name web -p 8080:80 -v data:/data --restart unless-stopped web\n"
          "darse run --rm -m 256m --cpus 0.5 debian:bookworm sh -c 'exit 3'; echo $?\n",
      .text =
          "Without --detach its output is shown and its exit code is darse's own. 125: darse "
          "could not start it;\n126: the command is not executable; 127: it was not found. "
          "Flags end at the image.",
      .completes = "@image",
      .aliases = {"container run"},
      .run = Run,
  };
  return *kVerb;
}

const Verb& CreateVerb() {
  static const Verb* const kVerb = new Verb{
      .name = "create",
      .summary = "make a container without starting it",
      .arguments = "IMAGE [COMMAND [ARGUMENT…]]",
      .min_arguments = 1,
      .max_arguments = -1,
      .ends_at_first_argument = true,
      .flags = FlagsWith({}),
      .examples = "darse create --name web web\ndarse start web\n",
      .completes = "@image",
      .aliases = {"container create"},
      .run = RunCreate,
  };
  return *kVerb;
}

}  // namespace darse::client
