// The name of an image, in Docker's grammar, brought to its full form:
//   debian            docker.io/library/debian:latest
//   me/web:2          docker.io/me/web:2
//   localhost:5000/x  localhost:5000/x:latest
//   a/b@sha256:…      docker.io/a/b@sha256:…
#pragma once

#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "libs/oci/digest.h"

namespace darse::oci {

struct Reference {
  // INVALID_ARGUMENT for what Docker refuses too: an upper case repository, an empty part, a tag
  // over 128 characters, 64 hex digits (they would look like an id).
  static absl::StatusOr<Reference> Parse(absl::string_view text);

  // "docker.io", "localhost:5000".
  std::string registry;
  // "library/debian".
  std::string repository;
  // Empty only beside a digest.
  std::string tag;
  std::optional<Digest> digest;

  // "docker.io/library/debian:bookworm".
  std::string Full() const;
  // As people write it: without docker.io/ and library/.
  std::string Familiar() const;

  friend bool operator==(const Reference&, const Reference&) = default;
};

}  // namespace darse::oci
