#include "libs/linux/namespace/user_namespace.h"

#include <linux/nsfs.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <thread>
#include <vector>

#include "gtest/gtest.h"

namespace darse::ns {
namespace {

const IdMaps kMaps = {.uids = {{0, 200000, 1000}, {1000, 7, 1}}, .gids = {{0, 300000, 5}}};

TEST(UserNamespaceTest, HasTheMapsItWasMadeWith) {
  absl::StatusOr<UniqueFd> made = MakeUserNamespace(kMaps);
  ASSERT_TRUE(made.ok()) << made.status();
  absl::StatusOr<IdMaps> read = MapsOfUserNamespace(made->get());
  ASSERT_TRUE(read.ok()) << read.status();
  EXPECT_EQ(*read, kMaps);
}

TEST(UserNamespaceTest, MapsThatTheKernelRefusesAreAnErrorAndLeaveNoProcess) {
  EXPECT_FALSE(MakeUserNamespace({.uids = {{0, 0, 0}}, .gids = {{0, 0, 1}}}).ok());
  EXPECT_LT(waitpid(-1, nullptr, WNOHANG | __WALL), 0);
}

TEST(UserNamespaceTest, OwnsTheNetworkNamespaceThatIsMadeWithIt) {
  for (int i = 0; i < 20; ++i) {
    absl::StatusOr<UserAndNetwork> made = absl::InternalError("");
    // Not the process's first thread: a service has many.
    std::thread([&] { made = MakeUserAndNetwork(kMaps); }).join();
    ASSERT_TRUE(made.ok()) << made.status();
    UniqueFd owner(ioctl(made->network.get(), NS_GET_USERNS));
    ASSERT_TRUE(owner.valid());
    struct stat one, other;
    ASSERT_EQ(fstat(owner.get(), &one), 0);
    ASSERT_EQ(fstat(made->user.get(), &other), 0);
    EXPECT_EQ(one.st_ino, other.st_ino);
  }
}

TEST(UserNamespaceTest, ManyAreMadeAtOnce) {
  std::atomic<int> made{0};
  std::vector<std::thread> threads;
  for (int i = 0; i < 8; ++i) {
    threads.emplace_back([&] {
      for (int j = 0; j < 50; ++j) made += MakeUserNamespace(kMaps).ok() ? 1 : 0;
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(made, 8 * 50);
}

}  // namespace
}  // namespace darse::ns
