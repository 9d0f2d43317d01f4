// A packet is: the bytes "Ds", version 1, the kind, then fields in ascending order of tag, each
//   tag (1 byte)  length (4 bytes, little-endian)  value
// Numbers are 8 bytes, little-endian; a field that has its default value is left out.
#include "services/shim/protocol.h"

#include <string.h>

#include "absl/strings/str_cat.h"
#include "libs/base/status_macros.h"

namespace darse::shim {
namespace {

constexpr char kMagic[] = {'D', 's', 1};

class Writer {
 public:
  explicit Writer(uint8_t kind) {
    out_.append(kMagic, sizeof(kMagic));
    out_.push_back(static_cast<char>(kind));
  }
  void Text(uint8_t tag, absl::string_view value) {
    if (value.empty()) return;
    out_.push_back(static_cast<char>(tag));
    Little(value.size(), 4);
    out_.append(value.data(), value.size());
  }
  void Number(uint8_t tag, uint64_t value) {
    if (value == 0) return;
    out_.push_back(static_cast<char>(tag));
    Little(8, 4);
    Little(value, 8);
  }
  std::string Take() { return std::move(out_); }

 private:
  void Little(uint64_t value, int bytes) {
    for (int i = 0; i < bytes; ++i) out_.push_back(static_cast<char>(value >> (8 * i)));
  }
  std::string out_;
};

struct Field {
  uint8_t tag;
  absl::string_view value;
};

class Reader {
 public:
  absl::Status Open(absl::string_view packet, uint8_t last_kind) {
    if (packet.size() < 4 || memcmp(packet.data(), kMagic, sizeof(kMagic)) != 0) {
      return absl::InvalidArgumentError("shim packet: not of this protocol version");
    }
    kind_ = static_cast<uint8_t>(packet[3]);
    if (kind_ == 0 || kind_ > last_kind) {
      return absl::InvalidArgumentError(absl::StrCat("shim packet: unknown kind ", kind_));
    }
    rest_ = packet.substr(4);
    return absl::OkStatus();
  }
  uint8_t kind() const { return kind_; }
  bool done() const { return rest_.empty(); }
  absl::StatusOr<Field> Next() {
    if (rest_.size() < 5) return absl::InvalidArgumentError("shim packet: cut short");
    uint8_t tag = static_cast<uint8_t>(rest_[0]);
    uint64_t length = Little(rest_.substr(1, 4));
    if (rest_.size() - 5 < length) return absl::InvalidArgumentError("shim packet: cut short");
    if (length == 0) return absl::InvalidArgumentError("shim packet: an empty field");
    Field field = {tag, rest_.substr(5, length)};
    rest_.remove_prefix(5 + length);
    return field;
  }
  static uint64_t Little(absl::string_view bytes) {
    uint64_t value = 0;
    for (size_t i = bytes.size(); i > 0; --i) {
      value = value << 8 | static_cast<uint8_t>(bytes[i - 1]);
    }
    return value;
  }

