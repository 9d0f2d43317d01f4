// Files in snapshots over several layers, on a real overlay.
#include "services/runtime/snapshots/snapshot_files.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "libs/os/files.h"
#include "services/runtime/images/image_fixture.h"

namespace darse::runtime {
namespace {

using archive::EntryType;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

class SnapshotFilesTest : public ImageFixture {
 protected:
  void SetUp() override {
    ImageFixture::SetUp();
    files_ = std::make_unique<SnapshotFiles>(*snapshots_);
    std::string tar = MakeTar(
        {{{.type = EntryType::kDirectory, .name = "etc/", .mode = 0755}, ""},
         {{.name = "etc/passwd"}, "root:x:0:0::/:/bin/sh\napp:x:100:200::/app:/bin/sh\n"},
         {{.name = "etc/group"}, "root:x:0:\nwww:x:300:\n"},
         {{.type = EntryType::kDirectory, .name = "usr/lib/", .mode = 0755}, ""},
         {{.type = EntryType::kSymlink, .name = "lib", .link_name = "usr/lib"}, ""},
         {{.type = EntryType::kDirectory, .name = "src/", .mode = 0750, .uid = 5, .gid = 6}, ""},
         {{.name = "src/a.py", .mode = 0640, .uid = 5, .gid = 6, .mtime_seconds = 77}, "A"},
         {{.name = "src/b.py"}, "B"},
         {{.name = "src/c.txt"}, "C"},
         {{.type = EntryType::kDirectory, .name = "src/sub/", .mode = 0700}, ""},
         {{.name = "src/sub/d"}, "D"},
         {{.type = EntryType::kSymlink, .name = "src/link", .link_name = "/etc/passwd"}, ""}});
    ASSERT_TRUE(Import(tar, "base").ok());
    chain_id_ = images_->Resolve("base")->chain_id;
    ASSERT_TRUE(snapshots_->AcquireLease("build", std::nullopt).ok());
    id_ = *snapshots_->PrepareForLease("build", chain_id_);
  }
  void TearDown() override {
    files_.reset();
    ImageFixture::TearDown();
  }

  absl::Status Write(WriteRequest request, const std::string& tar) {
    request.snapshot_id = id_;
    absl::StatusOr<std::unique_ptr<WriteSession>> session = files_->StartWrite(request);
    if (!session.ok()) return session.status();
    absl::Status written = (*session)->Write(tar);
    return written.ok() ? (*session)->Finish() : written;
  }
  absl::Status Copy(std::vector<std::string> sources, std::string destination,
                    std::optional<OwnerNames> owner = std::nullopt, uint32_t mode = 0) {
    return files_->Copy({.source_chain_id = chain_id_,
                         .sources = std::move(sources),
                         .snapshot_id = id_,
                         .destination = std::move(destination),
                         .owner = std::move(owner),
                         .mode = mode});
  }
  std::string Upper(const std::string& path) {
    return JoinPath(snapshots_->Get(id_)->upper_dir, path);
  }
  struct stat Stat(const std::string& path) {
    struct stat st = {};
    EXPECT_EQ(lstat(Upper(path).c_str(), &st), 0) << path;
    return st;
  }

