#include "services/runtime/containers/log_reader.h"

#include <stdlib.h>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "libs/os/files.h"

namespace darse::runtime {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

class LogReaderTest : public ::testing::Test {
 protected:
  LogReaderTest() {
    char pattern[] = "/tmp/darse-log-XXXXXX";
    directory_ = mkdtemp(pattern);
  }
  ~LogReaderTest() override { RemoveTree(directory_).IgnoreError(); }

  std::string Path(const std::string& name) { return JoinPath(directory_, name); }
  static std::string Line(int second, const std::string& text, const std::string& stream = "stdout",
                          const std::string& tag = "F") {
    return absl::StrCat("2026-01-02T03:04:", second < 10 ? "0" : "", second, ".000000001Z ", stream,
                        " ", tag, " ", text, "\n");
  }
  void Append(const std::string& name, const std::string& text) {
    std::string old = ReadFile(Path(name)).value_or("");
    // In place, as a shim appends.
    FILE* file = fopen(Path(name).c_str(), "a");
    fwrite(text.data(), 1, text.size(), file);
    fclose(file);
  }
  static std::vector<std::string> Texts(const std::vector<LogRecord>& records) {
    std::vector<std::string> texts;
    for (const LogRecord& record : records) texts.push_back(record.text);
    return texts;
  }

  std::string directory_;
};

TEST(ParseLogLineTest, TakesALineApart) {
  LogRecord record = *ParseLogLine("2026-01-02T03:04:05.000000006Z stderr P half a li");
  EXPECT_EQ(absl::ToUnixNanos(record.time) % 1'000'000'000, 6);
  EXPECT_TRUE(record.is_stderr);
  EXPECT_TRUE(record.partial);
  EXPECT_EQ(record.text, "half a li");
}

TEST(ParseLogLineTest, KeepsBlanksAndEmptyText) {
  EXPECT_EQ(ParseLogLine("2026-01-02T03:04:05Z stdout F   x ")->text, "  x ");
  EXPECT_EQ(ParseLogLine("2026-01-02T03:04:05Z stdout F ")->text, "");
}

TEST(ParseLogLineTest, RefusesWhatIsNoLogLine) {
  for (const char* line : {"", "x", "2026-01-02T03:04:05Z", "2026-01-02T03:04:05Z stdin F x",
                           "yesterday stdout F x", "2026-01-02T03:04:05Z stdout X x"}) {
    EXPECT_FALSE(ParseLogLine(line)) << line;
  }
}

TEST_F(LogReaderTest, MissingLogIsEmptyAndMayAppearLater) {
  LogReader reader(directory_, {});
  EXPECT_THAT(*reader.Next(), IsEmpty());
  Append("current", Line(1, "one"));
  EXPECT_THAT(Texts(*reader.Next()), ElementsAre("one"));
}

TEST_F(LogReaderTest, ReadsRotatedFilesOldestFirst) {
  Append("current.2", Line(1, "one"));
  Append("current.1", Line(2, "two"));
  Append("current", Line(3, "three"));
  LogReader reader(directory_, {});
  EXPECT_THAT(Texts(*reader.Next()), ElementsAre("one", "two", "three"));
}

TEST_F(LogReaderTest, FollowsOverARotationWithoutLossOrRepetition) {
  Append("current", Line(1, "one"));
  LogReader reader(directory_, {});
  EXPECT_THAT(Texts(*reader.Next()), ElementsAre("one"));
  Append("current", Line(2, "two"));
  rename(Path("current").c_str(), Path("current.1").c_str());
  Append("current", Line(3, "three"));
  EXPECT_THAT(Texts(*reader.Next()), ElementsAre("two", "three"));
}

TEST_F(LogReaderTest, HalfWrittenLineWaitsForItsRest) {
  std::string line = Line(1, "whole");
  Append("current", line.substr(0, 20));
  LogReader reader(directory_, {});
  EXPECT_THAT(*reader.Next(), IsEmpty());
  Append("current", line.substr(20));
  EXPECT_THAT(Texts(*reader.Next()), ElementsAre("whole"));
}

TEST_F(LogReaderTest, TailGoesBackOverFiles) {
  Append("current.1", Line(1, "one") + Line(2, "two"));
  Append("current", Line(3, "three"));
  EXPECT_THAT(Texts(*LogReader(directory_, {.tail = 2}).Next()), ElementsAre("two", "three"));
  EXPECT_THAT(Texts(*LogReader(directory_, {.tail = 1}).Next()), ElementsAre("three"));
  EXPECT_THAT(Texts(*LogReader(directory_, {.tail = 9}).Next()),
              ElementsAre("one", "two", "three"));
}

TEST_F(LogReaderTest, TailOfNothingShowsOnlyWhatComes) {
  Append("current", Line(1, "one"));
  LogReader reader(directory_, {.tail = 0});
  EXPECT_THAT(*reader.Next(), IsEmpty());
  Append("current", Line(2, "two"));
  EXPECT_THAT(Texts(*reader.Next()), ElementsAre("two"));
}

TEST_F(LogReaderTest, TailCountsLinesNotTheirParts) {
  Append("current", Line(1, "one") + Line(2, "tw", "stdout", "P") + Line(2, "o"));
  EXPECT_THAT(Texts(*LogReader(directory_, {.tail = 1}).Next()), ElementsAre("tw", "o"));
}

TEST_F(LogReaderTest, FiltersByStreamAndTime) {
  Append("current", Line(1, "one") + Line(2, "two", "stderr") + Line(3, "three"));
  EXPECT_THAT(Texts(*LogReader(directory_, {.want_stderr = false}).Next()),
              ElementsAre("one", "three"));
  absl::Time second = *[] {
    absl::Time time;
    std::string error;
    absl::ParseTime(absl::RFC3339_full, "2026-01-02T03:04:02Z", &time, &error);
    return std::optional<absl::Time>(time);
  }();
  EXPECT_THAT(Texts(*LogReader(directory_, {.since = second}).Next()), ElementsAre("two", "three"));
  LogReader until(directory_, {.until = second});
  EXPECT_THAT(Texts(*until.Next()), ElementsAre("one"));
  EXPECT_TRUE(until.past_end());
}

}  // namespace
}  // namespace darse::runtime
