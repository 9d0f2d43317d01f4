#include "libs/oci/reference.h"

#include <gtest/gtest.h>

#include "absl/strings/str_cat.h"

namespace darse::oci {
namespace {

std::string Full(absl::string_view text) {
  absl::StatusOr<Reference> reference = Reference::Parse(text);
  return reference.ok() ? reference->Full() : std::string(reference.status().message());
}

TEST(ReferenceTest, ShortNamesGrowAsInDocker) {
  EXPECT_EQ(Full("debian"), "docker.io/library/debian:latest");
  EXPECT_EQ(Full("debian:bookworm"), "docker.io/library/debian:bookworm");
  EXPECT_EQ(Full("me/web:2"), "docker.io/me/web:2");
  EXPECT_EQ(Full("docker.io/debian"), "docker.io/library/debian:latest");
  EXPECT_EQ(Full("localhost/x"), "localhost/x:latest");
  EXPECT_EQ(Full("localhost:5000/x/y:1"), "localhost:5000/x/y:1");
  EXPECT_EQ(Full("ghcr.io/a/b"), "ghcr.io/a/b:latest");
  EXPECT_EQ(Full("[::1]:5000/a"), "[::1]:5000/a:latest");
}

TEST(ReferenceTest, ADigestNeedsNoTag) {
  std::string digest = absl::StrCat("sha256:", std::string(64, 'a'));
  EXPECT_EQ(Full("debian@" + digest), "docker.io/library/debian@" + digest);
  EXPECT_EQ(Full("debian:1@" + digest), "docker.io/library/debian:1@" + digest);
}

TEST(ReferenceTest, FamiliarFormLeavesTheDefaultsOut) {
  EXPECT_EQ(Reference::Parse("debian")->Familiar(), "debian:latest");
  EXPECT_EQ(Reference::Parse("me/web:2")->Familiar(), "me/web:2");
  EXPECT_EQ(Reference::Parse("localhost/x")->Familiar(), "localhost/x:latest");
}

TEST(ReferenceTest, MalformedNamesAreRefused) {
  for (absl::string_view text :
       {"", ":", "Debian", "a//b", "a/", "/a", "a:b:c", "a b", "-a", "a_-b", "a..b", "a:-x",
        "a@sha256:12", "a@", "a:", "..", "a.b:port/x", "a\nb"}) {
    EXPECT_FALSE(Reference::Parse(text).ok()) << text;
  }
  EXPECT_FALSE(Reference::Parse(std::string(64, 'a')).ok());
  EXPECT_FALSE(Reference::Parse("a:" + std::string(129, 'x')).ok());
  EXPECT_FALSE(Reference::Parse(std::string(300, 'x')).ok());
}

}  // namespace
}  // namespace darse::oci
