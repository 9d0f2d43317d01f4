#include "services/runtime/containers/container_dir.h"

#include <stdio.h>

#include <cerrno>

#include "absl/strings/str_cat.h"
#include "libs/base/status_macros.h"
#include "libs/os/files.h"
#include "libs/os/process_identity.h"

namespace darse::runtime {

ContainerDir::ContainerDir(absl::string_view root, absl::string_view run, absl::string_view id)
    : state_(absl::StrCat(root, "/containers/", id)), run_(absl::StrCat(run, "/containers/", id)) {}

namespace {

std::string Record(const std::string& place) { return place + "/record"; }
std::string Merged(const std::string& place) { return place + "/merged"; }
std::string NewRecord(const std::string& place) { return place + "/record.new"; }

}  // namespace

absl::Status ContainerDir::Make() const {
  // What containers write and what they are told is nobody's business but root's.
  RETURN_IF_ERROR(MakeDirectories(state_, 0710));
  RETURN_IF_ERROR(MakeDirectories(run_, 0700));
  for (const std::string& directory : {log(), etc(), rootfs()}) {
    RETURN_IF_ERROR(MakeDirectories(directory));
  }
  return absl::OkStatus();
}

absl::Status ContainerDir::MakeFiles() const {
  for (const char* name : {kHosts, kHostname, kResolvConf}) {
    RETURN_IF_ERROR(WriteFileInPlace(JoinPath(etc(), name), ""));
  }
  for (const std::string& file : {config(), shim_config(), Merged(state_), NewRecord(state_),
                                  JoinPath(log(), "current"), JoinPath(state_, "exits")}) {
    RETURN_IF_ERROR(WriteFileInPlace(file, "", 0600));
  }
  return absl::OkStatus();
}

absl::Status ContainerDir::Remove() const {
  RETURN_IF_ERROR(RemoveTree(run_));
  return RemoveTree(state_);
}

absl::Status ContainerDir::WriteRecord(const ContainerRecord& record) const {
  v1::Container asked;
  asked.set_id(record.id);
  asked.set_name(record.name);
  *asked.mutable_spec() = record.spec;
  asked.set_image_id(record.image_id);
  asked.mutable_create_time()->set_seconds(absl::ToUnixSeconds(record.created_at));
  asked.mutable_create_time()->set_nanos(
      static_cast<int32_t>(absl::ToUnixNanos(record.created_at) % 1'000'000'000));
  const std::string& place = record.is_transient() ? run_ : state_;
  const std::string bytes = record.merged.SerializeAsString();
  RETURN_IF_ERROR(HasRecord() ? WriteFileVolatile(Merged(place), bytes, 0600)
                              : WriteFileInPlace(Merged(place), bytes, 0600));
  RETURN_IF_ERROR(WriteFileInPlace(NewRecord(place), asked.SerializeAsString(), 0600));
  // Only now it is one.
  const std::string name = Record(place);
  if (rename(NewRecord(place).c_str(), name.c_str()) == 0) return absl::OkStatus();
  return absl::ErrnoToStatus(errno, absl::StrCat("writing ", name));
}

absl::Status ContainerDir::RemoveRecord() const {
  RETURN_IF_ERROR(RemoveFile(Record(run_)));
  return RemoveFile(Record(state_));
}

bool ContainerDir::HasRecord() const { return Exists(Record(run_)) || Exists(Record(state_)); }

absl::StatusOr<ContainerRecord> ContainerDir::ReadRecord() const {
  const std::string& place = Exists(Record(run_)) ? run_ : state_;
  ASSIGN_OR_RETURN(std::string asked_bytes, ReadFile(Record(place)));
  ASSIGN_OR_RETURN(std::string merged_bytes, ReadFile(Merged(place)));
  v1::Container asked;
  ContainerRecord record;
  if (!asked.ParseFromString(asked_bytes) || asked.id().empty() ||
      !record.merged.ParseFromString(merged_bytes)) {
    return absl::DataLossError(absl::StrCat(state_, ": the record is damaged"));
  }
  record.id = asked.id();
  record.name = asked.name();
  record.spec = asked.spec();
  record.image_id = asked.image_id();
  record.created_at = absl::FromUnixSeconds(asked.create_time().seconds()) +
                      absl::Nanoseconds(asked.create_time().nanos());
  return record;
}

absl::StatusOr<std::vector<shim::ExitRecord>> ContainerDir::ReadExits() const {
  absl::StatusOr<std::string> content = ReadFile(state_ + "/exits");
  if (absl::IsNotFound(content.status())) return std::vector<shim::ExitRecord>();
  RETURN_IF_ERROR(content.status());
  ASSIGN_OR_RETURN(shim::ExitJournal journal, shim::DecodeExitJournal(*content));
  return std::move(journal.records);
}

bool ContainerDir::ShimIsAlive() const {
  absl::StatusOr<ProcessIdentity> shim = ReadIdentityFile(run_ + "/shim.pid");
  return shim.ok() && IsAlive(*shim);
}

std::vector<std::string> ListContainerDirs(absl::string_view root) {
  return ListDirectory(absl::StrCat(root, "/containers")).value_or(std::vector<std::string>());
}

}  // namespace darse::runtime
