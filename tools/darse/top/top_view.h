// One screen of `darse top`: a frame and what the user chose, as lines of text. Pure.
#pragma once

#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "darse/metrics/v1/metrics_service.pb.h"

namespace darse::client {

enum class SortBy { kCpu, kMemory, kNetwork, kBlockIo, kPids, kName };

struct TopState {
  SortBy sort = SortBy::kCpu;
  bool reverse = false;
  // Index of the marked row, and of the first shown.
  int selected = 0;
  int scroll = 0;
  bool quit = false;
  bool paused = false;
};

struct TopScreen {
  int columns = 80;
  // 0: as many as there are containers.
  int rows = 0;
  // With colours and a marked row.
  bool styled = false;
};

// What a key does: c m n i p a sort, r reverses, arrows and j k move, space pauses, q and Ctrl-C
// quit. `keys` are bytes as a raw terminal sends them.
void TakeKeys(absl::string_view keys, int container_count, TopState& state);

// Rows in the order shown.
std::vector<darse::metrics::v1::ContainerSample> Sorted(const darse::metrics::v1::Frame& frame,
                                                        const TopState& state);

// `notice` is a line of its own; empty: none. Moves state.scroll so that the marked row is visible.
std::vector<std::string> TopLines(const darse::metrics::v1::Frame& frame, absl::string_view notice,
                                  const TopScreen& screen, TopState& state);

// "[|||||     ]"
std::string Bar(double percent, int width);

}  // namespace darse::client
