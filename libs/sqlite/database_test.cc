#include "libs/sqlite/database.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/wait.h>

#include <atomic>
#include <fstream>
#include <thread>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/synchronization/blocking_counter.h"
#include "absl/synchronization/notification.h"
#include "libs/base/status_macros.h"
#include "libs/os/files.h"

namespace darse::sqlite {
namespace {

constexpr Migration kNotes[] = {
    {1, "CREATE TABLE notes (id INTEGER PRIMARY KEY, text TEXT NOT NULL UNIQUE) STRICT;"},
    {2, "ALTER TABLE notes ADD COLUMN weight REAL; CREATE INDEX notes_weight ON notes (weight);"},
};

class DatabaseTest : public testing::Test {
 protected:
  DatabaseTest() {
    char name[] = "/tmp/darse-sqlite-XXXXXX";
    directory_ = ::mkdtemp(name);
  }
  ~DatabaseTest() override { RemoveTree(directory_).IgnoreError(); }

  std::unique_ptr<Database> Open(std::span<const Migration> migrations = kNotes) {
    auto db = Database::Open(path(), migrations);
    EXPECT_TRUE(db.ok()) << db.status();
    return db.ok() ? *std::move(db) : nullptr;
  }
  std::string path() const { return directory_ + "/test.db"; }

  static absl::Status Insert(Database& db, absl::string_view text) {
    return db.Write([&](Transaction& tx) -> absl::Status {
      ASSIGN_OR_RETURN(Statement insert, tx.Prepare("INSERT INTO notes (text) VALUES (?)"));
      insert.Bind(text);
      return insert.Run();
    });
  }
  static std::vector<std::string> Texts(Database& db) {
    std::vector<std::string> texts;
    absl::Status read = db.Read([&](Transaction& tx) -> absl::Status {
      ASSIGN_OR_RETURN(Statement list, tx.Prepare("SELECT text FROM notes ORDER BY text"));
      for (;;) {
        ASSIGN_OR_RETURN(bool row, list.Step());
        if (!row) return absl::OkStatus();
        texts.push_back(list.Text(0));
      }
    });
    EXPECT_TRUE(read.ok()) << read;
    return texts;
  }

