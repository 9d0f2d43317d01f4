#include "services/runtime/images/bootstrap.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "libs/os/files.h"
#include "services/runtime/images/image_fixture.h"

namespace darse::runtime {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;

using BootstrapTest = ImageFixture;

TEST_F(BootstrapTest, ADistributionNobodyKnowsIsRefused) {
  for (std::string name : {"debian", "debian:", "debian:nosuchsuite", "debian:../../etc",
                           "plan9:fourth", "debian:Bookworm"}) {
    absl::Status status = Bootstrap(*images_, clock_, {.distribution = name}, {}, "test").status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << name << ": " << status;
  }
  BootstrapRequest request{.distribution = "debian:bookworm", .include_packages = {"a;b"}};
  EXPECT_EQ(Bootstrap(*images_, clock_, request, {}, "test").status().code(),
            absl::StatusCode::kInvalidArgument);
  ExpectNothingLeft();
}

TEST_F(BootstrapTest, AMirrorThatIsNotThereIsUnavailableAndLeavesNothing) {
  BootstrapRequest request{.distribution = "debian:bookworm",
                           .mirror = "http://127.0.0.1:9/debian"};
  absl::Status status = Bootstrap(*images_, clock_, request, {}, "test").status();
  EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable) << status;
  ExpectNothingLeft();
}

TEST_F(BootstrapTest, ACancelledOneLeavesNothing) {
  int lines = 0;
  BootstrapWatch watch{.on_line = [&](absl::string_view) { ++lines; },
                       .cancelled = [&] { return lines >= 5; }};
  absl::Status status =
      Bootstrap(*images_, clock_, {.distribution = "debian:bookworm"}, watch, "test").status();
  EXPECT_EQ(status.code(), absl::StatusCode::kCancelled) << status;
  ExpectNothingLeft();
  EXPECT_THAT(*ReadFile("/proc/self/mountinfo"), testing::Not(HasSubstr(root_)));
}

TEST_F(BootstrapTest, DebianBecomesAnImageWithoutTracesOfThisMachine) {
  int lines = 0;
  BootstrapWatch watch{.on_line = [&](absl::string_view) { ++lines; }};
  absl::StatusOr<std::string> id =
      Bootstrap(*images_, clock_, {.distribution = "debian:bookworm"}, watch, "test");
  ASSERT_TRUE(id.ok()) << id.status();
  EXPECT_GT(lines, 50);
  ResolvedImage image = *images_->Resolve("debian:bookworm");
  EXPECT_EQ(image.id, *id);
  std::string fs = snapshots_->driver().FsPath(image.config.diff_ids[0].text());
  for (const char* gone : {"etc/resolv.conf", "etc/hostname", "etc/machine-id", "dev/null",
                           "debootstrap", "var/log/bootstrap.log"}) {
    EXPECT_FALSE(Exists(JoinPath(fs, gone))) << gone;
  }
  EXPECT_THAT(*ListDirectory(JoinPath(fs, "var/cache/apt/archives")),
              testing::ElementsAre("partial"));
  EXPECT_THAT(*ReadFile(JoinPath(fs, "etc/apt/sources.list")), HasSubstr(" bookworm main\n"));
  EXPECT_TRUE(Exists(JoinPath(fs, "usr/bin/dpkg")));
  EXPECT_THAT(Listed("staging"), IsEmpty());
  // Files made today carry the date of the archive's release.
  struct stat st;
  ASSERT_EQ(stat(JoinPath(fs, "etc/apt/sources.list").c_str(), &st), 0);
  absl::Time created;
  ASSERT_TRUE(absl::ParseTime(absl::RFC3339_full, image.config.created, &created, nullptr));
  EXPECT_LE(st.st_mtim.tv_sec, absl::ToUnixSeconds(created));
}

}  // namespace
}  // namespace darse::runtime
