// What is wanted, as rows say it. Plain values: copied, changed, stored, swapped.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "darse/scheduler/v1/stack.pb.h"

namespace darse::scheduler {

// Asked of one service, beside its specification.
struct ServiceRecord {
  absl::Time up_time = absl::InfinitePast();
  absl::Time recreate_time = absl::InfinitePast();
  absl::Time restart_time = absl::InfinitePast();
  std::string image_id;
  int64_t rebuild = 0;
  std::string build_key;
  int64_t build_attempt = 0;
  std::string build_id;
  std::string build_image_id;
  std::string build_error;
};

struct TaskRecord {
  std::string request_id;
  std::optional<v1::ServiceSpec> made_of;
  std::string made_of_image;
};

using Slot = std::pair<std::string, int32_t>;  // service, from 1

struct DesiredStack {
  v1::StackSpec spec;
  int64_t revision = 0;
  bool removing = false;
  bool delete_volumes = false;
  std::optional<absl::Duration> stop_timeout;
  bool remove_orphans = false;
  absl::Time create_time;
  absl::Time update_time;
  std::map<std::string, ServiceRecord> services;
  std::map<Slot, TaskRecord> tasks;

  const v1::ServiceSpec* FindService(absl::string_view name) const {
    for (const v1::ServiceSpec& service : spec.services()) {
      if (service.name() == name) return &service;
    }
    return nullptr;
  }
};

inline std::string TaskId(absl::string_view stack, const Slot& slot) {
  return absl::StrCat(stack, "/", slot.first, "/", slot.second);
}

}  // namespace darse::scheduler
