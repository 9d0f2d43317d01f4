// A compose file, or several after one another when split at zero bytes: compose.yaml, then
// overrides, then .env.
#include <cstddef>
#include <cstdint>

#include "absl/strings/str_split.h"
#include "libs/compose/load.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* bytes, size_t size) {
  const std::vector<std::string> parts =
      absl::StrSplit(absl::string_view(reinterpret_cast<const char*>(bytes), size), '\0');
  darse::compose::FakeFileReader files;
  files.files["/p/compose.yaml"] = parts[0];
  if (parts.size() > 1) files.files["/p/compose.override.yaml"] = parts[1];
  if (parts.size() > 2) files.files["/p/.env"] = parts[2];
  files.files["/p/Dockerfile"] = "FROM scratch\n";
  (void)darse::compose::Load({.working_dir = "/p", .environment = {{"HOME", "/h"}, {"A", "1"}}},
                             files);
  return 0;
}
