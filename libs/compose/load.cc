#include "libs/compose/load.h"

#include <algorithm>
#include <set>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "libs/base/status_macros.h"
#include "libs/compose/dotenv.h"
#include "libs/compose/interpolate.h"
#include "libs/compose/merge.h"
#include "libs/compose/scope.h"
#include "libs/compose/service.h"
#include "libs/compose/topology.h"
#include "libs/compose/units.h"

namespace darse::compose {
namespace {

constexpr int64_t kFileLimit = 4 << 20;
constexpr char kStandardInput[] = "-";

// Looked for in this order; the second column goes over the first when both are there.
struct Candidate {
  const char* name;
  std::vector<const char*> overrides;
};
const std::vector<Candidate>& Candidates() {
  static const auto* const kCandidates = new std::vector<Candidate>{
      {"compose.yaml", {"compose.override.yaml", "compose.override.yml"}},
      {"compose.yml", {"compose.override.yaml", "compose.override.yml"}},
      {"docker-compose.yml", {"docker-compose.override.yml", "docker-compose.override.yaml"}},
      {"docker-compose.yaml", {"docker-compose.override.yml", "docker-compose.override.yaml"}},
  };
  return *kCandidates;
}

std::string Directory(absl::string_view path) {
  const size_t slash = path.rfind('/');
  return slash == 0 || slash == absl::string_view::npos ? "/" : std::string(path.substr(0, slash));
}

std::string BaseName(absl::string_view path) {
  return std::string(path.substr(path.rfind('/') + 1));
}

// Lower case, without what a project name may not hold.
std::string NameFromDirectory(absl::string_view directory) {
  std::string name;
  for (char c : BaseName(directory)) {
    c = absl::ascii_tolower(c);
    if (absl::ascii_isalnum(c) || c == '_' || c == '-') name += c;
  }
  const size_t start = name.find_first_not_of("_-");
  return start == std::string::npos ? "" : name.substr(start);
}

bool IsProjectName(absl::string_view name) {
  if (name.empty() || name.size() > 63 || name[0] == '_' || name[0] == '-') return false;
  return std::all_of(name.begin(), name.end(), [](char c) {
    return absl::ascii_islower(c) || absl::ascii_isdigit(c) || c == '_' || c == '-';
  });
}

bool IsServiceName(absl::string_view name) {
  if (name.empty() || name.size() > 63 || !absl::ascii_isalnum(name[0])) return false;
  return std::all_of(name.begin(), name.end(), [](char c) {
    return absl::ascii_isalnum(c) || c == '_' || c == '-' || c == '.';
  });
}

// One Load; one thread, used once.
class Loader {
 public:
  Loader(const LoadOptions& options, FileReader& files)
      : options_(options), files_(files), values_(errors_) {}

  absl::StatusOr<Project> Run() {
    environment_ = options_.environment;
    ASSIGN_OR_RETURN(paths_, FindFiles());
    project_dir_ = options_.project_directory.empty()
                       ? (paths_[0] == kStandardInput ? options_.working_dir : Directory(paths_[0]))
                       : Absolute(options_.project_directory);
    RETURN_IF_ERROR(ReadEnvFiles());
    ASSIGN_OR_RETURN(yaml::Node root, ReadAndMerge());
    for (const std::string& name : unset_) {
      project_.warnings.push_back(
          absl::StrCat("variable ", name, " is not set; it counts as empty"));
    }
    if (!root.IsMapping()) {
      return absl::InvalidArgumentError(
          absl::StrCat(root.position.FileAndLine(), ": must be a mapping"));
    }
    ASSIGN_OR_RETURN(std::string name, ProjectName(root));
    Decode(root, name);
    RETURN_IF_ERROR(errors_.ToStatus());
    return std::move(project_);
  }

 private:
  std::string Absolute(absl::string_view path) const {
    return AbsolutePath(path, options_.working_dir, Variable("HOME").value_or("/"));
  }

  std::optional<std::string> Variable(absl::string_view name) const {
    const auto found = environment_.find(std::string(name));
    if (found == environment_.end()) return std::nullopt;
    return found->second;
  }

  absl::StatusOr<std::vector<std::string>> FindFiles() const {
    std::vector<std::string> named = options_.files;
    if (named.empty()) {
      const std::string separator = Variable("COMPOSE_PATH_SEPARATOR").value_or(":");
      named = absl::StrSplit(Variable("COMPOSE_FILE").value_or(""), separator, absl::SkipEmpty());
    }
    std::vector<std::string> paths;
    for (const std::string& name : named)
      paths.push_back(name == kStandardInput ? name : Absolute(name));
    if (!paths.empty()) return paths;
    for (std::string directory = options_.working_dir;; directory = Directory(directory)) {
      for (const Candidate& candidate : Candidates()) {
        const std::string path =
            absl::StrCat(directory == "/" ? "" : directory, "/", candidate.name);
        if (files_.Kind(path) == FileKind::kNone) continue;
        paths.push_back(path);
        for (const char* name : candidate.overrides) {
          const std::string over = absl::StrCat(directory == "/" ? "" : directory, "/", name);
          if (paths.size() == 1 && files_.Kind(over) != FileKind::kNone) paths.push_back(over);
        }
        return paths;
      }
      if (directory == "/" || directory.empty()) break;
    }
    return absl::NotFoundError(
        absl::StrCat("no compose.yaml, compose.yml or docker-compose.yml in ", options_.working_dir,
                     " or above it"));
  }

