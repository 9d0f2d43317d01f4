#include "libs/base/log.h"

#include <gtest/gtest.h>

namespace darse {
namespace {

TEST(LogTest, PlainValuesStandBareAndOthersAreQuotedAndEscaped) {
  EXPECT_EQ(FormatLogLine("t", LogLevel::kInfo, "runtime", "container started",
                          {{"id", "ab12"}, {"name", "a \"b\"\n"}, {"empty", ""}}),
            "time=t level=info service=runtime msg=\"container started\" id=ab12 "
            "name=\"a \\\"b\\\"\\n\" empty=\"\"");
}

}  // namespace
}  // namespace darse
