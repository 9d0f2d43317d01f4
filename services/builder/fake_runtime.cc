#include "services/builder/fake_runtime.h"

#include <algorithm>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "libs/archive/tar_reader.h"
#include "libs/base/status_macros.h"
#include "libs/oci/digest.h"

namespace darse::builder {
namespace {

std::string ChainId(const std::string& parent, const std::string& diff_id) {
  return parent.empty() ? diff_id : oci::Digest::Of(parent + " " + diff_id).text();
}

std::string Join(absl::string_view directory, absl::string_view name) {
  return absl::StrCat(absl::StripSuffix(directory, "/"), "/", name);
}

absl::string_view BaseName(absl::string_view path) { return path.substr(path.rfind('/') + 1); }

}  // namespace

absl::Status FakeRuntime::CheckPresent() const {
  return away_ ? absl::UnavailableError("runtime is missing") : absl::OkStatus();
}

FakeRuntime::Files FakeRuntime::Merged(std::string chain_id) const {
  std::vector<const Layer*> chain;
  while (!chain_id.empty()) {
    const Layer& layer = layers_.at(chain_id);
    chain.push_back(&layer);
    chain_id = layer.parent;
  }
  Files files;
  for (auto it = chain.rbegin(); it != chain.rend(); ++it) {
    for (const auto& [path, file] : (*it)->files) files[path] = file;
  }
  return files;
}

absl::StatusOr<FakeRuntime::Snapshot*> FakeRuntime::Find(absl::string_view snapshot_id) {
  RETURN_IF_ERROR(CheckPresent());
  auto found = snapshots_.find(std::string(snapshot_id));
  if (found == snapshots_.end()) return absl::NotFoundError("no such snapshot");
  return &found->second;
}

NewLayer FakeRuntime::AddLayer(const std::string& parent, const Files& files) {
  std::string bytes;
  int64_t size = 0;
  for (const auto& [path, file] : files) {
    absl::StrAppend(&bytes, path, "\n", file.content, "\n", file.mode, file.owner,
                    file.is_directory);
    size += static_cast<int64_t>(file.content.size());
  }
  NewLayer layer{.diff_id = oci::Digest::Of(bytes).text(), .size_bytes = size};
  layer.chain_id = ChainId(parent, layer.diff_id);
  layers_[layer.chain_id] = {parent, layer.diff_id, files};
  return layer;
}

void FakeRuntime::AddImage(absl::string_view reference, const Files& files,
                           absl::string_view config_json) {
  absl::MutexLock lock(&mu_);
  NewLayer layer = AddLayer("", files);
  std::string config(config_json);
  config.resize(config.rfind('}'));
  absl::StrAppend(&config, config.size() > 1 ? "," : "",
                  "\"rootfs\":{\"type\":\"layers\",\"diff_ids\":[\"", layer.diff_id, "\"]}}");
  images_[oci::Digest::Of(config).text()] = {config, layer.chain_id, {std::string(reference)}};
}

void FakeRuntime::SetAway(bool away) {
  absl::MutexLock lock(&mu_);
  away_ = away;
}

void FakeRuntime::ForgetLayer(absl::string_view chain_id) {
  absl::MutexLock lock(&mu_);
  layers_.erase(std::string(chain_id));
}

bool FakeRuntime::HasImage(absl::string_view reference) {
  absl::MutexLock lock(&mu_);
  for (const auto& [id, image] : images_) {
    if (id == reference || image.references.contains(std::string(reference))) return true;
  }
  return false;
}

FakeRuntime::Image FakeRuntime::ImageOf(absl::string_view reference) {
  absl::MutexLock lock(&mu_);
  for (const auto& [id, image] : images_) {
    if (id == reference || image.references.contains(std::string(reference))) return image;
  }
  return {};
}

FakeRuntime::Files FakeRuntime::FilesOf(absl::string_view reference) {
  Image image = ImageOf(reference);
  absl::MutexLock lock(&mu_);
  return Merged(image.chain_id);
}

std::set<std::string> FakeRuntime::LeasedChains(absl::string_view lease) {
  absl::MutexLock lock(&mu_);
  return leases_[std::string(lease)];
}

bool FakeRuntime::HasLease(absl::string_view lease) {
  absl::MutexLock lock(&mu_);
  return leases_.contains(std::string(lease));
}

int FakeRuntime::containers() {
  absl::MutexLock lock(&mu_);
  return static_cast<int>(containers_.size());
}

int FakeRuntime::snapshots() {
  absl::MutexLock lock(&mu_);
  return static_cast<int>(snapshots_.size());
}

int FakeRuntime::runs() {
  absl::MutexLock lock(&mu_);
  return runs_;
}

int FakeRuntime::copies() {
  absl::MutexLock lock(&mu_);
  return copies_;
}

bool FakeRuntime::WaitForBlocked(int count, absl::Duration timeout) {
  absl::MutexLock lock(&mu_);
  auto enough = [this, count]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
    return std::count_if(containers_.begin(), containers_.end(),
                         [](const auto& one) { return one.second.running; }) >= count;
  };
  return mu_.AwaitWithTimeout(absl::Condition(&enough), timeout);
}

