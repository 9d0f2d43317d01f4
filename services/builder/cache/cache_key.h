// What a step's outcome depends on, as a digest: same key, same files. Metadata (CMD, LABEL, …) is
// no part of it.
#pragma once

#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "libs/dockerfile/step.h"

namespace darse::builder {

// `parent` is the chain id that the step works on; `clamp` the time that files are clamped to.
std::string RunKey(absl::string_view parent, const dockerfile::RunStep& run, int64_t clamp);
// `content` is a digest over all files that are read; `source` tells kinds of sources apart
// ("context", "stage").
std::string CopyKey(absl::string_view parent, const dockerfile::CopyStep& copy,
                    absl::string_view source, absl::string_view content, int64_t clamp);
std::string WorkdirKey(absl::string_view parent, const dockerfile::WorkdirStep& workdir,
                       int64_t clamp);
// Of DigestFiles(chain_id, paths).
std::string FilesKey(absl::string_view chain_id, const std::vector<std::string>& paths);

}  // namespace darse::builder
