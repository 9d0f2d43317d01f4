#include "services/scheduler/stacks/stack_store.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "libs/base/status_macros.h"

namespace darse::scheduler {
namespace {

using sqlite::Statement;
using sqlite::Transaction;

constexpr char kSaveStack[] =
    "INSERT INTO stacks (name, spec, revision, removing, delete_volumes, stop_timeout_ns, "
    "remove_orphans,"
    " create_time, update_time) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"
    " ON CONFLICT (name) DO UPDATE SET spec = excluded.spec, revision = excluded.revision,"
    " removing = excluded.removing, delete_volumes = excluded.delete_volumes,"
    " stop_timeout_ns = excluded.stop_timeout_ns, remove_orphans = excluded.remove_orphans,"
    " update_time = excluded.update_time";
constexpr char kDeleteServices[] = "DELETE FROM services WHERE stack = ?";
constexpr char kDeleteTasks[] = "DELETE FROM tasks WHERE stack = ?";
constexpr char kInsertService[] =
    "INSERT INTO services (stack, service, up_time, recreate_time, restart_time, image_id, "
    "rebuild, build_key,"
    " build_attempt, build_id, build_image_id, build_error) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, "
    "?, ?)";
constexpr char kInsertTask[] =
    "INSERT INTO tasks (stack, service, slot, request_id, made_of, made_of_image) VALUES (?, ?, ?, "
    "?, ?, ?)";
constexpr char kDeleteStack[] = "DELETE FROM stacks WHERE name = ?";
constexpr char kLoadStacks[] =
    "SELECT name, spec, revision, removing, delete_volumes, stop_timeout_ns, remove_orphans, "
    "create_time,"
    " update_time FROM stacks ORDER BY name";
constexpr char kLoadServices[] =
    "SELECT stack, service, up_time, recreate_time, restart_time, image_id, rebuild, build_key, "
    "build_attempt,"
    " build_id, build_image_id, build_error FROM services ORDER BY stack, service";
constexpr char kLoadTasks[] =
    "SELECT stack, service, slot, request_id, made_of, made_of_image FROM tasks ORDER BY stack, "
    "service, slot";
constexpr char kNextRequest[] = "UPDATE request_ids SET last = last + 1 RETURNING last";
constexpr char kSaveContainer[] =
    "INSERT INTO containers (id, container, observe_time) VALUES (?, ?, ?)"
    " ON CONFLICT (id) DO UPDATE SET container = excluded.container, observe_time = "
    "excluded.observe_time";
constexpr char kDeleteContainer[] = "DELETE FROM containers WHERE id = ?";
constexpr char kDeleteContainers[] = "DELETE FROM containers";
constexpr char kLoadContainers[] = "SELECT id, container, observe_time FROM containers ORDER BY id";
constexpr char kSaveCursor[] =
    "INSERT INTO cursors (peer, sequence) VALUES (?, ?) ON CONFLICT (peer) DO UPDATE SET sequence "
    "= excluded.sequence";
constexpr char kLoadCursor[] = "SELECT sequence FROM cursors WHERE peer = ?";

int64_t ToNanos(absl::Time time) {
  return time == absl::InfinitePast() ? 0 : absl::ToUnixNanos(time);
}
absl::Time FromNanos(int64_t nanos) {
  return nanos == 0 ? absl::InfinitePast() : absl::FromUnixNanos(nanos);
}

absl::Status RunWithName(Transaction& tx, const char* sql, absl::string_view name) {
  ASSIGN_OR_RETURN(Statement statement, tx.Prepare(sql));
  statement.Bind(name);
  return statement.Run();
}

absl::Status InsertService(Transaction& tx, absl::string_view stack, absl::string_view service,
                           const ServiceRecord& record) {
  ASSIGN_OR_RETURN(Statement insert, tx.Prepare(kInsertService));
  insert.Bind(stack, service, ToNanos(record.up_time), ToNanos(record.recreate_time),
              ToNanos(record.restart_time), record.image_id, record.rebuild, record.build_key,
              record.build_attempt, record.build_id, record.build_image_id, record.build_error);
  return insert.Run();
}

absl::Status InsertTask(Transaction& tx, absl::string_view stack, const Slot& slot,
                        const TaskRecord& record) {
  const std::string made_of = record.made_of ? record.made_of->SerializeAsString() : "";
  ASSIGN_OR_RETURN(Statement insert, tx.Prepare(kInsertTask));
  insert.Bind(stack, slot.first, slot.second, record.request_id, Statement::Blob{made_of},
              record.made_of_image);
  return insert.Run();
}

absl::Status Unreadable(absl::string_view what) {
  return absl::DataLossError(absl::StrCat("reading ", what, ": not a message"));
}

absl::Status LoadServices(Transaction& tx, std::map<std::string, DesiredStack>& stacks) {
  ASSIGN_OR_RETURN(Statement select, tx.Prepare(kLoadServices));
  for (;;) {
    ASSIGN_OR_RETURN(bool more, select.Step());
    if (!more) return absl::OkStatus();
    stacks[select.Text(0)].services[select.Text(1)] = {
        .up_time = FromNanos(select.Int(2)),
        .recreate_time = FromNanos(select.Int(3)),
        .restart_time = FromNanos(select.Int(4)),
        .image_id = select.Text(5),
        .rebuild = select.Int(6),
        .build_key = select.Text(7),
        .build_attempt = select.Int(8),
        .build_id = select.Text(9),
        .build_image_id = select.Text(10),
        .build_error = select.Text(11),
    };
  }
}

absl::Status LoadTasks(Transaction& tx, std::map<std::string, DesiredStack>& stacks) {
  ASSIGN_OR_RETURN(Statement select, tx.Prepare(kLoadTasks));
  for (;;) {
    ASSIGN_OR_RETURN(bool more, select.Step());
    if (!more) return absl::OkStatus();
    TaskRecord& task =
        stacks[select.Text(0)].tasks[{select.Text(1), static_cast<int32_t>(select.Int(2))}];
    task.request_id = select.Text(3);
    const std::string made_of = select.Bytes(4);
    if (!made_of.empty() && !task.made_of.emplace().ParseFromString(made_of))
      return Unreadable("a task");
    task.made_of_image = select.Text(5);
  }
}

}  // namespace

absl::Status StackStore::Save(Transaction& tx, const DesiredStack& stack) {
  const std::string& name = stack.spec.name();
  const std::string spec = stack.spec.SerializeAsString();
  std::optional<int64_t> timeout;
  if (stack.stop_timeout) timeout = absl::ToInt64Nanoseconds(*stack.stop_timeout);
  {
    ASSIGN_OR_RETURN(Statement save, tx.Prepare(kSaveStack));
    save.Bind(name, Statement::Blob{spec}, stack.revision, stack.removing, stack.delete_volumes,
              timeout, stack.remove_orphans, ToNanos(stack.create_time),
              ToNanos(stack.update_time));
    RETURN_IF_ERROR(save.Run());
  }
  RETURN_IF_ERROR(RunWithName(tx, kDeleteServices, name));
  RETURN_IF_ERROR(RunWithName(tx, kDeleteTasks, name));
  for (const auto& [service, record] : stack.services)
    RETURN_IF_ERROR(InsertService(tx, name, service, record));
  for (const auto& [slot, record] : stack.tasks)
    RETURN_IF_ERROR(InsertTask(tx, name, slot, record));
  return absl::OkStatus();
}

absl::Status StackStore::Delete(Transaction& tx, absl::string_view name) {
  RETURN_IF_ERROR(RunWithName(tx, kDeleteServices, name));
  RETURN_IF_ERROR(RunWithName(tx, kDeleteTasks, name));
  return RunWithName(tx, kDeleteStack, name);
}

absl::StatusOr<std::map<std::string, DesiredStack>> StackStore::LoadAll(Transaction& tx) {
  std::map<std::string, DesiredStack> stacks;
  {
    ASSIGN_OR_RETURN(Statement select, tx.Prepare(kLoadStacks));
    for (;;) {
      ASSIGN_OR_RETURN(bool more, select.Step());
      if (!more) break;
      DesiredStack& stack = stacks[select.Text(0)];
      if (!stack.spec.ParseFromString(select.Bytes(1))) return Unreadable("a stack");
      stack.revision = select.Int(2);
      stack.removing = select.Bool(3);
      stack.delete_volumes = select.Bool(4);
      if (!select.IsNull(5)) stack.stop_timeout = absl::Nanoseconds(select.Int(5));
      stack.remove_orphans = select.Bool(6);
      stack.create_time = FromNanos(select.Int(7));
      stack.update_time = FromNanos(select.Int(8));
    }
  }
  RETURN_IF_ERROR(LoadServices(tx, stacks));
  RETURN_IF_ERROR(LoadTasks(tx, stacks));
  return stacks;
}

absl::StatusOr<int64_t> StackStore::NextRequestNumber(Transaction& tx) {
  ASSIGN_OR_RETURN(Statement next, tx.Prepare(kNextRequest));
  ASSIGN_OR_RETURN(bool found, next.Step());
  if (!found) return absl::DataLossError("the counter of requests is gone");
  return next.Int(0);
}

absl::Status StackStore::SaveContainer(Transaction& tx, const SeenContainer& seen) {
  const std::string bytes = seen.container->SerializeAsString();
  ASSIGN_OR_RETURN(Statement save, tx.Prepare(kSaveContainer));
  save.Bind(seen.container->id(), Statement::Blob{bytes}, ToNanos(seen.observe_time));
  return save.Run();
}

absl::Status StackStore::DeleteContainer(Transaction& tx, absl::string_view id) {
  return RunWithName(tx, kDeleteContainer, id);
}

absl::Status StackStore::DeleteContainers(Transaction& tx) {
  ASSIGN_OR_RETURN(Statement statement, tx.Prepare(kDeleteContainers));
  return statement.Run();
}

absl::StatusOr<std::vector<SeenContainer>> StackStore::LoadContainers(Transaction& tx) {
  std::vector<SeenContainer> all;
  ASSIGN_OR_RETURN(Statement select, tx.Prepare(kLoadContainers));
  for (;;) {
    ASSIGN_OR_RETURN(bool more, select.Step());
    if (!more) return all;
    auto container = std::make_shared<runtime::v1::Container>();
    if (!container->ParseFromString(select.Bytes(1))) return Unreadable("a container");
    all.push_back({std::move(container), FromNanos(select.Int(2))});
  }
}

absl::Status StackStore::SaveCursor(Transaction& tx, absl::string_view peer, int64_t sequence) {
  ASSIGN_OR_RETURN(Statement save, tx.Prepare(kSaveCursor));
  save.Bind(peer, sequence);
  return save.Run();
}

absl::StatusOr<std::optional<int64_t>> StackStore::LoadCursor(Transaction& tx,
                                                              absl::string_view peer) {
  ASSIGN_OR_RETURN(Statement select, tx.Prepare(kLoadCursor));
  select.Bind(peer);
  ASSIGN_OR_RETURN(bool found, select.Step());
  if (!found) return std::nullopt;
  return select.Int(0);
}

}  // namespace darse::scheduler