void FakeRuntime::Unblock() {
  absl::MutexLock lock(&mu_);
  unblocked_ = true;
  for (auto& [id, container] : containers_) container.running = false;
}

std::optional<absl::Time> FakeRuntime::MissingSince() {
  absl::MutexLock lock(&mu_);
  if (!away_) return std::nullopt;
  return absl::UnixEpoch();
}

bool FakeRuntime::WaitUntilPresent(absl::Time deadline) {
  absl::MutexLock lock(&mu_);
  auto present = [this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) { return !away_; };
  return mu_.AwaitWithDeadline(absl::Condition(&present), deadline);
}

absl::StatusOr<BaseImage> FakeRuntime::GetImage(absl::string_view reference) {
  absl::MutexLock lock(&mu_);
  RETURN_IF_ERROR(CheckPresent());
  for (const auto& [id, image] : images_) {
    if (image.references.contains(std::string(reference))) {
      return BaseImage{id, image.config_json, image.chain_id};
    }
  }
  return absl::NotFoundError(absl::StrCat("no image \"", reference, "\""));
}

absl::StatusOr<std::string> FakeRuntime::CreateImage(absl::string_view config_json,
                                                     absl::string_view chain_id,
                                                     const std::vector<std::string>& references) {
  absl::MutexLock lock(&mu_);
  RETURN_IF_ERROR(CheckPresent());
  if (!chain_id.empty() && !layers_.contains(std::string(chain_id))) {
    return absl::NotFoundError("no such layer");
  }
  std::string id = oci::Digest::Of(config_json).text();
  for (auto& [other, image] : images_) {
    for (const std::string& reference : references) image.references.erase(reference);
  }
  Image& image = images_[id];
  image.config_json = std::string(config_json);
  image.chain_id = std::string(chain_id);
  image.references.insert(references.begin(), references.end());
  return id;
}

absl::Status FakeRuntime::AcquireLease(absl::string_view lease, std::optional<absl::Time>) {
  absl::MutexLock lock(&mu_);
  RETURN_IF_ERROR(CheckPresent());
  leases_[std::string(lease)];
  return absl::OkStatus();
}

absl::Status FakeRuntime::UpdateLease(absl::string_view lease, const LeaseChange& change) {
  absl::MutexLock lock(&mu_);
  RETURN_IF_ERROR(CheckPresent());
  auto found = leases_.find(std::string(lease));
  if (found == leases_.end()) return absl::NotFoundError("no such lease");
  for (const std::string& chain : change.add_chain_ids) {
    if (!layers_.contains(chain)) return absl::NotFoundError("no such layer");
    found->second.insert(chain);
  }
  for (const std::string& chain : change.remove_chain_ids) found->second.erase(chain);
  return absl::OkStatus();
}

absl::Status FakeRuntime::ReleaseLease(absl::string_view lease) {
  absl::MutexLock lock(&mu_);
  RETURN_IF_ERROR(CheckPresent());
  leases_.erase(std::string(lease));
  for (auto it = snapshots_.begin(); it != snapshots_.end();) {
    it = it->second.lease == lease ? snapshots_.erase(it) : std::next(it);
  }
  return absl::OkStatus();
}

absl::StatusOr<std::vector<std::string>> FakeRuntime::MissingLayers(
    const std::vector<std::string>& chain_ids) {
  absl::MutexLock lock(&mu_);
  RETURN_IF_ERROR(CheckPresent());
  std::vector<std::string> missing;
  for (const std::string& chain : chain_ids) {
    if (!layers_.contains(chain)) missing.push_back(chain);
  }
  return missing;
}

