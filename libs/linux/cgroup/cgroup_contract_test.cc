// What every driver must do. Runs against the fake, against this host's kernel, whichever version
// it has, and through systemd where that runs.
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <memory>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "libs/linux/cgroup/cgroup_driver.h"
#include "libs/linux/cgroup/fake_cgroup_driver.h"
#include "libs/linux/cgroup/systemd_cgroup_driver.h"
#include "libs/linux/systemd/units.h"

namespace darse::cgroup {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

enum class Which { kFake, kHost, kSystemd };

class CgroupContractTest : public testing::TestWithParam<Which> {
 protected:
  CgroupContractTest()
      : parent_(absl::StrCat("darsetest", getpid(), "x", ++counter_,
                             GetParam() == Which::kSystemd ? ".slice" : "")),
        path_(absl::StrCat(parent_, "/one-", getpid(), ".scope")) {
    if (GetParam() == Which::kFake) {
      driver_ = std::make_unique<FakeCgroupDriver>();
    } else {
      absl::StatusOr<std::unique_ptr<CgroupDriver>> host = OpenHostCgroups();
      EXPECT_TRUE(host.ok()) << host.status();
      driver_ = *std::move(host);
    }
    if (GetParam() == Which::kSystemd) {
      absl::StatusOr<std::unique_ptr<systemd::Units>> units = systemd::ConnectToSystemd();
      if (units.ok()) {
        driver_ =
            std::make_unique<SystemdCgroupDriver>(std::move(driver_), systemd::ConnectToSystemd);
      } else {
        missing_ = std::string(units.status().message());
      }
    }
    child_ = fork();
    if (child_ == 0) {
      for (;;) pause();
    }
  }
  ~CgroupContractTest() override {
    driver_->KillAll(parent_).IgnoreError();
    EndChild();
    EXPECT_TRUE(driver_->Delete(parent_).ok());
  }
  void SetUp() override {
    if (!missing_.empty()) GTEST_SKIP() << missing_;
  }
  void EndChild() {
    if (child_ == 0) return;
    kill(child_, SIGKILL);
    waitpid(child_, nullptr, 0);
    child_ = 0;
  }

  static inline int counter_ = 0;
  std::unique_ptr<CgroupDriver> driver_;
  const std::string parent_, path_;
  pid_t child_ = 0;
  std::string missing_;
};

TEST_P(CgroupContractTest, CreateMakesParentsAndMayBeRepeated) {
  EXPECT_FALSE(driver_->Exists(path_));
  ASSERT_TRUE(driver_->Create(path_).ok());
  ASSERT_TRUE(driver_->Create(path_).ok());
  EXPECT_TRUE(driver_->Exists(path_));
  EXPECT_TRUE(driver_->Exists(parent_));
}

TEST_P(CgroupContractTest, VerbsOnAMissingCgroupAreNotFound) {
  EXPECT_TRUE(absl::IsNotFound(driver_->Apply(path_, {}).status()));
  EXPECT_TRUE(absl::IsNotFound(driver_->Attach(path_, child_)));
  EXPECT_TRUE(absl::IsNotFound(driver_->Processes(path_).status()));
  EXPECT_TRUE(absl::IsNotFound(driver_->Freeze(path_)));
  EXPECT_TRUE(absl::IsNotFound(driver_->KillAll(path_)));
  EXPECT_TRUE(absl::IsNotFound(driver_->ReadStats(path_).status()));
  EXPECT_TRUE(driver_->Delete(path_).ok());
}

TEST_P(CgroupContractTest, AttachedProcessesAreListedWithThoseBelow) {
  ASSERT_TRUE(driver_->Create(path_).ok());
  EXPECT_THAT(*driver_->Processes(path_), IsEmpty());
  ASSERT_TRUE(driver_->Attach(path_, child_).ok());
  EXPECT_THAT(*driver_->Processes(path_), ElementsAre(child_));
  EXPECT_THAT(*driver_->Processes(parent_), ElementsAre(child_));
  EXPECT_EQ(driver_->ReadStats(path_)->pids, 1u);
}

TEST_P(CgroupContractTest, LimitsShowInStats) {
  ASSERT_TRUE(driver_->Create(path_).ok());
  ASSERT_TRUE(driver_->Apply(path_, {.memory_bytes = 64 << 20, .pids_max = 17}).ok());
  absl::StatusOr<Stats> stats = driver_->ReadStats(path_);
  ASSERT_TRUE(stats.ok()) << stats.status();
  EXPECT_EQ(stats->memory_limit_bytes, 64u << 20);
  EXPECT_EQ(stats->pids_limit, 17u);
  ASSERT_TRUE(driver_->Apply(path_, {.pids_max = -1}).ok());
  EXPECT_EQ(driver_->ReadStats(path_)->pids_limit, 0u);
  EXPECT_EQ(driver_->ReadStats(path_)->memory_limit_bytes, 64u << 20);
}

TEST_P(CgroupContractTest, FreezeAndThaw) {
  ASSERT_TRUE(driver_->Create(path_).ok());
  ASSERT_TRUE(driver_->Attach(path_, child_).ok());
  EXPECT_FALSE(*driver_->IsFrozen(path_));
  ASSERT_TRUE(driver_->Freeze(path_).ok());
  ASSERT_TRUE(driver_->Freeze(path_).ok());
  EXPECT_TRUE(*driver_->IsFrozen(path_));
  ASSERT_TRUE(driver_->Thaw(path_).ok());
  EXPECT_FALSE(*driver_->IsFrozen(path_));
}

TEST_P(CgroupContractTest, KillAllKillsTheFrozenToo) {
  ASSERT_TRUE(driver_->Create(path_).ok());
  ASSERT_TRUE(driver_->Attach(path_, child_).ok());
  ASSERT_TRUE(driver_->Freeze(path_).ok());
  ASSERT_TRUE(driver_->KillAll(path_).ok());
  if (GetParam() != Which::kFake) {
    int status = 0;
    ASSERT_EQ(waitpid(child_, &status, 0), child_);
    EXPECT_TRUE(WIFSIGNALED(status));
    child_ = 0;
  }
  absl::StatusOr<std::vector<pid_t>> pids = driver_->Processes(path_);
  // systemd takes a scope away once it is empty, and we may come before or after.
  if (GetParam() == Which::kSystemd && absl::IsNotFound(pids.status())) return;
  ASSERT_TRUE(pids.ok()) << pids.status();
  EXPECT_THAT(*pids, IsEmpty());
}

TEST_P(CgroupContractTest, DeleteTakesWhatIsBelowButNoProcesses) {
  ASSERT_TRUE(driver_->Create(path_).ok());
  ASSERT_TRUE(driver_->Attach(path_, child_).ok());
  EXPECT_TRUE(absl::IsFailedPrecondition(driver_->Delete(parent_)));
  EXPECT_TRUE(driver_->Exists(path_));
  ASSERT_TRUE(driver_->KillAll(path_).ok());
  EndChild();
  ASSERT_TRUE(driver_->Delete(parent_).ok());
  EXPECT_FALSE(driver_->Exists(path_));
  EXPECT_FALSE(driver_->Exists(parent_));
}

INSTANTIATE_TEST_SUITE_P(Drivers, CgroupContractTest,
                         testing::Values(Which::kFake, Which::kHost, Which::kSystemd),
                         [](const testing::TestParamInfo<Which>& which) {
                           if (which.param == Which::kFake) return "Fake";
                           return which.param == Which::kHost ? "Host" : "Systemd";
                         });

}  // namespace
}  // namespace darse::cgroup
