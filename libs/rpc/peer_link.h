// A service seen from one of its clients: a channel, and whether it is there, else since when not.
//
// A thread asks the peer's health service once a second while it is missing and every three seconds
// while it is there, so that a frozen peer is noticed too. Nothing waits for a peer.
#pragma once

#include <grpcpp/channel.h>

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <thread>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "libs/base/clock.h"

namespace darse::rpc {

// Thread-safe.
class PeerLink {
 public:
  struct Options {
    // For messages: "runtime".
    std::string peer;
    std::string socket_path;
    absl::Duration probe_when_missing = absl::Seconds(1);
    absl::Duration probe_when_present = absl::Seconds(3);
    // Without an answer for so long, the peer counts as missing.
    absl::Duration probe_timeout = absl::Seconds(2);
  };

  // Until the first probe is answered the peer is missing since now.
  PeerLink(Options options, Clock& clock);
  ~PeerLink();
  PeerLink(const PeerLink&) = delete;
  PeerLink& operator=(const PeerLink&) = delete;

  const std::shared_ptr<grpc::Channel>& channel() const { return channel_; }
  const std::string& peer() const { return options_.peer; }

  // Empty while the peer is there.
  std::optional<absl::Time> MissingSince() const;
  // OK, or UNAVAILABLE "runtime is missing since <time>" with reason PEER_MISSING.
  absl::Status Check() const;
  // Tells the link how a call ended (in FromGrpc's terms): it notices sooner than by probing.
  void Observe(const absl::Status& call);
  // True when the peer is there, false at the deadline or when the link is being destroyed.
  bool WaitUntilPresent(absl::Time deadline) const;
  // Called on the link's thread each time the peer comes or goes; set it before it can matter,
  // once.
  void OnChange(std::function<void(bool present)> change);

 private:
  void ProbeLoop();
  bool Probe();
  void Set(bool present);

  const Options options_;
  Clock& clock_;
  const std::shared_ptr<grpc::Channel> channel_;
  mutable absl::Mutex mu_;
  std::optional<absl::Time> missing_since_ ABSL_GUARDED_BY(mu_);
  bool probe_now_ ABSL_GUARDED_BY(mu_) = false;
  bool stopping_ ABSL_GUARDED_BY(mu_) = false;
  std::function<void(bool)> change_ ABSL_GUARDED_BY(mu_);
  int changing_ ABSL_GUARDED_BY(mu_) = 0;
  grpc::ClientContext* probing_ ABSL_GUARDED_BY(mu_) = nullptr;
  std::thread thread_;
};

}  // namespace darse::rpc
