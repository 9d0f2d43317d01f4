#include "tools/darse/stack/stack_text.h"

#include "absl/strings/str_cat.h"
#include "tools/darse/output/units.h"
#include "tools/darse/session/proto_time.h"

namespace darse::client {
namespace {

using namespace darse::scheduler::v1;  // NOLINT: message names only

const char* ActionText(PlanStep::Action action) {
  switch (action) {
    case PlanStep::NONE:
      return "keep";
    case PlanStep::CREATE_NETWORK:
      return "create network";
    case PlanStep::CREATE_VOLUME:
      return "create volume";
    case PlanStep::BUILD_IMAGE:
      return "build image";
    case PlanStep::CREATE_CONTAINER:
      return "create container";
    case PlanStep::RECREATE_CONTAINER:
      return "recreate container";
    case PlanStep::START_CONTAINER:
      return "start container";
    case PlanStep::RESTART_CONTAINER:
      return "restart container";
    case PlanStep::STOP_CONTAINER:
      return "stop container";
    case PlanStep::DELETE_CONTAINER:
      return "delete container";
    case PlanStep::DELETE_NETWORK:
      return "delete network";
    case PlanStep::DELETE_VOLUME:
      return "delete volume";
    default:
      return "unknown step";
  }
}

}  // namespace

std::string StepText(const PlanStep& step) {
  return absl::StrCat(ActionText(step.action()), " ",
                      step.name().empty() ? step.subject() : step.name(),
                      step.reason().empty() ? "" : ": ", step.reason());
}

std::string StateWord(StackState state) {
  switch (state) {
    case STACK_STATE_CONVERGING:
      return "converging";
    case STACK_STATE_WAITING:
      return "waiting";
    case STACK_STATE_READY:
      return "ready";
    case STACK_STATE_FAILED:
      return "failed";
    case STACK_STATE_REMOVING:
      return "removing";
    default:
      return "unknown";
  }
}

const std::vector<Column>& StackColumns() {
  static const auto* const kColumns = new std::vector<Column>{{"Name", "NAME"},
                                                              {"State", "STATE"},
                                                              {"Running", "RUNNING"},
                                                              {"UpdatedSince", "UPDATED"},
                                                              {"Message", "MESSAGE"}};
  return *kColumns;
}

Json StackRow(const Stack& stack, absl::Time now) {
  int running = 0;
  for (const Task& task : stack.tasks()) {
    // One whose health is not known yet runs, too.
    running += task.container().state() == runtime::v1::CONTAINER_STATE_RUNNING;
  }
  Json files = Json::Array();
  for (const std::string& file : stack.spec().config_files()) files.Add(file);
  return Json::Object({
      {"Name", stack.spec().name()},
      {"State", StateWord(stack.state())},
      {"Running", absl::StrCat(running, "/", stack.tasks_size())},
      {"Services", stack.spec().services_size()},
      {"Revision", stack.revision()},
      {"UpdatedSince", Ago(ToTime(stack.update_time()), now)},
      {"Message", stack.message()},
      {"WorkingDir", stack.spec().working_dir()},
      {"ConfigFiles", files},
  });
}

}  // namespace darse::client
