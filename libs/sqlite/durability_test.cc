// What is synced when: counted below SQLite, where it meets the file system.
#include <gtest/gtest.h>
#include <sqlite3.h>

#include <atomic>

#include "libs/base/status_macros.h"
#include "libs/os/files.h"
#include "libs/sqlite/database.h"

namespace darse::sqlite {
namespace {

std::atomic<int> wal_syncs{0};
sqlite3_vfs* real_vfs = nullptr;
const sqlite3_io_methods* real_methods = nullptr;

int SyncAndCount(sqlite3_file* file, int flags) {
  ++wal_syncs;
  return real_methods->xSync(file, flags);
}

int OpenCounting(sqlite3_vfs*, const char* name, sqlite3_file* file, int flags, int* out_flags) {
  int code = real_vfs->xOpen(real_vfs, name, file, flags, out_flags);
  if (code != SQLITE_OK || (flags & SQLITE_OPEN_WAL) == 0) return code;
  static sqlite3_io_methods counting = *file->pMethods;
  real_methods = file->pMethods;
  counting.xSync = SyncAndCount;
  file->pMethods = &counting;
  return code;
}

constexpr Migration kNotes[] = {{1, "CREATE TABLE notes (text TEXT NOT NULL) STRICT;"}};

class DurabilityTest : public testing::Test {
 protected:
  DurabilityTest() {
    if (real_vfs == nullptr) {
      real_vfs = sqlite3_vfs_find(nullptr);
      static sqlite3_vfs counting = *real_vfs;
      counting.zName = "counting";
      counting.xOpen = OpenCounting;
      sqlite3_vfs_register(&counting, 1);
    }
    char name[] = "/tmp/darse-durability-XXXXXX";
    directory_ = ::mkdtemp(name);
  }
  ~DurabilityTest() override { RemoveTree(directory_).IgnoreError(); }

  std::unique_ptr<Database> Open(bool durable) {
    auto db = Database::Open(directory_ + "/test.db", kNotes, {.durable = durable});
    EXPECT_TRUE(db.ok()) << db.status();
    wal_syncs = 0;
    return *std::move(db);
  }

  static int SyncsOf(Database& db, Durability durability) {
    int before = wal_syncs;
    absl::Status written = db.Write(
        [](Transaction& tx) -> absl::Status {
          ASSIGN_OR_RETURN(Statement insert, tx.Prepare("INSERT INTO notes (text) VALUES ('x')"));
          return insert.Run();
        },
        durability);
    EXPECT_TRUE(written.ok()) << written;
    return wal_syncs - before;
  }

  std::string directory_;
};

TEST_F(DurabilityTest, OnlyDurableCommitsAreSynced) {
  std::unique_ptr<Database> db = Open(true);
  EXPECT_GE(SyncsOf(*db, Durability::kDurable), 1);
  EXPECT_EQ(SyncsOf(*db, Durability::kRelaxed), 0);
  EXPECT_EQ(SyncsOf(*db, Durability::kRelaxed), 0);
  EXPECT_GE(SyncsOf(*db, Durability::kDurable), 1);
}

TEST_F(DurabilityTest, ADatabaseThatIsNotDurableSyncsNoCommit) {
  std::unique_ptr<Database> db = Open(false);
  EXPECT_EQ(SyncsOf(*db, Durability::kDurable), 0);
}

}  // namespace
}  // namespace darse::sqlite
