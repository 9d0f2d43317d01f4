// The client's end of attach and exec: standard streams, terminal, resizing, signals, detach keys.
#pragma once

#include <functional>
#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "darse/runtime/v1/container_service.pb.h"
#include "tools/darse/session/session.h"
#include "tools/darse/session/signals.h"

namespace darse::client {

struct InteractOptions {
  // Standard input is sent.
  bool input = false;
  // The process has a terminal: ours goes into raw mode while it lasts (where ours is one).
  bool tty = false;
  // Opening starts the container; the session of one that removes itself goes on until it is gone.
  bool starts = false;
  // Bytes that end the session and leave the process alone; empty: none.
  std::string detach_keys = "\x10\x11";
  // Signals that `caught` has are handed to `forward`, but for SIGWINCH, which is caught in any
  // case. Both or neither.
  CaughtSignals* caught = nullptr;
  std::function<void(int signal)> forward;
};

// Exit code of the process; nothing after the detach keys.
using InteractResult = absl::StatusOr<std::optional<int>>;

using AttachStream =
    TypedStream<darse::runtime::v1::AttachRequest, darse::runtime::v1::AttachResponse>;
using ExecStream = TypedStream<darse::runtime::v1::ExecRequest, darse::runtime::v1::ExecResponse>;

template <typename Request, typename Response>
class Receiver;

// An open stream to a container's process, whose output is shown from its opening on. Goes away
// from the container when it is destroyed.
class Attachment {
 public:
  explicit Attachment(AttachStream stream);
  ~Attachment();

  // Where the stream made the container.
  const darse::runtime::v1::CreateContainerResponse& created() const;

 private:
  friend absl::StatusOr<std::unique_ptr<Attachment>> OpenAttach(
      Session& session, darse::runtime::v1::AttachRequest::Start start,
      const InteractOptions& options);
  friend InteractResult Interact(Attachment& attachment, const InteractOptions& options);

  AttachStream stream_;
  std::unique_ptr<Receiver<darse::runtime::v1::AttachRequest, darse::runtime::v1::AttachResponse>>
      receiver_;
};

// Opens the stream to what `start` names, or makes, and waits until the runtime says that output
// from here on is delivered, and that the container runs if this starts it; errors are those of a
// start then.
absl::StatusOr<std::unique_ptr<Attachment>> OpenAttach(
    Session& session, darse::runtime::v1::AttachRequest::Start start,
    const InteractOptions& options);
// Both go on until the process exits, the stream breaks or the detach keys are typed.
InteractResult Interact(Attachment& attachment, const InteractOptions& options);
InteractResult Interact(ExecStream& stream, const InteractOptions& options);

// "ctrl-p,ctrl-q" → "\x10\x11".
absl::StatusOr<std::string> ParseDetachKeys(absl::string_view text);
// Of our terminal; 0×0 if standard output is none.
darse::runtime::v1::TerminalSize OwnTerminalSize();

// Finds the detach keys in typed bytes, also when they come in pieces.
class DetachKeys {
 public:
  explicit DetachKeys(std::string keys) : keys_(std::move(keys)) {}
  // What is to be sent on; true in `detached` when the keys are complete.
  std::string Filter(absl::string_view typed, bool& detached);

 private:
  std::string keys_;
  size_t matched_ = 0;
};

}  // namespace darse::client
