// Units in memory; what was asked for is kept to be looked at.
#pragma once

#include <map>
#include <set>

#include "absl/strings/str_cat.h"
#include "libs/linux/systemd/units.h"

namespace darse::systemd {

struct FakeUnit {
  std::set<pid_t> pids;
  std::map<std::string, Value> properties;
};

class FakeUnits final : public Units {
 public:
  // `units` outlives it.
  explicit FakeUnits(std::map<std::string, FakeUnit>* units) : units_(units) {}

  absl::Status StartScope(const std::string& unit, pid_t pid,
                          const std::vector<Property>& properties) override {
    if (units_->contains(unit)) return absl::AlreadyExistsError(unit);
    (*units_)[unit].pids = {pid};
    return SetProperties(unit, properties);
  }
  absl::Status Attach(const std::string& unit, pid_t pid) override {
    if (!units_->contains(unit)) return absl::NotFoundError(unit);
    (*units_)[unit].pids.insert(pid);
    return absl::OkStatus();
  }
  absl::Status SetProperties(const std::string& unit,
                             const std::vector<Property>& properties) override {
    if (!units_->contains(unit)) return absl::NotFoundError(unit);
    for (const Property& property : properties) {
      (*units_)[unit].properties[property.name] = property.value;
    }
    return absl::OkStatus();
  }
  absl::Status Stop(const std::string& unit) override {
    units_->erase(unit);
    return absl::OkStatus();
  }
  absl::Status ForgetFailure(const std::string&) override { return absl::OkStatus(); }

 private:
  std::map<std::string, FakeUnit>* const units_;
};

}  // namespace darse::systemd
