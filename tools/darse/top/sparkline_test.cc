#include "tools/darse/top/sparkline.h"

#include "gtest/gtest.h"
#include "tools/darse/session/proto_time.h"

namespace darse::client {
namespace {

const absl::Time kStart = absl::FromUnixSeconds(1000);

std::vector<darse::metrics::v1::Point> Points(std::vector<std::pair<int, double>> values) {
  std::vector<darse::metrics::v1::Point> points;
  for (auto [second, value] : values) {
    auto& point = points.emplace_back();
    *point.mutable_time() = ToProto(kStart + absl::Seconds(second));
    point.set_average(value);
  }
  return points;
}

TEST(SparklineTest, HighestValueFillsAndGapsStayBlank) {
  EXPECT_EQ(Sparkline(Points({{0, 0}, {1, 50}, {3, 100}}), kStart, kStart + absl::Seconds(4), 4),
            "▁▅ █");
}

TEST(SparklineTest, AColumnShowsTheHighestOfItsTime) {
  EXPECT_EQ(Sparkline(Points({{0, 1}, {1, 8}, {2, 8}}), kStart, kStart + absl::Seconds(4), 2),
            "██");
}

TEST(SparklineTest, AFlatZeroIsALineAtTheBottom) {
  EXPECT_EQ(Sparkline(Points({{0, 0}, {1, 0}}), kStart, kStart + absl::Seconds(2), 2), "▁▁");
}

}  // namespace
}  // namespace darse::client
