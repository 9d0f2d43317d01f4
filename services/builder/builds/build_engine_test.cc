#include "services/builder/builds/build_engine.h"

#include <stdlib.h>

#include <atomic>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "libs/archive/tar_entry.h"
#include "libs/oci/digest.h"
#include "libs/os/files.h"
#include "services/builder/fake_runtime.h"
#include "services/builder/schema.h"

namespace darse::builder {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

std::string TarOf(const std::map<std::string, std::string>& files, int64_t mtime = 5) {
  std::string tar;
  for (const auto& [name, content] : files) {
    archive::TarEntry entry{
        .name = name, .size = static_cast<int64_t>(content.size()), .mtime_seconds = mtime};
    tar += archive::FormatHeader(entry) + content;
    tar.append(archive::Padding(entry.size), '\0');
  }
  tar.append(1024, '\0');
  return tar;
}

// A builder over a runtime in memory. Restart() is what a SIGKILL and a new start come to.
class BuildEngineTest : public ::testing::Test {
 protected:
  void SetUp() override {
    char path[] = "/tmp/builder-test-XXXXXX";
    root_ = mkdtemp(path);
    runtime_.AddImage("base",
                      {{"/etc/passwd", {.content = "root"}}, {"/d", {.is_directory = true}}},
                      R"({"architecture":"amd64","os":"linux","config":{"Env":["PATH=/bin"],)"
                      R"("Cmd":["sh"],"Custom":1}})");
    Open();
  }
  void TearDown() override {
    runtime_.SetAway(false);
    runtime_.Unblock();
    Close();
    EXPECT_TRUE(RemoveTree(root_).ok());
  }

  void Open() {
    absl::StatusOr<std::unique_ptr<sqlite::Database>> db =
        sqlite::Database::Open(root_ + "/builder.db", kMigrations);
    ASSERT_TRUE(db.ok()) << db.status();
    db_ = *std::move(db);
    contexts_ = std::make_unique<ContextEngine>(root_, *db_, clock_);
    ASSERT_TRUE(contexts_->Recover().ok());
    cache_ = std::make_unique<CacheEngine>(*db_, runtime_, clock_);
    slots_ = std::make_unique<RunSlots>(2);
    engine_ = std::make_unique<BuildEngine>(BuildParts{.db = *db_,
                                                       .clock = clock_,
                                                       .runtime = runtime_,
                                                       .contexts = *contexts_,
                                                       .cache = *cache_,
                                                       .slots = *slots_,
                                                       .platform = {.architecture = "amd64"}},
                                            [this] { return absl::StrCat("id", next_id_++); });
    ASSERT_TRUE(engine_->Recover().ok());
    engine_->Start(2);
  }
  void Close() {
    engine_.reset();
    slots_.reset();
    cache_.reset();
    contexts_.reset();
    db_.reset();
  }
  void Restart() {
    Close();
    Open();
  }

  std::string SendContext(const std::map<std::string, std::string>& files, int64_t mtime = 5) {
    std::string tar = TarOf(files, mtime);
    std::string digest = oci::Digest::Of(tar).text();
    auto upload = contexts_->Begin(digest);
    EXPECT_TRUE(upload.ok()) << upload.status();
    EXPECT_TRUE((*upload)->Write(tar).ok());
    absl::Status finished = (*upload)->Finish();
    EXPECT_TRUE(finished.ok()) << finished;
    return digest;
  }

  static v1::BuildSpec Spec(absl::string_view dockerfile, absl::string_view context = "") {
    v1::BuildSpec spec;
    spec.set_dockerfile_text(std::string(dockerfile));
    spec.set_context_digest(std::string(context));
    spec.add_tags("out");
    return spec;
  }

