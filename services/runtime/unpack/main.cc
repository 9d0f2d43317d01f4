// darse-unpack: parses archives that strangers made, confined to the directory that it fills.
// Started by darse-runtime only; unpack_report.h says how they talk.
#include <errno.h>
#include <fcntl.h>

#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "libs/archive/chunk_source.h"
#include "libs/archive/decompress.h"
#include "libs/archive/root_path.h"
#include "libs/archive/unpack.h"
#include "libs/base/status_macros.h"
#include "libs/base/unique_fd.h"
#include "libs/oci/digest.h"
#include "services/runtime/unpack/confine.h"
#include "services/runtime/unpack/unpack_members.h"
#include "services/runtime/unpack/unpack_report.h"

namespace darse::runtime {
namespace {

constexpr int kDirectory = 3;
constexpr int kReport = 4;

struct FilesArguments {
  archive::UnpackOptions options;
  bool decompress = false;
};

absl::StatusOr<FilesArguments> ParseFilesArguments(const std::vector<std::string>& args) {
  FilesArguments parsed;
  parsed.options.layer = false;
  for (absl::string_view arg : args) {
    uint32_t number;
    if (absl::ConsumePrefix(&arg, "--prefix=")) {
      ASSIGN_OR_RETURN(parsed.options.prefix, archive::CleanPath(arg));
    } else if (absl::ConsumePrefix(&arg, "--uid=") && absl::SimpleAtoi(arg, &number)) {
      parsed.options.uid = number;
    } else if (absl::ConsumePrefix(&arg, "--gid=") && absl::SimpleAtoi(arg, &number)) {
      parsed.options.gid = number;
    } else if (absl::ConsumePrefix(&arg, "--mode=") && absl::SimpleAtoi(arg, &number)) {
      parsed.options.mode = number;
    } else if (arg == "--decompress") {
      parsed.decompress = true;
    } else {
      return absl::InvalidArgumentError(absl::StrCat("unknown argument ", arg));
    }
  }
  return parsed;
}

absl::Status UnpackFiles(archive::ChunkSource& input, int root, FilesArguments arguments) {
  archive::PeekSource peek(input);
  archive::Compression compression = archive::Compression::kNone;
  if (arguments.decompress) {
    ASSIGN_OR_RETURN(absl::string_view start, peek.Peek(6));
    compression = archive::DetectCompression(start);
  }
  std::unique_ptr<archive::ChunkSource> plain = archive::MakeDecompressor(compression, peek);
  archive::UnpackOptions& options = arguments.options;
  ASSIGN_OR_RETURN(options.prefix, archive::RealPathInRoot(root, options.prefix));
  RETURN_IF_ERROR(archive::MakeDirectoriesInRoot(root, options.prefix, options.uid.value_or(0),
                                                 options.gid.value_or(0))
                      .status());
  return archive::Unpack(*plain, root, options).status();
}

absl::Status Run(const std::string& verb, const std::vector<std::string>& args,
                 archive::ChunkSink& report) {
  FilesArguments files;
  if (verb == "files") {
    ASSIGN_OR_RETURN(files, ParseFilesArguments(args));
  }
  // OpenSSL reads its configuration at first use.
  oci::Digest::Of("");
  RETURN_IF_ERROR(ConfineTo(kDirectory));
  UniqueFd root(open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!root.valid()) return absl::ErrnoToStatus(errno, "opening the new root");
  archive::FdSource input(0);
  if (verb == "layer") return UnpackLayer(input, root.get(), report);
  if (verb == "archive") return UnpackArchive(input, root.get(), report);
  if (verb == "files") return UnpackFiles(input, root.get(), std::move(files));
  return absl::InvalidArgumentError(absl::StrCat("unknown verb ", verb));
}

}  // namespace
}  // namespace darse::runtime

int main(int argc, char** argv) {
  darse::archive::FdSink report(darse::runtime::kReport);
  std::string verb = argc > 1 ? argv[1] : "";
  std::vector<std::string> args(argv + std::min(argc, 2), argv + argc);
  absl::Status status = darse::runtime::Run(verb, args, report);
  bool told = report.Write(darse::runtime::EndLine(status)).ok();
  return status.ok() && told ? 0 : 1;
}
