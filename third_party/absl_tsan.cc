// Tells ThreadSanitizer what absl::Mutex orders. Debian's Abseil is compiled without the sanitizer,
// so its locks look like plain memory to it and every guarded field like a race. In --config=tsan
// the linker sends each locking function through here (--wrap, see BUILD.bazel): acquire after
// taking, release before giving up. Conditions may be evaluated by whichever thread unlocks, after
// its release: accesses during the real call are therefore ignored.

#include <sanitizer/tsan_interface.h>

#include "absl/cleanup/cleanup.h"
#include "absl/synchronization/blocking_counter.h"
#include "absl/synchronization/mutex.h"
#include "absl/synchronization/notification.h"

using absl::BlockingCounter;
using absl::Condition;
using absl::CondVar;
using absl::Duration;
using absl::Mutex;
using absl::Notification;
using absl::Time;

extern "C" void AnnotateIgnoreReadsBegin(const char*, int);
extern "C" void AnnotateIgnoreReadsEnd(const char*, int);
extern "C" void AnnotateIgnoreWritesBegin(const char*, int);
extern "C" void AnnotateIgnoreWritesEnd(const char*, int);

namespace {

struct Ignore {
  Ignore() {
    AnnotateIgnoreReadsBegin(__FILE__, __LINE__);
    AnnotateIgnoreWritesBegin(__FILE__, __LINE__);
  }
  ~Ignore() {
    AnnotateIgnoreWritesEnd(__FILE__, __LINE__);
    AnnotateIgnoreReadsEnd(__FILE__, __LINE__);
  }
};

void* Where(Mutex* mu) { return mu; }
void* Where(BlockingCounter* counter) { return counter; }

// absl::Notification reads its flag inline, so the flag's address must carry the release too. The
// flag lies after the mutex.
void* Where(const Notification* n) {
  return const_cast<char*>(reinterpret_cast<const char*>(n)) + sizeof(Mutex);
}

}  // namespace

// Functions that take the lock, or may.
#define TAKES(result, symbol, params, args)                          \
  extern "C" result __real_##symbol params;                          \
  extern "C" result __wrap_##symbol params {                         \
    absl::Cleanup acquire = [self] { __tsan_acquire(Where(self)); }; \
    Ignore ignore;                                                   \
    return __real_##symbol args;                                     \
  }

// Functions that give it up.
#define GIVES(result, symbol, params, args)  \
  extern "C" result __real_##symbol params;  \
  extern "C" result __wrap_##symbol params { \
    __tsan_release(Where(self));             \
    Ignore ignore;                           \
    return __real_##symbol args;             \
  }

// Functions that give it up while they wait, and take it again.
#define WAITS(result, symbol, params, args)               \
  extern "C" result __real_##symbol params;               \
  extern "C" result __wrap_##symbol params {              \
    __tsan_release(mu);                                   \
    absl::Cleanup acquire = [mu] { __tsan_acquire(mu); }; \
    Ignore ignore;                                        \
    return __real_##symbol args;                          \
  }

TAKES(void, _ZN4absl7debian35Mutex4LockEv, (Mutex * self), (self))
TAKES(void, _ZN4absl7debian35Mutex10ReaderLockEv, (Mutex * self), (self))
TAKES(bool, _ZN4absl7debian35Mutex7TryLockEv, (Mutex * self), (self))
TAKES(bool, _ZN4absl7debian35Mutex13ReaderTryLockEv, (Mutex * self), (self))
TAKES(void, _ZN4absl7debian35Mutex8LockWhenERKNS0_9ConditionE, (Mutex * self, const Condition& c),
      (self, c))
TAKES(void, _ZN4absl7debian35Mutex14ReaderLockWhenERKNS0_9ConditionE,
      (Mutex * self, const Condition& c), (self, c))
TAKES(bool, _ZN4absl7debian35Mutex19LockWhenWithTimeoutERKNS0_9ConditionENS0_8DurationE,
      (Mutex * self, const Condition& c, Duration d), (self, c, d))
TAKES(bool, _ZN4absl7debian35Mutex20LockWhenWithDeadlineERKNS0_9ConditionENS0_4TimeE,
      (Mutex * self, const Condition& c, Time t), (self, c, t))
TAKES(bool, _ZN4absl7debian35Mutex25ReaderLockWhenWithTimeoutERKNS0_9ConditionENS0_8DurationE,
      (Mutex * self, const Condition& c, Duration d), (self, c, d))
TAKES(bool, _ZN4absl7debian35Mutex26ReaderLockWhenWithDeadlineERKNS0_9ConditionENS0_4TimeE,
      (Mutex * self, const Condition& c, Time t), (self, c, t))
GIVES(void, _ZN4absl7debian35Mutex6UnlockEv, (Mutex * self), (self))
GIVES(void, _ZN4absl7debian35Mutex12ReaderUnlockEv, (Mutex * self), (self))

WAITS(void, _ZN4absl7debian35Mutex5AwaitERKNS0_9ConditionE, (Mutex * mu, const Condition& c),
      (mu, c))
WAITS(bool, _ZN4absl7debian35Mutex16AwaitWithTimeoutERKNS0_9ConditionENS0_8DurationE,
      (Mutex * mu, const Condition& c, Duration d), (mu, c, d))
WAITS(bool, _ZN4absl7debian35Mutex17AwaitWithDeadlineERKNS0_9ConditionENS0_4TimeE,
      (Mutex * mu, const Condition& c, Time t), (mu, c, t))
WAITS(void, _ZN4absl7debian37CondVar4WaitEPNS0_5MutexE, (CondVar * cv, Mutex* mu), (cv, mu))
WAITS(bool, _ZN4absl7debian37CondVar15WaitWithTimeoutEPNS0_5MutexENS0_8DurationE,
      (CondVar * cv, Mutex* mu, Duration d), (cv, mu, d))
WAITS(bool, _ZN4absl7debian37CondVar16WaitWithDeadlineEPNS0_5MutexENS0_4TimeE,
      (CondVar * cv, Mutex* mu, Time t), (cv, mu, t))

GIVES(bool, _ZN4absl7debian315BlockingCounter14DecrementCountEv, (BlockingCounter * self), (self))
TAKES(void, _ZN4absl7debian315BlockingCounter4WaitEv, (BlockingCounter * self), (self))

GIVES(void, _ZN4absl7debian312Notification6NotifyEv, (Notification * self), (self))
TAKES(void, _ZNK4absl7debian312Notification19WaitForNotificationEv, (const Notification* self),
      (self))
TAKES(bool, _ZNK4absl7debian312Notification30WaitForNotificationWithTimeoutENS0_8DurationE,
      (const Notification* self, Duration d), (self, d))
TAKES(bool, _ZNK4absl7debian312Notification31WaitForNotificationWithDeadlineENS0_4TimeE,
      (const Notification* self, Time t), (self, t))
