// "sha256:" and 64 lowercase hex digits: the name of a blob, a layer, an image.
#pragma once

#include <string>
#include <utility>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace darse::oci {

class Digest {
 public:
  // INVALID_ARGUMENT unless `text` is "sha256:" + 64 lowercase hex digits.
  static absl::StatusOr<Digest> Parse(absl::string_view text);
  // Of these bytes.
  static Digest Of(absl::string_view bytes);
  // From the 32 bytes that a hash function ends with.
  static Digest FromRaw(absl::string_view raw32);

  const std::string& text() const { return text_; }
  // Without "sha256:".
  absl::string_view hex() const { return absl::string_view(text_).substr(7); }

  friend bool operator==(const Digest&, const Digest&) = default;
  friend auto operator<=>(const Digest&, const Digest&) = default;
  template <typename H>
  friend H AbslHashValue(H state, const Digest& digest) {
    return H::combine(std::move(state), digest.text_);
  }

 private:
  explicit Digest(std::string text) : text_(std::move(text)) {}
  std::string text_;
};

// Hashes bytes as they come. One thread at a time.
class DigestStream {
 public:
  DigestStream();
  DigestStream(DigestStream&& other) noexcept;
  DigestStream& operator=(DigestStream&& other) noexcept;
  ~DigestStream();
  void Update(absl::string_view bytes);
  // May be called once, at the end.
  Digest Finish();

 private:
  void* context_;
};

}  // namespace darse::oci
