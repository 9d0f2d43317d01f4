// Hostile manifests, indexes, configs and references: an answer or a status, never a crash. What
// parses is written and must parse again.
#include <cstddef>
#include <cstdint>
#include <cstdlib>

#include "libs/oci/image_config.h"
#include "libs/oci/manifest.h"
#include "libs/oci/reference.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace darse::oci;
  absl::string_view text(reinterpret_cast<const char*>(data), size);
  ParseImageConfig(text).status().IgnoreError();
  if (absl::StatusOr<Manifest> manifest = ParseManifest(text); manifest.ok()) {
    if (!ParseManifest(MakeManifest(*manifest)).ok()) abort();
  }
  if (absl::StatusOr<Index> index = ParseIndex(text); index.ok()) {
    if (!ParseIndex(MakeIndex(*index)).ok()) abort();
  }
  if (auto images = ParseSavedImages(text); images.ok()) {
    if (!ParseSavedImages(MakeSavedImages(*images)).ok()) abort();
  }
  if (absl::StatusOr<Reference> reference = Reference::Parse(text); reference.ok()) {
    absl::StatusOr<Reference> again = Reference::Parse(reference->Full());
    if (!again.ok() || !(*again == *reference)) abort();
  }
  return 0;
}
