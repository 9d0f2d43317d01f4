// Asks the host's (or a container's own) name servers what is not a container's name.
//
// Each question has a socket of its own, so that the kernel chooses a fresh port and drops what
// does not come from the server asked; id and question must match too. A question that came over
// TCP is asked over TCP.
#pragma once

#include <sys/socket.h>

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "libs/base/clock.h"
#include "libs/base/unique_fd.h"
#include "services/resolver/message.h"
#include "services/resolver/poller.h"

namespace darse::resolver {

struct Question {
  Query query;
  std::string packet;
  // Who asked: nobody may have too many questions open.
  uint32_t source = 0;
  bool over_tcp = false;
  // Addresses, asked in this order, twice.
  std::vector<std::string> servers;
  // Called once, with the whole message.
  std::function<void(std::string answer)> reply;
};

// One thread only.
class Forwarder {
 public:
  Forwarder(Poller& poller, Clock& clock) : poller_(poller), clock_(clock) {}

  // Answers SERVFAIL by itself when nobody else answers in time.
  void Ask(Question question);
  // Gives up on servers that are silent. To be called after NextDeadline().
  void CheckTime();
  absl::Time NextDeadline() const;

 private:
  struct Pending {
    Question question;
    uint16_t id = 0;
    size_t attempts = 0;
    UniqueFd fd;
    uint64_t key = 0;
    absl::Time deadline;
    // For TCP: what is still to be sent, and what came.
    std::string out;
    std::string in;
  };

  // Turns to the next server; answers SERVFAIL after the last. May delete the question.
  void TryNext(uint64_t number);
  bool Start(uint64_t number, Pending& pending, const std::string& server);
  void OnUdp(uint64_t number);
  void OnTcp(uint64_t number, uint32_t events);
  void Finish(uint64_t number, std::string answer);

  Poller& poller_;
  Clock& clock_;
  uint64_t last_number_ = 0;
  std::map<uint64_t, Pending> pending_;
  std::map<uint32_t, int> open_by_source_;
};

}  // namespace darse::resolver
