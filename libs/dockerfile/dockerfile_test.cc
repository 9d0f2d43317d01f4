#include "libs/dockerfile/dockerfile.h"

#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"
#include "libs/dockerfile/build_plan.h"

namespace darse::dockerfile {
namespace {

Dockerfile Parsed(absl::string_view text) {
  absl::StatusOr<Dockerfile> parsed = ParseDockerfile(text, "Dockerfile");
  EXPECT_TRUE(parsed.ok()) << parsed.status();
  return parsed.ok() ? *parsed : Dockerfile{};
}

std::string ErrorOf(absl::string_view text) {
  absl::StatusOr<Dockerfile> parsed = ParseDockerfile(text, "Dockerfile");
  return parsed.ok() ? "" : std::string(parsed.status().message());
}

template <typename T>
const T& At(const Dockerfile& dockerfile, size_t stage, size_t index) {
  return std::get<T>(dockerfile.stages.at(stage).instructions.at(index).value);
}

TEST(DockerfileTest, LinesContinueOverCommentsAndEmptyLines) {
  Dockerfile file = Parsed("FROM a\nRUN one && \\\n  # why\n\n  two \\\n && three\nRUN four");
  EXPECT_EQ(At<dockerfile::Run>(file, 0, 0).command.shell, "one &&   two  && three");
  EXPECT_EQ(file.stages[0].instructions[1].place.line, 7);
}

TEST(DockerfileTest, DoubledEscapeAtTheEndDoesNotContinue) {
  Dockerfile file = Parsed("FROM a\nRUN x \\\\\nRUN y");
  EXPECT_EQ(file.stages[0].instructions.size(), 2u);
}

TEST(DockerfileTest, EscapeDirectiveChangesTheMark) {
  Dockerfile file = Parsed("# escape=`\nFROM a\nRUN x `\n y\\\n");
  EXPECT_EQ(At<dockerfile::Run>(file, 0, 0).command.shell, "x  y\\");
}

TEST(DockerfileTest, SyntaxOfDockerIsIgnoredWithAWarning) {
  Dockerfile file = Parsed("# syntax=docker/dockerfile:1.7\nFROM a\n");
  ASSERT_EQ(file.warnings.size(), 1u);
  EXPECT_EQ(
      file.warnings[0],
      "Dockerfile:1: syntax=docker/dockerfile:1.7 is ignored: Darse reads Dockerfiles itself");
  EXPECT_NE(ErrorOf("# syntax=example.com/other\nFROM a\n"), "");
}

TEST(DockerfileTest, CheckIsObeyedOrRefused) {
  EXPECT_EQ(ErrorOf("# check=skip=all\nFROM a"), "");
  EXPECT_EQ(ErrorOf("# check=error=true\nFROM a"),
            "Dockerfile:1: check: \"error=true\" is not supported");
}

TEST(DockerfileTest, DirectiveAfterACommentIsAComment) {
  Dockerfile file = Parsed("# hello\n# escape=`\nFROM a\nRUN x \\\n y");
  EXPECT_EQ(At<dockerfile::Run>(file, 0, 0).command.shell, "x  y");
}

TEST(DockerfileTest, WindowsLineEndsAndByteOrderMark) {
  Dockerfile file = Parsed(
      "\xEF\xBB\xBF"
      "FROM a\r\nRUN x\\\r\ny\r\n");
  EXPECT_EQ(At<dockerfile::Run>(file, 0, 0).command.shell, "xy");
}

TEST(DockerfileTest, HeredocIsTheScript) {
  Dockerfile file = Parsed("FROM a\nRUN <<EOF\n# kept\necho a\nEOF\nRUN b");
  EXPECT_EQ(At<dockerfile::Run>(file, 0, 0).command.shell, "# kept\necho a\n");
  EXPECT_EQ(file.stages[0].instructions[1].place.line, 6);
}

TEST(DockerfileTest, HeredocAfterACommandIsReadByTheShell) {
  Dockerfile file = Parsed("FROM a\nRUN python3 <<-EOF\n\tprint(1)\n\tEOF\n");
  EXPECT_EQ(At<dockerfile::Run>(file, 0, 0).command.shell, "python3 <<-EOF\nprint(1)\nEOF\n");
}

TEST(DockerfileTest, HeredocBecomesAFile) {
  Dockerfile file = Parsed("FROM a\nCOPY <<\"one.txt\" <<two /d/\n$x\none.txt\nb\ntwo\n");
  const Copy& copy = At<Copy>(file, 0, 0);
  ASSERT_EQ(copy.inline_files.size(), 2u);
  EXPECT_EQ(copy.inline_files[0].name, "one.txt");
  EXPECT_FALSE(copy.inline_files[0].expand);
  EXPECT_EQ(copy.inline_files[0].content, "$x\n");
  EXPECT_TRUE(copy.inline_files[1].expand);
  EXPECT_TRUE(copy.sources.empty());
}

TEST(DockerfileTest, ShiftInArithmeticIsNoHeredoc) {
  Dockerfile file = Parsed("FROM a\nRUN echo $((1<<2)) \"<<EOF\" <<<word\n");
  EXPECT_EQ(file.stages[0].instructions.size(), 1u);
}

TEST(DockerfileTest, ExecFormAndShellForm) {
  Dockerfile file = Parsed("FROM a\nCMD [\"a\", \"b c\"]\nCMD [ 'a' ]\nENTRYPOINT x y\n");
  EXPECT_TRUE(At<Cmd>(file, 0, 0).command.exec_form);
  EXPECT_EQ(At<Cmd>(file, 0, 0).command.args, (std::vector<std::string>{"a", "b c"}));
  EXPECT_EQ(At<Cmd>(file, 0, 1).command.shell, "[ 'a' ]");
  ASSERT_EQ(file.warnings.size(), 1u);
  EXPECT_EQ(At<Entrypoint>(file, 0, 2).command.shell, "x y");
}

TEST(DockerfileTest, EnvInBothForms) {
  Dockerfile file = Parsed("FROM a\nENV a=1 b=\"x y\" c=x\\ y\nENV old many words\n");
  EXPECT_EQ(At<Env>(file, 0, 0).variables, (Pairs{{"a", "1"}, {"b", "\"x y\""}, {"c", "x\\ y"}}));
  EXPECT_EQ(At<Env>(file, 0, 1).variables, (Pairs{{"old", "many words"}}));
}

TEST(DockerfileTest, Healthcheck) {
  Dockerfile file = Parsed(
      "FROM a\nHEALTHCHECK --interval=5s --timeout=1m30s --retries=2 CMD curl -f x\n"
      "HEALTHCHECK CMD [\"a\"]\nHEALTHCHECK NONE\n");
  const Healthcheck& check = At<Healthcheck>(file, 0, 0);
  EXPECT_EQ(check.test, (std::vector<std::string>{"CMD-SHELL", "curl -f x"}));
  EXPECT_EQ(check.interval, absl::Seconds(5));
  EXPECT_EQ(check.timeout, absl::Seconds(90));
  EXPECT_EQ(check.retries, 2);
  EXPECT_EQ(At<Healthcheck>(file, 0, 1).test, (std::vector<std::string>{"CMD", "a"}));
  EXPECT_EQ(At<Healthcheck>(file, 0, 2).test, (std::vector<std::string>{"NONE"}));
}

TEST(DockerfileTest, WhatIsNotSupportedIsRefusedWithFileLineAndName) {
  struct {
    const char* line;
    const char* why;
  } const kCases[] = {
      {"RUN --mount=type=cache,target=/x y",
       "RUN: flag --mount=type=cache,target=/x is not supported"},
      {"RUN --security=insecure y", "RUN: flag --security=insecure is not supported"},
      {"COPY --link a b", "COPY: flag --link is not supported"},
      {"COPY --from=x --from=y a b", "COPY: flag --from is given twice"},
      {"COPY --parents a b", "COPY: flag --parents is not supported"},
      {"COPY a", "COPY: needs at least one source and a destination"},
      {"COPY a b c",
       "COPY: with more than one source the destination must be a directory that "
       "ends in /, not \"c\""},
      {"COPY --chmod=u+x a b", "COPY: --chmod=u+x is not supported: an octal number"},
      {"ADD https://x/y /z",
       "ADD: \"https://x/y\": downloads are not supported; use RUN with a "
       "program that downloads"},
      {"ADD git@github.com:x/y /z", "ADD: \"git@github.com:x/y\": git sources are not supported"},
      {"RUNN x", "RUNN: unknown instruction"},
      {"RUN", "RUN: needs at least one argument"},
      {"ENV a", "ENV: \"a\" needs a value: name=value"},
      {"ENV a=b c", "ENV: \"c\" is no name=value; quote a value with blanks"},
      {"SHELL /bin/sh", "SHELL: must be a JSON array of strings: SHELL [\"/bin/sh\", \"-c\"]"},
      {"HEALTHCHECK --x=1 CMD a", "HEALTHCHECK: flag --x=1 is not supported"},
      {"HEALTHCHECK a", "HEALTHCHECK: must be HEALTHCHECK NONE or HEALTHCHECK CMD …"},
      {"ONBUILD FROM x", "ONBUILD: FROM is not allowed here"},
      {"ONBUILD RUN --mount=a b", "RUN: flag --mount=a is not supported"},
      {"FROM a AS 1b", "FROM: \"1b\" is no stage name: a letter, then letters, digits, - _ ."},
      {"FROM a b", "FROM: must be FROM image or FROM image AS name"},
      {"RUN <<EOF", "here-document \"EOF\" has no end: a line with only EOF is missing"},
      {"RUN <<EOF\n#!/bin/x\nEOF",
       "RUN: a here-document that begins with #! is not supported; name "
       "the interpreter: RUN python3 <<EOF"},
  };
  for (const auto& one : kCases) {
    EXPECT_EQ(ErrorOf(absl::StrCat("FROM a\n", one.line)), absl::StrCat("Dockerfile:2: ", one.why));
  }
}

TEST(DockerfileTest, AFileWithoutStageIsRefused) {
  EXPECT_EQ(ErrorOf(""), "Dockerfile:1: has no FROM: there is nothing to build");
  EXPECT_EQ(ErrorOf("RUN x"), "Dockerfile:1: RUN: only ARG may stand before the first FROM");
  EXPECT_EQ(ErrorOf("FROM a AS x\nFROM b AS X"),
            "Dockerfile:2: FROM: stage \"x\" is there already");
}

BuildPlan Planned(absl::string_view text, PlanOptions options = {}) {
  options.platform.architecture = "amd64";
  absl::StatusOr<BuildPlan> plan = PlanBuild(Parsed(text), options);
  EXPECT_TRUE(plan.ok()) << plan.status();
  return plan.ok() ? *plan : BuildPlan{};
}

std::string PlanError(absl::string_view text, PlanOptions options = {}) {
  options.platform.architecture = "amd64";
  absl::StatusOr<BuildPlan> plan = PlanBuild(Parsed(text), options);
  return plan.ok() ? "" : std::string(plan.status().message());
}

TEST(BuildPlanTest, StagesTheTargetDoesNotNeedAreLeftOut) {
  BuildPlan plan = Planned(
      "FROM a AS base\nFROM b AS unused\nRUN x\nFROM base AS tool\nFROM c\n"
      "COPY --from=tool /x /\nCOPY --from=busybox /y /\n");
  ASSERT_EQ(plan.stages.size(), 3u);
  EXPECT_EQ(plan.stages[0].name, "base");
  EXPECT_EQ(plan.stages[1].base.kind, Origin::kStage);
  EXPECT_EQ(plan.stages[1].base.stage, 0);
  EXPECT_EQ(plan.stages[2].name, "stage-3");
  EXPECT_EQ(plan.stages[2].depends_on, (std::vector<int>{1}));
  EXPECT_EQ(plan.stages[2].instructions[1].from->image, "busybox");
}

TEST(BuildPlanTest, TargetByNameOrNumber) {
  constexpr char kText[] = "FROM a AS one\nFROM b AS two\nFROM c\n";
  EXPECT_EQ(Planned(kText, {.target = "TWO"}).stages.back().base.image, "b");
  EXPECT_EQ(Planned(kText, {.target = "0"}).stages.back().base.image, "a");
  EXPECT_EQ(PlanError(kText, {.target = "nine"}), "Dockerfile: no stage \"nine\"");
}

TEST(BuildPlanTest, GlobalArgsAreForFromLines) {
  constexpr char kText[] = "ARG V=1\nARG I=img:$V\nFROM ${I}-x\n";
  EXPECT_EQ(Planned(kText).stages[0].base.image, "img:1-x");
  EXPECT_EQ(Planned(kText, {.build_args = {{"V", "2"}}}).stages[0].base.image, "img:2-x");
  EXPECT_EQ(PlanError("FROM $NO"),
            "Dockerfile:1: FROM: \"$NO\" is empty: is its ARG set before the first FROM?");
}

TEST(BuildPlanTest, PlatformMustBeTheHosts) {
  EXPECT_EQ(Planned("FROM --platform=$BUILDPLATFORM a").stages[0].base.image, "a");
  EXPECT_EQ(Planned("FROM --platform=linux/x86_64 a").stages[0].base.image, "a");
  EXPECT_EQ(PlanError("FROM --platform=linux/arm64 a"),
            "Dockerfile:1: FROM: --platform=linux/arm64 is not supported: this host builds "
            "linux/amd64 only");
}

TEST(BuildPlanTest, CopyFromALaterStageIsRefused) {
  EXPECT_EQ(PlanError("FROM a\nCOPY --from=later /x /\nFROM b AS later", {.target = "0"}),
            "Dockerfile:2: COPY: --from=later: no such stage before this one");
  EXPECT_EQ(PlanError("FROM a\nCOPY --from=0 /x /"),
            "Dockerfile:2: COPY: --from=0: no such stage before this one");
}

TEST(BuildPlanTest, UnusedBuildArgIsRemarkedUpon) {
  BuildPlan plan = Planned("FROM a\nARG X", {.build_args = {{"X", "1"}, {"Y", "2"}}});
  ASSERT_EQ(plan.warnings.size(), 1u);
  EXPECT_EQ(plan.warnings[0], "Dockerfile: no ARG asks for build argument Y");
}

}  // namespace
}  // namespace darse::dockerfile
