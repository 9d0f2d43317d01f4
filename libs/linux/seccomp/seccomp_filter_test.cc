#include "libs/linux/seccomp/seccomp_filter.h"

#include <errno.h>
#include <gtest/gtest.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdint>

#include "libs/linux/seccomp/seccomp_profile.h"

namespace darse::seccomp {
namespace {

// The errno that a call answers with under the filter, in a process of its own.
int ErrnoOf(const Filter& filter, long number) {
  pid_t child = ::fork();
  if (child == 0) {
    if (::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 || !Load(filter).ok()) ::_exit(255);
    errno = 0;
    ::syscall(number, -1, nullptr, nullptr, nullptr, nullptr, nullptr);
    ::_exit(errno);
  }
  int status = 0;
  EXPECT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_TRUE(WIFEXITED(status));
  return WEXITSTATUS(status);
}

TEST(SeccompFilterTest, TheDefaultForAllArchitecturesAllowsAndRefuses) {
  for (uint64_t capabilities : {uint64_t{0}, ~uint64_t{0}}) {
    auto filter = Compile(DefaultProfile(capabilities));
    ASSERT_TRUE(filter.ok()) << filter.status();
    // The close of no descriptor is allowed; keyctl is not.
    EXPECT_EQ(ErrnoOf(*filter, SYS_close), EBADF);
    EXPECT_EQ(ErrnoOf(*filter, SYS_keyctl), EPERM);
  }
}

TEST(SeccompFilterTest, CallsNewerThanLibseccompAreAllowedWhereTheProfileSaysSo) {
  constexpr long kFchmodat2 = 452;
  auto filter = Compile(DefaultProfile(0));
  ASSERT_TRUE(filter.ok()) << filter.status();
  EXPECT_NE(ErrnoOf(*filter, kFchmodat2), EPERM);
}

TEST(SeccompFilterTest, CallsNewerThanTheProfileDoNotExist) {
  auto filter = Compile(DefaultProfile(0));
  ASSERT_TRUE(filter.ok()) << filter.status();
  EXPECT_EQ(ErrnoOf(*filter, 100'000), ENOSYS);
}

TEST(SeccompFilterTest, AProfileWithOnlyTheNativeArchitectureCompiles) {
  Profile profile = DefaultProfile(0);
  profile.architectures.clear();
  auto filter = Compile(profile);
  ASSERT_TRUE(filter.ok()) << filter.status();
  EXPECT_EQ(ErrnoOf(*filter, SYS_keyctl), EPERM);
}

}  // namespace
}  // namespace darse::seccomp