absl::StatusOr<std::string> FakeRuntime::PrepareSnapshot(absl::string_view lease,
                                                         absl::string_view parent_chain_id) {
  absl::MutexLock lock(&mu_);
  RETURN_IF_ERROR(CheckPresent());
  if (!leases_.contains(std::string(lease))) return absl::NotFoundError("no such lease");
  if (!parent_chain_id.empty() && !layers_.contains(std::string(parent_chain_id))) {
    return absl::NotFoundError("no such layer");
  }
  std::string id = absl::StrCat("snapshot-", next_++);
  snapshots_[id] = {std::string(lease), std::string(parent_chain_id), {}};
  return id;
}

absl::StatusOr<std::optional<NewLayer>> FakeRuntime::CommitSnapshot(absl::string_view snapshot_id,
                                                                    absl::string_view, int64_t) {
  absl::MutexLock lock(&mu_);
  ASSIGN_OR_RETURN(Snapshot * snapshot, Find(snapshot_id));
  Files below = Merged(snapshot->parent);
  Files changed;
  for (const auto& [path, file] : snapshot->files) {
    auto old = below.find(path);
    if (old == below.end() || !(old->second == file)) changed[path] = file;
  }
  std::string parent = snapshot->parent;
  snapshots_.erase(std::string(snapshot_id));
  if (changed.empty()) return std::nullopt;
  return AddLayer(parent, changed);
}

absl::Status FakeRuntime::DeleteSnapshot(absl::string_view snapshot_id) {
  absl::MutexLock lock(&mu_);
  RETURN_IF_ERROR(CheckPresent());
  snapshots_.erase(std::string(snapshot_id));
  return absl::OkStatus();
}

absl::Status FakeRuntime::WriteFiles(const FileWrite& write, archive::ChunkSource& tar) {
  Files files;
  archive::TarReader reader(tar);
  while (true) {
    ASSIGN_OR_RETURN(auto entry, reader.Next());
    if (!entry) break;
    FakeFile file{.mode = write.mode == 0 ? entry->mode : write.mode, .owner = write.user};
    if (entry->type == archive::EntryType::kDirectory) file.is_directory = true;
    if (entry->type == archive::EntryType::kSymlink) file.content = "-> " + entry->link_name;
    while (entry->type == archive::EntryType::kFile) {
      ASSIGN_OR_RETURN(absl::string_view part, reader.ReadContent());
      if (part.empty()) break;
      absl::StrAppend(&file.content, part);
    }
    files[Join(write.destination, absl::StripSuffix(entry->name, "/"))] = std::move(file);
  }
  absl::MutexLock lock(&mu_);
  ASSIGN_OR_RETURN(Snapshot * snapshot, Find(write.snapshot_id));
  ++copies_;
  Files below = Merged(snapshot->parent);
  if (write.destination != "/" && !below.contains(write.destination)) {
    snapshot->files[write.destination] = {.mode = 0755, .is_directory = true};
  }
  for (auto& [path, file] : files) snapshot->files[path] = std::move(file);
  return absl::OkStatus();
}

absl::Status FakeRuntime::CopyFiles(const FileCopy& copy) {
  absl::MutexLock lock(&mu_);
  ASSIGN_OR_RETURN(Snapshot * snapshot, Find(copy.snapshot_id));
  ++copies_;
  Files from = Merged(copy.source_chain_id);
  for (const std::string& source : copy.sources) {
    bool found = false;
    for (const auto& [path, file] : from) {
      absl::string_view below = path;
      if (path == source && !file.is_directory) {
        snapshot
            ->files[absl::EndsWith(copy.destination, "/") ? Join(copy.destination, BaseName(path))
                                                          : copy.destination] = file;
        found = true;
      } else if (absl::ConsumePrefix(&below, source == "/" ? "/" : source + "/")) {
        snapshot->files[Join(copy.destination, below)] = file;
        found = true;
      }
    }
    if (!found) return absl::NotFoundError(absl::StrCat("\"", source, "\" matches nothing"));
  }
  return absl::OkStatus();
}

absl::StatusOr<std::string> FakeRuntime::DigestFiles(absl::string_view chain_id,
                                                     const std::vector<std::string>& paths) {
  absl::MutexLock lock(&mu_);
  RETURN_IF_ERROR(CheckPresent());
  std::string bytes;
  for (const auto& [path, file] : Merged(std::string(chain_id))) {
    for (const std::string& wanted : paths) {
      if (path == wanted || absl::StartsWith(path, wanted == "/" ? "/" : wanted + "/")) {
        absl::StrAppend(&bytes, path, "\n", file.content, "\n", file.mode);
      }
    }
  }
  if (bytes.empty()) {
    return absl::NotFoundError(absl::StrCat("\"", absl::StrJoin(paths, " "), "\" matches nothing"));
  }
  return oci::Digest::Of(bytes).text();
}

