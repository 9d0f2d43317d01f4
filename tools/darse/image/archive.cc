// image load, save, import, bootstrap: what carries images in and out.
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <utility>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "libs/base/status_macros.h"
#include "libs/base/unique_fd.h"
#include "tools/darse/cli/arguments.h"
#include "tools/darse/image/image_rows.h"
#include "tools/darse/output/json.h"
#include "tools/darse/output/units.h"
#include "tools/darse/session/progress.h"
#include "tools/darse/session/runtime_methods.h"
#include "tools/darse/session/session.h"
#include "tools/darse/verbs.h"

namespace darse::client {
namespace {

using namespace darse::runtime::v1;  // NOLINT: message names only

constexpr size_t kChunkBytes = 1 << 20;

struct Input {
  UniqueFd fd;
  // 0 if not known.
  int64_t size = 0;
};

// "-" or nothing is standard input, which must then be no terminal.
absl::StatusOr<Input> OpenInput(const std::string& path) {
  Input input;
  if (path.empty() || path == "-") {
    if (isatty(STDIN_FILENO)) {
      return UsageError("there is no archive on standard input: name a file");
    }
    input.fd.Reset(fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 3));
  } else {
    input.fd.Reset(open(path.c_str(), O_RDONLY | O_CLOEXEC));
  }
  struct stat found;
  if (!input.fd.valid() || fstat(input.fd.get(), &found) != 0)
    return absl::ErrnoToStatus(errno, path);
  if (S_ISDIR(found.st_mode)) {
    return absl::InvalidArgumentError(absl::StrCat(path, " is a directory: name a tar file"));
  }
  if (S_ISREG(found.st_mode)) input.size = found.st_size;
  return input;
}

// Sends all of `input`; `message` wraps a chunk. OK also when the service ended the call: it then
// has said why.
template <typename Request, typename Response>
absl::Status SendAll(TypedStream<Request, Response>& stream, const Input& input,
                     ProgressLine& progress, absl::string_view what) {
  std::string block(kChunkBytes, 0);
  int64_t sent = 0;
  for (;;) {
    ssize_t got = read(input.fd.get(), block.data(), block.size());
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return absl::ErrnoToStatus(errno, "reading the archive");
    if (got == 0) break;
    Request request;
    request.set_chunk(block.data(), got);
    if (!stream.Write(request)) return absl::OkStatus();
    sent += got;
    progress.ShowBytes(what, sent, input.size);
  }
  stream.WritesDone();
  progress.Show(absl::StrCat(what, ": unpacking"));
  return absl::OkStatus();
}

// The one answer of a call that took a stream.
template <typename Request, typename Response>
absl::StatusOr<Response> Answer(TypedStream<Request, Response>& stream) {
  Response response;
  const bool answered = stream.Read(response);
  Response more;
  if (answered) stream.Read(more);
  RETURN_IF_ERROR(stream.Finish());
  if (!answered) return absl::InternalError("the runtime ended the call without an answer");
  return response;
}

std::string NameOf(const Image& image) {
  return image.references_size() > 0 ? FamiliarReference(image.references(0)) : image.id();
}

absl::StatusOr<int> RunLoad(Session& session, const Arguments& arguments) {
  ASSIGN_OR_RETURN(Input input, OpenInput(arguments.Text("input", arguments.At(0))));
  RETURN_IF_ERROR(session.CheckAlive(Service::kRuntime));
  auto stream = session.Open(runtime::kLoadImages);
  ProgressLine progress(session.errors_are_terminal() && !arguments.On("quiet"));
  absl::Status sent = SendAll(stream, input, progress, "loading");
  if (!sent.ok()) {
    stream.Cancel();
    return sent;
  }
  ASSIGN_OR_RETURN(LoadImagesResponse response, Answer(stream));
  progress.Clear();
  for (const Image& image : response.images()) {
    const std::string name = NameOf(image);
    session.Print(arguments.On("quiet") ? absl::StrCat(image.id(), "\n")
                                        : absl::StrCat("Loaded image: ", name, "\n"));
  }
  return kOk;
}

// --change 'CMD ["a"]', 'ENV A=b', …, as the "config" object of an OCI image config.
absl::Status ApplyChange(absl::string_view change, Json& config) {
  std::pair<std::string, std::string> parts =
      absl::StrSplit(absl::StripAsciiWhitespace(change), absl::MaxSplits(' ', 1));
  const std::string word = absl::AsciiStrToUpper(parts.first);
  const std::string rest(absl::StripAsciiWhitespace(parts.second));
  auto words = [&]() -> absl::StatusOr<Json> {
    if (absl::StartsWith(rest, "[")) return Json::Parse(rest);
    return Json::Array({"/bin/sh", "-c", rest});
  };
  auto add_pair = [&](const char* key, bool as_list) -> absl::Status {
    const size_t split = rest.find_first_of("= ");
    if (split == std::string::npos) {
      return absl::InvalidArgumentError(absl::StrCat("--change \"", change, "\": write KEY=VALUE"));
    }
    const std::string name = rest.substr(0, split);
    const std::string value = rest.substr(split + 1);
    Json list = config.Find(key) != nullptr ? *config.Find(key) : Json();
    if (as_list) {
      list.Add(absl::StrCat(name, "=", value));
    } else {
      list.Set(name, value);
    }
    config.Set(key, list);
    return absl::OkStatus();
  };
  auto add_key = [&](const char* key, const std::string& name) {
    Json set = config.Find(key) != nullptr ? *config.Find(key) : Json::Object();
    set.Set(name, Json::Object());
    config.Set(key, set);
  };
  if (rest.empty()) {
    return absl::InvalidArgumentError(
        absl::StrCat("--change \"", change, "\": nothing follows ", word));
  }
  if (word == "CMD" || word == "ENTRYPOINT") {
    ASSIGN_OR_RETURN(Json list, Annotate(words(), absl::StrCat("--change \"", change, "\"")));
    config.Set(word == "CMD" ? "Cmd" : "Entrypoint", list);
  } else if (word == "ENV") {
    return add_pair("Env", true);
  } else if (word == "LABEL") {
    return add_pair("Labels", false);
  } else if (word == "WORKDIR") {
    config.Set("WorkingDir", rest);
  } else if (word == "USER") {
    config.Set("User", rest);
  } else if (word == "STOPSIGNAL") {
    config.Set("StopSignal", rest);
  } else if (word == "EXPOSE") {
    for (absl::string_view port : absl::StrSplit(rest, ' ', absl::SkipEmpty())) {
      add_key("ExposedPorts",
              absl::StrContains(port, "/") ? std::string(port) : absl::StrCat(port, "/tcp"));
    }
  } else if (word == "VOLUME") {
    for (absl::string_view path : absl::StrSplit(rest, ' ', absl::SkipEmpty())) {
      add_key("Volumes", std::string(path));
    }
  } else {
    return absl::InvalidArgumentError(
        absl::StrCat("--change \"", change, "\": ", word,
                     " is not supported (CMD, ENTRYPOINT, ENV, "
                     "EXPOSE, LABEL, STOPSIGNAL, USER, VOLUME, WORKDIR)"));
  }
  return absl::OkStatus();
}

absl::StatusOr<int> RunImport(Session& session, const Arguments& arguments) {
  ImportImageRequest start;
  start.mutable_start()->set_reference(arguments.At(1));
  start.mutable_start()->set_message(arguments.Text("message"));
  Json config = Json::Object();
  for (const std::string& change : arguments.Texts("change")) {
    RETURN_IF_ERROR(ApplyChange(change, config));
  }
  if (!config.IsEmpty()) start.mutable_start()->set_config_json(config.Compact());
  ASSIGN_OR_RETURN(Input input, OpenInput(arguments.At(0)));
  RETURN_IF_ERROR(session.CheckAlive(Service::kRuntime));
  auto stream = session.Open(runtime::kImportImage);
  ProgressLine progress(session.errors_are_terminal());
  if (stream.Write(start)) {
    absl::Status sent = SendAll(stream, input, progress, "importing");
    if (!sent.ok()) {
      stream.Cancel();
      return sent;
    }
  }
  ASSIGN_OR_RETURN(ImportImageResponse response, Answer(stream));
  progress.Clear();
  session.Print(absl::StrCat(response.image().id(), "\n"));
  return kOk;
}

absl::StatusOr<int> RunSave(Session& session, const Arguments& arguments) {
  const std::string path = arguments.Text("output");
  UniqueFd out;
  std::string partial;
  // A file appears only when it is whole.
  absl::Cleanup remove_partial = [&] {
    if (!partial.empty()) unlink(partial.c_str());
  };
  if (path.empty()) {
    if (session.output_is_terminal()) {
      return UsageError("an archive does not belong on a terminal: use -o FILE or a pipe");
    }
    out.Reset(fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 3));
  } else {
    partial = path + ".partial";
    out.Reset(open(partial.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666));
  }
  if (!out.valid()) return absl::ErrnoToStatus(errno, path);
  SaveImagesRequest request;
  for (const std::string& image : arguments.positional()) request.add_images(image);
  ASSIGN_OR_RETURN(auto stream, session.Open(runtime::kSaveImages, request));
  ProgressLine progress(session.errors_are_terminal());
  SaveImagesResponse response;
  int64_t taken = 0;
  while (stream.Read(response)) {
    absl::string_view rest = response.chunk();
    while (!rest.empty()) {
      ssize_t wrote = write(out.get(), rest.data(), rest.size());
      if (wrote < 0 && errno == EINTR) continue;
      if (wrote < 0) {
        const int error = errno;
        stream.Cancel();
        return absl::ErrnoToStatus(error, "writing the archive");
      }
      rest.remove_prefix(wrote);
    }
    taken += static_cast<int64_t>(response.chunk().size());
    progress.ShowBytes("saving", taken, 0);
  }
  RETURN_IF_ERROR(stream.Finish());
  if (!path.empty()) {
    if (fsync(out.get()) != 0 || rename(partial.c_str(), path.c_str()) != 0) {
      return absl::ErrnoToStatus(errno, path);
    }
    partial.clear();
  }
  return kOk;
}

