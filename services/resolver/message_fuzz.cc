// Feeds packets as a container or an upstream server could send them.
#include <cstdint>
#include <cstdlib>
#include <string>

#include "services/resolver/message.h"
#include "services/resolver/names.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* bytes, size_t size) {
  using namespace darse::resolver;
  const absl::string_view packet(reinterpret_cast<const char*>(bytes), size);
  NameTable table;
  table.Put("fuzz", std::string(packet)).IgnoreError();
  absl::StatusOr<Query> query = ParseQuery(packet);
  ErrorAnswer(packet, kFormatError);
  if (!query.ok()) return 0;
  const std::string empty = EmptyAnswer(*query, packet, kNoSuchName);
  const std::string full = AddressAnswer(*query, packet, {1, 2, 3}, query->udp_size);
  // Our own answers must be answers.
  if (!Answers(empty, query->id, *query) || !Answers(full, query->id, *query)) abort();
  Answers(packet, query->id, *query);
  uint32_t address = 0;
  ParseReverseName(query->name, address);
  table.Addresses({}, query->name);
  return 0;
}
