// A line on standard error that is drawn again and again while something lasts; nothing where
// standard error is no terminal.
#pragma once

#include <string>

#include "absl/strings/string_view.h"
#include "absl/time/time.h"

namespace darse::client {

class ProgressLine {
 public:
  explicit ProgressLine(bool enabled) : enabled_(enabled) {}
  ~ProgressLine() { Clear(); }

  // At most ten times a second.
  void Show(absl::string_view text);
  // "loading [=====>    ] 120MB of 500MB"; without a bar where `total` is 0.
  void ShowBytes(absl::string_view what, int64_t done, int64_t total);
  void Clear();

 private:
  const bool enabled_;
  bool shown_ = false;
  absl::Time last_ = absl::InfinitePast();
};

}  // namespace darse::client
