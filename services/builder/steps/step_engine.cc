#include "services/builder/steps/step_engine.h"

#include <variant>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "libs/base/status_macros.h"
#include "libs/base/undo_stack.h"
#include "services/builder/cache/cache_key.h"
#include "services/builder/contexts/archive_probe.h"
#include "services/builder/contexts/selection_tar.h"

namespace darse::builder {
namespace {

// "Dockerfile:3: RUN false: why", with the code of what went wrong.
absl::Status At(const dockerfile::Step& step, const absl::Status& status) {
  return Annotate(status, absl::StrCat(dockerfile::Describe(step.place), ": ", step.name));
}

// "/a/b" → "/a" and "b"
std::pair<std::string, std::string> SplitPath(const std::string& path) {
  size_t slash = path.rfind('/');
  return {slash == 0 ? "/" : path.substr(0, slash), path.substr(slash + 1)};
}

}  // namespace

StepEngine::StepEngine(BuildSession& session, CacheEngine& cache, CacheEngine::Session& found,
                       RunSlots& slots, const OpenContext* context, StepOptions options)
    : session_(session),
      runtime_(session.runtime()),
      cache_(cache),
      found_(found),
      slots_(slots),
      context_(context),
      options_(std::move(options)) {}

absl::StatusOr<StepOutcome> StepEngine::Run(const StepSite& site, const dockerfile::Step& step) {
  absl::StatusOr<StepOutcome> outcome = StepOutcome{.chain_id = site.parent_chain_id};
  if (const auto* run = std::get_if<dockerfile::RunStep>(&step.action)) {
    outcome = DoRun(site, step, *run);
  } else if (const auto* copy = std::get_if<dockerfile::CopyStep>(&step.action)) {
    outcome = DoCopy(site, step, *copy);
  } else if (const auto* workdir = std::get_if<dockerfile::WorkdirStep>(&step.action)) {
    outcome = DoWorkdir(site, step, *workdir);
  }
  if (!outcome.ok()) return At(step, outcome.status());
  return outcome;
}

absl::StatusOr<std::optional<StepOutcome>> StepEngine::Find(const StepSite& site,
                                                            const std::string& key) {
  ASSIGN_OR_RETURN(std::optional<CacheEntry> entry, found_.Find(key));
  if (!entry) return std::nullopt;
  session_.journal().StepCached(site.number, site.title);
  return StepOutcome{.chain_id = entry->chain_id, .diff_id = entry->diff_id};
}

absl::StatusOr<StepOutcome> StepEngine::Cached(const StepSite& site, const dockerfile::Step& step,
                                               const std::string& key, Body body) {
  if (session_.cancellation().canceled()) return absl::CancelledError("the build was canceled");
  ASSIGN_OR_RETURN(std::optional<StepOutcome> found, Find(site, key));
  if (found) return *found;
  // Somebody may be doing the same at this moment.
  ASSIGN_OR_RETURN(CacheEngine::Claim claim,
                   CacheEngine::Claim::Take(cache_, key, session_.cancellation()));
  ASSIGN_OR_RETURN(found, Find(site, key));
  if (found) return *found;
  RETURN_IF_ERROR(session_.journal().StepStarted(site.number, site.title));
  absl::StatusOr<StepOutcome> outcome = OnSnapshot(site, step, key, body);
  RETURN_IF_ERROR(
      session_.journal().StepFinished(site.number, outcome.ok() ? "" : outcome.status().message()));
  return outcome;
}

absl::StatusOr<StepOutcome> StepEngine::OnSnapshot(const StepSite& site,
                                                   const dockerfile::Step& step,
                                                   const std::string& key, Body body) {
  std::optional<NewLayer> layer;
  RETURN_IF_ERROR(session_.WhileAway([&]() -> absl::Status {
    ASSIGN_OR_RETURN(layer, TryOnSnapshot(site, body));
    return absl::OkStatus();
  }));
  CacheEntry entry{.key = key, .step_name = step.name, .chain_id = site.parent_chain_id};
  if (layer) {
    entry.chain_id = layer->chain_id;
    entry.diff_id = layer->diff_id;
    entry.size_bytes = layer->size_bytes;
  }
  RETURN_IF_ERROR(session_.WhileAway([&] { return found_.Insert(entry); }));
  return StepOutcome{.chain_id = entry.chain_id, .diff_id = entry.diff_id};
}

absl::StatusOr<std::optional<NewLayer>> StepEngine::TryOnSnapshot(const StepSite& site, Body body) {
  RETURN_IF_ERROR(session_.EnsureLease());
  ASSIGN_OR_RETURN(std::string snapshot,
                   runtime_.PrepareSnapshot(session_.lease(), site.parent_chain_id));
  UndoStack undo;
  undo.Push([&runtime = runtime_, snapshot] { runtime.DeleteSnapshot(snapshot).IgnoreError(); });
  RETURN_IF_ERROR(body(snapshot));
  std::optional<NewLayer> layer;
  bool repeated = false;
  absl::Status committed = session_.WhileAway([&]() -> absl::Status {
    auto answer = runtime_.CommitSnapshot(snapshot, session_.lease(), options_.clamp_time_seconds);
    if (IsAway(answer.status())) repeated = true;
    RETURN_IF_ERROR(answer.status());
    layer = *std::move(answer);
    return absl::OkStatus();
  });
  // The first call was carried out and its answer lost: nobody knows the layer now, so the step is
  // done again.
  if (repeated && absl::IsNotFound(committed))
    return absl::UnavailableError("the runtime went away");
  RETURN_IF_ERROR(committed);
  undo.Commit();
  return layer;
}

// RUN.

absl::StatusOr<StepOutcome> StepEngine::DoRun(const StepSite& site, const dockerfile::Step& step,
                                              dockerfile::RunStep run) {
  if (run.network.empty()) run.network = options_.network;
  std::string key = RunKey(site.parent_chain_id, run, options_.clamp_time_seconds);
  return Cached(site, step, key, [&](absl::string_view snapshot_id) -> absl::Status {
    RETURN_IF_ERROR(slots_.Take(session_.cancellation()));
    absl::Status status = RunCommand(site, run, snapshot_id);
    slots_.GiveBack();
    return status;
  });
}

absl::Status StepEngine::RunCommand(const StepSite& site, const dockerfile::RunStep& run,
                                    absl::string_view snapshot_id) {
  std::string step_label = absl::StrCat(session_.build_id(), ".", site.number);
  // An earlier try may have started its container without hearing of it.
  ASSIGN_OR_RETURN(std::vector<std::string> left,
                   runtime_.ListContainers(absl::StrCat(kStepLabel, "=", step_label)));
  for (const std::string& id : left) RETURN_IF_ERROR(runtime_.DeleteContainer(id));

  RunRequest request{.snapshot_id = std::string(snapshot_id),
                     .args = run.args,
                     .env = run.env,
                     .working_dir = run.working_dir,
                     .user = run.user,
                     .network = run.network,
                     .labels = {{kBuildLabel, session_.build_id()}, {kStepLabel, step_label}}};
  request.env.insert(request.env.end(), run.uncached_env.begin(), run.uncached_env.end());
  ASSIGN_OR_RETURN(std::string container, runtime_.StartRun(request));
  UndoStack undo;
  undo.Push([&runtime = runtime_, container] { runtime.DeleteContainer(container).IgnoreError(); });
  RETURN_IF_ERROR(Follow(site, container));
  RunExit exit;
  RETURN_IF_ERROR(session_.WhileAway([&]() -> absl::Status {
    ASSIGN_OR_RETURN(exit, runtime_.WaitExit(container, session_.cancellation()));
    return absl::OkStatus();
  }));
  // Before the snapshot is committed: it must be nobody's root.
  RETURN_IF_ERROR(session_.WhileAway([&] { return runtime_.DeleteContainer(container); }));
  undo.Commit();
  if (exit.code == 0) return absl::OkStatus();
  RETURN_IF_ERROR(
      session_.journal().Change([&](BuildRecord& record) { record.failed_exit_code = exit.code; }));
  return absl::AbortedError(
      absl::StrCat("exit code ", exit.code, exit.oom_killed ? ": it ran out of memory" : ""));
}

absl::Status StepEngine::Follow(const StepSite& site, absl::string_view container_id) {
  absl::Time after = absl::InfinitePast();
  absl::Status written;
  RETURN_IF_ERROR(session_.WhileAway([&] {
    return runtime_.FollowOutput(
        container_id, after,
        [&](const RunOutput& output) {
          after = output.time;
          if (!written.ok()) return;
          written = session_.journal().Output(site.number, output.text, output.is_stderr);
        },
        session_.cancellation());
  }));
  return written;
}

// COPY, ADD.

absl::StatusOr<StepOutcome> StepEngine::DoCopy(const StepSite& site, const dockerfile::Step& step,
                                               const dockerfile::CopyStep& copy) {
  Selection selection;
  if (!copy.sources.empty()) {
    if (context_ == nullptr) {
      return absl::NotFoundError("there is no build context to copy from");
    }
    ASSIGN_OR_RETURN(selection, Select(*context_->files, copy.sources));
  }
  std::string key = CopyKey(site.parent_chain_id, copy, "context", DigestOf(selection),
                            options_.clamp_time_seconds);
  return Cached(site, step, key, [&](absl::string_view snapshot_id) {
    return CopyContext(copy, selection, snapshot_id);
  });
}

absl::Status StepEngine::CopyContext(const dockerfile::CopyStep& copy, const Selection& selection,
                                     absl::string_view snapshot_id) {
  Selection plain{.single_file = selection.single_file};
  for (const SelectedFile& one : selection.files) {
    bool unpack = false;
    if (copy.is_add && one.named) {
      ASSIGN_OR_RETURN(unpack, IsArchive(one.file, context_->tar.get()));
    }
    if (!unpack) {
      plain.files.push_back(one);
      continue;
    }
    ContentOfFile content(one.file, context_->tar.get());
    RETURN_IF_ERROR(runtime_.WriteFiles({.snapshot_id = std::string(snapshot_id),
                                         .destination = copy.destination,
                                         .user = copy.user,
                                         .group = copy.group,
                                         .is_archive = true},
                                        content));
  }
  // An empty directory copied makes its destination.
  bool only_archives = plain.files.empty() && !selection.files.empty();
  if (!copy.sources.empty() && !only_archives) {
    RETURN_IF_ERROR(WriteSelection(copy, std::move(plain), snapshot_id));
  }
  if (copy.inline_files.empty()) return absl::OkStatus();
  std::vector<std::pair<std::string, std::string>> files = copy.inline_files;
  bool single = files.size() == 1 && copy.sources.empty();
  ASSIGN_OR_RETURN(auto destination, Destination(copy, single, snapshot_id));
  if (!destination.second.empty()) files[0].first = destination.second;
  std::string tar =
      InlineTar(files, options_.clamp_time_seconds < 0 ? 0 : options_.clamp_time_seconds);
  archive::StringSource source(tar);
  return runtime_.WriteFiles({.snapshot_id = std::string(snapshot_id),
                              .destination = destination.first,
                              .user = copy.user,
                              .group = copy.group,
                              .mode = copy.mode},
                             source);
}

absl::Status StepEngine::WriteSelection(const dockerfile::CopyStep& copy, Selection selection,
                                        absl::string_view snapshot_id) {
  ASSIGN_OR_RETURN(auto destination, Destination(copy, selection.single_file, snapshot_id));
  if (!destination.second.empty()) selection.files[0].target = destination.second;
  // --chmod is for directories too, so the runtime has to be told of each.
  SelectionTar tar(selection, context_->tar.get(), /*all_directories=*/copy.mode != 0);
  return runtime_.WriteFiles({.snapshot_id = std::string(snapshot_id),
                              .destination = destination.first,
                              .user = copy.user,
                              .group = copy.group,
                              .mode = copy.mode},
                             tar);
}

// The directory that is written to, and the new name of a single file where it gets one.
absl::StatusOr<std::pair<std::string, std::string>> StepEngine::Destination(
    const dockerfile::CopyStep& copy, bool single_file, absl::string_view snapshot_id) {
  if (!single_file || copy.into_directory) return std::make_pair(copy.destination, std::string());
  ASSIGN_OR_RETURN(FileKind kind, runtime_.Probe(snapshot_id, copy.destination));
  if (kind == FileKind::kOther) return std::make_pair(copy.destination, std::string());
  return SplitPath(copy.destination);
}

absl::StatusOr<StepOutcome> StepEngine::CopyFrom(const StepSite& site, const dockerfile::Step& step,
                                                 absl::string_view source_chain_id) {
  const auto& copy = std::get<dockerfile::CopyStep>(step.action);
  absl::StatusOr<std::string> digest = DigestOfChain(source_chain_id, copy.sources);
  if (!digest.ok()) return At(step, digest.status());
  std::string key =
      CopyKey(site.parent_chain_id, copy, "stage", *digest, options_.clamp_time_seconds);
  FileCopy request{.source_chain_id = std::string(source_chain_id),
                   .sources = copy.sources,
                   .destination = copy.destination,
                   .user = copy.user,
                   .group = copy.group,
                   .mode = copy.mode};
  if (copy.into_directory && !absl::EndsWith(request.destination, "/")) request.destination += "/";
  absl::StatusOr<StepOutcome> outcome = Cached(site, step, key, [&](absl::string_view snapshot_id) {
    request.snapshot_id = std::string(snapshot_id);
    return runtime_.CopyFiles(request);
  });
  if (!outcome.ok()) return At(step, outcome.status());
  return outcome;
}

absl::StatusOr<std::string> StepEngine::DigestOfChain(absl::string_view chain_id,
                                                      const std::vector<std::string>& paths) {
  if (chain_id.empty()) return absl::NotFoundError("the stage to copy from holds no files");
  std::string key = FilesKey(chain_id, paths);
  ASSIGN_OR_RETURN(std::optional<std::string> known, found_.FindDigest(key));
  if (known) return *known;
  std::string digest;
  RETURN_IF_ERROR(session_.WhileAway([&]() -> absl::Status {
    ASSIGN_OR_RETURN(digest, runtime_.DigestFiles(chain_id, paths));
    return absl::OkStatus();
  }));
  RETURN_IF_ERROR(found_.PutDigest(key, digest));
  return digest;
}

// WORKDIR.

absl::StatusOr<StepOutcome> StepEngine::DoWorkdir(const StepSite& site,
                                                  const dockerfile::Step& step,
                                                  const dockerfile::WorkdirStep& workdir) {
  // It is there always.
  if (workdir.path == "/") {
    session_.journal().StepCached(site.number, site.title);
    return StepOutcome{.chain_id = site.parent_chain_id};
  }
  std::string key = WorkdirKey(site.parent_chain_id, workdir, options_.clamp_time_seconds);
  return Cached(site, step, key, [&](absl::string_view snapshot_id) {
    size_t colon = workdir.user.find(':');
    std::string nothing = InlineTar({}, 0);
    archive::StringSource source(nothing);
    return runtime_.WriteFiles(
        {.snapshot_id = std::string(snapshot_id),
         .destination = workdir.path,
         .user = workdir.user.substr(0, colon),
         .group = colon == std::string::npos ? "" : workdir.user.substr(colon + 1)},
        source);
  });
}

}  // namespace darse::builder
