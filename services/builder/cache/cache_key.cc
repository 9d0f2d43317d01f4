#include "services/builder/cache/cache_key.h"

#include "absl/strings/str_cat.h"
#include "libs/oci/digest.h"

namespace darse::builder {
namespace {

// Texts with their lengths, so that no two lists make the same bytes. Grows a number when the
// meaning of keys changes.
class KeyText {
 public:
  explicit KeyText(absl::string_view kind) { Add("darse 1").Add(kind); }
  KeyText& Add(absl::string_view text) {
    absl::StrAppend(&text_, text.size(), ":", text, "\n");
    return *this;
  }
  KeyText& Add(int64_t number) { return Add(absl::StrCat(number)); }
  KeyText& Add(const std::vector<std::string>& list) {
    Add(static_cast<int64_t>(list.size()));
    for (const std::string& one : list) Add(one);
    return *this;
  }
  std::string Digest() const { return oci::Digest::Of(text_).text(); }

 private:
  std::string text_;
};

}  // namespace

std::string RunKey(absl::string_view parent, const dockerfile::RunStep& run, int64_t clamp) {
  return KeyText("run")
      .Add(parent)
      .Add(run.args)
      .Add(run.env)
      .Add(run.user)
      .Add(run.working_dir)
      .Add(run.network)
      .Add(clamp)
      .Digest();
}

std::string CopyKey(absl::string_view parent, const dockerfile::CopyStep& copy,
                    absl::string_view source, absl::string_view content, int64_t clamp) {
  KeyText key("copy");
  key.Add(parent).Add(copy.is_add).Add(source).Add(content).Add(copy.destination);
  key.Add(copy.into_directory).Add(copy.user).Add(copy.group).Add(copy.mode).Add(clamp);
  // Which of them is a pattern or a directory decides about names at the destination.
  key.Add(copy.sources);
  for (const auto& [name, text] : copy.inline_files) key.Add(name).Add(text);
  return key.Digest();
}

std::string WorkdirKey(absl::string_view parent, const dockerfile::WorkdirStep& workdir,
                       int64_t clamp) {
  return KeyText("workdir").Add(parent).Add(workdir.path).Add(workdir.user).Add(clamp).Digest();
}

std::string FilesKey(absl::string_view chain_id, const std::vector<std::string>& paths) {
  return KeyText("files").Add(chain_id).Add(paths).Digest();
}

}  // namespace darse::builder
