// A build context as a tar: the same tree gives the same bytes, and so the same digest.
//
// Entries sorted by name, owner 0:0, times 0, what .dockerignore excludes left out. Written as it
// is read, never held in memory; it is read twice, once for the digest and once to be sent.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace darse::client {

using TarSink = absl::FunctionRef<absl::Status(absl::string_view)>;

class BuildContext {
 public:
  // Reads the rules: "<dockerfile>.dockerignore" if there is one, else ".dockerignore". NOT_FOUND
  // if `directory` is none; INVALID_ARGUMENT names the line of a bad rule. `dockerfile` is relative
  // to the directory; may be empty.
  static absl::StatusOr<BuildContext> Open(absl::string_view directory,
                                           absl::string_view dockerfile);

  const std::string& directory() const { return directory_; }
  // False where the rules exclude the path: a Dockerfile that is not sent must go as text.
  bool Holds(absl::string_view path) const;

  // Calls `sink` with the tar's bytes in order. FAILED_PRECONDITION if a file shrank while it was
  // read.
  absl::Status Write(TarSink sink) const;
  // "sha256:…" of the tar; `bytes` becomes its size.
  absl::StatusOr<std::string> Digest(int64_t& bytes) const;

 private:
  struct Rules;
  explicit BuildContext(std::string directory) : directory_(std::move(directory)) {}

  std::string directory_;
  std::shared_ptr<const Rules> rules_;
};

}  // namespace darse::client
