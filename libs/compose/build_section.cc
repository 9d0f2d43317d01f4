#include "libs/compose/build_section.h"

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "libs/compose/units.h"

namespace darse::compose {
namespace {

constexpr int64_t kDockerfileLimit = 4 << 20;

bool IsRemote(absl::string_view context) {
  return absl::StrContains(context, "://") || absl::StartsWith(context, "git@");
}

void DecodeContext(Scope& scope, const At& at, BuildInput& input) {
  const std::string context = scope.values.Text(at).value_or("");
  if (IsRemote(context)) return scope.values.Refuse(at, "a context elsewhere: not supported yet");
  input.context_dir = AbsolutePath(context, scope.project_dir, scope.home);
  if (scope.files.Kind(input.context_dir) != FileKind::kDirectory) {
    scope.values.Refuse(at, absl::StrCat("no directory ", input.context_dir));
  }
}

// A Dockerfile outside the context travels as text.
void PlaceDockerfile(Scope& scope, const At& at, darse::builder::v1::BuildSpec& build,
                     BuildInput& input) {
  const std::string name = build.dockerfile().empty() ? "Dockerfile" : build.dockerfile();
  const std::string path = AbsolutePath(name, input.context_dir, scope.home);
  const std::string inside = absl::StrCat(input.context_dir, "/");
  if (absl::StartsWith(path, inside)) {
    build.set_dockerfile(path.substr(inside.size()));
    input.dockerfile = build.dockerfile();
    if (scope.files.Kind(path) != FileKind::kRegular)
      scope.values.Refuse(at, absl::StrCat("no file ", path));
    return;
  }
  input.dockerfile = path;
  absl::StatusOr<std::string> text = scope.files.Read(path, kDockerfileLimit);
  if (!text.ok()) return scope.values.Refuse(at, text.status().message());
  build.set_dockerfile_text(*std::move(text));
}

}  // namespace

void DecodeBuild(Scope& scope, const At& at, scheduler::v1::ServiceSpec& service,
                 BuildInput& input) {
  darse::builder::v1::BuildSpec& build = *service.mutable_build();
  if (at.node->IsScalar()) {
    DecodeContext(scope, at, input);
    return PlaceDockerfile(scope, at, build, input);
  }
  bool inline_text = false;
  scope.values.Keys(
      at,
      {
          {"context", [&](const At& value) { DecodeContext(scope, value, input); }},
          {"dockerfile",
           [&](const At& value) { build.set_dockerfile(scope.values.Text(value).value_or("")); }},
          {"dockerfile_inline",
           [&](const At& value) {
             build.set_dockerfile_text(scope.values.Text(value).value_or(""));
             inline_text = true;
           }},
          {"target",
           [&](const At& value) { build.set_target(scope.values.Text(value).value_or("")); }},
          {"no_cache",
           [&](const At& value) { build.set_no_cache(scope.values.Bool(value).value_or(false)); }},
          {"tags",
           [&](const At& value) {
             for (std::string& tag : scope.values.Texts(value)) build.add_tags(std::move(tag));
           }},
          {"args",
           [&](const At& value) {
             for (const Pair& pair : scope.values.Pairs(value)) {
               // A name alone: from the environment, and the Dockerfile's default where it is not
               // set.
               const auto outer = scope.environment.find(pair.key);
               if (!pair.value && outer == scope.environment.end()) continue;
               (*build.mutable_build_args())[pair.key] = pair.value ? *pair.value : outer->second;
             }
           }},
          {"labels",
           [&](const At& value) {
             for (const Pair& pair : scope.values.Pairs(value)) {
               (*build.mutable_labels())[pair.key] = pair.value.value_or("");
             }
           }},
          {"network",
           [&](const At& value) {
             const std::string network = scope.values.Text(value).value_or("");
             if (network == "none" || network == "host") {
               build.set_network(network);
             } else if (network != "default" && network != "bridge") {
               scope.values.Refuse(value, absl::StrCat("\"", network, "\": not supported yet"));
             }
           }},
      });
  if (inline_text) {
    if (!build.dockerfile().empty())
      scope.values.Refuse(at, "dockerfile and dockerfile_inline exclude each other");
    return;
  }
  if (input.context_dir.empty()) input.context_dir = scope.project_dir;
  PlaceDockerfile(scope, at, build, input);
}

}  // namespace darse::compose
