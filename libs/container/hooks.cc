#include "libs/container/hooks.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "libs/base/monotonic.h"
#include "libs/base/status_macros.h"
#include "libs/base/syscall_error.h"
#include "libs/base/unique_fd.h"
#include "libs/linux/namespace/namespace.h"
#include "rapidjson/stringbuffer.h"
#include "rapidjson/writer.h"

namespace darse::container {
namespace {

// `strings` must outlive them.
std::vector<char*> Pointers(const std::vector<std::string>& strings) {
  std::vector<char*> pointers;
  for (const std::string& string : strings) pointers.push_back(const_cast<char*>(string.c_str()));
  pointers.push_back(nullptr);
  return pointers;
}

// What a hook says on stderr is why it failed: the last of it goes into the error.
constexpr size_t kMostSaid = 2000;

void Hear(int said, std::string& text) {
  char buffer[4096];
  for (ssize_t got; (got = read(said, buffer, sizeof(buffer))) > 0;) {
    text.append(buffer, static_cast<size_t>(got));
    if (text.size() > kMostSaid) text.erase(0, text.size() - kMostSaid);
  }
}

// False when the time is up.
bool WaitForHook(int pidfd, int said, int timeout_s, std::string& text) {
  int64_t deadline = MonotonicMs() + int64_t{timeout_s} * 1000;
  // A descendant may keep the pipe open for as long as it likes: only the hook itself counts.
  pollfd wait[2] = {{.fd = pidfd, .events = POLLIN}, {.fd = said, .events = POLLIN}};
  for (;;) {
    int64_t left = timeout_s > 0 ? std::max<int64_t>(deadline - MonotonicMs(), 0) : -1;
    int ready = poll(wait, 2, static_cast<int>(left));
    if (ready == 0) return false;
    if (ready < 0 && errno != EINTR) return true;
    if (ready > 0 && wait[1].revents != 0) {
      Hear(said, text);
      if ((wait[1].revents & POLLHUP) != 0) wait[1].fd = -1;
    }
    if (ready > 0 && wait[0].revents != 0) {
      Hear(said, text);
      return true;
    }
  }
}

absl::Status RunHook(const Hook& hook, int input) {
  int ends[2];
  if (pipe2(ends, O_CLOEXEC | O_NONBLOCK) < 0) return SyscallError(errno, "hook: pipe");
  UniqueFd ours(ends[0]), theirs(ends[1]);
  const std::vector<std::string> words = hook.args.empty() ? std::vector{hook.path} : hook.args;
  std::vector<char*> args = Pointers(words);
  std::vector<char*> env = Pointers(hook.env);
  ASSIGN_OR_RETURN(ns::Cloned child, ns::Clone({}));
  if (child.pid == 0) {
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, nullptr);
    lseek(input, 0, SEEK_SET);
    dup2(input, 0);
    fcntl(theirs.get(), F_SETFL, 0);
    dup2(theirs.get(), 2);
    execve(hook.path.c_str(), args.data(), env.data());
    _exit(127);
  }
  theirs.Reset();
  std::string said;
  bool in_time = WaitForHook(child.pidfd.get(), ours.get(), hook.timeout_s, said);
  if (!in_time) kill(child.pid, SIGKILL);
  int status = 0;
  while (waitpid(child.pid, &status, 0) < 0 && errno == EINTR) {
  }
  if (!in_time) {
    return absl::DeadlineExceededError(
        absl::StrCat("hook ", hook.path, ": not done after ", hook.timeout_s, " s"));
  }
  if (WIFEXITED(status) && WEXITSTATUS(status) == 0) return absl::OkStatus();
  std::string how = WIFEXITED(status) ? absl::StrCat("exit code ", WEXITSTATUS(status))
                                      : absl::StrCat("killed by signal ", WTERMSIG(status));
  absl::string_view why = absl::StripAsciiWhitespace(said);
  return absl::AbortedError(
      absl::StrCat("hook ", hook.path, ": ", how, why.empty() ? "" : ": ", why));
}

}  // namespace

absl::Status RunHooks(const std::vector<Hook>& hooks, const std::string& state_json) {
  if (hooks.empty()) return absl::OkStatus();
  UniqueFd input(memfd_create("state", MFD_CLOEXEC));
  if (!input.valid() ||
      write(input.get(), state_json.data(), state_json.size()) != ssize_t(state_json.size())) {
    return SyscallError(errno, "hook: write the state");
  }
  for (const Hook& hook : hooks) RETURN_IF_ERROR(RunHook(hook, input.get()));
  return absl::OkStatus();
}

std::string EncodeHookState(const HookState& state) {
  rapidjson::StringBuffer buffer;
  rapidjson::Writer<rapidjson::StringBuffer> writer(buffer);
  auto text = [&](const char* key, const std::string& value) {
    writer.Key(key);
    writer.String(value);
  };
  writer.StartObject();
  text("ociVersion", state.oci_version);
  text("id", state.id);
  text("status", state.status);
  if (state.pid != 0) {
    writer.Key("pid");
    writer.Int64(state.pid);
  }
  text("bundle", state.bundle);
  if (!state.annotations.empty()) {
    writer.Key("annotations");
    writer.StartObject();
    for (const auto& [key, value] : state.annotations) text(key.c_str(), value);
    writer.EndObject();
  }
  writer.EndObject();
  return std::string(buffer.GetString(), buffer.GetSize());
}

}  // namespace darse::container
