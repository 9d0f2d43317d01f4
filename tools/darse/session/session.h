// What every verb works with: the settings, the four services, and where output goes.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "libs/settings/settings.h"
#include "tools/darse/cli/verb.h"
#include "tools/darse/session/connection.h"
#include "tools/darse/session/degradation.h"
#include "tools/darse/session/method.h"

namespace darse::client {

inline constexpr int kOk = 0;
inline constexpr int kFailed = 1;
inline constexpr int kBadUsageCode = 2;
inline constexpr int kServiceMissingCode = 75;
inline constexpr int kInterrupted = 130;

// A stream whose messages have types.
template <typename Request, typename Response>
class TypedStream {
 public:
  TypedStream(std::unique_ptr<Stream> stream, std::function<absl::Status(absl::Status)> explain)
      : stream_(std::move(stream)), explain_(std::move(explain)) {}

  bool Write(const Request& request) { return stream_->Write(request); }
  void WritesDone() { stream_->WritesDone(); }
  bool Read(Response& response) { return stream_->Read(response); }
  absl::Status Finish() { return explain_(stream_->Finish()); }
  void Cancel() { stream_->Cancel(); }

 private:
  std::unique_ptr<Stream> stream_;
  std::function<absl::Status(absl::Status)> explain_;
};

class Session {
 public:
  Session(Settings settings, std::span<const Verb* const> verbs);

  const Settings& settings() const { return settings_; }
  std::span<const Verb* const> verbs() const { return verbs_; }
  Connection& To(Service service) { return *connections_[static_cast<int>(service)]; }

  template <typename M>
  absl::StatusOr<typename M::Response> Call(const M& method, const typename M::Request& request,
                                            absl::Duration timeout = absl::InfiniteDuration()) {
    typename M::Response response;
    absl::Status status =
        Explain(method.service, To(method.service).Call(method.path, request, response, timeout));
    if (!status.ok()) return status;
    return response;
  }

  // A call that streams in both directions, or from the client.
  template <typename M>
  TypedStream<typename M::Request, typename M::Response> Open(const M& method) {
    return {To(method.service).Open(method.path),
            [this, service = method.service](absl::Status status) {
              return Explain(service, std::move(status));
            }};
  }
  // One request, a stream of answers. Asks first whether the service is alive: a stream has no
  // deadline.
  template <typename M>
  absl::StatusOr<TypedStream<typename M::Request, typename M::Response>> Open(
      const M& method, const typename M::Request& request) {
    absl::Status alive = CheckAlive(method.service);
    if (!alive.ok()) return alive;
    auto stream = Open(method);
    if (stream.Write(request)) stream.WritesDone();
    return stream;
  }
  // OK, or the error of a missing service.
  absl::Status CheckAlive(Service service);

  // Standard output; an error (a closed pipe) ends the program with 1 at the end.
  void Print(absl::string_view text);
  // A line on standard error, "darse: " before it.
  void Note(absl::string_view sentence);
  // Prints what went wrong and what to do about it; answers the exit code.
  int Report(const absl::Status& error);
  // False if standard output could not take all.
  bool Flush();

  bool output_is_terminal() const { return output_is_terminal_; }
  bool errors_are_terminal() const { return errors_are_terminal_; }

  // Asks the peers, then looks at its files. For a service that does not answer.
  Absence AbsenceOf(Service service);

 private:
  absl::Status Explain(Service service, absl::Status status);

  Settings settings_;
  std::span<const Verb* const> verbs_;
  std::unique_ptr<Connection> connections_[4];
  bool output_is_terminal_;
  bool errors_are_terminal_;
  bool output_failed_ = false;
};

}  // namespace darse::client
