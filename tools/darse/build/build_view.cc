#include "tools/darse/build/build_view.h"

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "tools/darse/output/units.h"
#include "tools/darse/session/proto_time.h"

namespace darse::client {
namespace {

using namespace darse::builder::v1;  // NOLINT: message names only

constexpr size_t kTailLines = 20;

std::string Seconds(absl::Duration duration) {
  return absl::StrFormat("%.1fs", absl::ToDoubleSeconds(duration));
}

}  // namespace

std::string BuildView::Wipe() {
  std::string out;
  for (; drawn_lines_ > 0; --drawn_lines_) out += "\x1b[1A\x1b[2K";
  return out;
}

std::string BuildView::Draw(absl::Time now) {
  if (!options_.terminal) return "";
  std::string out;
  auto line = [&](absl::string_view text) {
    absl::StrAppend(&out, Shorten(text, options_.width - 1), "\n");
    ++drawn_lines_;
  };
  for (const auto& [number, step] : running_) {
    line(absl::StrCat("=> ", step.name, "  ", Seconds(now - step.started)));
    if (!step.tail.empty()) line(absl::StrCat("   | ", step.tail.back()));
  }
  if (!waiting_.empty()) line(absl::StrCat("… ", waiting_));
  return out;
}

std::string BuildView::TakeOutput(int number, absl::string_view text) {
  Step& step = running_[number];
  step.open_line.append(text.data(), text.size());
  std::string out;
  for (size_t end; (end = step.open_line.find('\n')) != std::string::npos;) {
    std::string line = step.open_line.substr(0, end);
    step.open_line.erase(0, end + 1);
    // Of progress bars inside only the last state counts.
    if (!line.empty() && line.back() == '\r') line.pop_back();
    if (size_t back = line.rfind('\r'); back != std::string::npos) line.erase(0, back + 1);
    if (!options_.terminal) absl::StrAppend(&out, "#", number, " ", line, "\n");
    step.tail.push_back(std::move(line));
    if (step.tail.size() > kTailLines) step.tail.erase(step.tail.begin());
  }
  return out;
}

std::string BuildView::Take(const BuildEvent& event, absl::Time now) {
  std::string out;
  switch (event.event_case()) {
    case BuildEvent::kStepStarted: {
      Step& step = running_[event.step_started().step()];
      step.name = event.step_started().name();
      step.started = ToTime(event.time());
      if (!options_.terminal) {
        absl::StrAppend(&out, "#", event.step_started().step(), " ", step.name, "\n");
      }
      break;
    }
    case BuildEvent::kStepFinished: {
      const BuildEvent::StepFinished& finished = event.step_finished();
      const int number = finished.step();
      if (!running_[number].open_line.empty()) absl::StrAppend(&out, TakeOutput(number, "\n"));
      const Step step = running_[number];
      running_.erase(number);
      const std::string how = !finished.error().empty() ? absl::StrCat("ERROR: ", finished.error())
                              : finished.cached()       ? "CACHED"
                                                  : Seconds(ToTime(event.time()) - step.started);
      if (!options_.terminal) {
        const bool done = finished.error().empty() && !finished.cached();
        absl::StrAppend(&out, "#", number, done ? " DONE " : " ", how, "\n");
        break;
      }
      absl::StrAppend(&out, finished.error().empty() ? "✓ " : "✗ ", step.name, "  ", how, "\n");
      if (!finished.error().empty()) {
        for (const std::string& line : step.tail) absl::StrAppend(&out, "   | ", line, "\n");
      }
      break;
    }
    case BuildEvent::kOutput:
      out = TakeOutput(event.output().step(), event.output().text());
      break;
    case BuildEvent::kBuild:
      build_ = event.build();
      waiting_ = build_.state() == BUILD_STATE_WAITING ? build_.waiting_for() : "";
      if (!waiting_.empty() && !options_.terminal) absl::StrAppend(&out, waiting_, "\n");
      break;
    case BuildEvent::kWarning:
      absl::StrAppend(&out, "warning: ", event.warning(), "\n");
      break;
    default:
      break;
  }
  if (!options_.terminal) return out;
  const std::string wiped = Wipe();
  return absl::StrCat(wiped, out, Draw(now));
}

std::string BuildView::Redraw(absl::Time now) {
  if (!options_.terminal || (running_.empty() && waiting_.empty())) return "";
  const std::string wiped = Wipe();
  return absl::StrCat(wiped, Draw(now));
}

std::string BuildView::End() {
  running_.clear();
  waiting_.clear();
  return options_.terminal ? Wipe() : "";
}

}  // namespace darse::client