 private:
  uint8_t kind_ = 0;
  absl::string_view rest_;
};

absl::Status BadField(const Field& field) {
  return absl::InvalidArgumentError(absl::StrCat("shim packet: bad field ", field.tag));
}

template <typename T>
absl::Status ReadNumber(const Field& field, T& into) {
  if (field.value.size() != 8) return BadField(field);
  uint64_t value = Reader::Little(field.value);
  // It would have been left out.
  if (value == 0) return BadField(field);
  into = static_cast<T>(value);
  if (static_cast<uint64_t>(into) != value) return BadField(field);
  return absl::OkStatus();
}

template <typename E>
absl::Status ReadEnum(const Field& field, E last, E& into) {
  uint64_t value = 0;
  RETURN_IF_ERROR(ReadNumber(field, value));
  if (value > static_cast<uint64_t>(last)) return BadField(field);
  into = static_cast<E>(value);
  return absl::OkStatus();
}

absl::Status ReadText(const Field& field, std::string& into) {
  into.assign(field.value.data(), field.value.size());
  return absl::OkStatus();
}

// Sign-extends, so that a negative number is one too when read back.
uint64_t Signed(int64_t value) { return static_cast<uint64_t>(value); }

enum RequestTag : uint8_t {
  kRequestId = 1,
  kRequestSignal,
  kRequestExecId,
  kRequestStdio,
  kRequestEndStdin,
  kRequestColumns,
  kRequestRows,
  kRequestRestartKind,
  kRequestMaxRetries,
  kRequestRestartWindow,
  kRequestRestartDelay,
};

enum MessageTag : uint8_t {
  kMessageRequestId = 1,
  kMessageStep,
  kMessageErrno,
  kMessageReason,
  kMessageText,
  kMessageState,
  kMessagePid,
  kMessageStarted,
  kMessageRestartCount,
  kMessageExecId,
  kMessageExit,
  kMessageWarning,
};

absl::Status ReadField(const Field& field, Request& request) {
  switch (field.tag) {
    case kRequestId:
      return ReadNumber(field, request.id);
    case kRequestSignal:
      return ReadNumber(field, request.signal);
    case kRequestExecId:
      return ReadText(field, request.exec_id);
    case kRequestStdio:
      return ReadNumber(field, request.stdio);
    case kRequestEndStdin:
      return ReadNumber(field, request.end_stdin);
    case kRequestColumns:
      return ReadNumber(field, request.columns);
    case kRequestRows:
      return ReadNumber(field, request.rows);
    case kRequestRestartKind:
      return ReadEnum(field, RestartKind::kUnlessStopped, request.restart.kind);
    case kRequestMaxRetries:
      return ReadNumber(field, request.restart.max_retries);
    case kRequestRestartWindow:
      return ReadNumber(field, request.restart.window_ms);
    case kRequestRestartDelay:
      RETURN_IF_ERROR(ReadNumber(field, request.restart.delay_ms));
      if (request.restart.delay_ms < 1 || request.restart.delay_ms > kLongestRestartDelayMs) {
        return BadField(field);
      }
      return absl::OkStatus();
    default:
      return BadField(field);
  }
}

absl::Status ReadField(const Field& field, Message& message) {
  switch (field.tag) {
    case kMessageRequestId:
      return ReadNumber(field, message.request_id);
    case kMessageStep:
      return ReadText(field, message.failure.step);
    case kMessageErrno:
      return ReadNumber(field, message.failure.error);
    case kMessageReason:
      return ReadText(field, message.failure.reason);
    case kMessageText:
      return ReadText(field, message.failure.message);
    case kMessageState:
      RETURN_IF_ERROR(ReadEnum(field, State::kExited, message.state));
      return absl::OkStatus();
    case kMessagePid:
      return ReadNumber(field, message.pid);
    case kMessageStarted:
      return ReadNumber(field, message.started_ns);
    case kMessageRestartCount:
      return ReadNumber(field, message.restart_count);
    case kMessageExecId:
      return ReadText(field, message.exec_id);
    case kMessageExit: {
      absl::StatusOr<ExitRecord> exit = DecodeExitRecord(field.value);
      if (!exit.ok()) return BadField(field);
      message.exit = *std::move(exit);
      return absl::OkStatus();
    }
    case kMessageWarning:
      message.warnings.emplace_back(field.value);
      return absl::OkStatus();
    default:
      return BadField(field);
  }
}

template <typename T>
absl::Status ReadFields(Reader& reader, T& into) {
  while (!reader.done()) {
    ASSIGN_OR_RETURN(Field field, reader.Next());
    RETURN_IF_ERROR(ReadField(field, into));
  }
  return absl::OkStatus();
}

}  // namespace

std::string EncodeRequest(const Request& request) {
  Writer writer(static_cast<uint8_t>(request.kind));
  writer.Number(kRequestId, request.id);
  writer.Number(kRequestSignal, Signed(request.signal));
  writer.Text(kRequestExecId, request.exec_id);
  writer.Number(kRequestStdio, request.stdio);
  writer.Number(kRequestEndStdin, request.end_stdin);
  writer.Number(kRequestColumns, request.columns);
  writer.Number(kRequestRows, request.rows);
  writer.Number(kRequestRestartKind, static_cast<uint64_t>(request.restart.kind));
  writer.Number(kRequestMaxRetries, Signed(request.restart.max_retries));
  writer.Number(kRequestRestartWindow, Signed(request.restart.window_ms));
  if (request.restart.delay_ms != RestartPolicy{}.delay_ms) {
    writer.Number(kRequestRestartDelay, Signed(request.restart.delay_ms));
  }
  return writer.Take();
}

std::string EncodeMessage(const Message& message) {
  Writer writer(static_cast<uint8_t>(message.kind));
  writer.Number(kMessageRequestId, message.request_id);
  writer.Text(kMessageStep, message.failure.step);
  writer.Number(kMessageErrno, Signed(message.failure.error));
  writer.Text(kMessageReason, message.failure.reason);
  writer.Text(kMessageText, message.failure.message);
  writer.Number(kMessageState, static_cast<uint64_t>(message.state));
  writer.Number(kMessagePid, Signed(message.pid));
  writer.Number(kMessageStarted, Signed(message.started_ns));
  writer.Number(kMessageRestartCount, Signed(message.restart_count));
  writer.Text(kMessageExecId, message.exec_id);
  if (message.exit != ExitRecord{}) writer.Text(kMessageExit, EncodeExitRecord(message.exit));
  for (const std::string& warning : message.warnings) writer.Text(kMessageWarning, warning);
  return writer.Take();
}

absl::StatusOr<Request> DecodeRequest(absl::string_view packet) {
  Reader reader;
  RETURN_IF_ERROR(reader.Open(packet, static_cast<uint8_t>(RequestKind::kUpdateRestart)));
  Request request;
  request.kind = static_cast<RequestKind>(reader.kind());
  RETURN_IF_ERROR(ReadFields(reader, request));
  if (request.id == 0) return absl::InvalidArgumentError("shim packet: a request without id");
  return request;
}

absl::StatusOr<Message> DecodeMessage(absl::string_view packet) {
  Reader reader;
  RETURN_IF_ERROR(reader.Open(packet, static_cast<uint8_t>(MessageKind::kAttachDropped)));
  Message message;
  message.kind = static_cast<MessageKind>(reader.kind());
  RETURN_IF_ERROR(ReadFields(reader, message));
  return message;
}

}  // namespace darse::shim
