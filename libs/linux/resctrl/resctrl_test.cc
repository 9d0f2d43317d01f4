// On a directory that looks like the file system: few machines have one.
#include "libs/linux/resctrl/resctrl.h"

#include <sys/stat.h>
#include <unistd.h>

#include "gtest/gtest.h"
#include "libs/os/files.h"

namespace darse::resctrl {
namespace {

class ResctrlTest : public testing::Test {
 protected:
  ResctrlTest() {
    char name[] = "/tmp/darse-resctrl-XXXXXX";
    mount_ = mkdtemp(name);
    mkdir((mount_ + "/mon_groups").c_str(), 0755);
  }
  ~ResctrlTest() override { RemoveTree(mount_).IgnoreError(); }

  std::string Read(const std::string& name) { return ReadFile(mount_ + "/" + name).value_or(""); }

  std::string mount_;
};

TEST_F(ResctrlTest, AGroupOfItsOwnComesAndGoes) {
  Settings settings = {.schemata = {"L3:0=ff"}};
  ASSERT_TRUE(Enter(mount_, settings, "c1", 42).ok());
  EXPECT_EQ(Read("c1/schemata"), "L3:0=ff\n");
  EXPECT_EQ(Read("c1/tasks"), "42\n");
  // The kernel's files go with their directory.
  for (const char* file : {"/c1/schemata", "/c1/tasks"}) unlink((mount_ + file).c_str());
  EXPECT_TRUE(Leave(mount_, settings, "c1").ok());
  EXPECT_FALSE(Exists(mount_ + "/c1"));
  EXPECT_TRUE(Leave(mount_, settings, "c1").ok());
}

TEST_F(ResctrlTest, AnothersGroupIsEnteredOnlyAsItIs) {
  Settings settings = {.clos_id = "gold"};
  EXPECT_TRUE(absl::IsNotFound(Enter(mount_, settings, "c1", 42)));
  settings.schemata = {"L3:0=ff", "MB:0=50"};
  ASSERT_TRUE(WriteFileVolatile(mount_ + "/schemata", "").ok());
  mkdir((mount_ + "/gold").c_str(), 0755);
  ASSERT_TRUE(WriteFileVolatile(mount_ + "/gold/schemata", "    MB:0=50\n    L3:0=ff\n").ok());
  EXPECT_TRUE(Enter(mount_, settings, "c1", 42).ok());
  settings.schemata = {"L3:0=0f"};
  EXPECT_TRUE(absl::IsFailedPrecondition(Enter(mount_, settings, "c1", 42)));
  EXPECT_TRUE(Leave(mount_, settings, "c1").ok());
  EXPECT_TRUE(Exists(mount_ + "/gold"));
}

TEST_F(ResctrlTest, TheDefaultGroupCountsAContainerApart) {
  Settings settings = {.clos_id = "/", .monitoring = true};
  ASSERT_TRUE(Enter(mount_, settings, "c1", 42).ok());
  EXPECT_EQ(Read("mon_groups/c1/tasks"), "42\n");
  unlink((mount_ + "/mon_groups/c1/tasks").c_str());
  EXPECT_TRUE(Leave(mount_, settings, "c1").ok());
  EXPECT_FALSE(Exists(mount_ + "/mon_groups/c1"));
}

TEST_F(ResctrlTest, NamesStayInside) {
  for (const char* bad : {"..", "a/b", "../x", "info"}) EXPECT_FALSE(CheckClosId(bad).ok()) << bad;
  for (const char* good : {"", "/", "gold"}) EXPECT_TRUE(CheckClosId(good).ok()) << good;
}

}  // namespace
}  // namespace darse::resctrl
