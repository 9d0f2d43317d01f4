#include "libs/oci/digest.h"

#include <openssl/evp.h>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"

namespace darse::oci {
namespace {

constexpr absl::string_view kPrefix = "sha256:";

EVP_MD_CTX* Context(void* context) { return static_cast<EVP_MD_CTX*>(context); }

}  // namespace

absl::StatusOr<Digest> Digest::Parse(absl::string_view text) {
  bool good = absl::StartsWith(text, kPrefix) && text.size() == kPrefix.size() + 64;
  for (size_t i = kPrefix.size(); good && i < text.size(); ++i) {
    good = absl::ascii_isdigit(text[i]) || (text[i] >= 'a' && text[i] <= 'f');
  }
  if (!good) {
    return absl::InvalidArgumentError(absl::StrCat(
        "digest \"", absl::CHexEscape(text.substr(0, 100)), "\": not sha256: and 64 hex digits"));
  }
  return Digest(std::string(text));
}

Digest Digest::Of(absl::string_view bytes) {
  DigestStream stream;
  stream.Update(bytes);
  return stream.Finish();
}

Digest Digest::FromRaw(absl::string_view raw32) {
  return Digest(absl::StrCat(kPrefix, absl::BytesToHexString(raw32)));
}

DigestStream::DigestStream() : context_(EVP_MD_CTX_new()) {
  EVP_DigestInit_ex(Context(context_), EVP_sha256(), nullptr);
}

DigestStream::DigestStream(DigestStream&& other) noexcept
    : context_(std::exchange(other.context_, nullptr)) {}

DigestStream& DigestStream::operator=(DigestStream&& other) noexcept {
  std::swap(context_, other.context_);
  return *this;
}

DigestStream::~DigestStream() { EVP_MD_CTX_free(Context(context_)); }

void DigestStream::Update(absl::string_view bytes) {
  EVP_DigestUpdate(Context(context_), bytes.data(), bytes.size());
}

Digest DigestStream::Finish() {
  unsigned char raw[32];
  EVP_DigestFinal_ex(Context(context_), raw, nullptr);
  return Digest::FromRaw(absl::string_view(reinterpret_cast<char*>(raw), sizeof raw));
}

}  // namespace darse::oci
