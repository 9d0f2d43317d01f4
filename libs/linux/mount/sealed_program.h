// A program that enters containers must not be writable from there: whoever gets its
// /proc/<pid>/exe (CVE-2019-5736: an entrypoint that is a link to /proc/self/exe) could write to
// the host's file once nobody executes it any more. So it executes itself again from where nothing
// can be written: a read-only mount of the same file that is attached nowhere (same pages in
// memory), or, where mounts may not be made, a sealed copy.
#pragma once

#include "absl/status/statusor.h"
#include "libs/base/unique_fd.h"

namespace darse::mnt {

// Whether the file behind `program` cannot be opened for writing through that fd.
bool IsSealed(int program);

// An fd to execute that IsSealed. `path` may be "/proc/self/exe".
absl::StatusOr<UniqueFd> SealProgram(const char* path);

// First thing in main, with one thread: returns OK in a program that is sealed, and executes the
// program again, with the same arguments, in one that is not. `name` is what ps(1) shows.
absl::Status StaySealed(char** argv, const char* name);

}  // namespace darse::mnt
