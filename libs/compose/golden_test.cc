// Compose files as people have them, and the stacks that come of them. To make the expected files
// anew after a change, run the test binary with UPDATE_GOLDEN=<this directory>/testdata and read
// the difference.
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "google/protobuf/text_format.h"
#include "gtest/gtest.h"
#include "libs/compose/load.h"

namespace darse::compose {
namespace {

std::string ReadWhole(const std::filesystem::path& path) {
  std::ifstream in(path);
  std::ostringstream text;
  text << in.rdbuf();
  return text.str();
}

class GoldenTest : public ::testing::TestWithParam<const char*> {};

TEST_P(GoldenTest, BecomesTheExpectedStack) {
  // Bazel runs tests in the runfiles' workspace; files there are links to the checkout.
  const std::filesystem::path here =
      std::filesystem::absolute(std::filesystem::path("libs/compose/testdata") / GetParam());
  DiskFileReader files;
  const absl::StatusOr<Project> project =
      Load({.working_dir = here.string(), .environment = {{"HOME", "/home/me"}}}, files);
  std::string text;
  if (project.ok()) {
    google::protobuf::TextFormat::Printer printer;
    printer.SetUseShortRepeatedPrimitives(true);
    ASSERT_TRUE(printer.PrintToString(project->stack, &text));
    for (const BuildInput& build : project->builds) {
      absl::StrAppend(&text, "# build of ", build.service, ": ", build.dockerfile, " in ",
                      build.context_dir, "\n");
    }
    for (const std::string& warning : project->warnings)
      absl::StrAppend(&text, "# ", warning, "\n");
  } else {
    text = absl::StrCat(project.status().message(), "\n");
  }
  text = absl::StrReplaceAll(text, {{here.string(), "/project"}});
  if (const char* update = std::getenv("UPDATE_GOLDEN")) {
    std::ofstream(std::filesystem::path(update) / GetParam() / "expected.txt") << text;
  }
  EXPECT_EQ(text, ReadWhole(here / "expected.txt"));
}

INSTANTIATE_TEST_SUITE_P(Files, GoldenTest,
                         ::testing::Values("nextcloud", "forge", "shop", "refused"),
                         [](const auto& info) { return std::string(info.param); });

}  // namespace
}  // namespace darse::compose
