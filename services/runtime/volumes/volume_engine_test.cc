#include "services/runtime/volumes/volume_engine.h"

#include <cstdlib>
#include <memory>
#include <string>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "libs/base/reason.h"
#include "libs/base/status_macros.h"
#include "libs/os/files.h"

namespace darse::runtime {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

class VolumeEngineTest : public testing::Test {
 protected:
  void SetUp() override {
    ASSERT_NE(mkdtemp(directory_.data()), nullptr);
    Open();
  }
  void TearDown() override {
    engine_.reset();
    db_.reset();
    EXPECT_TRUE(RemoveTree(directory_).ok());
  }
  void Open() {
    engine_.reset();
    events_.reset();
    db_.reset();
    static const std::string kSchema = absl::StrCat(kVolumeSchema, EventLog::kSchema);
    static const sqlite::Migration kMigrations[] = {{1, kSchema.c_str()}};
    auto db = sqlite::Database::Open(directory_ + "/test.db", kMigrations);
    ASSERT_TRUE(db.ok()) << db.status();
    db_ = *std::move(db);
    events_ = std::make_unique<EventLog>(*db_, clock_);
    engine_ = std::make_unique<VolumeEngine>(
        *db_, *events_, clock_,
        [this] { return absl::StrCat(absl::Hex(++ids_, absl::kZeroPad16), std::string(48, 'a')); },
        directory_ + "/volumes");
    ASSERT_EQ(engine_->Recover({"c1", "c2"}), absl::OkStatus());
  }
  std::vector<std::string> Names() {
    std::vector<std::string> names;
    const std::vector<Volume> volumes = *engine_->List();
    for (const Volume& volume : volumes) names.push_back(volume.name);
    return names;
  }

  std::string directory_ = "/tmp/darse_volumes_XXXXXX";
  uint64_t ids_ = 0;
  FakeClock clock_;
  // As part of what deletes a container.
  absl::Status RemoveUses(absl::string_view container, bool delete_anonymous,
                          absl::string_view actor) {
    std::function<absl::Status()> remove_files;
    absl::Status removed = db_->Write([&](sqlite::Transaction& tx) -> absl::Status {
      ASSIGN_OR_RETURN(remove_files, engine_->RemoveUses(tx, container, delete_anonymous, actor));
      return absl::OkStatus();
    });
    return removed.ok() ? remove_files() : removed;
  }

