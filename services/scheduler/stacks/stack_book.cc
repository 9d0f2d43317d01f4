#include "services/scheduler/stacks/stack_book.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "libs/base/status_macros.h"
#include "services/scheduler/stacks/stack_store.h"

namespace darse::scheduler {

absl::StatusOr<std::unique_ptr<StackBook>> StackBook::Load(sqlite::Database& db) {
  std::unique_ptr<StackBook> book(new StackBook(db));
  std::map<std::string, DesiredStack> stacks;
  RETURN_IF_ERROR(db.Read([&](sqlite::Transaction& tx) -> absl::Status {
    ASSIGN_OR_RETURN(stacks, StackStore::LoadAll(tx));
    return absl::OkStatus();
  }));
  absl::MutexLock lock(&book->mu_);
  for (auto& [name, stack] : stacks) {
    book->stacks_[name] = std::make_shared<const DesiredStack>(std::move(stack));
  }
  return book;
}

StackPtr StackBook::Find(absl::string_view name) const {
  absl::MutexLock lock(&mu_);
  const auto found = stacks_.find(std::string(name));
  return found == stacks_.end() ? nullptr : found->second;
}

std::map<std::string, StackPtr> StackBook::All() const {
  absl::MutexLock lock(&mu_);
  return {stacks_.begin(), stacks_.end()};
}

absl::Status StackBook::Store(absl::string_view name, DesiredStack stack, Change change) {
  RETURN_IF_ERROR(db_.Write([&](sqlite::Transaction& tx) -> absl::Status {
    RETURN_IF_ERROR(change(tx, stack));
    return StackStore::Save(tx, stack);
  }));
  absl::MutexLock lock(&mu_);
  stacks_[std::string(name)] = std::make_shared<const DesiredStack>(std::move(stack));
  return absl::OkStatus();
}

absl::Status StackBook::Update(absl::string_view name, Change change) {
  absl::MutexLock lock(&writing_);
  const StackPtr before = Find(name);
  if (before == nullptr) return absl::NotFoundError(absl::StrCat("no stack \"", name, "\""));
  return Store(name, *before, change);
}

absl::Status StackBook::Create(absl::string_view name, Change change) {
  absl::MutexLock lock(&writing_);
  const StackPtr before = Find(name);
  return Store(name, before == nullptr ? DesiredStack{} : *before, change);
}

absl::Status StackBook::Remove(absl::string_view name) {
  absl::MutexLock lock(&writing_);
  RETURN_IF_ERROR(db_.Write([&](sqlite::Transaction& tx) { return StackStore::Delete(tx, name); }));
  absl::MutexLock inner(&mu_);
  stacks_.erase(std::string(name));
  return absl::OkStatus();
}

}  // namespace darse::scheduler
