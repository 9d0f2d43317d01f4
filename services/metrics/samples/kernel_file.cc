#include "services/metrics/samples/kernel_file.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"

namespace darse::metrics {

absl::StatusOr<absl::string_view> KernelFile::Read() {
  static thread_local std::string buffer(16384, '\0');
  if (!fd_.valid()) {
    fd_.Reset(::open(path_.c_str(), O_RDONLY | O_CLOEXEC));
    if (!fd_.valid()) return absl::ErrnoToStatus(errno, absl::StrCat("open ", path_));
  }
  size_t size = 0;
  for (;;) {
    if (size == buffer.size()) buffer.resize(buffer.size() * 2);
    ssize_t n =
        ::pread(fd_.get(), buffer.data() + size, buffer.size() - size, static_cast<off_t>(size));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) {
      // ENODEV: the cgroup was removed.
      absl::Status status = absl::ErrnoToStatus(errno, absl::StrCat("read ", path_));
      fd_.Reset();
      return status;
    }
    if (n == 0) return absl::string_view(buffer.data(), size);
    size += static_cast<size_t>(n);
  }
}

}  // namespace darse::metrics
