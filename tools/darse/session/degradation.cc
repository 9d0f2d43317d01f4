#include "tools/darse/session/degradation.h"

#include "absl/strings/str_cat.h"
#include "tools/darse/output/units.h"

namespace darse::client {

const char* StillWorks(Service service) {
  switch (service) {
    case Service::kRuntime:
      return "running containers, their ports, names, logs on disk and restart policies; `up` and "
             "`build` are accepted and stored";
    case Service::kBuilder:
      return "everything but building; `up` of stacks whose images exist";
    case Service::kScheduler:
      return "running stacks and restart policies; run, ps, logs, exec, stop, build";
    case Service::kMetrics:
      return "everything but curves and alerts; `top` and `stats` show the runtime's live figures";
  }
  return "";
}

const char* Waits(Service service) {
  switch (service) {
    case Service::kRuntime:
      return "starts, execs, image changes, RUN steps of builds, steps of stacks";
    case Service::kBuilder:
      return "builds, and stacks that need one";
    case Service::kScheduler:
      return "changes of stacks: up, down, restart, plan";
    case Service::kMetrics:
      return "nothing; the gap is drawn as a gap";
  }
  return "";
}

std::string SinceText(const Absence& absence, absl::Time now) {
  if (!absence.since) return "since when is not known";
  const std::string when = ClockTime(*absence.since, now);
  if (absence.witness.empty()) return absl::StrCat("not heard of after ", when);
  return absl::StrCat("since ", when, " (says ", absence.witness, ")");
}

std::string MissingText(Service service, absl::string_view socket_path, const Absence& absence,
                        absl::string_view why, absl::Time now) {
  return absl::StrCat("the ", NameOf(service), " is missing, ", SinceText(absence, now), ": ", why,
                      " at ", socket_path, "\n  still works: ", StillWorks(service),
                      "\n  waits for it: ", Waits(service),
                      "\n  queued by this command: nothing; run it again when `darse status` shows "
                      "the ",
                      NameOf(service), " up\n");
}

}  // namespace darse::client
