#include "libs/linux/capability/capability.h"

#include <sys/wait.h>
#include <unistd.h>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace darse::capability {
namespace {

TEST(CapabilityTest, NamesAreReadWithAndWithoutPrefixAndCase) {
  for (const char* name : {"CAP_SYS_ADMIN", "SYS_ADMIN", "cap_sys_admin", "sys_admin"}) {
    absl::StatusOr<int> parsed = Parse(name);
    ASSERT_TRUE(parsed.ok()) << parsed.status();
    EXPECT_EQ(*parsed, 21);
  }
  EXPECT_EQ(Name(40), "CAP_CHECKPOINT_RESTORE");
  EXPECT_FALSE(Parse("CAP_FLY").ok());
  EXPECT_FALSE(Parse("").ok());
}

TEST(CapabilityTest, AdjustAddsDropsAndKnowsAll) {
  Set all = (Set{1} << 41) - 1;
  EXPECT_EQ(*Adjust({}, {}, all), DefaultSet());
  EXPECT_EQ(*Adjust({"ALL"}, {"SYS_ADMIN"}, all), all & ~Bit(21));
  EXPECT_EQ(*Adjust({"NET_ADMIN"}, {"all"}, all), Bit(12));
  EXPECT_EQ(*Adjust({}, {"CAP_MKNOD"}, all), DefaultSet() & ~Bit(27));
  // What the host lacks cannot be given.
  EXPECT_EQ(*Adjust({"ALL"}, {}, Bit(3)), Bit(3));
  EXPECT_FALSE(Adjust({"NOPE"}, {}, all).ok());
}

TEST(CapabilityTest, AmbientIsRaisedWhereItIsPermittedAndInheritable) {
  Sets sets = {.permitted = Bit(1) | Bit(2), .inheritable = Bit(2) | Bit(3), .ambient = ~Set{0}};
  EXPECT_EQ(RaisableAmbient(sets), Bit(2));
}

// As `runc spec` writes it: nothing is inheritable.
TEST(CapabilityTest, AnAmbientSetThatCannotBeRaisedIsNoError) {
  pid_t child = fork();
  if (child == 0) {
    absl::Status applied = ApplyRest({.ambient = Bit(5)});
    _exit(applied.ok() ? 0 : 1);
  }
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0);
}

TEST(CapabilityTest, DefaultIsDockersFourteen) {
  EXPECT_THAT(Names(DefaultSet()),
              testing::UnorderedElementsAre(
                  "CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_FSETID", "CAP_FOWNER", "CAP_MKNOD",
                  "CAP_NET_RAW", "CAP_SETGID", "CAP_SETUID", "CAP_SETFCAP", "CAP_SETPCAP",
                  "CAP_NET_BIND_SERVICE", "CAP_SYS_CHROOT", "CAP_KILL", "CAP_AUDIT_WRITE"));
}

}  // namespace
}  // namespace darse::capability