  BuildRecord WaitFor(const std::string& id, absl::FunctionRef<bool(const BuildRecord&)> done) {
    absl::Time deadline = clock_.Now() + absl::Seconds(20);
    while (true) {
      absl::StatusOr<BuildRecord> record = engine_->Get(id);
      EXPECT_TRUE(record.ok()) << record.status();
      if (!record.ok() || done(*record)) return record.ok() ? *record : BuildRecord{};
      if (clock_.Now() > deadline) {
        ADD_FAILURE() << "build " << id << " stays in state " << static_cast<int>(record->state)
                      << " " << record->waiting_for;
        return *record;
      }
      absl::SleepFor(absl::Milliseconds(2));
    }
  }

  std::string Begin(const v1::BuildSpec& spec) {
    absl::StatusOr<BuildRecord> record = engine_->Create(spec, "");
    EXPECT_TRUE(record.ok()) << record.status();
    return record.ok() ? record->id : "";
  }

  BuildRecord Finish(const std::string& id) {
    return WaitFor(id, [](const BuildRecord& record) { return HasEnded(record.state); });
  }

  BuildRecord Build(const v1::BuildSpec& spec) { return Finish(Begin(spec)); }
  BuildRecord Built(const v1::BuildSpec& spec) {
    BuildRecord record = Build(spec);
    EXPECT_EQ(record.state, BuildState::kSucceeded) << record.error;
    return record;
  }

  std::vector<v1::BuildEvent> AllEvents(const std::string& id) {
    std::vector<v1::BuildEvent> all;
    while (true) {
      absl::StatusOr<BuildEngine::News> news =
          engine_->Events(id, all.empty() ? 0 : all.back().sequence());
      EXPECT_TRUE(news.ok()) << news.status();
      if (!news.ok() || news->events.empty()) return all;
      all.insert(all.end(), news->events.begin(), news->events.end());
    }
  }

