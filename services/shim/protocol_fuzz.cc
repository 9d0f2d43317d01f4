// What the runtime and a shim read from each other and from files: requests, messages, shim.json
// and the exit journal. An answer or a status, never a crash; what was read is written so that it
// can be read again.
#include <cstddef>
#include <cstdint>
#include <cstdlib>

#include "services/shim/exit_record.h"
#include "services/shim/protocol.h"
#include "services/shim/shim_config.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace darse::shim;
  absl::string_view text(reinterpret_cast<const char*>(data), size);
  if (absl::StatusOr<Request> request = DecodeRequest(text); request.ok()) {
    absl::StatusOr<Request> again = DecodeRequest(EncodeRequest(*request));
    if (!again.ok() || !(*again == *request)) abort();
  }
  if (absl::StatusOr<Message> message = DecodeMessage(text); message.ok()) {
    absl::StatusOr<Message> again = DecodeMessage(EncodeMessage(*message));
    if (!again.ok() || !(*again == *message)) abort();
  }
  if (absl::StatusOr<ShimConfig> config = DecodeShimConfig(text); config.ok()) {
    absl::StatusOr<ShimConfig> again = DecodeShimConfig(EncodeShimConfig(*config));
    if (!again.ok() || !(*again == *config)) abort();
  }
  if (absl::StatusOr<ExitJournal> journal = DecodeExitJournal(text); journal.ok()) {
    if (journal->complete_bytes > size) abort();
    std::string written;
    for (const ExitRecord& record : journal->records) written += EncodeExitRecord(record);
    absl::StatusOr<ExitJournal> again = DecodeExitJournal(written);
    if (!again.ok() || !(again->records == journal->records)) abort();
  }
  return 0;
}
