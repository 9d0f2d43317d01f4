#include "libs/rpc/status.h"

#include <google/protobuf/io/coded_stream.h>
#include <google/protobuf/io/zero_copy_stream_impl_lite.h>

#include <optional>
#include <string>

#include "libs/base/reason.h"

namespace darse::rpc {
namespace {

using google::protobuf::io::CodedInputStream;
using google::protobuf::io::CodedOutputStream;
using google::protobuf::io::StringOutputStream;

// The details are a google.rpc.Status { int32 code = 1; string message = 2; repeated Any details =
// 3 } with one Any { string type_url = 1; bytes value = 2 } that holds ErrorInfo { string reason =
// 1; string domain = 2 }. Debian packages neither message.
constexpr char kErrorInfoUrl[] = "type.googleapis.com/google.rpc.ErrorInfo";

constexpr uint32_t Tag(int field, int wire_type) { return (field << 3) | wire_type; }
constexpr int kVarint = 0;
constexpr int kBytes = 2;

void PutBytes(CodedOutputStream& out, int field, const std::string& bytes) {
  out.WriteTag(Tag(field, kBytes));
  out.WriteVarint32(bytes.size());
  out.WriteString(bytes);
}

std::string TwoFields(const std::string& first, const std::string& second) {
  std::string bytes;
  {
    StringOutputStream stream(&bytes);
    CodedOutputStream out(&stream);
    PutBytes(out, 1, first);
    PutBytes(out, 2, second);
  }
  return bytes;
}

std::string EncodeDetails(const absl::Status& status, const std::string& reason) {
  std::string bytes;
  {
    StringOutputStream stream(&bytes);
    CodedOutputStream out(&stream);
    out.WriteTag(Tag(1, kVarint));
    out.WriteVarint32(static_cast<uint32_t>(status.code()));
    PutBytes(out, 2, std::string(status.message()));
    PutBytes(out, 3, TwoFields(kErrorInfoUrl, TwoFields(reason, kReasonDomain)));
  }
  return bytes;
}

// The first value of a length-delimited field; none if the bytes are no message.
std::optional<std::string> FindBytes(const std::string& message, int field) {
  CodedInputStream in(reinterpret_cast<const uint8_t*>(message.data()),
                      static_cast<int>(message.size()));
  while (uint32_t tag = in.ReadTag()) {
    if ((tag & 7) == kVarint) {
      uint64_t ignored;
      if (!in.ReadVarint64(&ignored)) return std::nullopt;
    } else if ((tag & 7) == kBytes) {
      uint32_t size;
      std::string bytes;
      if (!in.ReadVarint32(&size) || !in.ReadString(&bytes, static_cast<int>(size))) {
        return std::nullopt;
      }
      if (tag == Tag(field, kBytes)) return bytes;
    } else {
      return std::nullopt;
    }
  }
  return std::nullopt;
}

std::string DecodeReason(const std::string& details) {
  std::optional<std::string> any = FindBytes(details, 3);
  if (!any || FindBytes(*any, 1) != kErrorInfoUrl) return std::string();
  std::optional<std::string> info = FindBytes(*any, 2);
  if (!info || FindBytes(*info, 2) != kReasonDomain) return std::string();
  return FindBytes(*info, 1).value_or("");
}

}  // namespace

grpc::Status ToGrpc(const absl::Status& status) {
  if (status.ok()) return grpc::Status::OK;
  std::string reason = Reason(status);
  return grpc::Status(static_cast<grpc::StatusCode>(status.code()), std::string(status.message()),
                      reason.empty() ? std::string() : EncodeDetails(status, reason));
}

absl::Status FromGrpc(const grpc::Status& status) {
  if (status.ok()) return absl::OkStatus();
  absl::Status result(static_cast<absl::StatusCode>(status.error_code()), status.error_message());
  std::string reason = DecodeReason(status.error_details());
  return reason.empty() ? result : WithReason(std::move(result), reason);
}

bool PeerIsMissing(const absl::Status& status) {
  if (!absl::IsUnavailable(status) && !absl::IsDeadlineExceeded(status)) return false;
  // What a peer answers by itself with these codes carries a reason or comes from deeper down;
  // gRPC's own carry none.
  return Reason(status).empty();
}

}  // namespace darse::rpc
