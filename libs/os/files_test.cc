#include "libs/os/files.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

namespace darse {
namespace {

using testing::ElementsAre;

class FilesTest : public testing::Test {
 protected:
  FilesTest() {
    char name[] = "/tmp/darse-files-XXXXXX";
    directory_ = ::mkdtemp(name);
  }
  ~FilesTest() override { RemoveTree(directory_).IgnoreError(); }
  std::string Path(absl::string_view name) const { return JoinPath(directory_, name); }
  std::string directory_;
};

TEST_F(FilesTest, WhatIsWrittenAtomicallyIsReadAndLeavesNoOtherFile) {
  ASSERT_TRUE(WriteFileAtomically(Path("a"), "one", 0640).ok());
  ASSERT_TRUE(WriteFileAtomically(Path("a"), std::string(100'000, 'x'), 0640).ok());
  EXPECT_EQ(ReadFile(Path("a")).value(), std::string(100'000, 'x'));
  EXPECT_THAT(ListDirectory(directory_).value(), ElementsAre("a"));
  struct stat file;
  ASSERT_EQ(::stat(Path("a").c_str(), &file), 0);
  EXPECT_EQ(file.st_mode & 07777, 0640u);
}

TEST_F(FilesTest, WhatIsWrittenInPlaceKeepsItsInodeAndNothingOfBefore) {
  ASSERT_TRUE(WriteFileInPlace(Path("a"), "longer than the next", 0600).ok());
  struct stat before, after;
  ASSERT_EQ(::stat(Path("a").c_str(), &before), 0);
  ASSERT_TRUE(WriteFileInPlace(Path("a"), "short", 0640).ok());
  ASSERT_EQ(::stat(Path("a").c_str(), &after), 0);
  EXPECT_EQ(after.st_ino, before.st_ino);
  EXPECT_EQ(after.st_mode & 07777, 0640u);
  EXPECT_EQ(ReadFile(Path("a")).value(), "short");
  ASSERT_EQ(::symlink("a", Path("link").c_str()), 0);
  EXPECT_FALSE(WriteFileInPlace(Path("link"), "through it").ok());
  EXPECT_EQ(ReadFile(Path("a")).value(), "short");
}

TEST_F(FilesTest, AFailedWriteLeavesTheOldFile) {
  ASSERT_TRUE(MakeDirectories(Path("a/b")).ok());
  EXPECT_FALSE(WriteFileAtomically(Path("a"), "x").ok());
  EXPECT_THAT(ListDirectory(directory_).value(), ElementsAre("a"));
}

TEST_F(FilesTest, FilesOfProcAreReadWhole) {
  auto text = ReadFile("/proc/self/status");
  ASSERT_TRUE(text.ok());
  EXPECT_NE(text->find("Pid:"), std::string::npos);
}

TEST_F(FilesTest, AMissingFileIsNotFound) {
  EXPECT_EQ(ReadFile(Path("none")).status().code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(WriteExistingFile(Path("none"), "x").code(), absl::StatusCode::kNotFound);
  EXPECT_TRUE(RemoveFile(Path("none")).ok());
  EXPECT_TRUE(RemoveTree(Path("none")).ok());
}

TEST_F(FilesTest, DirectoriesAreMadeWithTheirParents) {
  ASSERT_TRUE(MakeDirectories(Path("x/y/z/")).ok());
  ASSERT_TRUE(MakeDirectories(Path("x/y/z")).ok());
  EXPECT_TRUE(Exists(Path("x/y/z")));
  ASSERT_TRUE(WriteFileAtomically(Path("file"), "").ok());
  EXPECT_EQ(MakeDirectories(Path("file")).code(), absl::StatusCode::kFailedPrecondition);
}

TEST_F(FilesTest, RemovingATreeFollowsNoSymlink) {
  ASSERT_TRUE(MakeDirectories(Path("keep")).ok());
  ASSERT_TRUE(WriteFileAtomically(Path("keep/file"), "k").ok());
  ASSERT_TRUE(MakeDirectories(Path("tree/deep/deeper")).ok());
  ASSERT_EQ(::symlink(Path("keep").c_str(), Path("tree/deep/link").c_str()), 0);
  ASSERT_TRUE(RemoveTree(Path("tree")).ok());
  EXPECT_THAT(ListDirectory(directory_).value(), ElementsAre("keep"));
  EXPECT_TRUE(Exists(Path("keep/file")));
}

TEST(JoinPathTest, ThereIsOneSlashBetween) {
  EXPECT_EQ(JoinPath("/a", "b"), "/a/b");
  EXPECT_EQ(JoinPath("/a/", "/b"), "/a/b");
  EXPECT_EQ(JoinPath("/", "b"), "/b");
}

}  // namespace
}  // namespace darse
