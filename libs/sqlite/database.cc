// Opening (lock, check, set aside, migrate), group commit, pooled readers.
#include "libs/sqlite/database.h"

#include <errno.h>
#include <fcntl.h>
#include <sqlite3.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdio>
#include <deque>
#include <thread>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/cleanup/cleanup.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "libs/base/status_macros.h"
#include "libs/base/unique_fd.h"
#include "libs/os/files.h"
#include "libs/sqlite/connection.h"

namespace darse::sqlite {
namespace {

// Readers kept open between reads; more are opened while more threads read at a time.
constexpr size_t kIdleReaders = 4;
// Writes put into one commit at most: bounds how long the first of them waits.
constexpr size_t kGroup = 256;
// integrity_check reads everything; above this size a file that was closed properly is only
// quick_checked.
constexpr off_t kFullCheckBytes = off_t{32} << 20;

absl::StatusOr<UniqueFd> LockFile(const std::string& path) {
  std::string lock_path = absl::StrCat(path, ".lock");
  UniqueFd fd(::open(lock_path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
  if (!fd.valid()) return absl::ErrnoToStatus(errno, absl::StrCat("open ", lock_path));
  if (::flock(fd.get(), LOCK_EX | LOCK_NB) != 0) {
    if (errno == EWOULDBLOCK) {
      return absl::UnavailableError(
          absl::StrCat("open ", path, ": another process has it open for writing"));
    }
    return absl::ErrnoToStatus(errno, absl::StrCat("lock ", lock_path));
  }
  return fd;
}

absl::Status CheckIntegrity(Connection& connection, const std::string& path, bool closed_well) {
  struct stat file;
  bool quick = closed_well && ::stat(path.c_str(), &file) == 0 && file.st_size > kFullCheckBytes;
  ASSIGN_OR_RETURN(std::string answer, connection.QueryText(quick ? "PRAGMA quick_check(1)"
                                                                  : "PRAGMA integrity_check(1)"));
  if (answer != "ok") return absl::DataLossError(absl::StrCat("check ", path, ": ", answer));
  return absl::OkStatus();
}

// Opens the writing connection and makes sure that the file is whole.
absl::StatusOr<std::unique_ptr<Connection>> OpenChecked(const std::string& path, bool durable) {
  bool closed_well = !Exists(absl::StrCat(path, "-wal"));
  ASSIGN_OR_RETURN(std::unique_ptr<Connection> connection, Connection::Open(path, true));
  ASSIGN_OR_RETURN(std::string mode, connection->QueryText("PRAGMA journal_mode = WAL"));
  if (mode != "wal") {
    return absl::FailedPreconditionError(
        absl::StrCat("open ", path, ": the file system allows no WAL (journal mode ", mode, ")"));
  }
  RETURN_IF_ERROR(
      connection->Execute(durable ? "PRAGMA synchronous = FULL" : "PRAGMA synchronous = NORMAL"));
  RETURN_IF_ERROR(CheckIntegrity(*connection, path, closed_well));
  return connection;
}

absl::Status SetAside(const std::string& path) {
  std::string aside = absl::StrCat(path, ".damaged-", ::time(nullptr));
  for (int n = 2; Exists(aside); ++n) {
    aside = absl::StrCat(path, ".damaged-", ::time(nullptr), "-", n);
  }
  for (const char* ending : {"", "-wal", "-shm"}) {
    std::string from = absl::StrCat(path, ending);
    if (!Exists(from)) continue;
    if (::rename(from.c_str(), absl::StrCat(aside, ending).c_str()) != 0) {
      return absl::ErrnoToStatus(errno, absl::StrCat("set aside ", from));
    }
  }
  return absl::OkStatus();
}

absl::Status Migrate(Connection& connection, const std::string& path,
                     std::span<const Migration> migrations) {
  ASSIGN_OR_RETURN(std::string text, connection.QueryText("PRAGMA user_version"));
  int version = 0;
  if (!absl::SimpleAtoi(text, &version)) {
    return absl::DataLossError(absl::StrCat("version of ", path, ": ", text));
  }
  int newest = static_cast<int>(migrations.size());
  if (version > newest) {
    return absl::FailedPreconditionError(
        absl::StrCat("open ", path, ": the file has schema version ", version,
                     " and this program knows up to ", newest, "; use a newer program"));
  }
  for (const Migration& migration : migrations) {
    if (migration.to <= version) continue;
    if (migration.to != version + 1) {
      return absl::InternalError(absl::StrCat("migrations of ", path, ": no number ", version + 1));
    }
    auto step = [&]() -> absl::Status {
      RETURN_IF_ERROR(connection.Execute("BEGIN IMMEDIATE"));
      RETURN_IF_ERROR(connection.Execute(migration.sql));
      RETURN_IF_ERROR(
          connection.Execute(absl::StrCat("PRAGMA user_version = ", migration.to).c_str()));
      return connection.Execute("COMMIT");
    };
    absl::Status migrated = step();
    connection.RollBack();
    RETURN_IF_ERROR(Annotate(migrated, absl::StrCat("migrate ", path, " to ", migration.to)));
    version = migration.to;
  }
  return absl::OkStatus();
}

}  // namespace

class FileDatabase final : public Database {
 public:
  FileDatabase(std::string path, UniqueFd lock, std::unique_ptr<Connection> writer, bool durable,
               bool damaged)
      : path_(std::move(path)),
        lock_(std::move(lock)),
        writer_(std::move(writer)),
        durable_(durable),
        damaged_(damaged),
        synchronous_(durable) {}

  ~FileDatabase() override {
    {
      absl::MutexLock lock(&mu_);
      stopping_ = true;
      auto quiet = [this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
        return jobs_.empty() && leader_ == std::thread::id();
      };
      mu_.Await(absl::Condition(&quiet));
    }
    // The writer closes last: the last connection to close moves the WAL into the file.
    readers_.clear();
  }

  // The thread whose job is at the front when nobody commits is the leader: it commits all that
  // waits. No job changes threads when there is only one, which is most of the time: waking another
  // thread costs as much as the commit.
  absl::Status Write(absl::FunctionRef<absl::Status(Transaction&)> body,
                     Durability durability) override {
    Job job{body, durability};
    std::vector<Job*> group;
    {
      absl::MutexLock lock(&mu_);
      if (leader_ == std::this_thread::get_id()) {
        return absl::InternalError("database: Write inside the body of a Write");
      }
      if (stopping_) return absl::UnavailableError("database: closing");
      jobs_.push_back(&job);
      auto done_or_leads = [&]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
        return job.done || (leader_ == std::thread::id() && jobs_.front() == &job);
      };
      mu_.Await(absl::Condition(&done_or_leads));
      if (job.done) return job.status;
      leader_ = std::this_thread::get_id();
      while (!jobs_.empty() && group.size() < kGroup) {
        group.push_back(jobs_.front());
        jobs_.pop_front();
      }
    }
    std::vector<std::function<void()>> wakes = Commit(group);
    for (const std::function<void()>& wake : wakes) wake();
    absl::MutexLock lock(&mu_);
    // The others are gone as soon as their threads see this.
    for (Job* member : group) member->done = true;
    leader_ = std::thread::id();
    return job.status;
  }

  absl::Status Read(absl::FunctionRef<absl::Status(Transaction&)> body) override {
    ASSIGN_OR_RETURN(std::unique_ptr<Connection> reader, LendReader());
    RETURN_IF_ERROR(reader->Execute("BEGIN"));
    Transaction::State state{reader.get(), {}};
    Transaction tx(&state);
    absl::Status status = body(tx);
    reader->RollBack();
    absl::MutexLock lock(&mu_);
    if (readers_.size() < kIdleReaders) readers_.push_back(std::move(reader));
    return status;
  }

  bool was_damaged() const override { return damaged_; }

 private:
  // Lives on the stack of the thread that waits for it.
  struct Job {
    absl::FunctionRef<absl::Status(Transaction&)> body;
    Durability durability;
    absl::Status status;
    bool done = false;
  };

  absl::StatusOr<std::unique_ptr<Connection>> LendReader() {
    {
      absl::MutexLock lock(&mu_);
      if (!readers_.empty()) {
        std::unique_ptr<Connection> reader = std::move(readers_.back());
        readers_.pop_back();
        return reader;
      }
    }
    return Connection::Open(path_, false);
  }

  // Runs all bodies in one transaction, each in a savepoint of its own. Fills in their statuses and
  // answers what is to be called after the commit.
  std::vector<std::function<void()>> Commit(const std::vector<Job*>& group) {
    std::vector<std::function<void()>> wakes;
    absl::Status begun = Synchronise(group);
    if (begun.ok()) begun = writer_->Execute("BEGIN IMMEDIATE");
    if (!begun.ok()) {
      for (Job* job : group) job->status = begun;
      return wakes;
    }
    bool any = false;
    for (Job* job : group) {
      job->status = RunOne(*job, wakes);
      any = any || job->status.ok();
      // An error such as a full disk may have rolled all of it back: nothing of this group is kept.
      if (sqlite3_get_autocommit(writer_->handle()) != 0) {
        return FailAll(group, job->status.ok() ? absl::InternalError("database: a body ended the "
                                                                     "transaction")
                                               : job->status);
      }
    }
    if (!any) {
      writer_->RollBack();
      return {};
    }
    absl::Status committed = writer_->Execute("COMMIT");
    if (!committed.ok()) {
      writer_->RollBack();
      return FailAll(group, committed);
    }
    return wakes;
  }

  // WAL: a commit with synchronous = FULL syncs what came before it too.
  absl::Status Synchronise(const std::vector<Job*>& group) {
    bool wanted = false;
    for (const Job* job : group) wanted |= job->durability == Durability::kDurable;
    wanted &= durable_;
    if (wanted == synchronous_) return absl::OkStatus();
    RETURN_IF_ERROR(
        writer_->Execute(wanted ? "PRAGMA synchronous = FULL" : "PRAGMA synchronous = NORMAL"));
    synchronous_ = wanted;
    return absl::OkStatus();
  }

  absl::Status RunOne(Job& job, std::vector<std::function<void()>>& wakes) {
    RETURN_IF_ERROR(RunStatic("SAVEPOINT job"));
    Transaction::State state{writer_.get(), {}};
    Transaction tx(&state);
    absl::Status status = job.body(tx);
    if (sqlite3_get_autocommit(writer_->handle()) != 0) return status;
    if (!status.ok()) RETURN_IF_ERROR(RunStatic("ROLLBACK TO job"));
    RETURN_IF_ERROR(RunStatic("RELEASE job"));
    if (status.ok()) {
      for (auto& wake : state.after_commit) wakes.push_back(std::move(wake));
    }
    return status;
  }

  absl::Status RunStatic(const char* sql) {
    Transaction::State state{writer_.get(), {}};
    Transaction tx(&state);
    ASSIGN_OR_RETURN(Statement statement, tx.Prepare(sql));
    return statement.Run();
  }

  // Those that failed by themselves keep their own error.
  std::vector<std::function<void()>> FailAll(const std::vector<Job*>& group,
                                             const absl::Status& why) {
    for (Job* job : group) {
      if (job->status.ok()) job->status = why;
    }
    return {};
  }

  const std::string path_;
  const UniqueFd lock_;
  const std::unique_ptr<Connection> writer_;
  const bool durable_;
  const bool damaged_;
  // Of the writer, now: every commit is synced. The leader's.
  bool synchronous_;
  absl::Mutex mu_;
  bool stopping_ ABSL_GUARDED_BY(mu_) = false;
  std::deque<Job*> jobs_ ABSL_GUARDED_BY(mu_);
  // Whoever uses writer_ now; no id: nobody.
  std::thread::id leader_ ABSL_GUARDED_BY(mu_);
  std::vector<std::unique_ptr<Connection>> readers_ ABSL_GUARDED_BY(mu_);
};

absl::StatusOr<std::unique_ptr<Database>> Database::Open(absl::string_view path,
                                                         std::span<const Migration> migrations,
                                                         const DatabaseOptions& options) {
  std::string file(path);
  ASSIGN_OR_RETURN(UniqueFd lock, LockFile(file));
  bool damaged = false;
  absl::StatusOr<std::unique_ptr<Connection>> writer = OpenChecked(file, options.durable);
  if (absl::IsDataLoss(writer.status()) && options.set_aside_if_damaged) {
    RETURN_IF_ERROR(SetAside(file));
    damaged = true;
    writer = OpenChecked(file, options.durable);
  }
  RETURN_IF_ERROR(writer.status());
  RETURN_IF_ERROR(Migrate(**writer, file, migrations));
  return std::make_unique<FileDatabase>(std::move(file), std::move(lock), *std::move(writer),
                                        options.durable, damaged);
}

}  // namespace darse::sqlite
