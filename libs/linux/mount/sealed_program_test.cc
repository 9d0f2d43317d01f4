#include "libs/linux/mount/sealed_program.h"

#include <errno.h>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include "absl/strings/str_cat.h"

namespace darse::mnt {
namespace {

// What a process in a container would do with /proc/<pid>/exe.
int WriteError(int program) {
  UniqueFd opened(open(absl::StrCat("/proc/self/fd/", program).c_str(), O_RDWR | O_CLOEXEC));
  if (!opened.valid()) return errno;
  return pwrite(opened.get(), "x", 1, 0) == 1 ? 0 : errno;
}

std::string Copied() {
  char path[] = "/tmp/sealed_program_XXXXXX";
  UniqueFd file(mkstemp(path));
  EXPECT_EQ(write(file.get(), "abc", 3), 3);
  return path;
}

TEST(SealedProgramTest, AnOrdinaryFileIsNotSealed) {
  std::string path = Copied();
  UniqueFd file(open(path.c_str(), O_RDONLY | O_CLOEXEC));
  EXPECT_FALSE(IsSealed(file.get()));
  EXPECT_EQ(WriteError(file.get()), 0);
  unlink(path.c_str());
}

TEST(SealedProgramTest, ASealedOneCannotBeWrittenThroughItsFd) {
  std::string path = Copied();
  absl::StatusOr<UniqueFd> sealed = SealProgram(path.c_str());
  ASSERT_TRUE(sealed.ok()) << sealed.status();
  EXPECT_TRUE(IsSealed(sealed->get()));
  int error = WriteError(sealed->get());
  EXPECT_TRUE(error == EROFS || error == EPERM) << error;
  unlink(path.c_str());
}

TEST(SealedProgramTest, AMissingProgramIsSaid) {
  EXPECT_EQ(SealProgram("/no/such/program").status().code(), absl::StatusCode::kNotFound);
}

}  // namespace
}  // namespace darse::mnt
