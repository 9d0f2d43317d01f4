// Log lines as `logs` prints them. Pure.
#pragma once

#include <string>

#include "absl/strings/string_view.h"
#include "darse/runtime/v1/container_service.pb.h"

namespace darse::client {

struct LogFormat {
  bool timestamps = false;
  // "web-1" before each line, padded to `name_width`; empty: none.
  std::string name;
  size_t name_width = 0;
  // ANSI colour of the name, 0: none.
  int color = 0;
};

// Puts the parts of long lines together again: a prefix stands only where a line begins. One a
// stream of lines.
class LogPrinter {
 public:
  explicit LogPrinter(LogFormat format) : format_(std::move(format)) {}
  // What goes to standard output or error for this line, with its newline if it ends here.
  std::string Text(const darse::runtime::v1::LogLine& line);

 private:
  const LogFormat format_;
  // By stream: the line before goes on.
  bool goes_on_[3] = {false, false, false};
};

}  // namespace darse::client
