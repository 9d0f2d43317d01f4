#include "tools/darse/build/context.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <fstream>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace darse::client {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

class ContextTest : public ::testing::Test {
 protected:
  ContextTest() {
    std::string pattern = ::testing::TempDir() + "/context-XXXXXX";
    directory_ = mkdtemp(pattern.data());
  }
  void File(const std::string& path, const std::string& text) {
    std::ofstream(directory_ + "/" + path) << text;
  }
  void Directory(const std::string& path) { mkdir((directory_ + "/" + path).c_str(), 0755); }

  std::string Tar(absl::string_view dockerfile = "") {
    auto context = BuildContext::Open(directory_, dockerfile);
    EXPECT_TRUE(context.ok()) << context.status();
    std::string tar;
    EXPECT_TRUE(context
                    ->Write([&](absl::string_view chunk) {
                      tar.append(chunk.data(), chunk.size());
                      return absl::OkStatus();
                    })
                    .ok());
    return tar;
  }

  std::string directory_;
};

TEST_F(ContextTest, TheSameTreeGivesTheSameDigestWhateverItsTimes) {
  File("a", "one");
  Directory("d");
  File("d/b", "two");
  int64_t bytes = 0;
  auto first = BuildContext::Open(directory_, "")->Digest(bytes);
  ASSERT_TRUE(first.ok()) << first.status();
  EXPECT_EQ(bytes, static_cast<int64_t>(Tar().size()));
  timespec times[2] = {{1000, 0}, {2000, 0}};
  utimensat(AT_FDCWD, (directory_ + "/a").c_str(), times, 0);
  EXPECT_EQ(*BuildContext::Open(directory_, "")->Digest(bytes), *first);
  File("a", "ONE");
  EXPECT_NE(*BuildContext::Open(directory_, "")->Digest(bytes), *first);
}

TEST_F(ContextTest, ModesAndLinksAreInTheTar) {
  File("run.sh", "#!/bin/sh\n");
  ASSERT_EQ(symlink("run.sh", (directory_ + "/link").c_str()), 0);
  int64_t bytes = 0;
  auto before = BuildContext::Open(directory_, "")->Digest(bytes);
  chmod((directory_ + "/run.sh").c_str(), 0755);
  EXPECT_NE(*BuildContext::Open(directory_, "")->Digest(bytes), *before);
  EXPECT_THAT(Tar(), HasSubstr("link"));
}

TEST_F(ContextTest, IgnoredFilesStayOutAndExceptionsComeBack) {
  File(".dockerignore", "*.log\nsecret\n!secret/public\n");
  File("x.log", "noise");
  Directory("secret");
  File("secret/key", "private-key");
  File("secret/public", "public-key");
  const std::string tar = Tar();
  EXPECT_THAT(tar, Not(HasSubstr("noise")));
  EXPECT_THAT(tar, Not(HasSubstr("private-key")));
  EXPECT_THAT(tar, HasSubstr("public-key"));
  EXPECT_FALSE(BuildContext::Open(directory_, "")->Holds("x.log"));
}

TEST_F(ContextTest, ADockerfileMayHaveRulesOfItsOwn) {
  File(".dockerignore", "a\n");
  File("web.Dockerfile.dockerignore", "b\n");
  File("a", "text-of-a");
  File("b", "text-of-b");
  EXPECT_THAT(Tar("web.Dockerfile"), HasSubstr("text-of-a"));
  EXPECT_THAT(Tar("web.Dockerfile"), Not(HasSubstr("text-of-b")));
}

TEST_F(ContextTest, SocketsAndPipesAreNoInput) {
  ASSERT_EQ(mkfifo((directory_ + "/pipe").c_str(), 0644), 0);
  EXPECT_THAT(Tar(), Not(HasSubstr("pipe")));
}

TEST_F(ContextTest, AMissingDirectoryIsAnError) {
  EXPECT_EQ(BuildContext::Open(directory_ + "/gone", "").status().code(),
            absl::StatusCode::kNotFound);
  File("file", "");
  EXPECT_FALSE(BuildContext::Open(directory_ + "/file", "").ok());
}

}  // namespace
}  // namespace darse::client