  // The process's own variables win over those of files.
  absl::Status ReadEnvFiles() {
    std::vector<std::string> paths;
    for (const std::string& file : options_.env_files) paths.push_back(Absolute(file));
    if (paths.empty()) {
      const std::string standard = absl::StrCat(project_dir_, "/.env");
      if (files_.Kind(standard) != FileKind::kRegular) return absl::OkStatus();
      paths.push_back(standard);
    }
    std::map<std::string, std::string> from_files;
    for (const std::string& path : paths) {
      ASSIGN_OR_RETURN(std::string text, files_.Read(path, kFileLimit));
      const auto lookup = [&](absl::string_view name) -> std::optional<std::string> {
        if (std::optional<std::string> outer = Variable(name)) return outer;
        const auto found = from_files.find(std::string(name));
        if (found == from_files.end()) return std::nullopt;
        return found->second;
      };
      ASSIGN_OR_RETURN(std::vector<compose::Variable> variables, ParseDotenv(text, path, lookup));
      for (compose::Variable& variable : variables) {
        if (variable.value) from_files[variable.name] = *std::move(variable.value);
      }
    }
    environment_.insert(from_files.begin(), from_files.end());
    return absl::OkStatus();
  }

  // As the user would write it.
  std::string ShownName(absl::string_view path) const {
    const std::string below = absl::StrCat(options_.working_dir, "/");
    return std::string(absl::StartsWith(path, below) ? path.substr(below.size()) : path);
  }

  absl::StatusOr<yaml::Node> ReadAndMerge() {
    yaml::Node root;
    for (size_t i = 0; i < paths_.size(); ++i) {
      const bool is_input = paths_[i] == kStandardInput;
      absl::StatusOr<std::string> text =
          files_.Read(is_input ? "/dev/stdin" : paths_[i], kFileLimit);
      if (!text.ok()) return text.status();
      ASSIGN_OR_RETURN(yaml::Node file,
                       yaml::Parse(*text, is_input ? "stdin" : ShownName(paths_[i])));
      InterpolateAll(file, "");
      RETURN_IF_ERROR(errors_.ToStatus());
      if (i == 0) {
        root = std::move(file);
        DropTags(root);
      } else {
        MergeFiles(root, std::move(file));
      }
    }
    return root;
  }

  // Values, not keys.
  void InterpolateAll(yaml::Node& node, const std::string& path) {
    for (size_t i = 0; i < node.items.size(); ++i)
      InterpolateAll(node.items[i], absl::StrCat(path, "[", i, "]"));
    for (yaml::Entry& entry : node.entries) {
      InterpolateAll(entry.value, path.empty() ? entry.key : absl::StrCat(path, ".", entry.key));
    }
    if (!node.IsScalar() || !absl::StrContains(node.text, '$')) return;
    absl::StatusOr<std::string> text = Interpolate(
        node.text, [this](absl::string_view name) { return Variable(name); }, &unset_);
    if (!text.ok()) return errors_.Add(node.position, path, text.status().message());
    // "${X}" with X empty is an empty text, not null.
    if (text->empty()) node.plain = false;
    node.text = *std::move(text);
  }

  absl::StatusOr<std::string> ProjectName(const yaml::Node& root) const {
    std::string name = options_.project_name;
    if (name.empty()) name = Variable("COMPOSE_PROJECT_NAME").value_or("");
    const yaml::Node* own = root.Find("name");
    if (name.empty() && own != nullptr && own->IsScalar()) name = own->text;
    if (name.empty()) name = NameFromDirectory(project_dir_);
    if (IsProjectName(name)) return name;
    return absl::InvalidArgumentError(
        absl::StrCat("\"", name,
                     "\" is no project name: it must consist of a-z, 0-9, - and _, begin with a "
                     "letter or digit and have at most 63 characters; give one with -p"));
  }

