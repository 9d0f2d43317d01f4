#include "services/shim/log_writer.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <sstream>

#include "gtest/gtest.h"

namespace darse::shim {
namespace {

constexpr int64_t kTime = 1'767'323'045'123'456'789;  // 2026-01-02T03:04:05.123456789Z

class LogWriterTest : public testing::Test {
 protected:
  LogWriterTest() {
    char name[] = "/tmp/darse-log-XXXXXX";
    dir_ = mkdtemp(name);
  }
  ~LogWriterTest() override { std::filesystem::remove_all(dir_); }

  std::string Read(const std::string& file) const {
    std::ifstream stream(dir_ + "/log/" + file);
    std::stringstream content;
    content << stream.rdbuf();
    return content.str();
  }
  LogOptions Options(int64_t max_size = 1 << 20, int max_files = 3) const {
    return {.dir = dir_ + "/log", .max_size_bytes = max_size, .max_files = max_files};
  }

  std::string dir_;
};

TEST_F(LogWriterTest, LinesCutAnywhereAreWrittenWhole) {
  LogWriter log(Options());
  ASSERT_TRUE(log.Open().ok());
  log.Write(LogStream::kStdout, "one\ntw", kTime);
  log.Write(LogStream::kStderr, "err\n", kTime);
  log.Write(LogStream::kStdout, "o\n\n", kTime);
  log.Flush();
  EXPECT_EQ(Read("current"),
            "2026-01-02T03:04:05.123456789Z stdout F one\n"
            "2026-01-02T03:04:05.123456789Z stderr F err\n"
            "2026-01-02T03:04:05.123456789Z stdout F two\n"
            "2026-01-02T03:04:05.123456789Z stdout F \n");
}

TEST_F(LogWriterTest, ALongLineIsCutIntoPartsThatMakeItWholeAgain) {
  LogWriter log(Options());
  ASSERT_TRUE(log.Open().ok());
  std::string line(20'000, 'x');
  for (size_t i = 0; i < line.size(); i += 3000)
    log.Write(LogStream::kStdout, line.substr(i, 3000), kTime);
  log.Write(LogStream::kStdout, "end\n", kTime);
  log.Flush();
  std::stringstream entries(Read("current"));
  std::string entry, joined, marks;
  while (std::getline(entries, entry)) {
    marks += entry[38];
    joined += entry.substr(40);
  }
  EXPECT_EQ(joined, line + "end");
  EXPECT_EQ(marks, "PPF");
}

TEST_F(LogWriterTest, AnEndThatNeverCameIsMarkedPartialUnlessTheProcessRestarts) {
  LogWriter log(Options());
  ASSERT_TRUE(log.Open().ok());
  log.Write(LogStream::kStdout, "half", kTime);
  log.EndLine(LogStream::kStdout, kTime, /*line_ends=*/true);
  log.Write(LogStream::kStdout, "rest", kTime);
  log.EndLine(LogStream::kStdout, kTime, /*line_ends=*/false);
  log.Flush();
  EXPECT_EQ(Read("current"),
            "2026-01-02T03:04:05.123456789Z stdout F half\n"
            "2026-01-02T03:04:05.123456789Z stdout P rest\n");
}

TEST_F(LogWriterTest, FilesTurnOverAtWholeEntriesAndTheOldestGoes) {
  LogWriter log(Options(/*max_size=*/200));
  ASSERT_TRUE(log.Open().ok());
  for (int i = 0; i < 100; ++i) {
    log.Write(LogStream::kStdout, "line " + std::to_string(i) + "\n", kTime);
    log.Flush();
  }
  std::string all = Read("current.2") + Read("current.1") + Read("current");
  EXPECT_FALSE(std::filesystem::exists(dir_ + "/log/current.3"));
  for (const char* file : {"current", "current.1", "current.2"}) {
    std::string content = Read(file);
    EXPECT_FALSE(content.empty());
    EXPECT_LE(content.size(), 200u) << file;
    EXPECT_EQ(content.back(), '\n') << file;
  }
  EXPECT_TRUE(all.ends_with("line 99\n"));
}

TEST_F(LogWriterTest, HalfAnEntryOfAPredecessorDoesNotSpoilTheNext) {
  std::filesystem::create_directories(dir_ + "/log");
  std::ofstream(dir_ + "/log/current") << "2026-01-02T03:04:05.123456789Z stdout F cut sho";
  LogWriter log(Options());
  ASSERT_TRUE(log.Open().ok());
  log.Write(LogStream::kStdout, "next\n", kTime);
  log.Flush();
  EXPECT_TRUE(Read("current").ends_with("cut sho\n2026-01-02T03:04:05.123456789Z stdout F next\n"));
}

}  // namespace
}  // namespace darse::shim
