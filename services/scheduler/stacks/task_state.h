// What a task's container says about the task.
//
//   container   policy          asked  exit   task          wants
//   none        –               –      –      PENDING       create
//   created     –               –      –      PENDING       start
//   running     –               –      –      RUNNING       nothing
//   restarting  –               –      –      RUNNING       nothing (the shim is at it)
//   exited      any             yes    any    STOPPED       start after the next `up`
//   exited      always          no     any    STOPPED       start
//   exited      on-failure      no     0      COMPLETED     nothing
//   exited      on-failure      no     other  FAILED        start while retries are left, else
//   after the next `up` exited      no              no     0      COMPLETED     nothing exited no
//   no     other  FAILED        start after the next `up`
//
// "asked": the container was stopped by request.
#pragma once

#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "darse/runtime/v1/container.pb.h"
#include "darse/scheduler/v1/stack.pb.h"

namespace darse::scheduler {

struct TaskView {
  v1::TaskState state = v1::TASK_STATE_PENDING;
  bool wants_start = false;
  // Why it is to be started, or why it is as it is.
  std::string reason;
};

// `container`: nullptr if there is none. `up_time`: of the newest `up`.
TaskView ViewOf(const runtime::v1::Container* container, absl::Time up_time);

absl::Time FromProto(const google::protobuf::Timestamp& time);
google::protobuf::Timestamp ToProto(absl::Time time);

// Whether it satisfies `condition` now.
bool Satisfies(const runtime::v1::Container& container, v1::Dependency::Condition condition);
// True if it never will without somebody's help: exited with an error, or has no healthcheck at
// all.
bool CannotSatisfy(const runtime::v1::Container& container, v1::Dependency::Condition condition);

}  // namespace darse::scheduler
