// What a build shows: plain lines in a pipe; on a terminal the steps that run are redrawn in place.
// Pure: takes events, gives text.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "darse/builder/v1/build_service.pb.h"

namespace darse::client {

class BuildView {
 public:
  struct Options {
    // Redraws; otherwise every line is written once.
    bool terminal = false;
    size_t width = 80;
  };
  explicit BuildView(Options options) : options_(options) {}

  // What to write now.
  std::string Take(const darse::builder::v1::BuildEvent& event, absl::Time now);
  // On a terminal: the running steps again, with newer times.
  std::string Redraw(absl::Time now);
  // The live lines are wiped.
  std::string End();
  // The last state that came.
  const darse::builder::v1::Build& build() const { return build_; }

 private:
  struct Step {
    std::string name;
    absl::Time started;
    // Output without its last newline yet.
    std::string open_line;
    // The newest output line; and, for the error, the last few.
    std::vector<std::string> tail;
  };
  std::string Wipe();
  std::string Draw(absl::Time now);
  std::string TakeOutput(int step, absl::string_view text);

  const Options options_;
  std::map<int, Step> running_;
  darse::builder::v1::Build build_;
  std::string waiting_;
  size_t drawn_lines_ = 0;
};

}  // namespace darse::client
