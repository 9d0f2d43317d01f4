#include "services/runtime/node/node_engine.h"

#include <stdlib.h>

#include "gtest/gtest.h"
#include "libs/os/files.h"
#include "services/runtime/node/node_store.h"

namespace darse::runtime {
namespace {

class NodeEngineTest : public ::testing::Test {
 protected:
  NodeEngineTest() {
    char pattern[] = "/tmp/darse-node-XXXXXX";
    directory_ = mkdtemp(pattern);
    static constexpr sqlite::Migration kMigrations[] = {{1, kNodeSchema}};
    db_ = *sqlite::Database::Open(directory_ + "/db", kMigrations);
  }
  ~NodeEngineTest() override { RemoveTree(directory_).IgnoreError(); }
  NodeEngine Engine(const std::string& id) {
    return NodeEngine(*db_, clock_, "v2", [id] { return id; });
  }

  std::string directory_;
  RealClock clock_;
  std::unique_ptr<sqlite::Database> db_;
};

TEST_F(NodeEngineTest, KeepsItsIdOverRestarts) {
  NodeEngine first = Engine("one");
  ASSERT_TRUE(first.Recover().ok());
  NodeEngine second = Engine("two");
  ASSERT_TRUE(second.Recover().ok());
  EXPECT_EQ(second.Read()->node_id, "one");
}

TEST_F(NodeEngineTest, FirstStartIsNoReboot) { EXPECT_FALSE(*Engine("one").Recover()); }

TEST_F(NodeEngineTest, AnotherBootIsAReboot) {
  ASSERT_TRUE(db_->Write([](sqlite::Transaction& tx) {
                   return NodeStore::Set(tx, "boot_id", "of another boot");
                 })
                  .ok());
  EXPECT_TRUE(*Engine("one").Recover());
  EXPECT_FALSE(*Engine("one").Recover());
}

TEST(OperatingSystemNameTest, HasNoQuotes) {
  EXPECT_EQ(OperatingSystemName("NAME=x\nPRETTY_NAME=\"Debian 12\"\n"), "Debian 12");
  EXPECT_EQ(OperatingSystemName(""), "Linux");
}

}  // namespace
}  // namespace darse::runtime