  std::string root_;
  RealClock clock_;
  FakeRuntime runtime_;
  std::atomic<int> next_id_{1};
  std::unique_ptr<sqlite::Database> db_;
  std::unique_ptr<ContextEngine> contexts_;
  std::unique_ptr<CacheEngine> cache_;
  std::unique_ptr<RunSlots> slots_;
  std::unique_ptr<BuildEngine> engine_;
};

TEST_F(BuildEngineTest, BuildsAnImageWithFilesAndConfig) {
  std::string context = SendContext({{"app/main.py", "print(1)"}, {"app/lib/x.py", "x"}});
  BuildRecord record = Built(Spec(
      "FROM base\nWORKDIR /app\nCOPY app .\nRUN write /made hello there\nENV A=1\nCMD [\"run\"]\n",
      context));
  EXPECT_TRUE(absl::StartsWith(record.image_id, "sha256:"));
  FakeRuntime::Files files = runtime_.FilesOf("out");
  EXPECT_EQ(files["/app/main.py"].content, "print(1)");
  EXPECT_EQ(files["/app/lib/x.py"].content, "x");
  EXPECT_EQ(files["/made"].content, "hello there");
  EXPECT_EQ(files["/etc/passwd"].content, "root");
  std::string config = runtime_.ImageOf("out").config_json;
  EXPECT_THAT(config, HasSubstr(R"("Env":["PATH=/bin","A=1"])"));
  EXPECT_THAT(config, HasSubstr(R"("Cmd":["run"])"));
  EXPECT_THAT(config, HasSubstr(R"("WorkingDir":"/app")"));
  EXPECT_THAT(config, HasSubstr(R"("Custom":1)"));
  EXPECT_THAT(config, HasSubstr(R"("created":"1970-01-01T00:00:00Z")"));
  EXPECT_EQ(record.steps_total, 4);
  EXPECT_EQ(record.steps_done, 4);
  EXPECT_EQ(runtime_.containers(), 0);
  EXPECT_EQ(runtime_.snapshots(), 0);
  EXPECT_FALSE(runtime_.HasLease("builder/build-id1"));
}

TEST_F(BuildEngineTest, SecondBuildTakesAllFromTheCacheAndMakesTheSameImage) {
  constexpr char kText[] = "FROM base\nCOPY . /src/\nRUN write /made x\n";
  BuildRecord first = Built(Spec(kText, SendContext({{"a", "1"}})));
  Restart();
  // Other times, other tar, same contents.
  BuildRecord second = Built(Spec(kText, SendContext({{"a", "1"}}, /*mtime=*/99)));
  EXPECT_EQ(second.image_id, first.image_id);
  EXPECT_EQ(second.steps_cached, 3);
  EXPECT_EQ(runtime_.runs(), 1);
  EXPECT_EQ(runtime_.copies(), 1);
}

TEST_F(BuildEngineTest, OnlyStepsBehindAChangeAreDoneAgain) {
  constexpr char kText[] = "FROM base\nRUN write /one x\nCOPY a /a\nRUN write /two y\n";
  Built(Spec(kText, SendContext({{"a", "1"}, {"b", "1"}})));
  BuildRecord other = Built(Spec(kText, SendContext({{"a", "1"}, {"b", "2"}})));
  EXPECT_EQ(other.steps_cached, 4) << "b is read by no step";
  BuildRecord changed = Built(Spec(kText, SendContext({{"a", "2"}, {"b", "1"}})));
  EXPECT_EQ(changed.steps_cached, 2);
  EXPECT_EQ(runtime_.runs(), 3);
}

TEST_F(BuildEngineTest, ArgsAndUserAndNetworkArePartOfARunsKey) {
  v1::BuildSpec spec = Spec("FROM base\nARG V=1\nRUN write /v x\n");
  Built(spec);
  (*spec.mutable_build_args())["V"] = "2";
  EXPECT_EQ(Built(spec).steps_cached, 1);
  spec.set_network("none");
  EXPECT_EQ(Built(spec).steps_cached, 1);
  (*spec.mutable_build_args())["HTTP_PROXY"] = "p";
  EXPECT_EQ(Built(spec).steps_cached, 2);
}

TEST_F(BuildEngineTest, NoCacheDoesAllAgain) {
  v1::BuildSpec spec = Spec("FROM base\nRUN write /v x\n");
  BuildRecord first = Built(spec);
  spec.set_no_cache(true);
  BuildRecord second = Built(spec);
  EXPECT_EQ(second.steps_cached, 1);
  EXPECT_EQ(runtime_.runs(), 2);
  EXPECT_EQ(second.image_id, first.image_id);
}

TEST_F(BuildEngineTest, StagesCopyFromEachOtherAndUnneededOnesAreSkipped) {
  Built(
      Spec("FROM base AS one\nRUN write /o/x 1\nFROM base AS two\nRUN write /t 2\n"
           "FROM base AS unused\nRUN fail 1\nFROM scratch\nCOPY --from=one /o /o/\n"
           "COPY --from=two /t /renamed\nCOPY --from=base /etc/passwd /p/\n"));
  FakeRuntime::Files files = runtime_.FilesOf("out");
  EXPECT_EQ(files["/o/x"].content, "1");
  EXPECT_EQ(files["/renamed"].content, "2");
  EXPECT_EQ(files["/p/passwd"].content, "root");
  EXPECT_FALSE(files.contains("/etc/passwd"));
  EXPECT_EQ(runtime_.runs(), 2);
}

TEST_F(BuildEngineTest, IndependentStagesRunAtTheSameTime) {
  std::string id =
      Begin(Spec("FROM base AS one\nRUN block 1\nFROM base AS two\nRUN block 2\nFROM base\n"
                 "COPY --from=one /etc/passwd /x/\nCOPY --from=two /etc/passwd /y/\n"));
  EXPECT_TRUE(runtime_.WaitForBlocked(2, absl::Seconds(10)));
  runtime_.Unblock();
  EXPECT_EQ(Finish(id).state, BuildState::kSucceeded);
}

TEST_F(BuildEngineTest, FailedRunSaysWhereAndLeavesNothing) {
  BuildRecord record = Build(Spec("FROM base\nRUN fail 7\n"));
  EXPECT_EQ(record.state, BuildState::kFailed);
  EXPECT_EQ(record.error, "Dockerfile:2: RUN fail 7: exit code 7");
  EXPECT_EQ(record.failed_exit_code, 7);
  EXPECT_FALSE(runtime_.HasImage("out"));
  EXPECT_EQ(runtime_.containers(), 0);
  EXPECT_EQ(runtime_.snapshots(), 0);
  EXPECT_FALSE(runtime_.HasLease("builder/build-id1"));
}

TEST_F(BuildEngineTest, ErrorsNameFileLineAndStep) {
  EXPECT_EQ(Build(Spec("FROM nothing")).error,
            "Dockerfile:1: FROM: no image \"nothing\" here: pull, load or bootstrap it first");
  EXPECT_EQ(Build(Spec("FROM base\nRUN nocommand")).error,
            "Dockerfile:2: RUN nocommand: exec \"nocommand\": not found in PATH");
  EXPECT_EQ(Build(Spec("FROM base\nCOPY x /", SendContext({{"a", "1"}}))).error,
            "Dockerfile:2: COPY x /: \"x\" is not in the build context (or .dockerignore leaves it "
            "out)");
  EXPECT_EQ(Build(Spec("FROM base\nCOPY x /")).error,
            "Dockerfile:2: COPY x /: there is no build context to copy from");
  EXPECT_EQ(Build(Spec("FROM base\nENV a=\"${b:?set it}\"")).error, "Dockerfile:2: ENV: b: set it");
}

TEST_F(BuildEngineTest, BadRequestsAreRefusedAtOnce) {
  absl::Status bad = engine_->Create(Spec("FROM base\nRUNN x"), "").status();
  EXPECT_EQ(bad.message(), "Dockerfile:2: RUNN: unknown instruction");
  EXPECT_TRUE(absl::IsInvalidArgument(bad));
  v1::BuildSpec spec = Spec("FROM base");
  spec.set_target("no");
  EXPECT_TRUE(absl::IsNotFound(engine_->Create(spec, "").status()));
  EXPECT_TRUE(absl::IsNotFound(
      engine_->Create(Spec("FROM base", oci::Digest::Of("x").text()), "").status()));
  spec = Spec("FROM base");
  spec.add_tags("Upper");
  EXPECT_TRUE(absl::IsInvalidArgument(engine_->Create(spec, "").status()));
}

TEST_F(BuildEngineTest, TheSameRequestIsTheSameBuild) {
  absl::StatusOr<BuildRecord> one = engine_->Create(Spec("FROM base"), "request");
  absl::StatusOr<BuildRecord> two = engine_->Create(Spec("FROM base"), "request");
  ASSERT_TRUE(one.ok() && two.ok());
  EXPECT_EQ(one->id, two->id);
}

TEST_F(BuildEngineTest, EventsTellTheWholeStoryInOrder) {
  BuildRecord record = Built(Spec("FROM base\nRUN print a b\n"));
  std::vector<v1::BuildEvent> events = AllEvents(record.id);
  std::string story;
  for (size_t i = 0; i < events.size(); ++i) {
    EXPECT_EQ(events[i].sequence(), static_cast<int64_t>(i) + 1);
    const v1::BuildEvent& event = events[i];
    if (event.has_step_started()) story += "start " + event.step_started().name() + "\n";
    if (event.has_step_finished()) story += event.step_finished().cached() ? "cached\n" : "done\n";
    if (event.has_output()) story += "output " + event.output().text();
    if (event.has_build()) story += v1::BuildState_Name(event.build().state()).substr(12) + "\n";
  }
  EXPECT_EQ(story,
            "QUEUED\nRUNNING\nstart [1/2] FROM base\ncached\nstart [2/2] RUN print a b\n"
            "output a b\ndone\nSUCCEEDED\n");
  EXPECT_TRUE(engine_->Events(record.id, events.back().sequence())->is_all);
}

TEST_F(BuildEngineTest, BuildWaitsWhileTheRuntimeIsAwayAndGoesOnByItself) {
  runtime_.SetAway(true);
  std::string id = Begin(Spec("FROM base\nRUN write /x 1\n"));
  BuildRecord waiting =
      WaitFor(id, [](const BuildRecord& record) { return record.state == BuildState::kWaiting; });
  EXPECT_THAT(waiting.waiting_for, HasSubstr("waiting for runtime since "));
  runtime_.SetAway(false);
  BuildRecord record = Finish(id);
  EXPECT_EQ(record.state, BuildState::kSucceeded) << record.error;
  EXPECT_EQ(record.waiting_for, "");
}

TEST_F(BuildEngineTest, RunGoesOnWhenTheRuntimeComesBackInTheMiddle) {
  std::string id = Begin(Spec("FROM base\nRUN block\n"));
  ASSERT_TRUE(runtime_.WaitForBlocked(1, absl::Seconds(10)));
  runtime_.SetAway(true);
  WaitFor(id, [](const BuildRecord& record) { return record.state == BuildState::kWaiting; });
  runtime_.SetAway(false);
  runtime_.Unblock();
  EXPECT_EQ(Finish(id).state, BuildState::kSucceeded);
  EXPECT_EQ(runtime_.runs(), 1) << "the container was not started again";
}

TEST_F(BuildEngineTest, CancelKillsTheRun) {
  std::string id = Begin(Spec("FROM base\nRUN block\n"));
  ASSERT_TRUE(runtime_.WaitForBlocked(1, absl::Seconds(10)));
  ASSERT_TRUE(engine_->Cancel(id).ok());
  EXPECT_EQ(Finish(id).state, BuildState::kCanceled);
  EXPECT_EQ(runtime_.containers(), 0);
  EXPECT_EQ(runtime_.snapshots(), 0);
  EXPECT_TRUE(engine_->Cancel(id).ok());
  EXPECT_TRUE(absl::IsNotFound(engine_->Cancel("none")));
}

TEST_F(BuildEngineTest, QueuedBuildCanBeCanceled) {
  std::string one = Begin(Spec("FROM base\nRUN block 1\n"));
  std::string two = Begin(Spec("FROM base\nRUN block 2\n"));
  std::string three = Begin(Spec("FROM base\nRUN block 3\n"));
  ASSERT_TRUE(runtime_.WaitForBlocked(2, absl::Seconds(10)));
  ASSERT_TRUE(engine_->Cancel(three).ok());
  runtime_.Unblock();
  EXPECT_EQ(Finish(three).state, BuildState::kCanceled);
  EXPECT_EQ(Finish(one).state, BuildState::kSucceeded);
  EXPECT_EQ(Finish(two).state, BuildState::kSucceeded);
}

TEST_F(BuildEngineTest, RunningBuildBeginsAgainAfterARestartFromItsCache) {
  v1::BuildSpec spec = Spec("FROM base\nRUN write /one 1\nRUN block\nRUN write /two 2\n");
  spec.set_no_cache(true);
  std::string id = Begin(spec);
  ASSERT_TRUE(runtime_.WaitForBlocked(1, absl::Seconds(10)));
  Restart();
  ASSERT_TRUE(runtime_.WaitForBlocked(1, absl::Seconds(10)));
  runtime_.Unblock();
  BuildRecord record = Finish(id);
  EXPECT_EQ(record.state, BuildState::kSucceeded) << record.error;
  EXPECT_EQ(record.steps_cached, 2) << "FROM, and the RUN that was done before";
  EXPECT_EQ(runtime_.containers(), 0);
}

TEST_F(BuildEngineTest, LayersThatAreGoneAreMadeAgain) {
  v1::BuildSpec spec = Spec("FROM base\nRUN write /one 1\nRUN write /two 2\n");
  BuildRecord first = Built(spec);
  runtime_.ForgetLayer(runtime_.ImageOf("out").chain_id);
  BuildRecord second = Built(spec);
  EXPECT_EQ(second.image_id, first.image_id);
  EXPECT_EQ(second.steps_cached, 2);
  EXPECT_EQ(runtime_.FilesOf("out")["/two"].content, "2");
}

TEST_F(BuildEngineTest, SameStepOfTwoBuildsIsDoneOnce) {
  std::string one = Begin(Spec("FROM base\nRUN block\n"));
  std::string two = Begin(Spec("FROM base\nRUN block\n"));
  ASSERT_TRUE(runtime_.WaitForBlocked(1, absl::Seconds(10)));
  runtime_.Unblock();
  EXPECT_EQ(Finish(one).state, BuildState::kSucceeded);
  EXPECT_EQ(Finish(two).state, BuildState::kSucceeded);
  EXPECT_EQ(runtime_.runs(), 1);
}

TEST_F(BuildEngineTest, CacheHoldsItsLayersUntilPruned) {
  Built(Spec("FROM base\nRUN write /one 1\n"));
  std::string chain = runtime_.ImageOf("out").chain_id;
  EXPECT_THAT(runtime_.LeasedChains(kCacheLease), ElementsAre(chain));
  absl::StatusOr<std::vector<CacheEntry>> entries = cache_->List({}, 10);
  ASSERT_TRUE(entries.ok());
  ASSERT_EQ(entries->size(), 1u);
  EXPECT_EQ((*entries)[0].step_name, "RUN write /one 1");
  EXPECT_EQ(cache_->Prune(clock_.Now() - absl::Hours(1))->deleted, 0);
  absl::StatusOr<CacheEngine::Pruned> pruned = cache_->Prune(absl::InfiniteFuture());
  ASSERT_TRUE(pruned.ok()) << pruned.status();
  EXPECT_EQ(pruned->deleted, 1);
  EXPECT_EQ(pruned->reclaimed_bytes, 1);
  EXPECT_TRUE(runtime_.LeasedChains(kCacheLease).empty());
}

TEST_F(BuildEngineTest, FileGoesIntoADestinationThatIsADirectory) {
  std::string context = SendContext({{"f", "1"}});
  Built(Spec("FROM base\nCOPY f /d\nCOPY f /new\nCOPY <<x /d\ninline\nx\n", context));
  FakeRuntime::Files files = runtime_.FilesOf("out");
  EXPECT_EQ(files["/d/f"].content, "1");
  EXPECT_EQ(files["/new"].content, "1");
  EXPECT_EQ(files["/d/x"].content, "inline\n");
}

TEST_F(BuildEngineTest, AddUnpacksArchivesAndCopyDoesNot) {
  std::string context = SendContext({{"a.tar", TarOf({{"in/side", "1"}})}, {"plain", "2"}});
  Built(Spec("FROM base\nADD a.tar plain /x/\nCOPY a.tar /y/\n", context));
  FakeRuntime::Files files = runtime_.FilesOf("out");
  EXPECT_EQ(files["/x/in/side"].content, "1");
  EXPECT_EQ(files["/x/plain"].content, "2");
  EXPECT_FALSE(files.contains("/x/a.tar"));
  EXPECT_TRUE(files.contains("/y/a.tar"));
}

TEST_F(BuildEngineTest, TriggersOfTheBaseRunFirst) {
  Built(Spec("FROM base\nONBUILD RUN write /triggered 1\nONBUILD ENV T=1\n"));
  EXPECT_FALSE(runtime_.FilesOf("out").contains("/triggered"));
  v1::BuildSpec child = Spec("FROM out\nRUN write /own 2\n");
  child.set_tags(0, "child");
  Built(child);
  EXPECT_TRUE(runtime_.FilesOf("child").contains("/triggered"));
  EXPECT_THAT(runtime_.ImageOf("child").config_json, HasSubstr("T=1"));
  EXPECT_THAT(runtime_.ImageOf("child").config_json, ::testing::Not(HasSubstr("OnBuild")));
}

TEST_F(BuildEngineTest, OldBuildsAreForgotten) {
  std::string first = Built(Spec("FROM base")).id;
  std::string second = Built(Spec("FROM base")).id;
  ASSERT_TRUE(engine_->Trim(1).ok());
  EXPECT_TRUE(absl::IsNotFound(engine_->Get(first).status()));
  EXPECT_TRUE(engine_->Get(second).ok());
}

}  // namespace
}  // namespace darse::builder
