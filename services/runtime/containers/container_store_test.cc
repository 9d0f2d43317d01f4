#include "services/runtime/containers/container_store.h"

#include <cstdlib>

#include "gtest/gtest.h"
#include "libs/base/status_macros.h"
#include "libs/os/files.h"

namespace darse::runtime {
namespace {

class ContainerStoreTest : public ::testing::Test {
 protected:
  ContainerStoreTest() {
    char pattern[] = "/tmp/darse-containers-XXXXXX";
    directory_ = mkdtemp(pattern);
    static constexpr sqlite::Migration kMigrations[] = {{1, kContainerSchema}};
    db_ = *sqlite::Database::Open(directory_ + "/db", kMigrations);
  }
  ~ContainerStoreTest() override { RemoveTree(directory_).IgnoreError(); }

  absl::Status Insert(const std::string& id, const std::string& name, int64_t created = 1) {
    ContainerRecord record;
    record.id = id;
    record.name = name;
    record.image_id = "sha256:1";
    record.created_at = absl::FromUnixSeconds(created);
    return db_->Write([&](sqlite::Transaction& tx) { return ContainerStore::Insert(tx, record); });
  }
  absl::StatusOr<std::string> Find(const std::string& reference) {
    std::string id;
    absl::Status status = db_->Read([&](sqlite::Transaction& tx) -> absl::Status {
      ASSIGN_OR_RETURN(id, ContainerStore::Find(tx, reference));
      return absl::OkStatus();
    });
    if (!status.ok()) return status;
    return id;
  }

  std::string directory_;
  std::unique_ptr<sqlite::Database> db_;
};

TEST_F(ContainerStoreTest, RecordComesBackAsItWasWritten) {
  ContainerRecord record;
  record.id = "ab12";
  record.name = "web";
  record.spec.set_image("busybox");
  record.merged.set_user("app");
  record.state = ContainerState::kPaused;
  record.intent = Intent::kCreate;
  record.created_at = absl::FromUnixNanos(123456789);
  record.exit_code = 137;
  record.oom_killed = true;
  record.exit_sequence = 7;
  record.health.status = HealthStatus::kUnhealthy;
  record.endpoints.push_back({.network_name = "net", .ipv4_address = "10.0.0.2"});
  record.ports.push_back({.host_port = 80, .container_port = 8080, .protocol = "tcp"});
  ASSERT_TRUE(db_->Write([&](sqlite::Transaction& tx) -> absl::Status {
                   RETURN_IF_ERROR(ContainerStore::Insert(tx, record));
                   return ContainerStore::Update(tx, record);
                 })
                  .ok());
  ContainerRecord read;
  ASSERT_TRUE(db_->Read([&](sqlite::Transaction& tx) -> absl::Status {
                   ASSIGN_OR_RETURN(read, ContainerStore::Get(tx, "ab12"));
                   return absl::OkStatus();
                 })
                  .ok());
  EXPECT_EQ(read.spec.image(), "busybox");
  EXPECT_EQ(read.merged.user(), "app");
  EXPECT_EQ(read.state, ContainerState::kPaused);
  EXPECT_EQ(read.intent, Intent::kCreate);
  EXPECT_EQ(read.created_at, record.created_at);
  EXPECT_EQ(read.started_at, absl::InfinitePast());
  EXPECT_EQ(read.exit_code, 137);
  EXPECT_TRUE(read.oom_killed);
  EXPECT_EQ(read.exit_sequence, 7u);
  EXPECT_EQ(read.health, record.health);
  EXPECT_EQ(read.endpoints, record.endpoints);
  EXPECT_EQ(read.ports, record.ports);
  EXPECT_EQ(read.revision, 1);
}

TEST_F(ContainerStoreTest, TakenNameIsRefused) {
  ASSERT_TRUE(Insert("aa", "web").ok());
  EXPECT_EQ(Insert("bb", "web").code(), absl::StatusCode::kAlreadyExists);
}

TEST_F(ContainerStoreTest, FindsByIdNameAndUniquePrefix) {
  ASSERT_TRUE(Insert("aa11", "web").ok());
  ASSERT_TRUE(Insert("aa22", "db").ok());
  EXPECT_EQ(*Find("aa11"), "aa11");
  EXPECT_EQ(*Find("db"), "aa22");
  EXPECT_EQ(*Find("aa1"), "aa11");
  EXPECT_EQ(Find("aa").status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(Find("cc").status().code(), absl::StatusCode::kNotFound);
}

TEST_F(ContainerStoreTest, PagesGoOnWhereTheLastOneEnded) {
  ASSERT_TRUE(Insert("cc", "first", 1).ok());
  ASSERT_TRUE(Insert("aa", "second", 2).ok());
  ASSERT_TRUE(Insert("bb", "third", 2).ok());
  std::vector<ContainerRecord> page;
  ASSERT_TRUE(db_->Read([&](sqlite::Transaction& tx) -> absl::Status {
                   ContainerCursor after{absl::ToUnixNanos(absl::FromUnixSeconds(2)), "aa"};
                   ASSIGN_OR_RETURN(page, ContainerStore::List(tx, after, 10));
                   return absl::OkStatus();
                 })
                  .ok());
  ASSERT_EQ(page.size(), 1u);
  EXPECT_EQ(page[0].name, "third");
}

TEST_F(ContainerStoreTest, RequestIsRememberedForADay) {
  absl::Time noon = absl::FromUnixSeconds(1'000'000);
  ASSERT_TRUE(db_->Write([&](sqlite::Transaction& tx) {
                   return ContainerStore::AddRequest(tx, "r1", "aa", noon);
                 })
                  .ok());
  std::string soon;
  std::string late;
  ASSERT_TRUE(
      db_->Read([&](sqlite::Transaction& tx) -> absl::Status {
           ASSIGN_OR_RETURN(soon, ContainerStore::FindRequest(tx, "r1", noon + absl::Hours(23)));
           ASSIGN_OR_RETURN(late, ContainerStore::FindRequest(tx, "r1", noon + absl::Hours(25)));
           return absl::OkStatus();
         })
          .ok());
  EXPECT_EQ(soon, "aa");
  EXPECT_EQ(late, "");
}

}  // namespace
}  // namespace darse::runtime
