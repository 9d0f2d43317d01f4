// top: the live view of all containers; `top CONTAINER` lists the processes of one.
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

#include <string>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "libs/base/status_macros.h"
#include "tools/darse/cli/arguments.h"
#include "tools/darse/container/processes.h"
#include "tools/darse/session/session.h"
#include "tools/darse/session/signals.h"
#include "tools/darse/top/frame_source.h"
#include "tools/darse/top/top_view.h"
#include "tools/darse/verbs.h"

namespace darse::client {
namespace {

// The other screen, without cursor, keys unbuffered; all put back when it goes, however the program
// goes on.
class FullScreen {
 public:
  FullScreen() {
    tcgetattr(STDIN_FILENO, &before_);
    termios raw = before_;
    raw.c_lflag &= ~static_cast<tcflag_t>(ICANON | ECHO | ISIG);
    raw.c_cc[VMIN] = 0;
    raw.c_cc[VTIME] = 0;
    tcsetattr(STDIN_FILENO, TCSANOW, &raw);
    Put("\x1b[?1049h\x1b[?25l");
  }
  ~FullScreen() {
    Put("\x1b[?25h\x1b[?1049l");
    tcsetattr(STDIN_FILENO, TCSANOW, &before_);
  }

  static void Put(const std::string& text) {
    fwrite(text.data(), 1, text.size(), stdout);
    fflush(stdout);
  }

 private:
  termios before_ = {};
};

TopScreen ScreenNow() {
  TopScreen screen{.columns = 80, .rows = 24, .styled = true};
  winsize size = {};
  if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0) {
    screen.columns = size.ws_col;
    screen.rows = size.ws_row;
  }
  return screen;
}

void Draw(const ShownFrame& shown, TopState& state) {
  const TopScreen screen = ScreenNow();
  std::string text = "\x1b[H";
  const std::vector<std::string> lines = TopLines(shown.frame, shown.notice, screen, state);
  for (size_t i = 0; i < lines.size(); ++i) {
    absl::StrAppend(&text, lines[i], "\x1b[K", i + 1 < lines.size() ? "\r\n" : "");
  }
  FullScreen::Put(text + "\x1b[J");
}

SortBy SortFrom(const std::string& name) {
  if (name == "mem") return SortBy::kMemory;
  if (name == "net") return SortBy::kNetwork;
  if (name == "io") return SortBy::kBlockIo;
  if (name == "pids") return SortBy::kPids;
  if (name == "name") return SortBy::kName;
  return SortBy::kCpu;
}

absl::StatusOr<int> ShowOnce(Session& session, TopState state) {
  ASSIGN_OR_RETURN(ShownFrame shown, ReadFrame(session));
  int columns = 140;
  if (session.output_is_terminal()) columns = ScreenNow().columns;
  if (const char* asked = getenv("COLUMNS"); asked != nullptr) {
    if (int value; absl::SimpleAtoi(asked, &value) && value > 20) columns = value;
  }
  for (const std::string& line : TopLines(shown.frame, shown.notice, {.columns = columns}, state)) {
    session.Print(line + "\n");
  }
  return kOk;
}

absl::StatusOr<int> ShowLive(Session& session, TopState state) {
  // Before the screen changes: an error then is an ordinary line.
  ASSIGN_OR_RETURN(ShownFrame shown, ReadFrame(session));
  CaughtSignals signals({SIGINT, SIGTERM, SIGHUP, SIGWINCH});
  FrameSource source(session);
  FullScreen screen;
  absl::Status broken;
  Draw(shown, state);
  while (!state.quit) {
    pollfd fds[3] = {
        {STDIN_FILENO, POLLIN, 0}, {source.fd(), POLLIN, 0}, {signals.fd(), POLLIN, 0}};
    if (poll(fds, 3, -1) < 0 && errno != EINTR) break;
    while (int number = signals.Next()) {
      if (number != SIGWINCH) return 128 + number;
    }
    if (fds[0].revents != 0) {
      char keys[64];
      const ssize_t got = read(STDIN_FILENO, keys, sizeof keys);
      // The terminal is gone.
      if (got <= 0 && (fds[0].revents & (POLLHUP | POLLERR)) != 0) return kOk;
      if (got > 0) TakeKeys(absl::string_view(keys, got), shown.frame.containers_size(), state);
    }
    if (fds[1].revents != 0) {
      absl::StatusOr<ShownFrame> next = source.Take();
      if (next.ok() && !state.paused) {
        shown = *std::move(next);
      } else if (!next.ok()) {
        shown.notice =
            absl::StrCat("neither metrics nor the runtime answers; the figures are old: ",
                         next.status().message());
      }
    }
    Draw(shown, state);
  }
  return kOk;
}

absl::StatusOr<int> Run(Session& session, const Arguments& arguments) {
  const std::string format = arguments.Text("format");
  if (!arguments.positional().empty()) {
    return ShowProcesses(session, arguments.At(0), format);
  }
  if (!format.empty())
    return UsageError("--format is for `darse top CONTAINER`; try `darse stats`");
  TopState state;
  state.sort = SortFrom(arguments.Text("sort"));
  const bool live = session.output_is_terminal() && isatty(STDIN_FILENO) && !arguments.On("once");
  return live ? ShowLive(session, state) : ShowOnce(session, state);
}

}  // namespace

const Verb& TopVerb() {
  static const Verb* const kVerb = new Verb{
      .name = "top",
      .summary = "live view of the host and all containers; with one, its processes",
      .arguments = "[CONTAINER]",
      .max_arguments = 1,
      .flags = {{"once", 0, Flag::kSwitch, "", "one frame as text (always so in a pipe)"},
                {"sort", 0, Flag::kText, "BY", "order at first", "cpu|mem|net|io|pids|name"},
                kFormatFlag},
      .examples = "darse top\ndarse top --once --sort mem\ndarse top web   # its processes\n",
      .text =
          "Keys: c cpu, m memory, n network, i block I/O, p processes, a name; again or r: "
          "reversed;\n"
          "arrows move, space pauses, q quits. While metrics is missing the runtime's figures are "
          "shown.",
      .completes = "@container",
      .aliases = {"container top"},
      .run = Run,
  };
  return *kVerb;
}

}  // namespace darse::client
