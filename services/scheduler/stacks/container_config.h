// From a service to the container that its slot wants, and from two of them to the words that say
// what changed.
#pragma once

#include <string>

#include "absl/strings/string_view.h"
#include "darse/scheduler/v1/stack.pb.h"

namespace darse::scheduler {

// Tasks that `service` wants.
int32_t Replicas(const v1::ServiceSpec& service);
// "<stack>-<service>-<slot>" or the service's own.
std::string ContainerName(const v1::StackSpec& stack, const v1::ServiceSpec& service, int32_t slot);

// With name, labels (darse.config_hash among them) and aliases; `image` is what rootfs.image shall
// say. Without a `hash` it is what the hash is made over: depends_on is not in it.
runtime::v1::ContainerSpec MakeContainerSpec(const v1::StackSpec& stack,
                                             const v1::ServiceSpec& service, int32_t slot,
                                             absl::string_view image, absl::string_view hash);

// Over all that the container is made of: its specification, the image's id, contents of mounted
// files, and the settings of its networks. Not over replicas and depends_on: they change nothing
// about a container that is there.
std::string ConfigHash(const v1::StackSpec& stack, const v1::ServiceSpec& service, int32_t slot,
                       absl::string_view image_id);
// Of the settings that cannot be changed while a network is there.
std::string NetworkHash(const v1::NetworkSpec& network);
// Of a build and the number of times a fresh one was demanded.
std::string BuildKey(const builder::v1::BuildSpec& build, int64_t rebuild);

// "environment changed: LOG_LEVEL; ports changed". "configuration changed" if nothing tells them
// apart here.
std::string DescribeChange(const v1::ServiceSpec& before, absl::string_view image_before,
                           const v1::ServiceSpec& after, absl::string_view image_after);

// "sha256:" and 64 hex digits.
std::string Sha256(absl::string_view bytes);

}  // namespace darse::scheduler
