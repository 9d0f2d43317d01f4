#include "services/scheduler/stacks/container_config.h"

#include <google/protobuf/io/coded_stream.h>
#include <google/protobuf/io/zero_copy_stream_impl_lite.h>
#include <google/protobuf/util/message_differencer.h>
#include <openssl/evp.h>

#include <algorithm>
#include <map>
#include <set>
#include <vector>

#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/strip.h"
#include "services/scheduler/observe/observed.h"

namespace darse::scheduler {
namespace {

constexpr char kDependsOnLabel[] = "com.docker.compose.depends_on";

using google::protobuf::FieldDescriptor;
using google::protobuf::Message;
using runtime::v1::ContainerSpec;

// Maps in key order: the same message gives the same bytes, in this process and the next.
std::string Serialize(const Message& message) {
  std::string bytes;
  google::protobuf::io::StringOutputStream stream(&bytes);
  google::protobuf::io::CodedOutputStream coded(&stream);
  coded.SetSerializationDeterministic(true);
  message.SerializeToCodedStream(&coded);
  coded.Trim();
  return bytes;
}

using Words = std::map<std::string, std::string>;

// Names whose values differ, or that only one side has.
std::string DifferingNames(const Words& before, const Words& after) {
  std::set<std::string> names;
  for (const auto& [name, value] : before) {
    const auto found = after.find(name);
    if (found == after.end() || found->second != value) names.insert(name);
  }
  for (const auto& [name, value] : after) {
    if (!before.contains(name)) names.insert(name);
  }
  return absl::StrJoin(names, ", ");
}

Words Environment(const ContainerSpec& spec) {
  Words words;
  for (const std::string& line : spec.env()) {
    const size_t equals = line.find('=');
    words[line.substr(0, equals)] = equals == std::string::npos ? "" : line.substr(equals + 1);
  }
  return words;
}

template <typename Map>
Words ToWords(const Map& map) {
  return Words(map.begin(), map.end());
}

// Names in compose's words.
std::string ComposeName(const FieldDescriptor& field) {
  static const auto* const kNames = new std::map<std::string, std::string>{
      {"env", "environment"},
      {"mounts", "volumes"},
      {"restart_policy", "restart"},
      {"stop_timeout", "stop_grace_period"},
      {"log", "logging"},
      {"shm_size_bytes", "shm_size"},
      {"resources", "limits"},
      {"no_new_privileges", "security_opt"},
      {"seccomp_profile", "security_opt"},
      {"pid_mode", "pid"},
      {"ipc_mode", "ipc"},
      {"network_container", "network_mode"},
  };
  const auto found = kNames->find(field.name());
  return found == kNames->end() ? field.name() : found->second;
}

// As compose writes it; the runtime reads it to start containers in order when the machine boots.
std::string DependsOnLabel(const v1::ServiceSpec& service) {
  return absl::StrJoin(service.depends_on(), ",",
                       [](std::string* out, const v1::Dependency& dependency) {
                         absl::string_view condition = "service_started";
                         if (dependency.condition() == v1::Dependency::HEALTHY)
                           condition = "service_healthy";
                         if (dependency.condition() == v1::Dependency::COMPLETED)
                           condition = "service_completed_successfully";
                         absl::StrAppend(out, dependency.service(), ":", condition, ":",
                                         dependency.restart() ? "true" : "false");
                       });
}

bool SameField(const Message& before, const Message& after, const FieldDescriptor& field) {
  google::protobuf::util::MessageDifferencer differencer;
  return differencer.CompareWithFields(before, after, {&field}, {&field});
}

}  // namespace

std::string Sha256(absl::string_view bytes) {
  unsigned char hash[EVP_MAX_MD_SIZE];
  unsigned int length = 0;
  EVP_Digest(bytes.data(), bytes.size(), hash, &length, EVP_sha256(), nullptr);
  return absl::StrCat("sha256:",
                      absl::BytesToHexString({reinterpret_cast<const char*>(hash), length}));
}

int32_t Replicas(const v1::ServiceSpec& service) {
  if (service.replicas() < 0) return 0;
  return service.replicas() == 0 ? 1 : service.replicas();
}

std::string ContainerName(const v1::StackSpec& stack, const v1::ServiceSpec& service,
                          int32_t slot) {
  if (!service.container_name().empty()) return service.container_name();
  return absl::StrCat(stack.name(), "-", service.name(), "-", slot);
}

runtime::v1::ContainerSpec MakeContainerSpec(const v1::StackSpec& stack,
                                             const v1::ServiceSpec& service, int32_t slot,
                                             absl::string_view image, absl::string_view hash) {
  ContainerSpec spec = service.container();
  spec.set_name(ContainerName(stack, service, slot));
  spec.set_image(std::string(image));
  auto& labels = *spec.mutable_labels();
  labels[kStackLabel] = stack.name();
  labels[kServiceLabel] = service.name();
  labels[kSlotLabel] = absl::StrCat(slot);
  labels[kHashLabel] = std::string(hash);
  labels["com.docker.compose.project"] = stack.name();
  labels["com.docker.compose.service"] = service.name();
  labels["com.docker.compose.container-number"] = absl::StrCat(slot);
  if (!stack.working_dir().empty())
    labels["com.docker.compose.project.working_dir"] = stack.working_dir();
  if (!hash.empty() && !service.depends_on().empty())
    labels[kDependsOnLabel] = DependsOnLabel(service);
  for (runtime::v1::NetworkAttachment& attachment : *spec.mutable_networks()) {
    const auto& aliases = attachment.aliases();
    if (std::find(aliases.begin(), aliases.end(), service.name()) == aliases.end()) {
      attachment.add_aliases(service.name());
    }
  }
  absl::string_view peer = spec.network_container();
  if (absl::ConsumePrefix(&peer, "service:")) {
    for (const v1::ServiceSpec& other : stack.services()) {
      if (other.name() == peer) spec.set_network_container(ContainerName(stack, other, 1));
    }
  }
  return spec;
}

std::string NetworkHash(const v1::NetworkSpec& network) {
  v1::NetworkSpec fixed = network;
  fixed.clear_key();
  return Sha256(Serialize(fixed));
}

std::string BuildKey(const builder::v1::BuildSpec& build, int64_t rebuild) {
  return Sha256(absl::StrCat(Serialize(build), "\n", rebuild));
}

std::string ConfigHash(const v1::StackSpec& stack, const v1::ServiceSpec& service, int32_t slot,
                       absl::string_view image_id) {
  // The image counts by what it is, not by what it is called; where the files lie does not count.
  v1::StackSpec nowhere = stack;
  nowhere.clear_working_dir();
  std::string all = Serialize(MakeContainerSpec(nowhere, service, slot, image_id, ""));
  v1::ServiceSpec contents;
  *contents.mutable_content_digests() = service.content_digests();
  absl::StrAppend(&all, "\n", Serialize(contents));
  for (const runtime::v1::NetworkAttachment& attachment : service.container().networks()) {
    for (const v1::NetworkSpec& network : stack.networks()) {
      if (network.name() == attachment.network() && !network.external()) {
        absl::StrAppend(&all, "\n", NetworkHash(network));
      }
    }
  }
  return Sha256(all);
}

std::string DescribeChange(const v1::ServiceSpec& before, absl::string_view image_before,
                           const v1::ServiceSpec& after, absl::string_view image_after) {
  std::vector<std::string> changes;
  if (image_before != image_after) changes.push_back("image changed");
  const auto named = [&](absl::string_view what, const std::string& names) {
    if (!names.empty()) changes.push_back(absl::StrCat(what, " changed: ", names));
  };
  named("environment",
        DifferingNames(Environment(before.container()), Environment(after.container())));
  named("labels",
        DifferingNames(ToWords(before.container().labels()), ToWords(after.container().labels())));
  named("contents",
        DifferingNames(ToWords(before.content_digests()), ToWords(after.content_digests())));
  std::set<std::string> fields;
  for (int i = 0; i < ContainerSpec::descriptor()->field_count(); ++i) {
    const FieldDescriptor& field = *ContainerSpec::descriptor()->field(i);
    if (field.name() == "env" || field.name() == "labels" || field.name() == "image" ||
        field.name() == "name")
      continue;
    if (!SameField(before.container(), after.container(), field)) fields.insert(ComposeName(field));
  }
  for (const std::string& field : fields) changes.push_back(absl::StrCat(field, " changed"));
  if (before.container_name() != after.container_name())
    changes.push_back("container_name changed");
  return changes.empty() ? "configuration changed" : absl::StrJoin(changes, "; ");
}

}  // namespace darse::scheduler
