// Whole files and directories by trusted path. Untrusted paths go through path_in_root.h.
#pragma once

#include <sys/types.h>

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace darse {

// NOT_FOUND if it does not exist. Works for files in /proc and /sys, whose size is unknown.
absl::StatusOr<std::string> ReadFile(absl::string_view path);
// From the present offset to the end.
absl::StatusOr<std::string> ReadFd(int fd);
// Repeats write(2) until all is written.
absl::Status WriteFd(int fd, absl::string_view bytes);

// Others see the old contents or the new ones, and the new ones survive a power cut once this
// answers: temporary file beside it, fsync, rename, fsync of the directory.
absl::Status WriteFileAtomically(absl::string_view path, absl::string_view bytes,
                                 mode_t mode = 0644);
// As above without the two fsyncs, for what is made again after a reboot.
absl::Status WriteFileVolatile(absl::string_view path, absl::string_view bytes, mode_t mode = 0644);
// Into the file itself, which is made if it is missing: a reader, or a crash, may meet half of it.
// Costs less than the others where the file is there. A symlink is not followed.
absl::Status WriteFileInPlace(absl::string_view path, absl::string_view bytes, mode_t mode = 0644);
// Into a file that is there (cgroup and /proc files); one write(2).
absl::Status WriteExistingFile(absl::string_view path, absl::string_view bytes);

// Makes the directory and its parents; OK if it is there. An existing one keeps its mode.
absl::Status MakeDirectories(absl::string_view path, mode_t mode = 0755);
// Names without "." and "..", sorted.
absl::StatusOr<std::vector<std::string>> ListDirectory(absl::string_view path);
// Makes renames and new names in a directory durable.
absl::Status SyncDirectory(absl::string_view path);
// Deletes a file or a whole tree; follows no symlink; OK if there is nothing.
absl::Status RemoveTree(absl::string_view path);
// Deletes a file; OK if there is none.
absl::Status RemoveFile(absl::string_view path);
// True if lstat(2) finds something.
bool Exists(absl::string_view path);

// "a/b" and "c" make "a/b/c"; for trusted parts only.
std::string JoinPath(absl::string_view directory, absl::string_view name);
// Of this program: where its siblings (darse-shim, darse-dns) lie.
absl::StatusOr<std::string> ExecutableDirectory();

}  // namespace darse