  void Decode(const yaml::Node& root, const std::string& name) {
    Scope scope{.errors = errors_,
                .values = values_,
                .files = files_,
                .warnings = project_.warnings,
                .environment = environment_,
                .project = name,
                .project_dir = project_dir_,
                .home = Variable("HOME").value_or("/")};
    project_.stack.set_name(name);
    project_.stack.set_working_dir(project_dir_);
    for (const std::string& path : paths_) project_.stack.add_config_files(path);
    std::optional<At> services;
    std::optional<At> networks;
    std::optional<At> volumes;
    values_.Keys({&root, ""}, {
                                  {"name", [&](const At& at) { values_.Text(at); }},
                                  {"version",
                                   [&](const At& at) {
                                     project_.warnings.push_back(
                                         absl::StrCat(at.node->position.FileAndLine(),
                                                      ": version is obsolete and not needed"));
                                   }},
                                  {"services", [&](const At& at) { services = at; }},
                                  {"networks", [&](const At& at) { networks = at; }},
                                  {"volumes", [&](const At& at) { volumes = at; }},
                              });
    DecodeNetworks(scope, networks ? &*networks : nullptr, project_.stack);
    DecodeVolumeKeys(scope, volumes ? &*volumes : nullptr, project_.stack);
    if (!services) return errors_.Add(root.position, "", "has no services");
    if (!services->node->IsMapping()) return values_.Refuse(*services, "must be a mapping");
    DecodeServices(scope, *services);
    DropUnusedNetworks();
  }

  void DecodeServices(Scope& scope, const At& at) {
    const std::set<std::string> active = ActiveServices(at);
    for (const yaml::Entry& entry : at.node->entries) {
      if (absl::StartsWith(entry.key, "x-") || !active.contains(entry.key)) continue;
      if (!IsServiceName(entry.key)) {
        errors_.Add(entry.position, at.path,
                    absl::StrCat("\"", entry.key,
                                 "\" is no service name: letters, digits, - _ and . only"));
        continue;
      }
      DecodeService(scope, at.Key(entry), entry.key, project_);
    }
    for (const std::string& name : options_.services) {
      if (at.node->Find(name) == nullptr)
        errors_.Add(at.node->position, at.path, absl::StrCat("no service \"", name, "\""));
    }
    CheckDependencies(at, active);
  }

  static std::vector<std::string> TextsUnder(const yaml::Node& service, absl::string_view key) {
    std::vector<std::string> texts;
    const yaml::Node* list = service.Find(key);
    if (list == nullptr) return texts;
    for (const yaml::Node& item : list->items) texts.push_back(item.text);
    for (const yaml::Entry& entry : list->entries) texts.push_back(entry.key);
    return texts;
  }

  // Without profiles, with an active one, or named on the command line; what a named one needs
  // comes along.
  std::set<std::string> ActiveServices(const At& at) {
    std::set<std::string> profiles(options_.profiles.begin(), options_.profiles.end());
    for (absl::string_view word :
         absl::StrSplit(Variable("COMPOSE_PROFILES").value_or(""), ',', absl::SkipEmpty())) {
      profiles.insert(std::string(word));
    }
    std::vector<std::string> named = options_.services;
    std::set<std::string> active;
    for (const yaml::Entry& entry : at.node->entries) {
      const std::vector<std::string> own = TextsUnder(entry.value, "profiles");
      const bool chosen = own.empty() || profiles.contains("*") ||
                          std::any_of(own.begin(), own.end(), [&](const std::string& profile) {
                            return profiles.contains(profile);
                          });
      if (chosen) active.insert(entry.key);
    }
    while (!named.empty()) {
      const std::string name = named.back();
      named.pop_back();
      const yaml::Node* service = at.node->Find(name);
      if (service == nullptr || !active.insert(name).second) continue;
      for (std::string& needed : TextsUnder(*service, "depends_on"))
        named.push_back(std::move(needed));
    }
    return active;
  }

  void CheckDependencies(const At& at, const std::set<std::string>& active) {
    for (const scheduler::v1::ServiceSpec& service : project_.stack.services()) {
      const yaml::Node* node = at.node->Find(service.name());
      for (const scheduler::v1::Dependency& dependency : service.depends_on()) {
        if (active.contains(dependency.service()) || !dependency.required()) continue;
        const bool is_off = at.node->Find(dependency.service()) != nullptr;
        const yaml::Node* where =
            node->Find("depends_on") != nullptr ? node->Find("depends_on") : node;
        errors_.Add(where->position, absl::StrCat("services.", service.name(), ".depends_on"),
                    absl::StrCat("service \"", dependency.service(), "\" ",
                                 is_off ? "is in no active profile" : "is not there"));
      }
    }
  }

  // A stack makes only the networks that its services use.
  void DropUnusedNetworks() {
    std::set<std::string> used;
    for (const scheduler::v1::ServiceSpec& service : project_.stack.services()) {
      for (const auto& attachment : service.container().networks())
        used.insert(attachment.network());
    }
    auto* networks = project_.stack.mutable_networks();
    networks->erase(std::remove_if(networks->begin(), networks->end(),
                                   [&](const scheduler::v1::NetworkSpec& network) {
                                     return !used.contains(network.name());
                                   }),
                    networks->end());
  }

  const LoadOptions& options_;
  FileReader& files_;
  Errors errors_;
  Values values_;
  Project project_;
  std::map<std::string, std::string> environment_;
  std::vector<std::string> paths_;
  std::string project_dir_;
  std::set<std::string> unset_;
};

}  // namespace

absl::StatusOr<Project> Load(const LoadOptions& options, FileReader& files) {
  return Loader(options, files).Run();
}

}  // namespace darse::compose
