// A method of a service: its name, and which messages go with it.
#pragma once

namespace darse::client {

enum class Service { kRuntime, kBuilder, kScheduler, kMetrics };
inline constexpr Service kServices[] = {Service::kRuntime, Service::kBuilder, Service::kScheduler,
                                        Service::kMetrics};
inline constexpr const char* kServiceNames[] = {"runtime", "builder", "scheduler", "metrics"};
inline const char* NameOf(Service service) { return kServiceNames[static_cast<int>(service)]; }

// A unary method.
template <typename RequestType, typename ResponseType>
struct Method {
  using Request = RequestType;
  using Response = ResponseType;
  Service service;
  const char* path;
};
// One that streams, in either direction.
template <typename RequestType, typename ResponseType>
struct StreamMethod {
  using Request = RequestType;
  using Response = ResponseType;
  Service service;
  const char* path;
};

}  // namespace darse::client
