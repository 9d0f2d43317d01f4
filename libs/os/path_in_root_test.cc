#include "libs/os/path_in_root.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include "libs/os/files.h"

namespace darse {
namespace {

// <directory>/jail is the root; <directory>/secret must never be reached.
class PathInRootTest : public testing::Test {
 protected:
  PathInRootTest() {
    char name[] = "/tmp/darse-path-XXXXXX";
    directory_ = ::mkdtemp(name);
    MakeDirectories(directory_ + "/jail/etc").IgnoreError();
    WriteFileAtomically(directory_ + "/secret", "outside").IgnoreError();
    WriteFileAtomically(directory_ + "/jail/etc/passwd", "inside").IgnoreError();
    root_ = OpenDirectory(directory_ + "/jail").value();
  }
  ~PathInRootTest() override { RemoveTree(directory_).IgnoreError(); }

  std::string Read(absl::string_view path) {
    auto fd = OpenInRoot(root_.get(), path, O_RDONLY);
    return fd.ok() ? ReadFd(fd->get()).value() : std::string(fd.status().message());
  }
  void Link(const std::string& target, const std::string& name) {
    ASSERT_EQ(::symlink(target.c_str(), (directory_ + "/jail/" + name).c_str()), 0);
  }

  std::string directory_;
  UniqueFd root_;
};

TEST_F(PathInRootTest, AnAbsolutePathIsBelowTheRoot) { EXPECT_EQ(Read("/etc/passwd"), "inside"); }

TEST_F(PathInRootTest, DotDotDoesNotLeaveTheRoot) {
  EXPECT_EQ(Read("../../etc/passwd"), "inside");
  EXPECT_EQ(OpenInRoot(root_.get(), "../secret", O_RDONLY).status().code(),
            absl::StatusCode::kNotFound);
}

TEST_F(PathInRootTest, SymlinksAreResolvedInsideTheRoot) {
  Link("/etc", "absolute");
  Link("../../../etc/passwd", "relative");
  Link(directory_ + "/secret", "escape");
  EXPECT_EQ(Read("absolute/passwd"), "inside");
  EXPECT_EQ(Read("relative"), "inside");
  EXPECT_EQ(OpenInRoot(root_.get(), "escape", O_RDONLY).status().code(),
            absl::StatusCode::kNotFound);
  EXPECT_FALSE(OpenInRoot(root_.get(), "relative", O_RDONLY | O_NOFOLLOW).ok());
}

TEST_F(PathInRootTest, DirectoriesAreMadeThroughSymlinksInside) {
  Link("/etc", "link");
  ASSERT_TRUE(MakeDirectoriesInRoot(root_.get(), "/link/a/b").ok());
  EXPECT_TRUE(Exists(directory_ + "/jail/etc/a/b"));
  Link("/../../outside", "dangling");
  EXPECT_FALSE(MakeDirectoriesInRoot(root_.get(), "dangling/x").ok());
  EXPECT_FALSE(Exists(directory_ + "/outside"));
  ASSERT_TRUE(MakeDirectoriesInRoot(root_.get(), "../up").ok());
  EXPECT_TRUE(Exists(directory_ + "/jail/up"));
  EXPECT_FALSE(Exists(directory_ + "/up"));
}

TEST_F(PathInRootTest, AFileInTheWayIsFailedPrecondition) {
  EXPECT_EQ(MakeDirectoriesInRoot(root_.get(), "etc/passwd/x").status().code(),
            absl::StatusCode::kFailedPrecondition);
}

TEST_F(PathInRootTest, ANameIsLocatedAndNotFollowed) {
  Link(directory_ + "/secret", "etc/escape");
  auto located = LocateInRoot(root_.get(), "/etc/./escape");
  ASSERT_TRUE(located.ok()) << located.status();
  EXPECT_EQ(located->name, "escape");
  struct stat file;
  ASSERT_EQ(::fstatat(located->directory.get(), "escape", &file, AT_SYMLINK_NOFOLLOW), 0);
  EXPECT_TRUE(S_ISLNK(file.st_mode));
  EXPECT_TRUE(S_ISLNK(StatInRoot(root_.get(), "etc/escape")->st_mode));
}

TEST_F(PathInRootTest, MissingDirectoriesOfANameAreMade) {
  EXPECT_FALSE(LocateInRoot(root_.get(), "new/dir/file").ok());
  auto located = LocateOrMakeInRoot(root_.get(), "new/dir/file");
  ASSERT_TRUE(located.ok()) << located.status();
  EXPECT_TRUE(Exists(directory_ + "/jail/new/dir"));
}

TEST_F(PathInRootTest, WhatNamesNoFileIsRefused) {
  for (absl::string_view path : {"", "/", ".", "a/..", "..", "a/../"}) {
    EXPECT_EQ(LocateInRoot(root_.get(), path).status().code(), absl::StatusCode::kInvalidArgument)
        << path;
  }
  EXPECT_FALSE(OpenInRoot(root_.get(), absl::string_view("etc\0x", 5), O_PATH).ok());
}

}  // namespace
}  // namespace darse
