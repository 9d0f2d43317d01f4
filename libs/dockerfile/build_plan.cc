#include "libs/dockerfile/build_plan.h"

#include <algorithm>
#include <set>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "libs/base/status_macros.h"
#include "libs/dockerfile/expand.h"

namespace darse::dockerfile {
namespace {

std::string PlatformText(const Platform& platform) {
  std::string text = absl::StrCat(platform.os, "/", platform.architecture);
  if (!platform.variant.empty()) absl::StrAppend(&text, "/", platform.variant);
  return text;
}

// A build argument that no ARG asks for is a typing error most of the time.
void WarnOfUnusedArgs(const Dockerfile& dockerfile, const PlanOptions& options, BuildPlan& plan) {
  std::set<std::string> declared;
  auto declare = [&](const Instruction& instruction) {
    const Arg* arg = std::get_if<Arg>(&instruction.value);
    if (arg == nullptr) return;
    for (const auto& [name, value] : arg->variables) declared.insert(name);
  };
  for (const Instruction& instruction : dockerfile.global_args) declare(instruction);
  for (const Stage& stage : dockerfile.stages) {
    for (const Instruction& instruction : stage.instructions) declare(instruction);
  }
  std::vector<std::string> unused;
  for (const auto& [name, value] : options.build_args) {
    if (!declared.contains(name) && !IsProxyArg(name) && name != "SOURCE_DATE_EPOCH") {
      unused.push_back(name);
    }
  }
  if (unused.empty()) return;
  plan.warnings.push_back(absl::StrCat(dockerfile.stages[0].place.file,
                                       ": no ARG asks for build argument ",
                                       absl::StrJoin(unused, ", ")));
}

class Planner {
 public:
  Planner(const Dockerfile& dockerfile, const PlanOptions& options)
      : dockerfile_(dockerfile), options_(options) {}

  absl::StatusOr<BuildPlan> Plan() {
    plan_.escape = dockerfile_.escape;
    plan_.warnings = dockerfile_.warnings;
    RETURN_IF_ERROR(SetGlobalArgs());
    ASSIGN_OR_RETURN(int target, FindTarget());
    // Stages refer only backwards, so planning all up to the target finds every error in them.
    for (int i = 0; i <= target; ++i) {
      ASSIGN_OR_RETURN(PlannedStage stage, PlanStage(i));
      all_.push_back(std::move(stage));
    }
    Keep(target);
    WarnOfUnusedArgs(dockerfile_, options_, plan_);
    return std::move(plan_);
  }

 private:
  std::optional<std::string> GlobalValue(absl::string_view name) const {
    auto found = plan_.global_args.find(std::string(name));
    if (found != plan_.global_args.end()) return found->second;
    return PlatformArg(options_.platform, name);
  }

  absl::StatusOr<std::string> ExpandGlobal(const Place& place, absl::string_view keyword,
                                           absl::string_view word) const {
    absl::StatusOr<std::string> text = Expand(
        word, dockerfile_.escape, [this](absl::string_view name) { return GlobalValue(name); });
    if (!text.ok()) return ErrorAt(place, keyword, text.status().message());
    return text;
  }

  absl::Status SetGlobalArgs() {
    for (const Instruction& instruction : dockerfile_.global_args) {
      for (const auto& [name, fallback] : std::get<Arg>(instruction.value).variables) {
        auto given = options_.build_args.find(name);
        if (given != options_.build_args.end()) {
          plan_.global_args[name] = given->second;
        } else if (fallback) {
          ASSIGN_OR_RETURN(plan_.global_args[name],
                           ExpandGlobal(instruction.place, "ARG", *fallback));
        }
      }
    }
    return absl::OkStatus();
  }

  // Among the stages before `end`, by name or (if `numbers`) by number.
  std::optional<int> FindStage(absl::string_view name, int end, bool numbers) const {
    int number = 0;
    if (numbers && absl::SimpleAtoi(name, &number) && number >= 0 && number < end) return number;
    std::string lower = absl::AsciiStrToLower(name);
    for (int i = end - 1; i >= 0; --i) {
      if (!lower.empty() && dockerfile_.stages[i].from.stage == lower) return i;
    }
    return std::nullopt;
  }

  absl::StatusOr<int> FindTarget() const {
    int count = static_cast<int>(dockerfile_.stages.size());
    if (options_.target.empty()) return count - 1;
    std::optional<int> found = FindStage(options_.target, count, /*numbers=*/true);
    if (!found) {
      return absl::NotFoundError(
          absl::StrCat(dockerfile_.stages[0].place.file, ": no stage \"", options_.target, "\""));
    }
    return *found;
  }

  absl::Status CheckPlatform(const Stage& stage) const {
    if (stage.from.platform.empty()) return absl::OkStatus();
    ASSIGN_OR_RETURN(std::string wanted, ExpandGlobal(stage.place, "FROM", stage.from.platform));
    std::vector<std::string> parts = absl::StrSplit(absl::AsciiStrToLower(wanted), '/');
    if (parts.size() > 1 && parts[1] == "x86_64") parts[1] = "amd64";
    if (parts.size() > 1 && parts[1] == "aarch64") parts[1] = "arm64";
    const Platform& host = options_.platform;
    bool same = parts.size() >= 2 && parts.size() <= 3 && parts[0] == host.os &&
                parts[1] == host.architecture && (parts.size() == 2 || parts[2] == host.variant);
    if (same) return absl::OkStatus();
    return ErrorAt(stage.place, "FROM",
                   absl::StrCat("--platform=", wanted, " is not supported: this host builds ",
                                PlatformText(host), " only"));
  }

