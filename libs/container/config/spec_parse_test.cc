#include <sched.h>

#include "absl/strings/str_replace.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "libs/container/config/spec.h"

namespace darse::container {
namespace {

using testing::HasSubstr;

constexpr char kMinimal[] =
    R"({"ociVersion":"1.2.0","process":{"args":["sh"],"cwd":"/","user":{"uid":1,"gid":2}},
  "root":{"path":"rootfs"},"linux":{"namespaces":[{"type":"mount"},{"type":"uts"}]}})";

std::string With(absl::string_view from, absl::string_view to) {
  return absl::StrReplaceAll(kMinimal, {{from, to}});
}
std::string ErrorOf(const std::string& json) {
  absl::StatusOr<Spec> spec = ParseSpec(json);
  return spec.ok() ? "" : std::string(spec.status().message());
}

TEST(SpecParseTest, ReadsTheMinimumAndPassesOverUnknownProperties) {
  absl::StatusOr<Spec> spec = ParseSpec(With("\"root\"", "\"com.example\":{\"x\":1},\"root\""));
  ASSERT_TRUE(spec.ok()) << spec.status();
  EXPECT_EQ(spec->process.user.uid, 1u);
  EXPECT_THAT(spec->process.args, testing::ElementsAre("sh"));
  EXPECT_NE(spec->FindNamespace(CLONE_NEWUTS), nullptr);
  EXPECT_EQ(spec->FindNamespace(CLONE_NEWNET), nullptr);
}

TEST(SpecParseTest, ErrorsNameTheField) {
  EXPECT_THAT(ErrorOf("{"), HasSubstr("not a JSON object"));
  EXPECT_THAT(ErrorOf(With("[\"sh\"]", "[]")), HasSubstr("process.args"));
  EXPECT_THAT(ErrorOf(With("\"uid\":1", "\"uid\":-1")), HasSubstr("process.user.uid"));
  EXPECT_THAT(ErrorOf(With("1.2.0", "2.0.0")), HasSubstr("ociVersion"));
  EXPECT_THAT(ErrorOf(With("\"uts\"", "\"mount\"")),
              HasSubstr("linux.namespaces[1].type: given twice"));
  EXPECT_THAT(
      ErrorOf(With("\"linux\":{", "\"linux\":{\"resources\":{\"memory\":{\"limit\":\"1g\"}},")),
      HasSubstr("linux.resources.memory.limit"));
}

TEST(SpecParseTest, WhatIsNotDoneIsRefusedByName) {
  EXPECT_THAT(ErrorOf(With("\"linux\":{", "\"linux\":{\"intelRdt\":{\"closID\":\"x\"},")),
              HasSubstr("linux.intelRdt"));
  EXPECT_THAT(ErrorOf(With("\"linux\":{", "\"linux\":{\"sysctl\":{\"kernel.panic\":\"1\"},")),
              HasSubstr("kernel.panic"));
  EXPECT_THAT(ErrorOf(With("\"uts\"", "\"user\"")), HasSubstr("user namespaces"));
}

TEST(SpecParseTest, MountOptionsAreSorted) {
  absl::StatusOr<Spec> spec = ParseSpec(With(
      "\"root\"",
      R"("mounts":[{"destination":"/a","source":"/b","options":["rbind","ro","nosuid","rslave"]},
         {"destination":"/t","type":"tmpfs","source":"tmpfs","options":["size=64m","noexec","rw"]}],"root")"));
  ASSERT_TRUE(spec.ok()) << spec.status();
  EXPECT_TRUE(spec->mounts[0].options.bind);
  EXPECT_TRUE(spec->mounts[0].options.recursive);
  EXPECT_TRUE(spec->mounts[0].options.propagation_recursive);
  EXPECT_EQ(spec->mounts[1].options.data,
            (std::vector<std::pair<std::string, std::string>>{{"size", "64m"}}));
  EXPECT_THAT(ErrorOf(With("\"root\"", R"("mounts":[{"destination":"a","type":"proc"}],"root")")),
              HasSubstr("mounts[0].destination"));
}

}  // namespace
}  // namespace darse::container
