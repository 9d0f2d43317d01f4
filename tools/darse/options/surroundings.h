// What options may read besides their own text: the client's environment and files. A fake in
// tests.
#pragma once

#include <map>
#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace darse::client {

class Surroundings {
 public:
  virtual ~Surroundings() = default;
  virtual std::optional<std::string> Variable(absl::string_view name) = 0;
  virtual absl::StatusOr<std::string> ReadFile(absl::string_view path) = 0;
  virtual std::string WorkingDirectory() = 0;
};

class RealSurroundings final : public Surroundings {
 public:
  std::optional<std::string> Variable(absl::string_view name) override;
  absl::StatusOr<std::string> ReadFile(absl::string_view path) override;
  std::string WorkingDirectory() override;
};

class FakeSurroundings final : public Surroundings {
 public:
  std::map<std::string, std::string> variables;
  std::map<std::string, std::string> files;

  std::optional<std::string> Variable(absl::string_view name) override {
    auto found = variables.find(std::string(name));
    if (found == variables.end()) return std::nullopt;
    return found->second;
  }
  absl::StatusOr<std::string> ReadFile(absl::string_view path) override {
    auto found = files.find(std::string(path));
    if (found == files.end()) return absl::NotFoundError("no such file");
    return found->second;
  }
  std::string WorkingDirectory() override { return "/here"; }
};

// Absolute: "./x" and "x" are below the working directory, "~/x" below HOME. Without "." and ".."
// parts.
std::string AbsolutePath(absl::string_view path, Surroundings& around);

}  // namespace darse::client
