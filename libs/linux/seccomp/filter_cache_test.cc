#include "libs/linux/seccomp/filter_cache.h"

#include <dirent.h>
#include <gtest/gtest.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <fstream>
#include <string>
#include <vector>

#include "libs/os/files.h"

namespace darse::seccomp {
namespace {

class FilterCacheTest : public ::testing::Test {
 protected:
  FilterCacheTest() {
    char path[] = "/tmp/filter_cache_test.XXXXXX";
    top_ = ::mkdtemp(path);
    directory_ = top_ + "/filters";
  }
  ~FilterCacheTest() override { RemoveTree(top_).IgnoreError(); }

  std::vector<std::string> Files() { return *ListDirectory(directory_); }

  static bool Same(const Filter& one, const Filter& other) {
    return one.program.size() == other.program.size() && one.flags == other.flags &&
           one.notifies == other.notifies &&
           ::memcmp(one.program.data(), other.program.data(),
                    one.program.size() * sizeof(sock_filter)) == 0;
  }

  std::string top_, directory_;
  const Profile profile_ = DefaultProfile(0);
};

TEST_F(FilterCacheTest, TheSecondOneIsReadAndTheSame) {
  auto compiled = Compile(profile_);
  auto first = CompileCached(profile_, directory_);
  ASSERT_TRUE(first.ok()) << first.status();
  ASSERT_EQ(Files().size(), 1u);
  auto second = CompileCached(profile_, directory_);
  ASSERT_TRUE(second.ok()) << second.status();
  EXPECT_TRUE(Same(*compiled, *first));
  EXPECT_TRUE(Same(*first, *second));
}

// Shows that the file is what is read: its program is changed.
TEST_F(FilterCacheTest, WhatIsReadComesFromTheFile) {
  auto first = CompileCached(profile_, directory_);
  std::string path = directory_ + "/" + Files()[0];
  std::fstream file(path, std::ios::in | std::ios::out | std::ios::binary);
  file.seekp(-1, std::ios::end);
  file.put('\x55');
  file.close();
  auto second = CompileCached(profile_, directory_);
  ASSERT_TRUE(second.ok());
  EXPECT_FALSE(Same(*first, *second));
}

TEST_F(FilterCacheTest, ProfilesDoNotMix) {
  auto none = CompileCached(profile_, directory_);
  auto all = CompileCached(DefaultProfile(~uint64_t{0}), directory_);
  ASSERT_TRUE(all.ok());
  EXPECT_EQ(Files().size(), 2u);
  EXPECT_FALSE(Same(*none, *all));
}

TEST_F(FilterCacheTest, ADamagedFileIsCompiledAgain) {
  auto first = CompileCached(profile_, directory_);
  std::string path = directory_ + "/" + Files()[0];
  ASSERT_EQ(::truncate(path.c_str(), 100), 0);
  auto second = CompileCached(profile_, directory_);
  ASSERT_TRUE(second.ok());
  EXPECT_TRUE(Same(*first, *second));
  struct stat node;
  ASSERT_EQ(::stat(path.c_str(), &node), 0);
  EXPECT_GT(node.st_size, 100);
}

TEST_F(FilterCacheTest, ADirectoryThatOthersCanWriteToIsNotUsed) {
  ASSERT_EQ(::mkdir(directory_.c_str(), 0700), 0);
  ASSERT_EQ(::chmod(directory_.c_str(), 0777), 0);
  auto filter = CompileCached(profile_, directory_);
  ASSERT_TRUE(filter.ok());
  EXPECT_TRUE(Files().empty());
}

TEST_F(FilterCacheTest, TheCacheIsBounded) {
  for (int i = 0; i < 70; ++i) {
    Profile profile = {.default_action = "SCMP_ACT_ALLOW"};
    profile.rules.push_back({.names = {"acct"},
                             .action = "SCMP_ACT_ERRNO",
                             .errno_value = static_cast<uint32_t>(i + 1)});
    ASSERT_TRUE(CompileCached(profile, directory_).ok());
  }
  EXPECT_LE(Files().size(), 64u);
}

}  // namespace
}  // namespace darse::seccomp
