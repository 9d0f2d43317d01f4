// Appends to `<state>/exits` (exit_record.h).
#pragma once

#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "libs/base/unique_fd.h"
#include "services/shim/exit_record.h"

namespace darse::shim {

// One thread only.
class ExitJournalFile {
 public:
  // Continues where a predecessor stopped; a torn last line is cut off. `durable`: records are to
  // survive a power cut, and not only us.
  absl::Status Open(const std::string& path, bool durable);
  // The name must survive a power cut as well as the records: Append sees to it, unless this was
  // called before, when nobody waited.
  absl::Status MakeNameDurable();
  // Numbers the record. On return it is safe, or it is an error and nobody may be told.
  absl::Status Append(ExitRecord& record);
  uint64_t last_sequence() const { return last_sequence_; }

 private:
  UniqueFd file_;
  std::string path_;
  bool durable_ = true;
  bool name_is_durable_ = false;
  uint64_t last_sequence_ = 0;
};

}  // namespace darse::shim
