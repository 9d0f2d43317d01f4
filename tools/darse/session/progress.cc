#include "tools/darse/session/progress.h"

#include <stdio.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "tools/darse/output/units.h"

namespace darse::client {
namespace {

constexpr int64_t kBarWidth = 24;

size_t TerminalWidth() {
  winsize size = {};
  if (ioctl(STDERR_FILENO, TIOCGWINSZ, &size) != 0 || size.ws_col < 20) return 80;
  return size.ws_col;
}

}  // namespace

void ProgressLine::Show(absl::string_view text) {
  const absl::Time now = absl::Now();
  if (!enabled_ || now - last_ < absl::Milliseconds(100)) return;
  last_ = now;
  shown_ = true;
  const std::string line = absl::StrCat("\r\x1b[K", Shorten(text, TerminalWidth() - 1));
  fwrite(line.data(), 1, line.size(), stderr);
}

void ProgressLine::ShowBytes(absl::string_view what, int64_t done, int64_t total) {
  if (total <= 0) return Show(absl::StrCat(what, " ", DecimalSize(done)));
  const int64_t filled = std::min(kBarWidth, kBarWidth * done / total);
  Show(absl::StrCat(what, " [", std::string(filled, '='), std::string(kBarWidth - filled, ' '),
                    "] ", DecimalSize(done), " of ", DecimalSize(total)));
}

void ProgressLine::Clear() {
  if (!shown_) return;
  fputs("\r\x1b[K", stderr);
  shown_ = false;
}

}  // namespace darse::client