  absl::StatusOr<PlannedStage> PlanStage(int index) const {
    const Stage& stage = dockerfile_.stages[index];
    PlannedStage out{.name = stage.from.stage, .place = stage.place, .original = stage.original};
    if (out.name.empty()) out.name = absl::StrCat("stage-", index);
    RETURN_IF_ERROR(CheckPlatform(stage));
    ASSIGN_OR_RETURN(std::string base, ExpandGlobal(stage.place, "FROM", stage.from.image));
    if (base.empty()) {
      return ErrorAt(stage.place, "FROM",
                     absl::StrCat("\"", stage.from.image,
                                  "\" is empty: is its ARG set before "
                                  "the first FROM?"));
    }
    std::set<int> needs;
    if (std::optional<int> earlier = FindStage(base, index, /*numbers=*/false)) {
      out.base = {.kind = Origin::kStage, .stage = *earlier};
      needs.insert(*earlier);
    } else if (base != "scratch") {
      out.base = {.kind = Origin::kImage, .image = base};
    }
    for (const Instruction& instruction : stage.instructions) {
      PlannedInstruction planned{.instruction = instruction};
      const Copy* copy = std::get_if<Copy>(&instruction.value);
      if (copy != nullptr && !copy->from.empty()) {
        ASSIGN_OR_RETURN(planned.from, PlanCopyFrom(instruction, *copy, index));
        if (planned.from->kind == Origin::kStage) needs.insert(planned.from->stage);
      }
      out.instructions.push_back(std::move(planned));
    }
    out.depends_on.assign(needs.begin(), needs.end());
    return out;
  }

  absl::StatusOr<Origin> PlanCopyFrom(const Instruction& instruction, const Copy& copy,
                                      int index) const {
    if (std::optional<int> earlier = FindStage(copy.from, index, /*numbers=*/true)) {
      return Origin{.kind = Origin::kStage, .stage = *earlier};
    }
    int number = 0;
    int count = static_cast<int>(dockerfile_.stages.size());
    if (absl::SimpleAtoi(copy.from, &number) || FindStage(copy.from, count, false)) {
      return ErrorAt(instruction.place, instruction.keyword,
                     absl::StrCat("--from=", copy.from, ": no such stage before this one"));
    }
    if (copy.from.find('$') != std::string::npos) {
      return ErrorAt(instruction.place, instruction.keyword,
                     absl::StrCat("--from=", copy.from,
                                  ": variables are not replaced here; name "
                                  "the image in a FROM … AS and copy from that stage"));
    }
    if (copy.from == "scratch") return Origin{};
    return Origin{.kind = Origin::kImage, .image = copy.from};
  }

  // Moves what `target` needs from all_ to plan_, with new numbers.
  void Keep(int target) {
    std::set<int> needed = {target};
    for (int i = target; i >= 0; --i) {
      if (needed.contains(i)) needed.insert(all_[i].depends_on.begin(), all_[i].depends_on.end());
    }
    std::map<int, int> renumbered;
    for (int i : needed) renumbered.emplace(i, static_cast<int>(renumbered.size()));
    auto renumber = [&](Origin& origin) {
      if (origin.kind == Origin::kStage) origin.stage = renumbered.at(origin.stage);
    };
    for (int i : needed) {
      PlannedStage& stage = all_[i];
      renumber(stage.base);
      for (PlannedInstruction& instruction : stage.instructions) {
        if (instruction.from) renumber(*instruction.from);
      }
      for (int& dependency : stage.depends_on) dependency = renumbered.at(dependency);
      plan_.stages.push_back(std::move(stage));
    }
  }

  const Dockerfile& dockerfile_;
  const PlanOptions& options_;
  std::vector<PlannedStage> all_;
  BuildPlan plan_;
};

}  // namespace

absl::StatusOr<BuildPlan> PlanBuild(const Dockerfile& dockerfile, const PlanOptions& options) {
  return Planner(dockerfile, options).Plan();
}

std::optional<std::string> PlatformArg(const Platform& platform, absl::string_view name) {
  if (name == "TARGETPLATFORM" || name == "BUILDPLATFORM") return PlatformText(platform);
  if (name == "TARGETOS" || name == "BUILDOS") return platform.os;
  if (name == "TARGETARCH" || name == "BUILDARCH") return platform.architecture;
  if (name == "TARGETVARIANT" || name == "BUILDVARIANT") return platform.variant;
  return std::nullopt;
}

bool IsProxyArg(absl::string_view name) {
  std::string upper = absl::AsciiStrToUpper(name);
  for (absl::string_view one :
       {"HTTP_PROXY", "HTTPS_PROXY", "FTP_PROXY", "NO_PROXY", "ALL_PROXY"}) {
    if (upper == one) return true;
  }
  return false;
}

}  // namespace darse::dockerfile
