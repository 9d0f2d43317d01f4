// The build cache: keys of steps and the layers they came to, which a lease in the runtime holds.
//
// A layer gets into the lease before its row is written, and leaves it before its row is deleted: a
// row may lead to a layer that is gone (whoever uses it finds out and forgets it), a held layer is
// never without a row for long.
#pragma once

#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "libs/base/clock.h"
#include "libs/sqlite/database.h"
#include "services/builder/cache/cache_store.h"
#include "services/builder/cancellation.h"
#include "services/builder/runtime.h"

namespace darse::builder {

inline constexpr char kCacheLease[] = "builder/cache";

// Thread-safe.
class CacheEngine {
 public:
  CacheEngine(sqlite::Database& db, Runtime& runtime, Clock& clock);

  // What one build takes from the cache: it is not pruned while the session lasts, and counts as
  // used at its end. Thread-safe.
  class Session {
   public:
    // Entries older than `not_before` are not found.
    Session(CacheEngine& cache, absl::Time not_before);
    ~Session();
    absl::StatusOr<std::optional<CacheEntry>> Find(absl::string_view key);
    // Holds the layer, then writes the row.
    absl::Status Insert(CacheEntry entry);
    absl::StatusOr<std::optional<std::string>> FindDigest(absl::string_view key);
    absl::Status PutDigest(absl::string_view key, absl::string_view digest);
    // Asks the runtime for all layers that were found, and forgets the entries whose layer is gone;
    // how many.
    absl::StatusOr<int> ForgetStale();
    // Writes down that what was found was used, as part of the build's last transaction.
    absl::Status MarkUsed(sqlite::Transaction& tx);

   private:
    CacheEngine& cache_;
    const absl::Time not_before_;
    absl::Mutex mu_;
    // By key: the layer it led to.
    std::map<std::string, std::string> found_ ABSL_GUARDED_BY(mu_);
  };

  // The right to do the step of a key; whoever comes second waits and then finds it in the cache.
  class Claim {
   public:
    // CANCELLED when it comes to that.
    static absl::StatusOr<Claim> Take(CacheEngine& cache, absl::string_view key,
                                      Cancellation& cancellation);
    Claim(Claim&& other) noexcept;
    ~Claim();

   private:
    Claim(CacheEngine& cache, std::string key) : cache_(&cache), key_(std::move(key)) {}
    CacheEngine* cache_;
    std::string key_;
  };

  absl::StatusOr<std::vector<CacheEntry>> List(const CacheCursor& after, int max);

  struct Pruned {
    int deleted = 0;
    int64_t reclaimed_bytes = 0;
  };
  // Entries not used since then, but for those of running builds. UNAVAILABLE while the runtime is
  // away.
  absl::StatusOr<Pruned> Prune(absl::Time unused_since);

 private:
  absl::Status Hold(const std::string& chain_id);

  sqlite::Database& db_;
  Runtime& runtime_;
  Clock& clock_;
  CacheStore store_;
  absl::Mutex mu_;
  std::multiset<std::string> pinned_ ABSL_GUARDED_BY(mu_);
  std::set<std::string> dying_ ABSL_GUARDED_BY(mu_);
  std::set<std::string> claimed_ ABSL_GUARDED_BY(mu_);
};

}  // namespace darse::builder
