// Overlays on the real kernel, both ways.
#include "libs/linux/mount/overlay.h"

#include <fcntl.h>
#include <sys/fsuid.h>
#include <sys/stat.h>
#include <unistd.h>

#include <fstream>

#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"
#include "libs/linux/mount/mount_calls.h"
#include "libs/linux/namespace/user_namespace.h"
#include "libs/os/files.h"

namespace darse::mnt {
namespace {

using Make = absl::StatusOr<UniqueFd> (*)(const OverlaySource&);

class OverlayTest : public testing::TestWithParam<Make> {
 protected:
  OverlayTest() {
    char name[] = "/var/tmp/darse-overlay-XXXXXX";
    base_ = mkdtemp(name);
  }
  ~OverlayTest() override { RemoveTree(base_).IgnoreError(); }

  // A directory with a file of the same name in it.
  std::string Layer(const std::string& name) {
    std::string path = absl::StrCat(base_, "/", name);
    mkdir(path.c_str(), 0755);
    std::ofstream(absl::StrCat(path, "/", name)) << name;
    std::ofstream(absl::StrCat(path, "/same")) << name;
    return path;
  }
  static std::string Read(int root, const std::string& path) {
    UniqueFd file(openat(root, path.c_str(), O_RDONLY | O_CLOEXEC));
    return file.valid() ? ReadFd(file.get()).value_or("") : "";
  }

  std::string base_;
};

TEST_P(OverlayTest, HoldsAHundredLayersTheFirstOnTop) {
  OverlaySource source;
  for (int i = 0; i < 100; ++i) source.lower_dirs.push_back(Layer(absl::StrCat("layer", i)));
  auto root = GetParam()(source);
  ASSERT_TRUE(root.ok()) << root.status();
  EXPECT_EQ(Read(root->get(), "same"), "layer0");
  EXPECT_EQ(Read(root->get(), "layer99"), "layer99");
  EXPECT_LT(openat(root->get(), "new", O_CREAT | O_WRONLY, 0600), 0);
}

TEST_P(OverlayTest, WritesGoToTheUpperDirectory) {
  OverlaySource source = {
      .lower_dirs = {Layer("a:b,c")}, .upper_dir = base_ + "/upper", .work_dir = base_ + "/work"};
  mkdir(source.upper_dir.c_str(), 0755);
  mkdir(source.work_dir.c_str(), 0700);
  auto root = GetParam()(source);
  ASSERT_TRUE(root.ok()) << root.status();
  UniqueFd file(openat(root->get(), "new", O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
  ASSERT_TRUE(file.valid());
  EXPECT_EQ(access((source.upper_dir + "/new").c_str(), F_OK), 0);
}

TEST_P(OverlayTest, ShowsOtherIdsThanAreOnDisk) {
  constexpr uint32_t kBase = 1 << 30;
  ns::IdMaps maps = {.uids = {{0, kBase, 65536}}, .gids = {{0, kBase, 65536}}};
  absl::StatusOr<UniqueFd> id_map = ns::MakeUserNamespace(maps);
  ASSERT_TRUE(id_map.ok()) << id_map.status();
  OverlaySource source = {.lower_dirs = {Layer("one"), Layer("two")},
                          .upper_dir = base_ + "/upper",
                          .work_dir = base_ + "/work",
                          .id_map = id_map->get()};
  absl::StatusOr<UniqueFd> probe = CloneMount(AT_FDCWD, base_, /*recursive=*/false);
  ASSERT_TRUE(probe.ok()) << probe.status();
  if (!SetIdMap(probe->get(), id_map->get(), /*recursive=*/false).ok()) {
    GTEST_SKIP() << "the file system has no id-mapped mounts";
  }
  ASSERT_EQ(chown((base_ + "/two/two").c_str(), 7, 8), 0);
  mkdir(source.upper_dir.c_str(), 0755);
  mkdir(source.work_dir.c_str(), 0700);
  auto root = GetParam()(source);
  ASSERT_TRUE(root.ok()) << root.status();
  struct stat node;
  ASSERT_EQ(fstatat(root->get(), "two", &node, 0), 0);
  EXPECT_EQ(node.st_uid, kBase + 7);
  // Written to, and made by who is root inside: on disk nothing of the map is left.
  UniqueFd file(openat(root->get(), "two", O_WRONLY | O_CLOEXEC));
  ASSERT_EQ(write(file.get(), "x", 1), 1);
  ASSERT_EQ(stat((source.upper_dir + "/two").c_str(), &node), 0);
  EXPECT_EQ(node.st_gid, 8u);
  ASSERT_EQ(fchownat(root->get(), "", kBase, kBase, AT_EMPTY_PATH), 0);
  setfsgid(kBase);
  setfsuid(kBase);
  UniqueFd made(openat(root->get(), "new", O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
  int removed = unlinkat(root->get(), "same", 0);
  setfsuid(0);
  setfsgid(0);
  EXPECT_TRUE(made.valid());
  EXPECT_EQ(removed, 0);
  ASSERT_EQ(stat((source.upper_dir + "/new").c_str(), &node), 0);
  EXPECT_EQ(node.st_uid, 0u);
  EXPECT_EQ(node.st_gid, 0u);
}

TEST_P(OverlayTest, LeavesNoMountOfTheHosts) {
  ASSERT_TRUE(GetParam()({.lower_dirs = {Layer("one"), Layer("two")}}).ok());
  std::ifstream mounts("/proc/self/mountinfo");
  std::string text((std::istreambuf_iterator<char>(mounts)), {});
  EXPECT_EQ(text.find(base_), std::string::npos);
  char here[4096];
  EXPECT_NE(getcwd(here, sizeof(here)), nullptr);
  EXPECT_STRNE(here, "/proc/self/fd");
}

TEST_P(OverlayTest, SaysWhichLayerIsMissing) {
  auto root = GetParam()({.lower_dirs = {Layer("one"), base_ + "/none"}});
  ASSERT_FALSE(root.ok());
  EXPECT_NE(root.status().message().find("/none"), std::string::npos) << root.status();
}

INSTANTIATE_TEST_SUITE_P(Ways, OverlayTest, testing::Values(&MakeOverlay, &MakeOverlayAsOnePage),
                         [](const auto& test) {
                           return test.param == &MakeOverlay ? "AsTheKernelLikes" : "AsOnePage";
                         });

}  // namespace
}  // namespace darse::mnt
