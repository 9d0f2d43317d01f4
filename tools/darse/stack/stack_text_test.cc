#include "tools/darse/stack/stack_text.h"

#include "absl/time/clock.h"
#include "gtest/gtest.h"

namespace darse::client {
namespace {

using namespace darse::scheduler::v1;  // NOLINT: message names only

TEST(StackTextTest, AStepSaysWhatAndWhy) {
  PlanStep step;
  step.set_action(PlanStep::RECREATE_CONTAINER);
  step.set_subject("web");
  step.set_name("journal-web-1");
  step.set_reason("environment changed: LOG_LEVEL");
  EXPECT_EQ(StepText(step), "recreate container journal-web-1: environment changed: LOG_LEVEL");
  step.clear_name();
  step.clear_reason();
  EXPECT_EQ(StepText(step), "recreate container web");
}

TEST(StackTextTest, ARowCountsRunningTasks) {
  Stack stack;
  stack.mutable_spec()->set_name("journal");
  stack.set_state(STACK_STATE_WAITING);
  stack.set_message("waiting for builder since 12:01:07: building web");
  Task& fresh = *stack.add_tasks();
  fresh.set_state(TASK_STATE_STARTING);
  fresh.mutable_container()->set_state(runtime::v1::CONTAINER_STATE_RUNNING);
  stack.add_tasks()->set_state(TASK_STATE_WAITING);
  const Json row = StackRow(stack, absl::Now());
  EXPECT_EQ(row.TextOf("Running"), "1/2");
  EXPECT_EQ(row.TextOf("State"), "waiting");
  for (const Column& column : StackColumns())
    EXPECT_NE(row.Find(column.field), nullptr) << column.field;
}

}  // namespace
}  // namespace darse::client
