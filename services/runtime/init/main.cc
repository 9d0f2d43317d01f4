// darse-init: pid 1 of a container that asks for one (`init` in its spec). Starts the command,
// hands every signal on to it, reaps whatever is left to it, and ends as the command ended.
//
//   darse-init -- COMMAND [ARGUMENT…]
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <initializer_list>

namespace {

constexpr int kNotExecutable = 126;
constexpr int kNotFound = 127;

// Reaps all that ended. True once the command is among them; then `code` is its exit code.
bool Reap(pid_t command, int& code) {
  bool ended = false;
  int status = 0;
  for (pid_t pid = 0; (pid = waitpid(-1, &status, WNOHANG)) > 0;) {
    if (pid != command) continue;
    ended = true;
    code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  }
  return ended;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 3 || strcmp(argv[1], "--") != 0) {
    fputs("usage: darse-init -- COMMAND [ARGUMENT...]\n", stderr);
    return 2;
  }
  sigset_t all;
  sigset_t before;
  sigfillset(&all);
  // Those of a fault of our own must not wait.
  for (int fault : {SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT, SIGTRAP}) sigdelset(&all, fault);
  sigprocmask(SIG_SETMASK, &all, &before);
  // Without a pid namespace of its own, orphans come to it all the same.
  prctl(PR_SET_CHILD_SUBREAPER, 1);
  pid_t command = fork();
  if (command < 0) {
    perror("darse-init: fork");
    return kNotExecutable;
  }
  if (command == 0) {
    // The terminal's foreground, if there is one: Ctrl-C then reaches the command alone.
    if (setpgid(0, 0) == 0 && isatty(STDIN_FILENO)) {
      signal(SIGTTOU, SIG_IGN);
      tcsetpgrp(STDIN_FILENO, getpid());
      signal(SIGTTOU, SIG_DFL);
    }
    sigprocmask(SIG_SETMASK, &before, nullptr);
    execvp(argv[2], argv + 2);
    fprintf(stderr, "darse-init: exec \"%s\": %s\n", argv[2], strerror(errno));
    _exit(errno == ENOENT ? kNotFound : kNotExecutable);
  }
  int code = 0;
  while (true) {
    int signal = 0;
    if (sigwait(&all, &signal) != 0) continue;
    if (signal == SIGCHLD) {
      if (Reap(command, code)) return code;
    } else {
      kill(command, signal);
    }
  }
}
