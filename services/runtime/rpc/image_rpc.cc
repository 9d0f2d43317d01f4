#include "services/runtime/rpc/image_rpc.h"

#include <algorithm>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "libs/archive/chunk_source.h"
#include "libs/base/log.h"
#include "libs/base/status_macros.h"
#include "libs/rpc/server.h"
#include "libs/rpc/status.h"
#include "services/runtime/images/bootstrap.h"
#include "services/runtime/images/load.h"
#include "services/runtime/images/save.h"

namespace darse::runtime {
namespace {

constexpr int kDefaultPage = 100;
constexpr int kMaxPage = 1000;
constexpr size_t kChunk = 256 << 10;

void SetTime(absl::Time time, google::protobuf::Timestamp* out) {
  int64_t nanoseconds = absl::ToUnixNanos(time);
  out->set_seconds(nanoseconds / 1'000'000'000);
  out->set_nanos(static_cast<int32_t>(nanoseconds % 1'000'000'000));
}

void SetTime(absl::string_view rfc3339, google::protobuf::Timestamp* out) {
  absl::Time time;
  if (absl::ParseTime(absl::RFC3339_full, rfc3339, &time, nullptr)) SetTime(time, out);
}

v1::Image ToProto(const ImageView& view) {
  v1::Image image;
  image.set_id(view.row.image_id);
  for (const std::string& name : view.row.references) image.add_references(name);
  image.set_manifest_digest(view.row.manifest_digest);
  if (!view.config.created.empty()) SetTime(view.config.created, image.mutable_create_time());
  image.set_size_bytes(view.row.size_bytes);
  image.set_architecture(view.config.architecture);
  image.set_os(view.config.os);
  image.mutable_labels()->insert(view.config.labels.begin(), view.config.labels.end());
  image.set_config_json(view.row.config_json);
  for (const LayerRow& layer : view.layers) {
    v1::Layer* out = image.add_layers();
    out->set_diff_id(layer.diff_id);
    out->set_chain_id(layer.chain_id);
    out->set_digest(layer.diff_id);
    out->set_size_bytes(layer.tar_bytes);
  }
  SetTime(view.row.local_time, image.mutable_local_time());
  return image;
}

std::string ToToken(const ImageRow& row) {
  return absl::StrCat(absl::ToUnixNanos(row.local_time), "/", row.image_id);
}

absl::StatusOr<std::optional<ImageCursor>> FromToken(const std::string& token) {
  if (token.empty()) return std::nullopt;
  std::vector<std::string> parts = absl::StrSplit(token, '/');
  ImageCursor cursor;
  if (parts.size() != 2 || !absl::SimpleAtoi(parts[0], &cursor.local_ns)) {
    return absl::InvalidArgumentError("page_token was not made by ListImages");
  }
  cursor.image_id = parts[1];
  return cursor;
}

// Gathers what is small into messages of a useful size.
class ChunkWriter final : public archive::ChunkSink {
 public:
  explicit ChunkWriter(grpc::ServerWriter<v1::SaveImagesResponse>& writer) : writer_(writer) {}
  absl::Status Write(absl::string_view bytes) override {
    while (!bytes.empty()) {
      std::string& chunk = *message_.mutable_chunk();
      absl::string_view part = bytes.substr(0, kChunk - chunk.size());
      chunk.append(part.data(), part.size());
      bytes.remove_prefix(part.size());
      if (chunk.size() == kChunk) RETURN_IF_ERROR(Flush());
    }
    return absl::OkStatus();
  }
  absl::Status Flush() {
    if (!message_.chunk().empty() && !writer_.Write(message_)) {
      return absl::CancelledError("the client went away");
    }
    message_.clear_chunk();
    return absl::OkStatus();
  }

 private:
  grpc::ServerWriter<v1::SaveImagesResponse>& writer_;
  v1::SaveImagesResponse message_;
};

void LogOutcome(absl::string_view verb, const absl::Status& status, std::string image) {
  if (status.ok()) {
    Log(LogLevel::kInfo, absl::StrCat("image ", verb), {{"image", std::move(image)}});
  } else {
    Log(LogLevel::kWarning, absl::StrCat("image ", verb, " refused"),
        {{"error", std::string(status.message())}});
  }
}

absl::Status Load(ImageEngine& images, grpc::ServerContext& context,
                  grpc::ServerReader<v1::LoadImagesRequest>& reader,
                  v1::LoadImagesResponse& response) {
  ASSIGN_OR_RETURN(std::unique_ptr<LoadSession> session, LoadSession::Start(images));
  v1::LoadImagesRequest message;
  while (reader.Read(&message)) RETURN_IF_ERROR(session->Write(message.chunk()));
  // A stream that broke is no end of the archive.
  if (context.IsCancelled()) return absl::CancelledError("the client went away");
  ASSIGN_OR_RETURN(std::vector<std::string> ids, session->Finish(rpc::Actor(context)));
  for (const std::string& id : ids) {
    ASSIGN_OR_RETURN(ImageView view, images.Get(id));
    *response.add_images() = ToProto(view);
  }
  return absl::OkStatus();
}

absl::Status Import(ImageEngine& images, Clock& clock, grpc::ServerContext& context,
                    grpc::ServerReader<v1::ImportImageRequest>& reader,
                    v1::ImportImageResponse& response) {
  v1::ImportImageRequest message;
  if (!reader.Read(&message) || !message.has_start()) {
    return absl::InvalidArgumentError("the first message must be `start`");
  }
  ASSIGN_OR_RETURN(std::unique_ptr<ImportSession> session,
                   ImportSession::Start(images, {.reference = message.start().reference(),
                                                 .config_json = message.start().config_json(),
                                                 .message = message.start().message()}));
  while (reader.Read(&message)) {
    if (message.has_start()) return absl::InvalidArgumentError("`start` came twice");
    RETURN_IF_ERROR(session->Write(message.chunk()));
  }
  if (context.IsCancelled()) return absl::CancelledError("the client went away");
  ASSIGN_OR_RETURN(std::string id, session->Finish(clock.Now(), rpc::Actor(context)));
  ASSIGN_OR_RETURN(ImageView view, images.Get(id));
  *response.mutable_image() = ToProto(view);
  return absl::OkStatus();
}

absl::StatusOr<v1::Image> RunBootstrap(ImageEngine& images, Clock& clock,
                                       grpc::ServerContext& context,
                                       const v1::BootstrapImageRequest& request,
                                       grpc::ServerWriter<v1::BootstrapImageResponse>& writer) {
  BootstrapWatch watch;
  watch.on_line = [&writer](absl::string_view line) {
    v1::BootstrapImageResponse message;
    message.set_progress(std::string(line));
    // A client that is gone shows in `cancelled`.
    writer.Write(message);
  };
  watch.cancelled = [&context] { return context.IsCancelled(); };
  ASSIGN_OR_RETURN(std::string id,
                   Bootstrap(images, clock,
                             {.distribution = request.distribution(),
                              .reference = request.reference(),
                              .mirror = request.mirror(),
                              .include_packages = {request.include_packages().begin(),
                                                   request.include_packages().end()}},
                             watch, rpc::Actor(context)));
  ASSIGN_OR_RETURN(ImageView view, images.Get(id));
  return ToProto(view);
}

}  // namespace

grpc::Status ImageRpc::GetImage(grpc::ServerContext*, const v1::GetImageRequest* request,
                                v1::GetImageResponse* response) {
  absl::StatusOr<ImageView> view = images_.Get(request->image());
  if (!view.ok()) return rpc::ToGrpc(view.status());
  *response->mutable_image() = ToProto(*view);
  std::vector<oci::HistoryEntry>& history = view->config.history;
  for (auto entry = history.rbegin(); entry != history.rend(); ++entry) {
    v1::HistoryEntry* out = response->add_history();
    if (!entry->created.empty()) SetTime(entry->created, out->mutable_create_time());
    out->set_created_by(entry->created_by);
    out->set_empty_layer(entry->empty_layer);
    out->set_comment(entry->comment);
  }
  return grpc::Status::OK;
}

grpc::Status ImageRpc::ListImages(grpc::ServerContext*, const v1::ListImagesRequest* request,
                                  v1::ListImagesResponse* response) {
  if (request->page_size() < 0) {
    return rpc::ToGrpc(absl::InvalidArgumentError("page_size is negative"));
  }
  absl::StatusOr<std::optional<ImageCursor>> cursor = FromToken(request->page_token());
  if (!cursor.ok()) return rpc::ToGrpc(cursor.status());
  int size = request->page_size() == 0 ? kDefaultPage : std::min(request->page_size(), kMaxPage);
  absl::StatusOr<std::vector<ImageView>> views = images_.List(*cursor, size + 1);
  if (!views.ok()) return rpc::ToGrpc(views.status());
  bool more = views->size() > static_cast<size_t>(size);
  if (more) views->pop_back();
  for (const ImageView& view : *views) *response->add_images() = ToProto(view);
  if (more) response->set_next_page_token(ToToken(views->back().row));
  return grpc::Status::OK;
}

grpc::Status ImageRpc::DeleteImage(grpc::ServerContext* context,
                                   const v1::DeleteImageRequest* request,
                                   v1::DeleteImageResponse* response) {
  absl::StatusOr<DeletedImage> deleted =
      images_.Delete(request->image(), request->force(), rpc::Actor(*context));
  LogOutcome("delete", deleted.status(), request->image());
  if (!deleted.ok()) return rpc::ToGrpc(deleted.status());
  for (std::string& name : deleted->untagged_references) {
    response->add_untagged_references(std::move(name));
  }
  for (std::string& id : deleted->deleted_ids) response->add_deleted_ids(std::move(id));
  return grpc::Status::OK;
}

grpc::Status ImageRpc::TagImage(grpc::ServerContext* context, const v1::TagImageRequest* request,
                                v1::TagImageResponse*) {
  return rpc::ToGrpc(images_.Tag(request->image(), request->reference(), rpc::Actor(*context)));
}

grpc::Status ImageRpc::LoadImages(grpc::ServerContext* context,
                                  grpc::ServerReader<v1::LoadImagesRequest>* reader,
                                  v1::LoadImagesResponse* response) {
  absl::Status status = Load(images_, *context, *reader, *response);
  LogOutcome("load", status, response->images().empty() ? "" : response->images(0).id());
  return rpc::ToGrpc(status);
}

grpc::Status ImageRpc::SaveImages(grpc::ServerContext*, const v1::SaveImagesRequest* request,
                                  grpc::ServerWriter<v1::SaveImagesResponse>* writer) {
  ChunkWriter out(*writer);
  absl::Status status =
      runtime::SaveImages(images_, {request->images().begin(), request->images().end()}, out);
  if (status.ok()) status = out.Flush();
  return rpc::ToGrpc(status);
}

grpc::Status ImageRpc::ImportImage(grpc::ServerContext* context,
                                   grpc::ServerReader<v1::ImportImageRequest>* reader,
                                   v1::ImportImageResponse* response) {
  absl::Status status = Import(images_, clock_, *context, *reader, *response);
  LogOutcome("import", status, response->image().id());
  return rpc::ToGrpc(status);
}

grpc::Status ImageRpc::BootstrapImage(grpc::ServerContext* context,
                                      const v1::BootstrapImageRequest* request,
                                      grpc::ServerWriter<v1::BootstrapImageResponse>* writer) {
  absl::StatusOr<v1::Image> image = RunBootstrap(images_, clock_, *context, *request, *writer);
  LogOutcome("bootstrap", image.status(), request->distribution());
  if (!image.ok()) return rpc::ToGrpc(image.status());
  v1::BootstrapImageResponse message;
  *message.mutable_image() = *std::move(image);
  writer->Write(message);
  return grpc::Status::OK;
}

grpc::Status ImageRpc::CreateImage(grpc::ServerContext* context,
                                   const v1::CreateImageRequest* request,
                                   v1::CreateImageResponse* response) {
  absl::StatusOr<ImageView> view = images_.Create(
      request->config_json(), request->layer_chain_id(),
      {request->references().begin(), request->references().end()}, rpc::Actor(*context));
  LogOutcome("create", view.status(), view.ok() ? view->row.image_id : "");
  if (!view.ok()) return rpc::ToGrpc(view.status());
  *response->mutable_image() = ToProto(*view);
  return grpc::Status::OK;
}

grpc::Status ImageRpc::PruneImages(grpc::ServerContext* context,
                                   const v1::PruneImagesRequest* request,
                                   v1::PruneImagesResponse* response) {
  absl::StatusOr<PrunedImages> pruned = images_.Prune(request->all(), rpc::Actor(*context));
  if (!pruned.ok()) return rpc::ToGrpc(pruned.status());
  for (std::string& id : pruned->deleted_ids) response->add_deleted_ids(std::move(id));
  response->set_reclaimed_bytes(pruned->reclaimed_bytes);
  return grpc::Status::OK;
}

}  // namespace darse::runtime