absl::StatusOr<int> RunBootstrap(Session& session, const Arguments& arguments) {
  BootstrapImageRequest request;
  request.set_distribution(arguments.At(0));
  request.set_reference(arguments.Text("tag"));
  request.set_mirror(arguments.Text("mirror"));
  for (const std::string& packages : arguments.Texts("include")) {
    for (absl::string_view package : absl::StrSplit(packages, ',', absl::SkipEmpty())) {
      request.add_include_packages(std::string(package));
    }
  }
  ASSIGN_OR_RETURN(auto stream, session.Open(runtime::kBootstrapImage, request));
  const bool quiet = arguments.On("quiet");
  ProgressLine progress(session.errors_are_terminal() && !quiet);
  BootstrapImageResponse response;
  Image image;
  while (stream.Read(response)) {
    if (response.has_image()) {
      image = response.image();
    } else if (session.errors_are_terminal()) {
      progress.Show(response.progress());
    } else if (!quiet) {
      fprintf(stderr, "%s\n", response.progress().c_str());
    }
  }
  progress.Clear();
  RETURN_IF_ERROR(stream.Finish());
  if (image.id().empty())
    return absl::InternalError("the runtime made no image and gave no reason");
  session.Print(quiet ? absl::StrCat(image.id(), "\n")
                      : absl::StrCat(NameOf(image), "  ", ShortId(image.id()), "  ",
                                     DecimalSize(image.size_bytes()), "\n"));
  return kOk;
}

}  // namespace

