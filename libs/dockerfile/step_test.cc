#include "libs/dockerfile/step.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "libs/dockerfile/dockerfile.h"

namespace darse::dockerfile {
namespace {

using ::testing::ElementsAre;

// Applies a stage's instructions to a state; keeps the steps.
struct Stepped {
  StageState state;
  std::vector<Step> steps;
  std::string error;
};

Stepped StepThrough(absl::string_view text, StageState state = {}, StepScope scope = {}) {
  Stepped out{.state = std::move(state)};
  absl::StatusOr<Dockerfile> file = ParseDockerfile(text, "Dockerfile");
  EXPECT_TRUE(file.ok()) << file.status();
  if (!file.ok()) return out;
  scope.platform.architecture = "amd64";
  for (const Instruction& instruction : file->stages.back().instructions) {
    absl::StatusOr<Step> step = Apply(instruction, scope, out.state);
    if (!step.ok()) {
      out.error = std::string(step.status().message());
      return out;
    }
    out.steps.push_back(*std::move(step));
  }
  return out;
}

TEST(StepTest, RunGetsEnvArgsUserDirectoryAndShell) {
  Stepped out = StepThrough(
      "FROM a\nENV E=1 PATH=/bin\nARG A=2\nARG E=no\nUSER u\nWORKDIR /w\nWORKDIR x\n"
      "SHELL [\"/bin/bash\", \"-c\"]\nRUN echo $A\n");
  const RunStep& run = std::get<RunStep>(out.steps.back().action);
  EXPECT_THAT(run.args, ElementsAre("/bin/bash", "-c", "echo $A"));
  EXPECT_THAT(run.env, ElementsAre("E=1", "PATH=/bin", "A=2"));
  EXPECT_EQ(run.user, "u");
  EXPECT_EQ(run.working_dir, "/w/x");
  EXPECT_EQ(out.steps.back().name, "RUN echo $A");
}

TEST(StepTest, ProxiesReachRunButNotTheImage) {
  Stepped out =
      StepThrough("FROM a\nRUN x\n", {}, {.build_args = {{"http_proxy", "p"}, {"other", "o"}}});
  const RunStep& run = std::get<RunStep>(out.steps.back().action);
  EXPECT_THAT(run.uncached_env, ElementsAre("http_proxy=p"));
  EXPECT_THAT(run.env, ElementsAre(::testing::StartsWith("PATH=/usr/local/sbin:")));
  EXPECT_TRUE(out.state.config.env.empty());
}

TEST(StepTest, EnvUsesTheBaseImagesValues) {
  StageState base;
  base.config.env = {"PATH=/bin"};
  Stepped out = StepThrough("FROM a\nENV PATH=/x:$PATH B=$PATH\nENV C=$PATH\n", base);
  EXPECT_THAT(out.state.config.env, ElementsAre("PATH=/x:/bin", "B=/bin", "C=/x:/bin"));
}

TEST(StepTest, ArgTakesBuildArgThenDefaultThenGlobalThenPlatform) {
  StepScope scope{.global_args = {{"G", "global"}, {"D", "global"}},
                  .build_args = {{"B", "given"}}};
  Stepped out = StepThrough(
      "FROM a\nARG B=x D=own G\nARG TARGETARCH UNSET\nENV R=$B-$D-$G-$TARGETARCH-$UNSET", {},
      scope);
  EXPECT_THAT(out.state.config.env, ElementsAre("R=given-own-global-amd64-"));
}

TEST(StepTest, GlobalArgIsUnknownUntilDeclared) {
  Stepped out = StepThrough("FROM a\nENV R=[$G]", {}, {.global_args = {{"G", "global"}}});
  EXPECT_THAT(out.state.config.env, ElementsAre("R=[]"));
}

TEST(StepTest, CopyPathsAreMadeAbsoluteAndClean) {
  Stepped out = StepThrough(
      "FROM a\nWORKDIR /w\nENV D=data\nCOPY --chown=u:g --chmod=0640 ./a ../../b/ $D/\nCOPY x "
      ".\nCOPY x y\n");
  const CopyStep& first = std::get<CopyStep>(out.steps[2].action);
  EXPECT_THAT(first.sources, ElementsAre("/a", "/b"));
  EXPECT_EQ(first.destination, "/w/data");
  EXPECT_TRUE(first.into_directory);
  EXPECT_EQ(first.user, "u");
  EXPECT_EQ(first.group, "g");
  EXPECT_EQ(first.mode, 0640u);
  EXPECT_TRUE(std::get<CopyStep>(out.steps[3].action).into_directory);
  EXPECT_EQ(std::get<CopyStep>(out.steps[3].action).destination, "/w");
  EXPECT_FALSE(std::get<CopyStep>(out.steps[4].action).into_directory);
  EXPECT_EQ(std::get<CopyStep>(out.steps[4].action).destination, "/w/y");
}

TEST(StepTest, InlineFileIsExpandedUnlessQuoted) {
  Stepped out = StepThrough("FROM a\nENV x=1\nCOPY <<a <<'b' /\n$x\na\n$x\nb\n");
  const CopyStep& copy = std::get<CopyStep>(out.steps.back().action);
  EXPECT_THAT(copy.inline_files, ElementsAre(std::pair<std::string, std::string>("a", "1\n"),
                                             std::pair<std::string, std::string>("b", "$x\n")));
}

TEST(StepTest, EntrypointTakesTheBasesCommandAway) {
  StageState base;
  base.config.cmd = {"old"};
  EXPECT_TRUE(StepThrough("FROM a\nENTRYPOINT [\"e\"]", base).state.config.cmd.empty());
  EXPECT_THAT(StepThrough("FROM a\nCMD [\"c\"]\nENTRYPOINT [\"e\"]", base).state.config.cmd,
              ElementsAre("c"));
}

TEST(StepTest, PortsVolumesLabelsAndSignal) {
  Stepped out = StepThrough(
      "FROM a\nENV P=\"80 443/udp\"\nEXPOSE $P 8000-8002\nVOLUME /a b\nVOLUME [\"/c d\"]\n"
      "LABEL k=\"v w\" $P=x\nSTOPSIGNAL SIGQUIT\nMAINTAINER me\nONBUILD RUN x\n");
  EXPECT_THAT(out.state.config.exposed_ports,
              ElementsAre("443/udp", "80/tcp", "8000/tcp", "8001/tcp", "8002/tcp"));
  EXPECT_THAT(out.state.config.volumes, ElementsAre("/a", "/b", "/c d"));
  EXPECT_EQ(out.state.config.labels.at("k"), "v w");
  EXPECT_EQ(out.state.config.stop_signal, "SIGQUIT");
  EXPECT_EQ(out.state.config.author, "me");
  EXPECT_THAT(out.state.config.on_build, ElementsAre("RUN x"));
}

TEST(StepTest, ErrorsNameTheLine) {
  EXPECT_EQ(StepThrough("FROM a\nENV x=\"${y:?must be set}\"").error,
            "Dockerfile:2: ENV: y: must be set");
  EXPECT_EQ(StepThrough("FROM a\nEXPOSE 70000").error,
            "Dockerfile:2: EXPOSE: \"70000\" is no port: 80, 80/udp or 8000-8010/tcp");
  EXPECT_EQ(StepThrough("FROM a\nSTOPSIGNAL a/b").error,
            "Dockerfile:2: STOPSIGNAL: \"a/b\" is no signal: SIGTERM, TERM or 15");
  EXPECT_EQ(StepThrough("FROM a\nWORKDIR $no").error, "Dockerfile:2: WORKDIR: the path is empty");
}

TEST(StepTest, NamesAreOneShortLine) {
  EXPECT_EQ(StepName("RUN a \\\n  b"), "RUN a \\ b");
  EXPECT_EQ(StepName(std::string(500, 'x')).size(), 200u);
}

}  // namespace
}  // namespace darse::dockerfile