  std::string directory_;
};

using testing::ElementsAre;
using testing::IsEmpty;

TEST_F(DatabaseTest, KeepsWhatWasWritten) {
  {
    auto db = Open();
    EXPECT_FALSE(db->was_damaged());
    ASSERT_TRUE(Insert(*db, "one").ok());
  }
  EXPECT_THAT(Texts(*Open()), ElementsAre("one"));
}

TEST_F(DatabaseTest, KeepsWhatWasWrittenWhenTheProcessIsKilled) {
  // A separate process, killed with no chance to close.
  pid_t child = ::fork();
  if (child == 0) {
    auto db = Database::Open(path(), kNotes);
    if (!db.ok() || !Insert(**db, "promised").ok()) ::_exit(1);
    ::raise(SIGKILL);
  }
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  ASSERT_TRUE(WIFSIGNALED(status));
  EXPECT_THAT(Texts(*Open()), ElementsAre("promised"));
}

TEST_F(DatabaseTest, AFailedWriteLeavesNothing) {
  auto db = Open();
  absl::Status status = db->Write([&](Transaction& tx) -> absl::Status {
    ASSIGN_OR_RETURN(Statement insert, tx.Prepare("INSERT INTO notes (text) VALUES (?)"));
    insert.Bind("gone");
    RETURN_IF_ERROR(insert.Run());
    return absl::AbortedError("changed my mind");
  });
  EXPECT_EQ(status, absl::AbortedError("changed my mind"));
  EXPECT_THAT(Texts(*db), IsEmpty());
}

TEST_F(DatabaseTest, OneOfAGroupFailsAlone) {
  auto db = Open();
  // Holds the writer, so that the writes below wait and go into one commit.
  absl::Notification held, go;
  std::thread holder([&] {
    EXPECT_TRUE(db->Write([&](Transaction&) -> absl::Status {
                    held.Notify();
                    go.WaitForNotification();
                    return absl::OkStatus();
                  }).ok());
  });
  held.WaitForNotification();
  std::vector<absl::Status> statuses(8);
  std::vector<std::thread> threads;
  for (size_t i = 0; i < statuses.size(); ++i) {
    // Numbers 6 and 7 collide with 0 and 1, whichever comes first.
    threads.emplace_back([&, i] { statuses[i] = Insert(*db, absl::StrCat("n", i % 6)); });
  }
  go.Notify();
  holder.join();
  for (std::thread& thread : threads) thread.join();
  int failed = 0;
  for (const absl::Status& status : statuses) {
    if (status.ok()) continue;
    EXPECT_EQ(status.code(), absl::StatusCode::kAlreadyExists) << status;
    ++failed;
  }
  EXPECT_EQ(failed, 2);
  EXPECT_THAT(Texts(*db), ElementsAre("n0", "n1", "n2", "n3", "n4", "n5"));
}

TEST_F(DatabaseTest, ManyThreadsWriteAndRead) {
  auto db = Open();
  std::vector<std::thread> threads;
  for (int t = 0; t < 8; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < 50; ++i) {
        EXPECT_TRUE(Insert(*db, absl::StrCat(t, "-", i)).ok());
        EXPECT_GE(Texts(*db).size(), static_cast<size_t>(i + 1));
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(Texts(*db).size(), 400u);
}

TEST_F(DatabaseTest, WakesAfterTheCommitAndOnlyThen) {
  auto db = Open();
  std::atomic<int> woken{0};
  absl::Status failed = db->Write([&](Transaction& tx) -> absl::Status {
    tx.AfterCommit([&] { woken += 100; });
    return absl::AbortedError("no");
  });
  EXPECT_FALSE(failed.ok());
  absl::Notification seen;
  ASSERT_TRUE(db->Write([&](Transaction& tx) -> absl::Status {
                  tx.AfterCommit([&] {
                    woken += 1;
                    seen.Notify();
                  });
                  EXPECT_EQ(woken.load(), 0);
                  return absl::OkStatus();
                }).ok());
  seen.WaitForNotification();
  EXPECT_EQ(woken.load(), 1);
}

TEST_F(DatabaseTest, AReaderSeesOneSnapshot) {
  auto db = Open();
  ASSERT_TRUE(Insert(*db, "before").ok());
  ASSERT_TRUE(db->Read([&](Transaction& tx) -> absl::Status {
                  ASSIGN_OR_RETURN(Statement count, tx.Prepare("SELECT count(*) FROM notes"));
                  ASSIGN_OR_RETURN(bool row, count.Step());
                  EXPECT_TRUE(row);
                  EXPECT_EQ(count.Int(0), 1);
                  EXPECT_TRUE(Insert(*db, "after").ok());
                  ASSIGN_OR_RETURN(Statement again, tx.Prepare("SELECT count(*) FROM notes"));
                  ASSIGN_OR_RETURN(row, again.Step());
                  EXPECT_EQ(again.Int(0), 1);
                  return absl::OkStatus();
                }).ok());
}

TEST_F(DatabaseTest, AReadMustNotChangeAnything) {
  auto db = Open();
  absl::Status status = db->Read([&](Transaction& tx) -> absl::Status {
    ASSIGN_OR_RETURN(Statement insert, tx.Prepare("INSERT INTO notes (text) VALUES ('x')"));
    return insert.Run();
  });
  EXPECT_FALSE(status.ok());
  EXPECT_THAT(Texts(*db), IsEmpty());
}

TEST_F(DatabaseTest, AStatementMayBeRunAgainAndTwiceAtATime) {
  auto db = Open();
  ASSERT_TRUE(db->Write([&](Transaction& tx) -> absl::Status {
                  ASSIGN_OR_RETURN(Statement insert,
                                   tx.Prepare("INSERT INTO notes (text, weight) VALUES (?, ?)"));
                  insert.Bind("a", 1.5);
                  RETURN_IF_ERROR(insert.Run());
                  insert.Bind("b", std::optional<double>());
                  RETURN_IF_ERROR(insert.Run());
                  EXPECT_EQ(tx.LastInsertId(), 2);
                  EXPECT_EQ(tx.Changes(), 1);
                  const char* sql = "SELECT text, weight FROM notes ORDER BY id";
                  ASSIGN_OR_RETURN(Statement outer, tx.Prepare(sql));
                  ASSIGN_OR_RETURN(Statement inner, tx.Prepare(sql));
                  RETURN_IF_ERROR(outer.Step().status());
                  RETURN_IF_ERROR(inner.Step().status());
                  RETURN_IF_ERROR(inner.Step().status());
                  EXPECT_EQ(outer.Text(0), "a");
                  EXPECT_EQ(outer.Double(1), 1.5);
                  EXPECT_EQ(inner.Text(0), "b");
                  EXPECT_TRUE(inner.IsNull(1));
                  return absl::OkStatus();
                }).ok());
}

TEST_F(DatabaseTest, BytesSurviveWithNulsInThem) {
  constexpr Migration kBlobs[] = {
      {1, "CREATE TABLE b (id INTEGER PRIMARY KEY, x BLOB NOT NULL) STRICT;"}};
  auto db = Open(kBlobs);
  std::string bytes("\0\xff\0z", 4);
  ASSERT_TRUE(db->Write([&](Transaction& tx) -> absl::Status {
                  ASSIGN_OR_RETURN(Statement insert, tx.Prepare("INSERT INTO b (x) VALUES (?)"));
                  insert.Bind(Statement::Blob{bytes});
                  return insert.Run();
                }).ok());
  ASSERT_TRUE(db->Read([&](Transaction& tx) -> absl::Status {
                  ASSIGN_OR_RETURN(Statement get, tx.Prepare("SELECT x FROM b ORDER BY id"));
                  RETURN_IF_ERROR(get.Step().status());
                  EXPECT_EQ(get.Bytes(0), bytes);
                  return absl::OkStatus();
                }).ok());
}

TEST_F(DatabaseTest, TooManyBindingsAreAnError) {
  auto db = Open();
  absl::Status status = db->Write([&](Transaction& tx) -> absl::Status {
    ASSIGN_OR_RETURN(Statement insert, tx.Prepare("INSERT INTO notes (text) VALUES (?)"));
    insert.Bind("a", "b");
    return insert.Run();
  });
  EXPECT_FALSE(status.ok());
}

TEST_F(DatabaseTest, AnOldFileIsMigrated) {
  {
    auto db = Open(std::span(kNotes).first(1));
    ASSERT_TRUE(Insert(*db, "old").ok());
  }
  auto db = Open();
  ASSERT_TRUE(db->Write([&](Transaction& tx) -> absl::Status {
                  ASSIGN_OR_RETURN(Statement set, tx.Prepare("UPDATE notes SET weight = 2.0"));
                  return set.Run();
                }).ok());
  EXPECT_THAT(Texts(*db), ElementsAre("old"));
}

TEST_F(DatabaseTest, ANewerFileIsRefused) {
  Open();
  auto db = Database::Open(path(), std::span(kNotes).first(1));
  EXPECT_EQ(db.status().code(), absl::StatusCode::kFailedPrecondition) << db.status();
}

TEST_F(DatabaseTest, AFailedMigrationChangesNothing) {
  Open(std::span(kNotes).first(1));
  constexpr Migration kBroken[] = {kNotes[0], {2, "CREATE TABLE extra (x ANY); SELECT nonsense;"}};
  EXPECT_FALSE(Database::Open(path(), kBroken).ok());
  constexpr Migration kGood[] = {kNotes[0], {2, "CREATE TABLE extra (x ANY);"}};
  EXPECT_TRUE(Database::Open(path(), kGood).ok());
}

TEST_F(DatabaseTest, ASecondWriterIsRefused) {
  auto first = Open();
  auto second = Database::Open(path(), kNotes);
  EXPECT_EQ(second.status().code(), absl::StatusCode::kUnavailable) << second.status();
  first.reset();
  EXPECT_TRUE(Database::Open(path(), kNotes).ok());
}

TEST_F(DatabaseTest, ADamagedFileIsSetAside) {
  {
    auto db = Open();
    for (int i = 0; i < 500; ++i) ASSERT_TRUE(Insert(*db, absl::StrCat("row ", i)).ok());
  }
  {
    std::fstream file(path(), std::ios::in | std::ios::out | std::ios::binary);
    file.seekp(4096);
    file << std::string(8192, '\x5a');
  }
  auto kept = Database::Open(path(), kNotes, {.set_aside_if_damaged = false});
  EXPECT_EQ(kept.status().code(), absl::StatusCode::kDataLoss) << kept.status();
  auto db = Open();
  EXPECT_TRUE(db->was_damaged());
  EXPECT_THAT(Texts(*db), IsEmpty());
  int aside = 0;
  auto names = ListDirectory(directory_);
  ASSERT_TRUE(names.ok());
  for (const std::string& name : *names) aside += absl::StartsWith(name, "test.db.damaged-");
  EXPECT_EQ(aside, 1);
}

TEST_F(DatabaseTest, WhatIsNoDatabaseIsSetAside) {
  ASSERT_TRUE(WriteFileAtomically(path(), std::string(5000, 'x')).ok());
  auto db = Open();
  EXPECT_TRUE(db->was_damaged());
  EXPECT_TRUE(Insert(*db, "new").ok());
}

}  // namespace
}  // namespace darse::sqlite
