#include "libs/linux/mount/sealed_program.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "absl/strings/str_cat.h"
#include "libs/base/status_macros.h"
#include "libs/base/syscall_error.h"
#include "libs/linux/mount/mount_calls.h"

extern char** environ;

namespace darse::mnt {
namespace {

constexpr int kSeals = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL;

absl::StatusOr<UniqueFd> SealedCopy(const char* path) {
  UniqueFd source(open(path, O_RDONLY | O_CLOEXEC));
  struct stat file;
  if (!source.valid() || fstat(source.get(), &file) < 0) {
    return SyscallError(errno, absl::StrCat("open ", path));
  }
  UniqueFd copy(memfd_create("sealed", MFD_CLOEXEC | MFD_ALLOW_SEALING));
  if (!copy.valid()) return SyscallError(errno, "memfd_create");
  for (off_t at = 0; at < file.st_size;) {
    ssize_t sent = sendfile(copy.get(), source.get(), &at, static_cast<size_t>(file.st_size - at));
    if (sent <= 0) return SyscallError(sent < 0 ? errno : EIO, absl::StrCat("copy ", path));
  }
  if (fcntl(copy.get(), F_ADD_SEALS, kSeals) < 0) return SyscallError(errno, "seal");
  // An fd that was opened for writing may not be executed.
  std::string by_fd = absl::StrCat("/proc/self/fd/", copy.get());
  UniqueFd program(open(by_fd.c_str(), O_RDONLY | O_CLOEXEC));
  if (!program.valid()) return SyscallError(errno, "open the sealed copy");
  return program;
}

}  // namespace

bool IsSealed(int program) {
  struct statvfs mount;
  if (fstatvfs(program, &mount) == 0 && (mount.f_flag & ST_RDONLY) != 0) return true;
  int seals = fcntl(program, F_GET_SEALS);
  return seals >= 0 && (seals & F_SEAL_WRITE) != 0;
}

absl::StatusOr<UniqueFd> SealProgram(const char* path) {
  absl::StatusOr<UniqueFd> mount = CloneMount(AT_FDCWD, path, /*recursive=*/false);
  if (mount.ok() && SetAttributes(mount->get(), MOUNT_ATTR_RDONLY, 0, 0, false).ok()) return mount;
  return SealedCopy(path);
}

absl::Status StaySealed(char** argv, const char* name) {
  UniqueFd self(open("/proc/self/exe", O_RDONLY | O_CLOEXEC));
  if (!self.valid()) return SyscallError(errno, "open /proc/self/exe");
  if (IsSealed(self.get())) {
    prctl(PR_SET_NAME, name, 0, 0, 0);
    return absl::OkStatus();
  }
  ASSIGN_OR_RETURN(UniqueFd program, SealProgram("/proc/self/exe"));
  if (!IsSealed(program.get())) return absl::InternalError("the program could not be sealed");
  std::string by_fd = absl::StrCat("/proc/self/fd/", program.get());
  execve(by_fd.c_str(), argv, environ);
  return SyscallError(errno, "execute the sealed program");
}

}  // namespace darse::mnt
