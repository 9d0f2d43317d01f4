#include "services/scheduler/observe/observed_cache.h"

#include <algorithm>
#include <utility>

namespace darse::scheduler {
namespace {

constexpr size_t kRememberedRemovals = 4096;

}  // namespace

Observed ObservedCache::Snapshot() const {
  absl::MutexLock lock(&mu_);
  return seen_;
}

void ObservedCache::Restore(const std::vector<SeenContainer>& containers) {
  absl::MutexLock lock(&mu_);
  for (const SeenContainer& seen : containers) seen_.containers[seen.container->id()] = seen;
  seen_.known = !containers.empty();
}

bool ObservedCache::WasRemoved(const std::string& id) const {
  return std::find(removed_.begin(), removed_.end(), id) != removed_.end();
}

bool ObservedCache::Put(const runtime::v1::Container& container, absl::Time now) {
  if (Label(container, kStackLabel).empty() || WasRemoved(container.id())) return false;
  SeenContainer& seen = seen_.containers[container.id()];
  if (seen.container != nullptr && seen.container->revision() > container.revision()) return false;
  const bool is_news =
      seen.container == nullptr || seen.container->revision() != container.revision();
  seen = {std::make_shared<runtime::v1::Container>(container), now};
  return is_news;
}

void ObservedCache::Replace(const std::vector<runtime::v1::Container>& containers,
                            const std::vector<runtime::v1::Network>& networks,
                            const std::vector<runtime::v1::Volume>& volumes, absl::Time as_of) {
  absl::MutexLock lock(&mu_);
  std::map<std::string, SeenContainer> before = std::exchange(seen_.containers, {});
  for (auto& [id, seen] : before) {
    if (seen.observe_time > as_of) seen_.containers[id] = std::move(seen);
  }
  for (const runtime::v1::Container& container : containers) Put(container, as_of);
  seen_.networks.clear();
  for (const runtime::v1::Network& network : networks) seen_.networks[network.name()] = network;
  seen_.volumes.clear();
  for (const runtime::v1::Volume& volume : volumes) seen_.volumes[volume.name()] = volume;
  seen_.images.clear();
  seen_.known = true;
}

bool ObservedCache::SetSynced(bool synced) {
  absl::MutexLock lock(&mu_);
  return std::exchange(seen_.synced, synced) != synced;
}

bool ObservedCache::PutContainer(const runtime::v1::Container& container, absl::Time now) {
  absl::MutexLock lock(&mu_);
  return Put(container, now);
}

bool ObservedCache::RemoveContainer(const std::string& id) {
  absl::MutexLock lock(&mu_);
  if (!WasRemoved(id)) removed_.push_back(id);
  if (removed_.size() > kRememberedRemovals) removed_.pop_front();
  return seen_.containers.erase(id) > 0;
}

void ObservedCache::PutNetwork(const runtime::v1::Network& network) {
  absl::MutexLock lock(&mu_);
  seen_.networks[network.name()] = network;
}

void ObservedCache::RemoveNetwork(const std::string& name) {
  absl::MutexLock lock(&mu_);
  seen_.networks.erase(name);
}

void ObservedCache::SetNetworks(const std::vector<runtime::v1::Network>& networks) {
  absl::MutexLock lock(&mu_);
  seen_.networks.clear();
  for (const runtime::v1::Network& network : networks) seen_.networks[network.name()] = network;
}

void ObservedCache::PutVolume(const runtime::v1::Volume& volume) {
  absl::MutexLock lock(&mu_);
  seen_.volumes[volume.name()] = volume;
}

void ObservedCache::RemoveVolume(const std::string& name) {
  absl::MutexLock lock(&mu_);
  seen_.volumes.erase(name);
}

void ObservedCache::SetVolumes(const std::vector<runtime::v1::Volume>& volumes) {
  absl::MutexLock lock(&mu_);
  seen_.volumes.clear();
  for (const runtime::v1::Volume& volume : volumes) seen_.volumes[volume.name()] = volume;
}

void ObservedCache::PutImage(const std::string& reference, const std::string& id) {
  absl::MutexLock lock(&mu_);
  seen_.images[reference] = id;
}

void ObservedCache::ForgetImages() {
  absl::MutexLock lock(&mu_);
  seen_.images.clear();
}

}  // namespace darse::scheduler
