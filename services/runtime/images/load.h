// Images that come as an archive. Nothing of them is visible before Finish() answers OK, and
// nothing stays if it does not.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "services/runtime/images/image_engine.h"
#include "services/runtime/snapshots/layer_driver.h"
#include "services/runtime/unpack/unpack_child.h"

namespace darse::runtime {

// A `docker save` archive or an OCI image layout. One thread at a time; the engine must outlive it.
class LoadSession {
 public:
  static absl::StatusOr<std::unique_ptr<LoadSession>> Start(ImageEngine& images);
  absl::Status Write(absl::string_view bytes) { return child_->Write(bytes); }
  // Answers the images' ids. INVALID_ARGUMENT (BAD_ARCHIVE) says what is wrong.
  absl::StatusOr<std::vector<std::string>> Finish(absl::string_view actor);

 private:
  LoadSession(ImageEngine& images, std::unique_ptr<Staging> staging)
      : images_(images), staging_(std::move(staging)) {}

  ImageEngine& images_;
  std::unique_ptr<Staging> staging_;
  std::unique_ptr<UnpackChild> child_;
};

struct ImportRequest {
  // Empty: no name.
  std::string reference;
  // An OCI config's "config" object; empty: {}.
  std::string config_json;
  std::string message;
};

// The tar of a root filesystem. One thread at a time; the engine must outlive it.
class ImportSession {
 public:
  static absl::StatusOr<std::unique_ptr<ImportSession>> Start(ImageEngine& images,
                                                              ImportRequest request);
  absl::Status Write(absl::string_view bytes) { return child_->Write(bytes); }
  // Answers the image's id. `created` is for its config.
  absl::StatusOr<std::string> Finish(absl::Time created, absl::string_view actor);

 private:
  ImportSession(ImageEngine& images, ImportRequest request, std::unique_ptr<Staging> staging)
      : images_(images), request_(std::move(request)), staging_(std::move(staging)) {}

  ImageEngine& images_;
  ImportRequest request_;
  std::unique_ptr<Staging> staging_;
  std::unique_ptr<UnpackChild> child_;
};

}  // namespace darse::runtime
