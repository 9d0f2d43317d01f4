#include "libs/container/hooks.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "absl/strings/str_cat.h"
#include "libs/base/status_macros.h"
#include "libs/base/syscall_error.h"
#include "libs/base/unique_fd.h"
#include "libs/linux/namespace/namespace.h"
#include "rapidjson/stringbuffer.h"
#include "rapidjson/writer.h"

namespace darse::container {
namespace {

std::vector<char*> Pointers(const std::vector<std::string>& strings) {
  std::vector<char*> pointers;
  for (const std::string& string : strings) pointers.push_back(const_cast<char*>(string.c_str()));
  pointers.push_back(nullptr);
  return pointers;
}

absl::Status RunHook(const Hook& hook, int input) {
  std::vector<char*> args = Pointers(hook.args.empty() ? std::vector{hook.path} : hook.args);
  std::vector<char*> env = Pointers(hook.env);
  ASSIGN_OR_RETURN(ns::Cloned child, ns::Clone({}));
  if (child.pid == 0) {
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, nullptr);
    lseek(input, 0, SEEK_SET);
    dup2(input, 0);
    execve(hook.path.c_str(), args.data(), env.data());
    _exit(127);
  }
  pollfd wait = {.fd = child.pidfd.get(), .events = POLLIN};
  int ready;
  do {
    ready = poll(&wait, 1, hook.timeout_s > 0 ? hook.timeout_s * 1000 : -1);
  } while (ready < 0 && errno == EINTR);
  if (ready == 0) kill(child.pid, SIGKILL);
  int status = 0;
  while (waitpid(child.pid, &status, 0) < 0 && errno == EINTR) {
  }
  if (ready == 0) {
    return absl::DeadlineExceededError(
        absl::StrCat("hook ", hook.path, ": not done after ", hook.timeout_s, " s"));
  }
  if (WIFEXITED(status) && WEXITSTATUS(status) == 0) return absl::OkStatus();
  if (WIFEXITED(status)) {
    return absl::AbortedError(
        absl::StrCat("hook ", hook.path, ": exit code ", WEXITSTATUS(status)));
  }
  return absl::AbortedError(
      absl::StrCat("hook ", hook.path, ": killed by signal ", WTERMSIG(status)));
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
