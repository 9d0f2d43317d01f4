// What darse-unpack tells the runtime, over descriptor 4: one line an item, fields between tabs,
// each C-escaped.
//
//   darse-unpack layer      stdin: a layer's tar, compressed or not
//   darse-unpack archive    stdin: a `docker save` archive or a tar of an OCI layout, compressed or
//   not darse-unpack files [--prefix=DIR] [--uid=N] [--gid=N] [--mode=OCTAL] [--decompress]
//                           stdin: a tar; its files go below DIR
//
// Descriptor 3 is the directory to fill, which becomes the child's root. `layer` and `archive` fill
// it with
//   <n>            a small member (a manifest, a config)
//   <n>/fs         an unpacked layer
//   <n>/recipe     how to write its tar again
//   <n>/orphans    what later members of that tar replaced
//
// All fields come from a process that parsed a stranger's bytes: names are only compared, never
// opened.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "libs/oci/digest.h"

namespace darse::runtime {

struct UnpackedLayer {
  // <n>
  int number = 0;
  oci::Digest diff_id;
  // Of the bytes as they came.
  oci::Digest stored_digest;
  // Of the files' contents.
  int64_t bytes = 0;
  // Paths in fs/ that hide what is below them.
  std::vector<std::string> opaque;
};

struct UnpackReport {
  // By member name; "" in a report on one layer.
  std::map<std::string, UnpackedLayer> layers;
  std::map<std::string, int> blobs;
  // Member that is only another name → the member it names.
  std::map<std::string, std::string> links;
};

// What the child writes.
std::string BlobLine(absl::string_view name, int number);
std::string LayerLine(absl::string_view name, const UnpackedLayer& layer);
std::string LinkLine(absl::string_view name, absl::string_view target);
std::string EndLine(const absl::Status& status);

// What the parent reads: the child's own error, or INTERNAL if the lines make no sense or have no
// end.
absl::StatusOr<UnpackReport> ParseReport(absl::string_view lines);

}  // namespace darse::runtime
