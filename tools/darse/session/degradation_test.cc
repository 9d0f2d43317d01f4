#include "tools/darse/session/degradation.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace darse::client {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

const absl::Time kNow = absl::FromUnixSeconds(1700000000);

TEST(DegradationTest, EveryServiceSaysWhatGoesOnWithoutItAndWhatWaits) {
  for (Service service : kServices) {
    const std::string text = MissingText(service, "/run/x.sock", {}, "no answer", kNow);
    EXPECT_THAT(text, HasSubstr(NameOf(service)));
    EXPECT_THAT(text, HasSubstr("still works: "));
    EXPECT_THAT(text, HasSubstr("waits for it: "));
    EXPECT_THAT(text, HasSubstr("queued by this command: nothing"));
    EXPECT_THAT(text, HasSubstr("/run/x.sock"));
  }
}

TEST(DegradationTest, SinceSaysWhoKnows) {
  EXPECT_THAT(SinceText({kNow, "the scheduler"}, kNow), HasSubstr("says the scheduler"));
  EXPECT_THAT(SinceText({kNow, ""}, kNow), HasSubstr("not heard of after"));
  EXPECT_THAT(SinceText({}, kNow), HasSubstr("not known"));
}

}  // namespace
}  // namespace darse::client
