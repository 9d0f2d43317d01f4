// A darse-unpack at work, seen from the runtime.
#pragma once

#include <string>
#include <thread>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "libs/base/unique_fd.h"
#include "libs/os/spawn.h"
#include "services/runtime/unpack/unpack_report.h"

namespace darse::runtime {

// One thread at a time. Destroying it kills the child.
class UnpackChild {
 public:
  // `args`: the verb and its options. `directory` is what the child fills.
  static absl::StatusOr<std::unique_ptr<UnpackChild>> Start(const std::string& program,
                                                            std::vector<std::string> args,
                                                            int directory);
  ~UnpackChild();
  UnpackChild(const UnpackChild&) = delete;
  UnpackChild& operator=(const UnpackChild&) = delete;

  // More of the archive. Once the child has given up this answers OK and drops the bytes: Finish()
  // says why.
  absl::Status Write(absl::string_view bytes);
  // The archive is complete. INVALID_ARGUMENT has reason BAD_ARCHIVE.
  absl::StatusOr<UnpackReport> Finish();

 private:
  UnpackChild(Process process, UniqueFd input, UniqueFd report);
  void ReadReport();

  Process process_;
  UniqueFd input_;
  UniqueFd report_;
  std::string lines_;
  std::thread reader_;
  bool waited_ = false;
};

}  // namespace darse::runtime
