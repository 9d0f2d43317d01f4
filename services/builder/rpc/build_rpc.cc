#include "services/builder/rpc/build_rpc.h"

#include <limits>
#include <memory>
#include <utility>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "libs/base/log.h"
#include "libs/base/status_macros.h"
#include "libs/rpc/server.h"
#include "libs/rpc/status.h"
#include "libs/rpc/stream_writer.h"

namespace darse::builder {
namespace {

constexpr int kMaxPage = 1000;

int PageSize(int asked) { return asked <= 0 || asked > kMaxPage ? kMaxPage : asked; }

absl::Status BadToken() { return absl::InvalidArgumentError("page_token is not one of ours"); }

// "<used_at microseconds> <key>"
absl::StatusOr<CacheCursor> CursorOf(const std::string& token) {
  if (token.empty()) return CacheCursor{};
  std::vector<std::string> parts = absl::StrSplit(token, ' ');
  int64_t micros = 0;
  if (parts.size() != 2 || !absl::SimpleAtoi(parts[0], &micros)) return BadToken();
  return CacheCursor{absl::FromUnixMicros(micros), parts[1]};
}

}  // namespace

BuildRpc::BuildRpc(BuildEngine& builds, ContextEngine& contexts, CacheEngine& cache)
    : builds_(builds), contexts_(contexts), cache_(cache) {}

grpc::Status BuildRpc::HasContext(grpc::ServerContext*, const v1::HasContextRequest* request,
                                  v1::HasContextResponse* response) {
  absl::StatusOr<std::vector<std::string>> missing =
      contexts_.Missing({request->digests().begin(), request->digests().end()});
  if (missing.ok()) {
    for (const std::string& digest : *missing) response->add_missing_digests(digest);
  }
  return rpc::ToGrpc(missing.status());
}

absl::Status BuildRpc::Upload(grpc::ServerReader<v1::UploadContextRequest>& reader) {
  v1::UploadContextRequest message;
  if (!reader.Read(&message)) return absl::InvalidArgumentError("the first message is missing");
  ASSIGN_OR_RETURN(std::unique_ptr<ContextEngine::Upload> upload,
                   contexts_.Begin(message.digest()));
  do {
    RETURN_IF_ERROR(upload->Write(message.chunk()));
  } while (reader.Read(&message));
  return upload->Finish();
}

grpc::Status BuildRpc::UploadContext(grpc::ServerContext*,
                                     grpc::ServerReader<v1::UploadContextRequest>* reader,
                                     v1::UploadContextResponse*) {
  return rpc::ToGrpc(Upload(*reader));
}

grpc::Status BuildRpc::CreateBuild(grpc::ServerContext* context,
                                   const v1::CreateBuildRequest* request,
                                   v1::CreateBuildResponse* response) {
  absl::StatusOr<BuildRecord> record = builds_.Create(request->spec(), request->request_id());
  if (record.ok()) {
    *response->mutable_build() = ToProto(*record);
    Log(LogLevel::kInfo, "build accepted", {{"id", record->id}, {"actor", rpc::Actor(*context)}});
  }
  return rpc::ToGrpc(record.status());
}

grpc::Status BuildRpc::GetBuild(grpc::ServerContext*, const v1::GetBuildRequest* request,
                                v1::GetBuildResponse* response) {
  absl::StatusOr<BuildRecord> record = builds_.Get(request->id());
  if (record.ok()) *response->mutable_build() = ToProto(*record);
  return rpc::ToGrpc(record.status());
}

absl::Status BuildRpc::List(const v1::ListBuildsRequest& request,
                            v1::ListBuildsResponse& response) {
  int64_t before = std::numeric_limits<int64_t>::max();
  if (!request.page_token().empty() && !absl::SimpleAtoi(request.page_token(), &before)) {
    return BadToken();
  }
  int size = PageSize(request.page_size());
  ASSIGN_OR_RETURN(std::vector<BuildRecord> records, builds_.List(before, size + 1));
  bool more = static_cast<int>(records.size()) > size;
  if (more) records.pop_back();
  for (const BuildRecord& record : records) *response.add_builds() = ToProto(record);
  if (more) response.set_next_page_token(absl::StrCat(records.back().number));
  return absl::OkStatus();
}

grpc::Status BuildRpc::ListBuilds(grpc::ServerContext*, const v1::ListBuildsRequest* request,
                                  v1::ListBuildsResponse* response) {
  return rpc::ToGrpc(List(*request, *response));
}

grpc::ServerWriteReactor<v1::WatchBuildResponse>* BuildRpc::WatchBuild(
    grpc::CallbackServerContext*, const v1::WatchBuildRequest* request) {
  auto waker = std::make_shared<rpc::Waker>();
  // Subscribed before the first look, so that nothing falls between.
  std::shared_ptr<BuildWatchers::Subscription> subscription =
      builds_.Watch(request->id(), [waker] { waker->Wake(); });
  return rpc::StreamFrom<v1::WatchBuildResponse>(
      waker,
      [this, subscription, id = request->id(), after = request->after_sequence()](
          v1::WatchBuildResponse& response) mutable -> absl::StatusOr<rpc::Next> {
        ASSIGN_OR_RETURN(BuildEngine::News news, builds_.Events(id, after));
        for (v1::BuildEvent& event : news.events) *response.add_events() = std::move(event);
        if (response.events_size() > 0) {
          after = response.events(response.events_size() - 1).sequence();
          return rpc::Next::kWrite;
        }
        return news.is_all ? rpc::Next::kEnd : rpc::Next::kWait;
      });
}

grpc::Status BuildRpc::CancelBuild(grpc::ServerContext* context,
                                   const v1::CancelBuildRequest* request,
                                   v1::CancelBuildResponse*) {
  Log(LogLevel::kInfo, "build cancel", {{"id", request->id()}, {"actor", rpc::Actor(*context)}});
  return rpc::ToGrpc(builds_.Cancel(request->id()));
}

absl::Status BuildRpc::ListCache(const v1::ListCacheEntriesRequest& request,
                                 v1::ListCacheEntriesResponse& response) {
  ASSIGN_OR_RETURN(CacheCursor after, CursorOf(request.page_token()));
  int size = PageSize(request.page_size());
  ASSIGN_OR_RETURN(std::vector<CacheEntry> entries, cache_.List(after, size + 1));
  bool more = static_cast<int>(entries.size()) > size;
  if (more) entries.pop_back();
  for (const CacheEntry& entry : entries) {
    v1::CacheEntry& out = *response.add_entries();
    out.set_key(entry.key);
    out.set_step_name(entry.step_name);
    out.set_chain_id(entry.chain_id);
    *out.mutable_create_time() = TimeToProto(entry.created_at);
    *out.mutable_use_time() = TimeToProto(entry.used_at);
    out.set_size_bytes(entry.size_bytes);
  }
  if (more) {
    response.set_next_page_token(
        absl::StrCat(absl::ToUnixMicros(entries.back().used_at), " ", entries.back().key));
  }
  return absl::OkStatus();
}

grpc::Status BuildRpc::ListCacheEntries(grpc::ServerContext*,
                                        const v1::ListCacheEntriesRequest* request,
                                        v1::ListCacheEntriesResponse* response) {
  return rpc::ToGrpc(ListCache(*request, *response));
}

grpc::Status BuildRpc::PruneCache(grpc::ServerContext* context,
                                  const v1::PruneCacheRequest* request,
                                  v1::PruneCacheResponse* response) {
  absl::Time since = absl::InfiniteFuture();
  if (request->has_unused_since()) {
    since = absl::FromUnixSeconds(request->unused_since().seconds()) +
            absl::Nanoseconds(request->unused_since().nanos());
  }
  absl::StatusOr<CacheEngine::Pruned> pruned = cache_.Prune(since);
  if (pruned.ok()) {
    response->set_deleted(pruned->deleted);
    response->set_reclaimed_bytes(pruned->reclaimed_bytes);
    Log(LogLevel::kInfo, "cache pruned",
        {{"deleted", absl::StrCat(pruned->deleted)}, {"actor", rpc::Actor(*context)}});
  }
  return rpc::ToGrpc(pruned.status());
}

}  // namespace darse::builder
