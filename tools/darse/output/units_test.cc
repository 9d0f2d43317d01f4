#include "tools/darse/output/units.h"

#include "gtest/gtest.h"

namespace darse::client {
namespace {

TEST(UnitsTest, SizesReadAsDockerShowsThem) {
  EXPECT_EQ(DecimalSize(0), "0B");
  EXPECT_EQ(DecimalSize(116712345), "117MB");
  EXPECT_EQ(BinarySize(2034000), "1.94MiB");
}

TEST(UnitsTest, SizesAreReadAsPowersOf1024) {
  EXPECT_EQ(*ParseSize("512m"), int64_t{512} << 20);
  EXPECT_EQ(*ParseSize("1.5G"), int64_t{3} << 29);
  EXPECT_EQ(*ParseSize("64KiB"), 65536);
  EXPECT_EQ(*ParseSize("10b"), 10);
  EXPECT_FALSE(ParseSize("").ok());
  EXPECT_FALSE(ParseSize("-1").ok());
  EXPECT_FALSE(ParseSize("12x").ok());
}

TEST(UnitsTest, DurationsAreGosOrSeconds) {
  EXPECT_EQ(*ParseDuration("1m30s"), absl::Seconds(90));
  EXPECT_EQ(*ParseDuration("10"), absl::Seconds(10));
  EXPECT_FALSE(ParseDuration("soon").ok());
}

TEST(UnitsTest, MomentsAreTimesOrAges) {
  const absl::Time now = absl::FromUnixSeconds(1000000);
  EXPECT_EQ(*ParseMoment("10m", now), now - absl::Minutes(10));
  EXPECT_EQ(*ParseMoment("500", now), absl::FromUnixSeconds(500));
  EXPECT_EQ(*ParseMoment("1970-01-01T00:01:00Z", now), absl::FromUnixSeconds(60));
  EXPECT_FALSE(ParseMoment("yesterday", now).ok());
}

TEST(UnitsTest, DurationsAreRoughAsDockersAre) {
  EXPECT_EQ(RoughDuration(absl::Milliseconds(3)), "Less than a second");
  EXPECT_EQ(RoughDuration(absl::Seconds(59)), "59 seconds");
  EXPECT_EQ(RoughDuration(absl::Seconds(61)), "About a minute");
  EXPECT_EQ(RoughDuration(absl::Hours(47)), "47 hours");
  EXPECT_EQ(RoughDuration(absl::Hours(24 * 20)), "2 weeks");
}

TEST(UnitsTest, ShorteningNeverCutsACharacter) {
  EXPECT_EQ(Shorten("straße", 6), "straße");
  EXPECT_EQ(Shorten("straßen", 6), "straß…");
  EXPECT_EQ(ShortId("sha256:0123456789abcdef"), "0123456789ab");
}

}  // namespace
}  // namespace darse::client