std::vector<const Verb*> ImageArchiveVerbs() {
  static const Verb* const kLoad = new Verb{
      .name = "image load",
      .summary = "load images from a `docker save` archive or an OCI layout in a tar",
      .arguments = "[FILE]",
      .max_arguments = 1,
      .flags = {{"input", 'i', Flag::kText, "FILE", "the archive; standard input if left out",
                 "@file"},
                {"quiet", 'q', Flag::kSwitch, "", "print ids only"}},
      .examples = "darse image load -i web.tar\ndocker save web | darse load\n",
      .text = "It may be compressed with gzip or zstd. Nothing of a damaged archive stays.",
      .completes = "@file",
      .aliases = {"load"},
      .run = RunLoad,
  };
  static const Verb* const kSave = new Verb{
      .name = "image save",
      .summary = "write images to a tar that docker and OCI tools read",
      .arguments = "IMAGE…",
      .min_arguments = 1,
      .max_arguments = -1,
      .flags = {{"output", 'o', Flag::kText, "FILE", "instead of standard output", "@file"}},
      .examples = "darse image save -o web.tar web:1\ndarse save web | ssh host darse load\n",
      .completes = "@image",
      .aliases = {"save"},
      .run = RunSave,
  };
  static const Verb* const kImport = new Verb{
      .name = "image import",
      .summary = "make an image of one layer from a tar of a root file system",
      .arguments = "FILE|- [NAME[:TAG]]",
      .min_arguments = 1,
      .max_arguments = 2,
      .flags = {{"change", 'c', Flag::kTexts, "INSTRUCTION",
                 "Dockerfile instruction for its config"},
                {"message", 'm', Flag::kText, "TEXT", "remark in its history"}},
      .examples =
          "tar -C rootfs -c . | darse image import - busybox\n"
          "darse import -c 'CMD [\"sh\"]' -c 'ENV LANG=C.UTF-8' root.tar.gz base:1\n",
      .completes = "@file",
      .aliases = {"import"},
      .run = RunImport,
  };
  static const Verb* const kBootstrap = new Verb{
      .name = "image bootstrap",
      .summary = "make a base image from a distribution's own archive",
      .arguments = "DISTRIBUTION:SUITE",
      .min_arguments = 1,
      .max_arguments = 1,
      .flags = {{"tag", 't', Flag::kText, "NAME[:TAG]",
                 "name of the image; DISTRIBUTION:SUITE if left out"},
                {"mirror", 0, Flag::kText, "URL", "archive; the host's own if left out"},
                {"include", 0, Flag::kTexts, "PACKAGE,…", "packages beside the minimal set"},
                {"quiet", 'q', Flag::kSwitch, "", "print the id only"}},
      .examples =
          "darse image bootstrap debian:bookworm\n"
          "darse image bootstrap --include ca-certificates -t base debian:bookworm\n",
      .run = RunBootstrap,
  };
  return {kLoad, kSave, kImport, kBootstrap};
}

}  // namespace darse::client