absl::StatusOr<FileKind> FakeRuntime::Probe(absl::string_view snapshot_id, absl::string_view path) {
  absl::MutexLock lock(&mu_);
  ASSIGN_OR_RETURN(Snapshot * snapshot, Find(snapshot_id));
  if (path == "/") return FileKind::kOther;
  Files files = Merged(snapshot->parent);
  for (const auto& [name, file] : snapshot->files) files[name] = file;
  auto found = files.find(std::string(path));
  if (found == files.end()) return FileKind::kNothing;
  return found->second.is_directory ? FileKind::kOther : FileKind::kFile;
}

absl::StatusOr<std::string> FakeRuntime::StartRun(const RunRequest& run) {
  absl::MutexLock lock(&mu_);
  ASSIGN_OR_RETURN(Snapshot * snapshot, Find(run.snapshot_id));
  ++runs_;
  Container container{.labels = run.labels};
  std::vector<std::string> words = absl::StrSplit(run.args.back(), absl::MaxSplits(' ', 2));
  words.resize(3);
  if (words[0] == "write") {
    snapshot->files[words[1]] = {.content = words[2]};
  } else if (words[0] == "append") {
    FakeFile file = Merged(snapshot->parent)[words[1]];
    file.content += words[2];
    snapshot->files[words[1]] = file;
  } else if (words[0] == "print") {
    container.output = absl::StrCat(words[1], " ", words[2], "\n");
  } else if (words[0] == "env") {
    container.output = absl::StrJoin(run.env, "\n") + "\n";
  } else if (words[0] == "fail") {
    container.output = "it broke\n";
    (void)absl::SimpleAtoi(words[1], &container.exit.code);
  } else if (words[0] == "block") {
    container.running = !unblocked_;
  } else {
    return absl::InvalidArgumentError(absl::StrCat("exec \"", words[0], "\": not found in PATH"));
  }
  std::string id = absl::StrCat("container-", next_++);
  containers_[id] = std::move(container);
  return id;
}

absl::Status FakeRuntime::Await(const std::string& container_id, Cancellation& cancellation) {
  // Polled: a cancellation is signalled without this object's mutex.
  while (true) {
    RETURN_IF_ERROR(CheckPresent());
    if (cancellation.canceled()) return absl::CancelledError("canceled");
    auto found = containers_.find(container_id);
    if (found == containers_.end()) return absl::NotFoundError("no such container");
    if (!found->second.running) return absl::OkStatus();
    auto never = [] { return false; };
    mu_.AwaitWithTimeout(absl::Condition(&never), absl::Milliseconds(2));
  }
}

absl::Status FakeRuntime::FollowOutput(absl::string_view container_id, absl::Time after,
                                       absl::FunctionRef<void(const RunOutput&)> take,
                                       Cancellation& cancellation) {
  RunOutput output;
  {
    absl::MutexLock lock(&mu_);
    RETURN_IF_ERROR(Await(std::string(container_id), cancellation));
    output.text = containers_.at(std::string(container_id)).output;
  }
  if (!output.text.empty() && after == absl::InfinitePast()) take(output);
  return absl::OkStatus();
}

absl::StatusOr<RunExit> FakeRuntime::WaitExit(absl::string_view container_id,
                                              Cancellation& cancellation) {
  absl::MutexLock lock(&mu_);
  RETURN_IF_ERROR(Await(std::string(container_id), cancellation));
  return containers_.at(std::string(container_id)).exit;
}

absl::Status FakeRuntime::DeleteContainer(absl::string_view container_id) {
  absl::MutexLock lock(&mu_);
  RETURN_IF_ERROR(CheckPresent());
  containers_.erase(std::string(container_id));
  return absl::OkStatus();
}

absl::StatusOr<std::vector<std::string>> FakeRuntime::ListContainers(absl::string_view label) {
  absl::MutexLock lock(&mu_);
  RETURN_IF_ERROR(CheckPresent());
  std::vector<std::string> ids;
  for (const auto& [id, container] : containers_) {
    for (const auto& [key, value] : container.labels) {
      if (key == label || absl::StrCat(key, "=", value) == label) ids.push_back(id);
    }
  }
  return ids;
}

}  // namespace darse::builder
