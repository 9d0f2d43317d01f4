#include "tools/darse/container/log_lines.h"

#include "gtest/gtest.h"

namespace darse::client {
namespace {

using namespace darse::runtime::v1;  // NOLINT: message names only

LogLine Line(const std::string& text, bool partial = false, Stream stream = STREAM_STDOUT) {
  LogLine line;
  line.mutable_time()->set_seconds(61);
  line.mutable_time()->set_nanos(5);
  line.set_stream(stream);
  line.set_text(text);
  line.set_partial(partial);
  return line;
}

TEST(LogLinesTest, PartsOfALineMakeOneLineWithOnePrefix) {
  LogPrinter printer({.name = "web-1", .name_width = 7});
  EXPECT_EQ(printer.Text(Line("a", true)), "web-1   | a");
  EXPECT_EQ(printer.Text(Line("b")), "b\n");
  EXPECT_EQ(printer.Text(Line("c")), "web-1   | c\n");
}

TEST(LogLinesTest, PartsOfTheOtherStreamAreTheirOwnLine) {
  LogPrinter printer({.name = "w"});
  EXPECT_EQ(printer.Text(Line("a", true)), "w | a");
  EXPECT_EQ(printer.Text(Line("e", false, STREAM_STDERR)), "w | e\n");
  EXPECT_EQ(printer.Text(Line("b")), "b\n");
}

TEST(LogLinesTest, TimesAreExactToTheNanosecond) {
  LogPrinter printer({.timestamps = true});
  EXPECT_EQ(printer.Text(Line("a")), "1970-01-01T00:01:01.000000005Z a\n");
}

}  // namespace
}  // namespace darse::client
