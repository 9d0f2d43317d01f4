// darse: the client. Reads the command line by the table of verbs, runs one, turns its outcome into
// an exit code.
#include <stdio.h>
#include <unistd.h>

#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "libs/os/idle_memory.h"
#include "libs/settings/settings.h"
#include "tools/darse/cli/arguments.h"
#include "tools/darse/cli/usage.h"
#include "tools/darse/session/session.h"
#include "tools/darse/session/signals.h"
#include "tools/darse/session/version.h"
#include "tools/darse/verbs.h"

namespace darse::client {
namespace {

absl::StatusOr<Settings> SettingsFrom(const std::vector<std::string>& global_flags) {
  std::vector<std::string> words = {"darse"};
  words.insert(words.end(), global_flags.begin(), global_flags.end());
  std::vector<char*> argv;
  for (std::string& word : words) argv.push_back(word.data());
  argv.push_back(nullptr);
  return LoadSettings(static_cast<int>(words.size()), argv.data(), environ);
}

int Complain(const absl::Status& error, int code) {
  fprintf(stderr, "darse: %s\n", std::string(error.message()).c_str());
  return code;
}

int Main(const std::vector<std::string>& words) {
  absl::StatusOr<CommandLine> line = ReadCommandLine(AllVerbs(), words);
  if (!line.ok()) return Complain(line.status(), kBadUsageCode);
  if (line->help) {
    const std::string text =
        line->verb != nullptr ? VerbHelp(*line->verb) : Overview(AllVerbs(), line->topic);
    fputs(text.c_str(), stdout);
    return words.empty() ? kBadUsageCode : kOk;
  }
  absl::StatusOr<Settings> settings = SettingsFrom(line->global_flags);
  if (!settings.ok()) return Complain(settings.status(), kBadUsageCode);
  // Never destroyed: taking gRPC's threads and queues apart costs milliseconds in a process that
  // ends.
  Session& session = *new Session(*std::move(settings), AllVerbs());
  if (line->version) {
    session.Print(absl::StrCat("darse ", kVersion, "\n"));
    return kOk;
  }
  absl::StatusOr<int> code = line->verb->run(session, line->arguments);
  int result = code.ok() ? *code : session.Report(code.status());
  if (!session.Flush() && result == kOk) result = kFailed;
  return result;
}

}  // namespace
}  // namespace darse::client

int main(int argc, char** argv) {
  // Before any thread.
  darse::ShareOneHeap();
  darse::client::InstallDefaultSignals();
  const int code = darse::client::Main({argv + 1, argv + argc});
  fflush(stdout);
  _exit(code);
}
