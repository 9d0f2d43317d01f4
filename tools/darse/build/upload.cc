#include "tools/darse/build/upload.h"

#include <string>

#include "libs/base/status_macros.h"
#include "tools/darse/session/builder_methods.h"
#include "tools/darse/session/scheduler_methods.h"

namespace darse::client {
namespace {

constexpr size_t kChunkBytes = 1 << 20;

template <typename HasMethod, typename UploadMethod>
absl::StatusOr<std::string> Upload(Session& session, const HasMethod& has,
                                   const UploadMethod& upload, const BuildContext& context,
                                   ProgressLine& progress) {
  int64_t total = 0;
  ASSIGN_OR_RETURN(std::string digest, context.Digest(total));
  typename HasMethod::Request question;
  question.add_digests(digest);
  ASSIGN_OR_RETURN(auto answer, session.Call(has, question));
  if (answer.missing_digests().empty()) return digest;

  auto stream = session.Open(upload);
  typename UploadMethod::Request request;
  request.set_digest(digest);
  int64_t sent = 0;
  bool open = stream.Write(request);
  request.clear_digest();
  auto flush = [&] {
    sent += static_cast<int64_t>(request.chunk().size());
    open = open && stream.Write(request);
    request.clear_chunk();
    progress.ShowBytes("sending the build context", sent, total);
  };
  absl::Status written = context.Write([&](absl::string_view bytes) {
    request.mutable_chunk()->append(bytes.data(), bytes.size());
    if (request.chunk().size() >= kChunkBytes) flush();
    // When the service ended the call, Finish says why.
    return open ? absl::OkStatus() : absl::CancelledError();
  });
  if (!written.ok() && open) {
    stream.Cancel();
    stream.Finish().IgnoreError();
    return written;
  }
  if (!request.chunk().empty()) flush();
  stream.WritesDone();
  typename UploadMethod::Response response;
  while (stream.Read(response)) {
  }
  progress.Clear();
  RETURN_IF_ERROR(Annotate(stream.Finish(), "sending the build context"));
  return digest;
}

}  // namespace

absl::StatusOr<std::string> UploadToBuilder(Session& session, const BuildContext& context,
                                            ProgressLine& progress) {
  return Upload(session, builder::kHasContext, builder::kUploadContext, context, progress);
}

absl::StatusOr<std::string> UploadToScheduler(Session& session, const BuildContext& context,
                                              ProgressLine& progress) {
  return Upload(session, scheduler::kHasContext, scheduler::kUploadContext, context, progress);
}

}  // namespace darse::client
