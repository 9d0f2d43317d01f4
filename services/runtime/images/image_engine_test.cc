// Images from archives to snapshots and back, with the real unpacker on a real file system.
#include "services/runtime/images/image_engine.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "libs/archive/chunk_source.h"
#include "libs/archive/tar_entry.h"
#include "libs/base/reason.h"
#include "libs/os/files.h"
#include "services/runtime/images/image_fixture.h"

namespace darse::runtime {
namespace {

using archive::EntryType;
using archive::TarEntry;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

using ImageEngineTest = ImageFixture;

TEST_F(ImageEngineTest, AnImportedRootFileSystemIsFoundByNameAndId) {
  absl::StatusOr<std::string> id = Import(RootTar(), "base:1");
  ASSERT_TRUE(id.ok()) << id.status();
  for (std::string reference : {std::string("base:1"), *id, id->substr(7, 12)}) {
    absl::StatusOr<ResolvedImage> image = images_->Resolve(reference);
    ASSERT_TRUE(image.ok()) << image.status();
    EXPECT_EQ(image->id, *id);
    EXPECT_THAT(image->references, ElementsAre("docker.io/library/base:1"));
    EXPECT_THAT(image->config.cmd, ElementsAre("sh"));
  }
  EXPECT_TRUE(absl::IsNotFound(images_->Resolve("base").status()));
}

TEST_F(ImageEngineTest, FilesKeepOwnersModesTimesAndLinks) {
  ASSERT_TRUE(Import(RootTar(), "base").ok());
  std::string fs = snapshots_->driver().FsPath(images_->Resolve("base")->config.diff_ids[0].text());
  struct stat st;
  ASSERT_EQ(lstat(JoinPath(fs, "etc/name").c_str(), &st), 0);
  EXPECT_EQ(st.st_mode & 07777, 0600u);
  EXPECT_EQ(st.st_uid, 7u);
  EXPECT_EQ(st.st_gid, 8u);
  EXPECT_EQ(st.st_mtim.tv_sec, 99);
  EXPECT_EQ(st.st_nlink, 2u);
  EXPECT_EQ(*ReadFile(JoinPath(fs, "hard")), "first");
}

TEST_F(ImageEngineTest, ASavedImageLoadsAgainWithTheSameId) {
  absl::StatusOr<std::string> id = Import(RootTar(), "base:1");
  ASSERT_TRUE(id.ok()) << id.status();
  std::string saved = Save("base:1");
  ASSERT_TRUE(images_->Delete("base:1", false, "test").ok());
  ExpectNothingLeft();
  absl::StatusOr<std::vector<std::string>> loaded = Load(saved);
  ASSERT_TRUE(loaded.ok()) << loaded.status();
  EXPECT_THAT(*loaded, ElementsAre(*id));
  EXPECT_THAT(images_->Resolve("base:1")->references, ElementsAre("docker.io/library/base:1"));
  EXPECT_EQ(Save("base:1"), saved);
}

TEST_F(ImageEngineTest, AnOciLayoutWithoutDockersListLoadsToo) {
  ASSERT_TRUE(Import(RootTar(), "base:1").ok());
  std::string saved = Save("base:1");
  // Another name for the member: what follows is not read as Docker's list then.
  size_t at = saved.rfind("manifest.json");
  ASSERT_NE(at, std::string::npos);
  TarEntry other{.name = "somethingelse", .size = 0};
  std::string header = archive::FormatHeader(other);
  std::string real = saved.substr(at, 512);
  TarEntry renamed{.name = "ignored.json",
                   .size = strtol(real.substr(124, 11).c_str(), nullptr, 8)};
  saved.replace(at, 512, archive::FormatHeader(renamed));
  ASSERT_TRUE(images_->Delete("base:1", false, "test").ok());
  absl::StatusOr<std::vector<std::string>> loaded = Load(saved);
  ASSERT_TRUE(loaded.ok()) << loaded.status();
  EXPECT_TRUE(images_->Resolve("base:1").ok());
}

TEST_F(ImageEngineTest, ALaterMemberOfTheSameNameWinsAndTheTarIsStillMadeAgain) {
  std::string tar = MakeTar({{{.name = "a"}, "one"},
                             {{.type = EntryType::kDirectory, .name = "d/", .mode = 0755}, ""},
                             {{.name = "d/x"}, "in d"},
                             {{.name = "a"}, "two"},
                             {{.type = EntryType::kSymlink, .name = "d", .link_name = "a"}, ""}});
  absl::StatusOr<std::string> id = Import(tar, "twice");
  ASSERT_TRUE(id.ok()) << id.status();
  std::string fs =
      snapshots_->driver().FsPath(images_->Resolve("twice")->config.diff_ids[0].text());
  EXPECT_EQ(*ReadFile(JoinPath(fs, "a")), "two");
  EXPECT_TRUE(absl::StrContains(Save("twice"), "in d"));
}

TEST_F(ImageEngineTest, HostileLayersAreRefusedAndLeaveNothing) {
  std::string outside = absl::StrCat(root_, "/outside");
  ASSERT_TRUE(WriteFileVolatile(outside, "safe").ok());
  std::vector<std::vector<File>> attacks = {
      {{{.name = "../outside"}, "x"}},
      {{{.name = "a/../../outside"}, "x"}},
      {{{.type = EntryType::kSymlink, .name = "up", .link_name = "../../../../.."}, ""},
       {{.name = "up/outside"}, "x"}},
      {{{.type = EntryType::kHardLink, .name = "h", .link_name = "../../outside"}, ""}},
      {{{.type = EntryType::kHardLink, .name = "h", .link_name = "etc/passwd"}, ""}},
      {{{.name = "f", .xattrs = {{"trusted.overlay.opaque", "y"}}}, "x"}},
      {{{.name = "./"}, "x"}},
      {{{.type = EntryType::kCharDevice, .name = "null"}, ""}},
      {{{.name = ".wh."}, ""}},
  };
  for (size_t i = 0; i < attacks.size(); ++i) {
    absl::Status status = Import(MakeTar(attacks[i]), "bad").status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << i << ": " << status;
    EXPECT_EQ(Reason(status), "BAD_ARCHIVE") << i;
    ExpectNothingLeft();
  }
  EXPECT_EQ(*ReadFile(outside), "safe");
}

TEST_F(ImageEngineTest, AnAbsoluteSymlinkLeadsToTheLayersOwnRoot) {
  std::string tar =
      MakeTar({{{.type = EntryType::kSymlink, .name = "abs", .link_name = "/tmp"}, ""},
               {{.name = "abs/darse-images-escape"}, "x"}});
  ASSERT_TRUE(Import(tar, "abs").ok());
  EXPECT_FALSE(Exists("/tmp/darse-images-escape"));
  std::string fs = snapshots_->driver().FsPath(images_->Resolve("abs")->config.diff_ids[0].text());
  EXPECT_EQ(*ReadFile(JoinPath(fs, "tmp/darse-images-escape")), "x");
}

TEST_F(ImageEngineTest, ATruncatedArchiveIsRefusedWhereverItEnds) {
  ASSERT_TRUE(Import(RootTar(), "base:1").ok());
  std::string saved = Save("base:1");
  ASSERT_TRUE(images_->Delete("base:1", false, "test").ok());
  for (size_t size = 0; size + 1024 < saved.size(); size += 997) {
    absl::Status status = Load(saved.substr(0, size)).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << size << ": " << status;
    EXPECT_EQ(Reason(status), "BAD_ARCHIVE");
  }
  ExpectNothingLeft();
}

TEST_F(ImageEngineTest, ALayerWithAnotherDigestThanTheConfigSaysIsRefused) {
  ASSERT_TRUE(Import(RootTar(), "base:1").ok());
  std::string saved = Save("base:1");
  ASSERT_TRUE(images_->Delete("base:1", false, "test").ok());
  size_t at = saved.find("first");
  ASSERT_NE(at, std::string::npos);
  saved[at] = 'F';
  absl::Status status = Load(saved).status();
  EXPECT_EQ(Reason(status), "BAD_ARCHIVE") << status;
  ExpectNothingLeft();
}

TEST_F(ImageEngineTest, ALoadThatIsDroppedLeavesNothing) {
  {
    absl::StatusOr<std::unique_ptr<LoadSession>> session = LoadSession::Start(*images_);
    ASSERT_TRUE(session.ok()) << session.status();
    ASSERT_TRUE((*session)->Write(RootTar().substr(0, 700)).ok());
  }
  ExpectNothingLeft();
}

TEST_F(ImageEngineTest, AnImageInUseStaysUntilForced) {
  ASSERT_TRUE(Import(RootTar(), "base").ok());
  users_ = {"web"};
  absl::Status refused = images_->Delete("base", false, "test").status();
  EXPECT_EQ(refused.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(Reason(refused), "IMAGE_IN_USE");
  EXPECT_THAT(refused.message(), HasSubstr("web"));
  ASSERT_TRUE(images_->Tag("base", "other", "test").ok());
  // With another name left nothing is lost.
  EXPECT_TRUE(images_->Delete("base", false, "test").ok());
  EXPECT_TRUE(images_->Delete("other", true, "test").ok());
}

TEST_F(ImageEngineTest, ASnapshotKeepsTheLayersOfADeletedImage) {
  ASSERT_TRUE(Import(RootTar(), "base").ok());
  std::string chain_id = images_->Resolve("base")->chain_id;
  ASSERT_TRUE(Prepare("c1", chain_id).ok());
  ASSERT_TRUE(images_->Delete("base", true, "test").ok());
  EXPECT_TRUE(Exists(snapshots_->Get("c1")->lower_dirs[0]));
  ASSERT_TRUE(snapshots_->Delete("c1").ok());
  ASSERT_TRUE(snapshots_->Collect().ok());
  ExpectNothingLeft();
}

TEST_F(ImageEngineTest, ATagMovesAndTellsBothImages) {
  absl::StatusOr<std::string> first = Import(RootTar(), "a");
  absl::StatusOr<std::string> second = Import(MakeTar({{{.name = "x"}, "y"}}), "b");
  ASSERT_TRUE(first.ok() && second.ok());
  ASSERT_TRUE(images_->Tag("b", "a", "test").ok());
  EXPECT_EQ(images_->Resolve("a")->id, *second);
  std::vector<Event> events = *events_->Read(0, 100, {"image"});
  ASSERT_GE(events.size(), 2u);
  EXPECT_EQ(events[events.size() - 2].action, "untag");
  EXPECT_EQ(events[events.size() - 2].id, *first);
  EXPECT_EQ(events.back().action, "tag");
  EXPECT_EQ(events.back().attributes.at("name"), "docker.io/library/a:latest");
}

TEST_F(ImageEngineTest, PruneTakesImagesWithoutANameUnlessALeaseHoldsThem) {
  absl::StatusOr<std::string> first = Import(RootTar(), "");
  absl::StatusOr<std::string> second = Import(MakeTar({{{.name = "x"}, "y"}}), "");
  ASSERT_TRUE(Import(MakeTar({{{.name = "z"}, "y"}}), "named").ok());
  ASSERT_TRUE(snapshots_->AcquireLease("l", std::nullopt).ok());
  ASSERT_TRUE(snapshots_->UpdateLease("l", {.add_image_ids = {*second}}).ok());
  absl::StatusOr<PrunedImages> pruned = images_->Prune(false, "test");
  ASSERT_TRUE(pruned.ok()) << pruned.status();
  EXPECT_THAT(pruned->deleted_ids, ElementsAre(*first));
  EXPECT_TRUE(images_->Resolve(*second).ok());
  EXPECT_TRUE(images_->Resolve("named").ok());
}

TEST_F(ImageEngineTest, ACommittedSnapshotIsALayerThatSavesAndLoads) {
  ASSERT_TRUE(Import(RootTar(), "base").ok());
  ResolvedImage base = *images_->Resolve("base");
  ASSERT_TRUE(snapshots_->AcquireLease("build", std::nullopt).ok());
  std::string id = *snapshots_->PrepareForLease("build", base.chain_id);
  std::string upper = snapshots_->Get(id)->upper_dir;
  ASSERT_TRUE(WriteFileVolatile(JoinPath(upper, "new"), "content").ok());
  absl::StatusOr<std::optional<CommittedLayer>> layer = snapshots_->Commit(id, "build", 1000);
  ASSERT_TRUE(layer.ok() && layer->has_value()) << layer.status();
  EXPECT_TRUE(absl::IsNotFound(snapshots_->Get(id).status()));
  absl::StatusOr<std::string> config =
      oci::MakeImageConfig({.architecture = "amd64",
                            .os = "linux",
                            .diff_ids = {base.config.diff_ids[0], (*layer)->diff_id}});
  absl::StatusOr<ImageView> made = images_->Create(*config, (*layer)->chain_id, {"made"}, "test");
  ASSERT_TRUE(made.ok()) << made.status();
  ASSERT_TRUE(snapshots_->ReleaseLease("build").ok());
  std::string saved = Save("made");
  ASSERT_TRUE(images_->Delete("made", false, "test").ok());
  ASSERT_TRUE(images_->Delete("base", false, "test").ok());
  ExpectNothingLeft();
  ASSERT_TRUE(Load(saved).ok());
  EXPECT_EQ(images_->Resolve("made")->id, made->row.image_id);
}

TEST_F(ImageEngineTest, TheSameChangesMakeTheSameLayer) {
  ASSERT_TRUE(snapshots_->AcquireLease("build", std::nullopt).ok());
  std::vector<std::string> diffs;
  for (int i = 0; i < 2; ++i) {
    std::string id = *snapshots_->PrepareForLease("build", "");
    std::string upper = snapshots_->Get(id)->upper_dir;
    std::vector<std::string> names = {"b", "a", "c"};
    if (i == 1) std::reverse(names.begin(), names.end());
    for (const std::string& name : names) {
      ASSERT_TRUE(WriteFileVolatile(JoinPath(upper, name), name).ok());
    }
    diffs.push_back((*snapshots_->Commit(id, "build", 5))->diff_id.text());
  }
  EXPECT_EQ(diffs[0], diffs[1]);
}

TEST_F(ImageEngineTest, ASnapshotWithoutChangesMakesNoLayer) {
  ASSERT_TRUE(snapshots_->AcquireLease("build", std::nullopt).ok());
  std::string id = *snapshots_->PrepareForLease("build", "");
  absl::StatusOr<std::optional<CommittedLayer>> layer = snapshots_->Commit(id, "build", 0);
  ASSERT_TRUE(layer.ok()) << layer.status();
  EXPECT_FALSE(layer->has_value());
}

TEST_F(ImageEngineTest, AnExpiredLeaseLetsItsSnapshotsAndLayersGo) {
  ASSERT_TRUE(snapshots_->AcquireLease("l", clock_.Now() + absl::Seconds(10)).ok());
  std::string kept = *snapshots_->PrepareForLease("l", "");
  ASSERT_TRUE(WriteFileVolatile(JoinPath(snapshots_->Get(kept)->upper_dir, "f"), "x").ok());
  ASSERT_TRUE(snapshots_->Commit(kept, "l", 0).ok());
  std::string open = *snapshots_->PrepareForLease("l", "");
  ASSERT_TRUE(snapshots_->Collect().ok());
  EXPECT_TRUE(snapshots_->Get(open).ok());
  clock_.Advance(absl::Seconds(11));
  ASSERT_TRUE(snapshots_->Collect().ok());
  EXPECT_TRUE(absl::IsNotFound(snapshots_->Get(open).status()));
  EXPECT_THAT(Listed("snapshots"), IsEmpty());
  ExpectNothingLeft();
}

// The runtime's directory on a file system of its own, in a mount namespace that ends with this
// test.
class FullDiskTest : public ImageFixture {
 protected:
  void SetUp() override {
    ASSERT_EQ(unshare(CLONE_NEWNS), 0);
    ASSERT_EQ(mount("", "/", "", MS_REC | MS_PRIVATE, nullptr), 0);
    ImageFixture::SetUp();
    Close();
    ASSERT_EQ(mount("tmpfs", root_.c_str(), "tmpfs", 0, "size=8m"), 0);
    Open();
  }
  void TearDown() override {
    Close();
    umount2(root_.c_str(), MNT_DETACH);
    RemoveTree(root_).IgnoreError();
  }
};

TEST_F(FullDiskTest, AFullDiskIsSaidAndLeavesNothingAndLaterThereIsRoomAgain) {
  std::string large = MakeTar({{{.name = "large"}, std::string(20 << 20, 'x')}});
  absl::Status status = Import(large, "large").status();
  EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted) << status;
  ExpectNothingLeft();
  EXPECT_TRUE(Import(RootTar(), "small").ok());
}

TEST_F(ImageEngineTest, AStartAfterACrashRemovesWhatNoRowNames) {
  ASSERT_TRUE(Import(RootTar(), "base").ok());
  ASSERT_TRUE(Prepare("c1", images_->Resolve("base")->chain_id).ok());
  Close();
  std::string stray = absl::StrCat("layers/", std::string(64, 'a'), "/fs");
  for (std::string path :
       {stray, std::string("staging/17/0/fs"), std::string("snapshots/x/upper")}) {
    ASSERT_TRUE(MakeDirectories(JoinPath(root_, path)).ok());
  }
  Open();
  EXPECT_THAT(Listed("staging"), IsEmpty());
  EXPECT_THAT(Listed("snapshots"), ElementsAre("c1"));
  EXPECT_EQ(Listed("layers").size(), 2u);
  EXPECT_TRUE(images_->Resolve("base").ok());
}

}  // namespace
}  // namespace darse::runtime
