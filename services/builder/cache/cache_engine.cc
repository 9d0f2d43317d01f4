#include "services/builder/cache/cache_engine.h"

#include <utility>

#include "libs/base/status_macros.h"

namespace darse::builder {

CacheEngine::CacheEngine(sqlite::Database& db, Runtime& runtime, Clock& clock)
    : db_(db), runtime_(runtime), clock_(clock) {}

CacheEngine::Session::Session(CacheEngine& cache, absl::Time not_before)
    : cache_(cache), not_before_(not_before) {}

CacheEngine::Session::~Session() {
  absl::MutexLock lock(&cache_.mu_);
  absl::MutexLock own(&mu_);
  for (const auto& [key, chain] : found_) cache_.pinned_.erase(cache_.pinned_.find(key));
}

absl::StatusOr<std::optional<CacheEntry>> CacheEngine::Session::Find(absl::string_view key) {
  std::optional<CacheEntry> entry;
  RETURN_IF_ERROR(cache_.db_.Read([&](sqlite::Transaction& tx) -> absl::Status {
    ASSIGN_OR_RETURN(entry, cache_.store_.Find(tx, key));
    return absl::OkStatus();
  }));
  if (!entry || entry->created_at < not_before_) return std::nullopt;
  absl::MutexLock lock(&cache_.mu_);
  if (cache_.dying_.contains(entry->key)) return std::nullopt;
  absl::MutexLock own(&mu_);
  if (found_.emplace(entry->key, entry->chain_id).second) cache_.pinned_.insert(entry->key);
  return entry;
}

absl::Status CacheEngine::Session::Insert(CacheEntry entry) {
  if (!entry.diff_id.empty()) RETURN_IF_ERROR(cache_.Hold(entry.chain_id));
  entry.created_at = entry.used_at = cache_.clock_.Now();
  return cache_.db_.Write([&](sqlite::Transaction& tx) { return cache_.store_.Put(tx, entry); });
}

absl::StatusOr<std::optional<std::string>> CacheEngine::Session::FindDigest(absl::string_view key) {
  std::optional<std::string> digest;
  RETURN_IF_ERROR(cache_.db_.Read([&](sqlite::Transaction& tx) -> absl::Status {
    ASSIGN_OR_RETURN(digest, cache_.store_.FindDigest(tx, key));
    return absl::OkStatus();
  }));
  return digest;
}

absl::Status CacheEngine::Session::PutDigest(absl::string_view key, absl::string_view digest) {
  return cache_.db_.Write([&](sqlite::Transaction& tx) {
    return cache_.store_.PutDigest(tx, key, digest, cache_.clock_.Now());
  });
}

absl::StatusOr<int> CacheEngine::Session::ForgetStale() {
  std::map<std::string, std::string> found;
  {
    absl::MutexLock own(&mu_);
    found = found_;
  }
  std::set<std::string> chains;
  for (const auto& [key, chain] : found) {
    if (!chain.empty()) chains.insert(chain);
  }
  ASSIGN_OR_RETURN(std::vector<std::string> missing,
                   cache_.runtime_.MissingLayers({chains.begin(), chains.end()}));
  std::set<std::string> gone(missing.begin(), missing.end());
  int forgotten = 0;
  RETURN_IF_ERROR(cache_.db_.Write([&](sqlite::Transaction& tx) -> absl::Status {
    forgotten = 0;
    for (const auto& [key, chain] : found) {
      if (!gone.contains(chain)) continue;
      RETURN_IF_ERROR(cache_.store_.Delete(tx, key));
      ++forgotten;
    }
    return absl::OkStatus();
  }));
  return forgotten;
}

absl::Status CacheEngine::Session::MarkUsed(sqlite::Transaction& tx) {
  absl::MutexLock own(&mu_);
  for (const auto& [key, chain] : found_) {
    RETURN_IF_ERROR(cache_.store_.Touch(tx, key, cache_.clock_.Now()));
  }
  return absl::OkStatus();
}

absl::StatusOr<CacheEngine::Claim> CacheEngine::Claim::Take(CacheEngine& cache,
                                                            absl::string_view key,
                                                            Cancellation& cancellation) {
  std::string name(key);
  absl::MutexLock lock(&cache.mu_);
  auto is_free = [&]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(cache.mu_) {
    return !cache.claimed_.contains(name);
  };
  // The cancellation has a mutex of its own, so it is looked at now and then.
  while (!cache.mu_.AwaitWithTimeout(absl::Condition(&is_free), absl::Milliseconds(100))) {
    if (cancellation.canceled()) return absl::CancelledError("the build was canceled");
  }
  cache.claimed_.insert(name);
  return Claim(cache, std::move(name));
}

CacheEngine::Claim::Claim(Claim&& other) noexcept
    : cache_(std::exchange(other.cache_, nullptr)), key_(std::move(other.key_)) {}

CacheEngine::Claim::~Claim() {
  if (cache_ == nullptr) return;
  absl::MutexLock lock(&cache_->mu_);
  cache_->claimed_.erase(key_);
}

absl::Status CacheEngine::Hold(const std::string& chain_id) {
  LeaseChange change{.add_chain_ids = {chain_id}};
  absl::Status held = runtime_.UpdateLease(kCacheLease, change);
  // The first time ever, or the runtime lost its database.
  if (!absl::IsNotFound(held)) return held;
  RETURN_IF_ERROR(runtime_.AcquireLease(kCacheLease, std::nullopt));
  return runtime_.UpdateLease(kCacheLease, change);
}

absl::StatusOr<std::vector<CacheEntry>> CacheEngine::List(const CacheCursor& after, int max) {
  std::vector<CacheEntry> entries;
  RETURN_IF_ERROR(db_.Read([&](sqlite::Transaction& tx) -> absl::Status {
    ASSIGN_OR_RETURN(entries, store_.List(tx, after, max));
    return absl::OkStatus();
  }));
  return entries;
}

absl::StatusOr<CacheEngine::Pruned> CacheEngine::Prune(absl::Time unused_since) {
  std::vector<CacheEntry> unused;
  RETURN_IF_ERROR(db_.Read([&](sqlite::Transaction& tx) -> absl::Status {
    ASSIGN_OR_RETURN(unused, store_.ListUnusedSince(tx, unused_since));
    return absl::OkStatus();
  }));
  std::vector<CacheEntry> dying;
  {
    absl::MutexLock lock(&mu_);
    for (CacheEntry& entry : unused) {
      if (pinned_.contains(entry.key) || !dying_.insert(entry.key).second) continue;
      dying.push_back(std::move(entry));
    }
  }
  Pruned pruned;
  // What no other row leads to leaves the lease, and only then do the rows go.
  auto prune = [&]() -> absl::Status {
    std::set<std::string> keys;
    for (const CacheEntry& entry : dying) keys.insert(entry.key);
    LeaseChange change;
    std::vector<CacheEntry> all;
    RETURN_IF_ERROR(db_.Read([&](sqlite::Transaction& tx) -> absl::Status {
      ASSIGN_OR_RETURN(all, store_.List(tx, {}, -1));
      return absl::OkStatus();
    }));
    std::set<std::string> mentioned;
    for (const CacheEntry& entry : all) {
      if (!keys.contains(entry.key)) mentioned.insert(entry.chain_id);
    }
    for (const CacheEntry& entry : dying) {
      if (entry.diff_id.empty() || mentioned.contains(entry.chain_id)) continue;
      change.remove_chain_ids.push_back(entry.chain_id);
      pruned.reclaimed_bytes += entry.size_bytes;
    }
    if (!change.remove_chain_ids.empty()) {
      absl::Status let_go = runtime_.UpdateLease(kCacheLease, change);
      if (!let_go.ok() && !absl::IsNotFound(let_go)) return let_go;
    }
    return db_.Write([&](sqlite::Transaction& tx) -> absl::Status {
      for (const CacheEntry& entry : dying) RETURN_IF_ERROR(store_.Delete(tx, entry.key));
      return store_.DeleteDigestsUnusedSince(tx, unused_since);
    });
  };
  absl::Status status = prune();
  absl::MutexLock lock(&mu_);
  for (const CacheEntry& entry : dying) dying_.erase(entry.key);
  RETURN_IF_ERROR(status);
  pruned.deleted = static_cast<int>(dying.size());
  return pruned;
}

}  // namespace darse::builder
