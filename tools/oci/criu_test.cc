#include "tools/oci/criu.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace darse::ocitool {
namespace {

using container::MountEntry;
using container::Spec;
using testing::ElementsAre;
using testing::IsEmpty;

constexpr char kMountinfo[] =
    "32 33 0:20 /bundle/rootfs / ro,relatime - tmpfs tmpfs rw\n"
    "44 32 0:29 / /proc rw,relatime - proc proc rw\n"
    "45 32 0:30 / /dev rw,nosuid - tmpfs tmpfs rw\n"
    "50 49 0:27 /darse/one /sys/fs/cgroup ro - cgroup2 cgroup2 rw\n"
    "37 44 0:29 /sys /proc/sys ro,relatime - proc proc rw\n"
    "40 44 0:30 /null /proc/kcore rw,nosuid - tmpfs tmpfs rw\n"
    "52 44 0:5 /null /proc/keys rw,nosuid - devtmpfs dev rw\n"
    "60 32 8:1 / /data rw - ext4 /dev/sda1 rw\n"
    "61 60 8:2 / /data/a\\040b rw - ext4 /dev/sda2 rw\n";

Spec SpecWithData() {
  Spec spec;
  MountEntry data = {.destination = "/data/", .type = "bind", .source = "disk"};
  data.options.bind = true;
  MountEntry deeper = {.destination = "/data/a b/c", .type = "none", .source = "/srv/c"};
  deeper.options.bind = true;
  spec.mounts = {{.destination = "/proc", .type = "proc", .source = "proc"}, data, deeper};
  spec.masked_paths = {"/proc/keys"};
  return spec;
}

TEST(ExternalMounts, AreThoseThatShowSomethingFromOutside) {
  EXPECT_THAT(ExternalMounts(ParseMountLines(kMountinfo), SpecWithData()),
              ElementsAre("/sys/fs/cgroup", "/proc/keys", "/data", "/data/a b"));
}

TEST(ParseMountLines, PassesOverWhatIsNone) {
  EXPECT_THAT(ParseMountLines("\n1 2 3\n\\\n"), IsEmpty());
}

TEST(SourceOf, IsWhereConfigJsonHasItFrom) {
  Spec spec = SpecWithData();
  auto source = [&](const std::string& point) {
    return SourceOf(point, spec, "/bundle", {{"/sys/fs/cgroup", "/sys/fs/cgroup/darse/two"}});
  };
  EXPECT_EQ(*source("/sys/fs/cgroup"), "/sys/fs/cgroup/darse/two");
  EXPECT_EQ(*source("/proc/keys"), "/dev/null");
  EXPECT_EQ(*source("/data"), "/bundle/disk");
  EXPECT_EQ(*source("/data/a b"), "/bundle/disk/a b");
  EXPECT_EQ(*source("/data/a b/c/d"), "/srv/c/d");
  EXPECT_EQ(*source("/dev/random"), "/dev/random");
  EXPECT_TRUE(absl::IsNotFound(source("/database").status()));
}

TEST(CheckpointNotes, AreReadAsTheyWereWritten) {
  CheckpointNotes notes = {.external_mounts = {"/a \"b\"", "/c"},
                           .stdio = {"/dev/null", "pipe:[12]", ""},
                           .network_by_path = true};
  EXPECT_EQ(*DecodeNotes(EncodeNotes(notes)), notes);
  for (const char* bad : {"", "[]", "{}", R"({"external_mounts": [1], "stdio": [],
                                             "network_by_path": true})"}) {
    EXPECT_TRUE(absl::IsDataLoss(DecodeNotes(bad).status())) << bad;
  }
}

}  // namespace
}  // namespace darse::ocitool