  std::unique_ptr<SnapshotFiles> files_;
  std::string chain_id_;
  std::string id_;
};

TEST_F(SnapshotFilesTest, AWrittenTarLandsBelowItsDestinationAsRootUnlessAnOwnerIsNamed) {
  std::string tar = MakeTar({{{.type = EntryType::kDirectory, .name = "d/", .mode = 0711}, ""},
                             {{.name = "d/f", .mode = 0604, .uid = 9, .gid = 9}, "x"}});
  ASSERT_TRUE(Write({.destination = "/app/new"}, tar).ok());
  EXPECT_EQ(*ReadFile(Upper("app/new/d/f")), "x");
  EXPECT_EQ(Stat("app/new/d/f").st_uid, 0u);
  EXPECT_EQ(Stat("app/new/d/f").st_mode & 07777, 0604u);
  EXPECT_EQ(Stat("app/new").st_mode & 07777, 0755u);
  absl::Status status =
      Write({.destination = "/app/own", .owner = OwnerNames{"app", "www"}, .mode = 0700}, tar);
  ASSERT_TRUE(status.ok()) << status;
  EXPECT_EQ(Stat("app/own/d/f").st_uid, 100u);
  EXPECT_EQ(Stat("app/own/d/f").st_gid, 300u);
  EXPECT_EQ(Stat("app/own").st_uid, 100u);
  EXPECT_EQ(Stat("app/own/d").st_mode & 07777, 0700u);
  ASSERT_TRUE(Write({.destination = "/app/kept", .keep_owners = true}, tar).ok());
  EXPECT_EQ(Stat("app/kept/d/f").st_uid, 9u);
}

TEST_F(SnapshotFilesTest, AnUnknownOwnerIsRefused) {
  EXPECT_EQ(
      Write({.destination = "/x", .owner = OwnerNames{"nobody-knows", ""}}, MakeTar({})).code(),
      absl::StatusCode::kInvalidArgument);
}

TEST_F(SnapshotFilesTest, WritingFollowsSymlinksOfTheLayersBelowInsideTheRoot) {
  std::string tar = MakeTar({{{.type = EntryType::kDirectory, .name = "lib/", .mode = 0755}, ""},
                             {{.name = "lib/x.so"}, "x"}});
  ASSERT_TRUE(Write({.destination = "/"}, tar).ok());
  EXPECT_EQ(*ReadFile(Upper("usr/lib/x.so")), "x");
  EXPECT_FALSE(Exists(Upper("lib")));
}

TEST_F(SnapshotFilesTest, AHostileTarCannotLeaveTheSnapshot) {
  EXPECT_EQ(Write({.destination = "/app"}, MakeTar({{{.name = "../../etc/x"}, "x"}})).code(),
            absl::StatusCode::kInvalidArgument);
  EXPECT_FALSE(Write({.destination = "relative"}, MakeTar({})).ok());
  EXPECT_FALSE(Write({.destination = "/a/../../b"}, MakeTar({{{.name = "x"}, "x"}})).ok());
  ASSERT_TRUE(Write({.destination = "/"},
                    MakeTar({{{.type = EntryType::kSymlink, .name = "t", .link_name = "/tmp"}, ""},
                             {{.name = "t/darse-files-escape"}, "x"}}))
                  .ok());
  EXPECT_FALSE(Exists("/tmp/darse-files-escape"));
  EXPECT_TRUE(Exists(Upper("tmp/darse-files-escape")));
}

TEST_F(SnapshotFilesTest, NothingOfTheMergedViewIsInTheMountTable) {
  absl::StatusOr<std::unique_ptr<WriteSession>> session =
      files_->StartWrite({.snapshot_id = id_, .destination = "/"});
  ASSERT_TRUE(session.ok()) << session.status();
  EXPECT_THAT(*ReadFile("/proc/self/mountinfo"), testing::Not(HasSubstr(root_)));
}

TEST_F(SnapshotFilesTest, ADirectorysContentsAreCopiedAndAFileBecomesItsDestination) {
  ASSERT_TRUE(Copy({"/src"}, "/app").ok());
  EXPECT_EQ(*ReadFile(Upper("app/sub/d")), "D");
  EXPECT_EQ(Stat("app/a.py").st_uid, 5u);
  EXPECT_EQ(Stat("app/a.py").st_mtim.tv_sec, 77);
  EXPECT_TRUE(S_ISLNK(Stat("app/link").st_mode));
  ASSERT_TRUE(Copy({"/src/a.py"}, "/one.py").ok());
  EXPECT_EQ(*ReadFile(Upper("one.py")), "A");
  ASSERT_TRUE(Copy({"/src/a.py"}, "/dir/").ok());
  EXPECT_EQ(*ReadFile(Upper("dir/a.py")), "A");
  ASSERT_TRUE(Copy({"/src/b.py"}, "/dir").ok());
  EXPECT_EQ(*ReadFile(Upper("dir/b.py")), "B");
}

TEST_F(SnapshotFilesTest, PatternsOwnersAndModesAreHonoured) {
  ASSERT_TRUE(Copy({"/src/*.py", "/src/c.tx?"}, "/out/", OwnerNames{"7", ""}, 0700).ok());
  EXPECT_THAT(*ListDirectory(Upper("out")), ElementsAre("a.py", "b.py", "c.txt"));
  EXPECT_EQ(Stat("out/b.py").st_uid, 7u);
  EXPECT_EQ(Stat("out/b.py").st_gid, 7u);
  EXPECT_EQ(Stat("out/b.py").st_mode & 07777, 0700u);
  EXPECT_EQ(Copy({"/src/*.rs"}, "/out/").code(), absl::StatusCode::kNotFound);
}

TEST_F(SnapshotFilesTest, ANamedSymlinkIsFollowedAndADirectoryIsNeverReplaced) {
  ASSERT_TRUE(Copy({"/src/link"}, "/copied").ok());
  EXPECT_THAT(*ReadFile(Upper("copied")), HasSubstr("root:x:0"));
  ASSERT_TRUE(Copy({"/src"}, "/lib").ok());
  EXPECT_TRUE(Exists(Upper("usr/lib/a.py")));
  ASSERT_TRUE(Write({.destination = "/t"}, MakeTar({{{.name = "sub"}, "file"}})).ok());
  EXPECT_EQ(Copy({"/src"}, "/t").code(), absl::StatusCode::kInvalidArgument);
}

TEST_F(SnapshotFilesTest, ADigestTellsContentsModesAndNamesButNotTimes) {
  std::string before = *files_->Digest(chain_id_, {"/src"});
  EXPECT_EQ(before, *files_->Digest(chain_id_, {"/src"}));
  EXPECT_NE(before, *files_->Digest(chain_id_, {"/src/a.py"}));
  auto committed = [&](const std::function<void()>& change) {
    id_ = *snapshots_->PrepareForLease("build", chain_id_);
    EXPECT_TRUE(Copy({"/src"}, "/src").ok());
    change();
    std::string chain = (*snapshots_->Commit(id_, "build", -1))->chain_id;
    return *files_->Digest(chain, {"/src"});
  };
  EXPECT_EQ(committed([&] {
              struct timespec times[2] = {{.tv_sec = 1, .tv_nsec = 0}, {.tv_sec = 1, .tv_nsec = 0}};
              utimensat(AT_FDCWD, Upper("src/b.py").c_str(), times, 0);
            }),
            before);
  EXPECT_NE(committed([&] { chmod(Upper("src/b.py").c_str(), 0755); }), before);
  EXPECT_NE(committed([&] { WriteFileVolatile(Upper("src/b.py"), "b").IgnoreError(); }), before);
  EXPECT_NE(committed([&] { rename(Upper("src/b.py").c_str(), Upper("src/z.py").c_str()); }),
            before);
  EXPECT_EQ(files_->Digest(chain_id_, {"/none"}).status().code(), absl::StatusCode::kNotFound);
}

TEST_F(SnapshotFilesTest, DeletionsBecomeWhiteoutsThatHideTheLayersBelow) {
  ASSERT_TRUE(Write({.destination = "/src"}, MakeTar({{{.name = "new"}, "n"}})).ok());
  // What overlay leaves behind for `rm /src/a.py`, and for `rm -r /src/sub && mkdir /src/sub`.
  ASSERT_EQ(mknod(Upper("src/a.py").c_str(), S_IFCHR, 0), 0);
  std::string chain = (*snapshots_->Commit(id_, "build", 9))->chain_id;
  EXPECT_TRUE(absl::IsNotFound(files_->ReadFromLayers(chain, "/src/a.py").status()));
  EXPECT_EQ(*files_->ReadFromLayers(chain, "/src/b.py"), "B");
  EXPECT_EQ(*files_->ReadFromLayers(chain, "/src/new"), "n");
}

TEST_F(SnapshotFilesTest, ReadingTellsFilesDirectoriesAndNothingApart) {
  EXPECT_THAT(*files_->ReadFromSnapshot(id_, "/etc/passwd"), HasSubstr("app:x:100"));
  EXPECT_EQ(files_->ReadFromSnapshot(id_, "/etc").status().code(),
            absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(files_->ReadFromSnapshot(id_, "/no").status().code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(*files_->ReadFromSnapshot(id_, "/src/link"), HasSubstr("root:x:0"));
}

TEST_F(SnapshotFilesTest, ASnapshotOverNothingHoldsWhatIsWritten) {
  id_ = *snapshots_->PrepareForLease("build", "");
  ASSERT_TRUE(Write({.destination = "/"}, MakeTar({{{.name = "only"}, "1"}})).ok());
  std::string chain = (*snapshots_->Commit(id_, "build", 0))->chain_id;
  EXPECT_EQ(*files_->ReadFromLayers(chain, "only"), "1");
  EXPECT_EQ(files_->ReadFromLayers(chain, "/etc/hosts").status().code(),
            absl::StatusCode::kNotFound);
}

}  // namespace
}  // namespace darse::runtime
