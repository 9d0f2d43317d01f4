#include <cstddef>
#include <cstdint>

#include "libs/yaml/node.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* bytes, size_t size) {
  (void)darse::yaml::Parse(absl::string_view(reinterpret_cast<const char*>(bytes), size),
                           "fuzz.yaml");
  return 0;
}
