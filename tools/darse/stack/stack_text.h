// Plans and stacks as people read them. Pure.
#pragma once

#include <string>
#include <vector>

#include "absl/time/time.h"
#include "darse/scheduler/v1/stack.pb.h"
#include "tools/darse/output/json.h"
#include "tools/darse/output/listing.h"

namespace darse::client {

// "recreate container journal-web-1: environment changed: LOG_LEVEL"
std::string StepText(const darse::scheduler::v1::PlanStep& step);
// "ready", "waiting", …
std::string StateWord(darse::scheduler::v1::StackState state);

const std::vector<Column>& StackColumns();
Json StackRow(const darse::scheduler::v1::Stack& stack, absl::Time now);

}  // namespace darse::client
