#include "services/runtime/images/apt_sources.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace darse::runtime {
namespace {

using ::testing::ElementsAre;

constexpr char kStanzas[] = R"(Types: deb
# a comment
URIs: http://mirror/debian
Suites: bookworm bookworm-updates
Components: main contrib

Types: deb deb-src
URIs: http://mirror/debian-security
Suites: bookworm-security
Components: main

Enabled: no
Types: deb
URIs: http://other/debian
Suites: trixie
Components: main

Types: deb-src
URIs: http://source/debian
Suites: bookworm
)";

TEST(AptSourcesTest, StanzasGiveASourceForEachSuite) {
  std::vector<AptSource> sources = ParseSourcesStanzas(kStanzas);
  ASSERT_EQ(sources.size(), 3u);
  EXPECT_EQ(sources[1].suite, "bookworm-updates");
  EXPECT_THAT(sources[1].components, ElementsAre("main", "contrib"));
  EXPECT_EQ(sources[2].uri, "http://mirror/debian-security");
}

TEST(AptSourcesTest, LinesAreReadWithoutOptionsAndComments) {
  std::vector<AptSource> sources = ParseSourcesList(
      "# deb http://no/debian x main\n"
      "deb [arch=amd64 signed-by=/k] http://a/debian trixie main # why\n"
      "deb-src http://a/debian trixie main\n");
  ASSERT_EQ(sources.size(), 1u);
  EXPECT_EQ(sources[0].uri, "http://a/debian");
  EXPECT_EQ(sources[0].suite, "trixie");
}

TEST(AptSourcesTest, TheHostsOwnMirrorServesItsOwnSuiteWithUpdatesAndSecurity) {
  ArchivePlan plan = PlanArchive(ParseSourcesStanzas(kStanzas), "bookworm", "");
  EXPECT_EQ(plan.mirror, "http://mirror/debian");
  EXPECT_EQ(plan.sources_list,
            "deb http://mirror/debian bookworm main\n"
            "deb http://mirror/debian-security bookworm-security main\n"
            "deb http://mirror/debian bookworm-updates main\n");
}

TEST(AptSourcesTest, AnotherSuiteComesFromTheSameMirror) {
  ArchivePlan plan = PlanArchive(ParseSourcesStanzas(kStanzas), "trixie", "");
  EXPECT_EQ(plan.mirror, "http://mirror/debian");
  EXPECT_THAT(plan.sources_list,
              testing::HasSubstr("deb http://mirror/debian-security trixie-security main\n"));
}

TEST(AptSourcesTest, AGivenMirrorStandsAlone) {
  ArchivePlan plan = PlanArchive(ParseSourcesStanzas(kStanzas), "bookworm", "http://mine/debian");
  EXPECT_EQ(plan.sources_list, "deb http://mine/debian bookworm main\n");
}

TEST(AptSourcesTest, AHostWithoutSourcesUsesTheWellKnownMirror) {
  EXPECT_EQ(PlanArchive({}, "bookworm", "").mirror, "http://deb.debian.org/debian");
}

}  // namespace
}  // namespace darse::runtime