  std::unique_ptr<sqlite::Database> db_;
  std::unique_ptr<EventLog> events_;
  std::unique_ptr<VolumeEngine> engine_;
};

TEST_F(VolumeEngineTest, AVolumeKeepsItsFilesAcrossARestart) {
  absl::StatusOr<Volume> volume = engine_->Create("data", {{"a", "b"}}, "me");
  ASSERT_TRUE(volume.ok()) << volume.status();
  ASSERT_TRUE(WriteFileAtomically(volume->mountpoint + "/file", "kept").ok());
  Open();
  absl::StatusOr<Volume> again = engine_->Get("data");
  ASSERT_TRUE(again.ok()) << again.status();
  EXPECT_THAT(again->labels, ElementsAre(testing::Pair("a", "b")));
  EXPECT_EQ(*ReadFile(again->mountpoint + "/file"), "kept");
}

TEST_F(VolumeEngineTest, TheSameAgainIsFineAndOtherLabelsAreNot) {
  ASSERT_TRUE(engine_->Create("data", {{"a", "b"}}, "me").ok());
  EXPECT_TRUE(engine_->Create("data", {{"a", "b"}}, "me").ok());
  EXPECT_EQ(engine_->Create("data", {}, "me").status().code(), absl::StatusCode::kAlreadyExists);
  EXPECT_TRUE(engine_->Ensure("data", false, {}, "me").ok());
}

TEST_F(VolumeEngineTest, AUsedVolumeIsNotDeleted) {
  ASSERT_TRUE(engine_->Create("data", {}, "me").ok());
  ASSERT_TRUE(engine_->AddUse("data", "c1").ok());
  ASSERT_TRUE(engine_->AddUse("data", "c1").ok());
  EXPECT_EQ(Reason(engine_->Delete("data", "me")), "VOLUME_IN_USE");
  ASSERT_TRUE(RemoveUses("c1", true, "me").ok());
  EXPECT_TRUE(engine_->Delete("data", "me").ok());
  EXPECT_EQ(engine_->Delete("data", "me").code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(*ListDirectory(directory_ + "/volumes"), IsEmpty());
}

TEST_F(VolumeEngineTest, AnAnonymousVolumeGoesWithItsLastContainer) {
  absl::StatusOr<Volume> volume = engine_->Ensure("", true, {}, "me");
  ASSERT_TRUE(volume.ok());
  ASSERT_TRUE(engine_->AddUse(volume->name, "c1").ok());
  ASSERT_TRUE(engine_->AddUse(volume->name, "c2").ok());
  ASSERT_TRUE(RemoveUses("c1", true, "me").ok());
  EXPECT_TRUE(Exists(volume->mountpoint));
  ASSERT_TRUE(RemoveUses("c2", true, "me").ok());
  EXPECT_FALSE(Exists(volume->mountpoint));
  EXPECT_THAT(Names(), IsEmpty());
}

TEST_F(VolumeEngineTest, PruneTakesNamedOnesOnlyWhenAsked) {
  ASSERT_TRUE(engine_->Create("named", {}, "me").ok());
  ASSERT_TRUE(engine_->Create("used", {}, "me").ok());
  ASSERT_TRUE(engine_->AddUse("used", "c1").ok());
  ASSERT_TRUE(engine_->Ensure("", true, {}, "me").ok());
  EXPECT_EQ(engine_->Prune(false, "me")->size(), 1);
  EXPECT_THAT(Names(), ElementsAre("named", "used"));
  EXPECT_THAT(*engine_->Prune(true, "me"), ElementsAre("named"));
  EXPECT_THAT(Names(), ElementsAre("used"));
}

TEST_F(VolumeEngineTest, RecoverDropsUsesOfContainersThatAreGone) {
  ASSERT_TRUE(engine_->Create("data", {}, "me").ok());
  ASSERT_TRUE(engine_->AddUse("data", "gone").ok());
  Open();
  EXPECT_THAT(engine_->Get("data")->container_ids, IsEmpty());
}

TEST_F(VolumeEngineTest, RecoverFinishesADeletionAndMakesAMissingDirectory) {
  ASSERT_TRUE(engine_->Create("data", {}, "me").ok());
  ASSERT_TRUE(RemoveTree(directory_ + "/volumes/data").ok());
  ASSERT_TRUE(MakeDirectories(directory_ + "/volumes/.half/deleted").ok());
  Open();
  EXPECT_TRUE(Exists(engine_->Get("data")->mountpoint));
  EXPECT_THAT(*ListDirectory(directory_ + "/volumes"), ElementsAre("data"));
}

TEST_F(VolumeEngineTest, NamesThatLeaveTheDirectoryAreRefused) {
  for (const char* name : {"../x", ".", "..", ".hidden", "a/b", "-a"}) {
    EXPECT_EQ(engine_->Create(name, {}, "me").status().code(), absl::StatusCode::kInvalidArgument)
        << name;
  }
}

TEST_F(VolumeEngineTest, ChangesAreTold) {
  ASSERT_TRUE(engine_->Create("data", {}, "uid=7").ok());
  ASSERT_TRUE(engine_->Delete("data", "uid=8").ok());
  const std::vector<Event> events = *events_->Read(0, 10);
  ASSERT_EQ(events.size(), 2);
  EXPECT_EQ(events[0].action, "create");
  EXPECT_EQ(events[0].actor, "uid=7");
  EXPECT_EQ(events[1].action, "destroy");
  EXPECT_EQ(events[1].id, "data");
}

TEST_F(VolumeEngineTest, UsageCountsWhatIsInVolumes) {
  absl::StatusOr<Volume> volume = engine_->Create("data", {}, "me");
  ASSERT_TRUE(MakeDirectories(volume->mountpoint + "/a/b").ok());
  const int64_t before = *engine_->Usage();
  ASSERT_TRUE(WriteFileAtomically(volume->mountpoint + "/a/b/c", std::string(100000, 'x')).ok());
  EXPECT_GE(*engine_->Usage() - before, 100000);
}

}  // namespace
}  // namespace darse::runtime
