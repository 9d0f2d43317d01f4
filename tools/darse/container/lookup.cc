#include "tools/darse/container/lookup.h"

#include <iterator>
#include <utility>

#include "absl/strings/str_cat.h"
#include "libs/base/status_macros.h"
#include "tools/darse/container/container_rows.h"
#include "tools/darse/session/runtime_methods.h"

namespace darse::client {

using namespace darse::runtime::v1;  // NOLINT: message names only

absl::StatusOr<std::vector<Container>> ListContainers(Session& session,
                                                      ListContainersRequest request) {
  std::vector<Container> all;
  do {
    ASSIGN_OR_RETURN(ListContainersResponse page, session.Call(runtime::kListContainers, request));
    std::move(page.mutable_containers()->begin(), page.mutable_containers()->end(),
              std::back_inserter(all));
    request.set_page_token(page.next_page_token());
  } while (!request.page_token().empty());
  return all;
}

absl::StatusOr<std::vector<Image>> ListImages(Session& session) {
  std::vector<Image> all;
  ListImagesRequest request;
  do {
    ASSIGN_OR_RETURN(ListImagesResponse page, session.Call(runtime::kListImages, request));
    std::move(page.mutable_images()->begin(), page.mutable_images()->end(),
              std::back_inserter(all));
    request.set_page_token(page.next_page_token());
  } while (!request.page_token().empty());
  return all;
}

absl::StatusOr<std::vector<Container>> ContainersOfStack(Session& session,
                                                         absl::string_view stack) {
  ListContainersRequest request;
  request.add_labels(absl::StrCat(kStackLabel, "=", stack));
  return ListContainers(session, std::move(request));
}

}  // namespace darse::client
