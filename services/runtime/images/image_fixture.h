// A runtime's image side in a directory of its own, with the real unpacker: for tests.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "libs/archive/chunk_source.h"
#include "libs/archive/tar_entry.h"
#include "libs/base/clock.h"
#include "libs/base/status_macros.h"
#include "libs/eventlog/event_log.h"
#include "libs/os/files.h"
#include "libs/sqlite/database.h"
#include "services/runtime/images/image_engine.h"
#include "services/runtime/images/load.h"
#include "services/runtime/images/save.h"
#include "services/runtime/snapshots/snapshot_engine.h"

namespace darse::runtime {

struct File {
  archive::TarEntry entry;
  std::string content;
};

inline std::string MakeTar(const std::vector<File>& files) {
  std::string tar;
  for (File file : files) {
    file.entry.size = static_cast<int64_t>(file.content.size());
    tar += archive::FormatHeader(file.entry) + file.content;
    tar.append(archive::Padding(file.entry.size), '\0');
  }
  return tar + std::string(1024, '\0');
}

inline std::string RootTar() {
  return MakeTar(
      {{{.type = archive::EntryType::kDirectory, .name = "./", .mode = 0755}, ""},
       {{.type = archive::EntryType::kDirectory, .name = "etc/", .mode = 0755}, ""},
       {{.name = "etc/name", .mode = 0600, .uid = 7, .gid = 8, .mtime_seconds = 99}, "first"},
       {{.type = archive::EntryType::kSymlink, .name = "etc/link", .link_name = "name"}, ""},
       {{.type = archive::EntryType::kHardLink, .name = "hard", .link_name = "etc/name"}, ""}});
}

// Tests run in the directory that holds what they need, by its path in the repository.
inline std::string UnpackProgram() {
  char directory[4096];
  EXPECT_NE(getcwd(directory, sizeof directory), nullptr);
  return JoinPath(directory, "services/runtime/unpack/darse-unpack");
}

class ImageFixture : public testing::Test {
 protected:
  void SetUp() override {
    signal(SIGPIPE, SIG_IGN);
    char path[] = "/tmp/darse-images-test-XXXXXX";
    ASSERT_NE(mkdtemp(path), nullptr);
    root_ = path;
    Open();
  }
  void TearDown() override {
    Close();
    RemoveTree(root_).IgnoreError();
  }
  void Open() {
    schema_ = absl::StrCat(EventLog::kSchema, kSnapshotSchema, kImageSchema);
    sqlite::Migration migrations[] = {{1, schema_.c_str()}};
    absl::StatusOr<std::unique_ptr<sqlite::Database>> db =
        sqlite::Database::Open(JoinPath(root_, "test.db"), migrations);
    ASSERT_TRUE(db.ok()) << db.status();
    db_ = *std::move(db);
    events_ = std::make_unique<EventLog>(*db_, clock_);
    snapshots_ = std::make_unique<SnapshotEngine>(
        SnapshotEngine::Options{.root = root_, .unpack_program = UnpackProgram()}, *db_, clock_);
    ASSERT_TRUE(snapshots_->Recover().ok());
    images_ = std::make_unique<ImageEngine>(
        ImageEngine::Options{.containers_of = [this](absl::string_view) { return users_; }}, *db_,
        *events_, *snapshots_, clock_);
  }
  void Close() {
    images_.reset();
    snapshots_.reset();
    events_.reset();
    db_.reset();
  }

  absl::StatusOr<std::string> Import(const std::string& tar, const std::string& name) {
    absl::StatusOr<std::unique_ptr<ImportSession>> session =
        ImportSession::Start(*images_, {.reference = name, .config_json = R"({"Cmd":["sh"]})"});
    if (!session.ok()) return session.status();
    absl::Status written = (*session)->Write(tar);
    if (!written.ok()) return written;
    return (*session)->Finish(clock_.Now(), "test");
  }
  absl::StatusOr<std::vector<std::string>> Load(const std::string& tar) {
    absl::StatusOr<std::unique_ptr<LoadSession>> session = LoadSession::Start(*images_);
    if (!session.ok()) return session.status();
    absl::Status written = (*session)->Write(tar);
    if (!written.ok()) return written;
    return (*session)->Finish("test");
  }
  std::string Save(const std::string& name) {
    archive::StringSink out;
    absl::Status saved = SaveImages(*images_, {name}, out);
    EXPECT_TRUE(saved.ok()) << saved;
    return out.text;
  }
  std::vector<std::string> Listed(const std::string& directory) {
    absl::StatusOr<std::vector<std::string>> names = ListDirectory(JoinPath(root_, directory));
    return names.ok() ? *names : std::vector<std::string>{"unreadable"};
  }
  // Of images that are gone or never came, nothing may stay but the mount points.
  void ExpectNothingLeft() {
    EXPECT_THAT(Listed("layers"), testing::ElementsAre("mount-points"));
    EXPECT_THAT(Listed("staging"), testing::IsEmpty());
    EXPECT_THAT(*images_->List(std::nullopt, 10), testing::IsEmpty());
  }

  // As part of what makes a container.
  absl::Status Prepare(absl::string_view container, absl::string_view chain_id) {
    SnapshotDirs dirs;
    absl::Status prepared = db_->Write([&](sqlite::Transaction& tx) -> absl::Status {
      ASSIGN_OR_RETURN(dirs, snapshots_->Prepare(tx, container, chain_id));
      return absl::OkStatus();
    });
    return prepared.ok() ? snapshots_->MakeFiles(container, dirs) : prepared;
  }

  std::string root_;
  std::string schema_;
  FakeClock clock_{absl::FromUnixSeconds(1'700'000'000)};
  std::vector<std::string> users_;
  std::unique_ptr<sqlite::Database> db_;
  std::unique_ptr<EventLog> events_;
  std::unique_ptr<SnapshotEngine> snapshots_;
  std::unique_ptr<ImageEngine> images_;
};

}  // namespace darse::runtime
