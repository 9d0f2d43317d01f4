#include <sched.h>

#include "absl/strings/str_cat.h"
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
  EXPECT_THAT(ErrorOf(With("\"linux\":{", "\"linux\":{\"intelRdt\":{\"closID\":\"a/b\"},")),
              HasSubstr("linux.intelRdt.closID"));
  EXPECT_THAT(ErrorOf(With("\"linux\":{", "\"linux\":{\"sysctl\":{\"kernel.panic\":\"1\"},")),
              HasSubstr("kernel.panic"));
}

std::string WithLinux(absl::string_view fields) {
  return With("\"linux\":{", absl::StrCat("\"linux\":{", fields, ","));
}

TEST(SpecParseTest, IdMapsAreThoseThatTheKernelTakes) {
  EXPECT_THAT(ErrorOf(With("\"uts\"", "\"user\"")), HasSubstr("linux.uidMappings"));
  constexpr char kUser[] = R"("uidMappings":[{"containerID":0,"hostID":7,"size":1}])";
  EXPECT_THAT(ErrorOf(WithLinux(kUser)), HasSubstr("linux.gidMappings: no id is mapped"));
  constexpr char kBoth[] = R"("uidMappings":[{"containerID":0,"hostID":7,"size":2}],
      "gidMappings":[{"containerID":0,"hostID":7,"size":2},{"containerID":1,"hostID":9,"size":1}])";
  EXPECT_THAT(ErrorOf(WithLinux(kBoth)), HasSubstr("linux.gidMappings: two mappings overlap"));
}

TEST(SpecParseTest, ListsOfNumbersAreReadOrNamed) {
  auto policy = [](absl::string_view nodes) {
    return WithLinux(absl::StrCat(R"("memoryPolicy":{"mode":"MPOL_BIND","nodes":")", nodes, "\"}"));
  };
  absl::StatusOr<Spec> spec = ParseSpec(policy("0-2,5"));
  ASSERT_TRUE(spec.ok()) << spec.status();
  EXPECT_THAT(spec->memory_policy->nodes, testing::ElementsAre(0, 1, 2, 5));
  for (const char* bad : {"-", "1-", "2-1", "1-2-3", ",", "0-99999", "x"}) {
    EXPECT_THAT(ErrorOf(policy(bad)), HasSubstr("linux.memoryPolicy.nodes")) << bad;
  }
}

TEST(SpecParseTest, ResourcesOfEveryKind) {
  absl::StatusOr<Spec> spec = ParseSpec(WithLinux(R"("resources":{
      "rdma":{"mlx4_0":{"hcaHandles":3}},"memory":{"limit":9,"checkBeforeUpdate":true},
      "blockIO":{"leafWeight":20,"weightDevice":[{"major":8,"minor":1,"weight":30,"leafWeight":40}]}
      })"));
  ASSERT_TRUE(spec.ok()) << spec.status();
  EXPECT_EQ(spec->limits.rdma.at("mlx4_0").handles, 3u);
  EXPECT_FALSE(spec->limits.rdma.at("mlx4_0").objects.has_value());
  EXPECT_TRUE(spec->limits.memory_check_before_update);
  EXPECT_EQ(spec->limits.block_leaf_weight, 20);
  EXPECT_EQ(spec->limits.block_weights[0].leaf_weight, 40);
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
