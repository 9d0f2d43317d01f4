#include "libs/compose/service.h"

#include <limits>
#include <optional>
#include <set>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "libs/compose/build_section.h"
#include "libs/compose/dotenv.h"
#include "libs/compose/mounts.h"
#include "libs/compose/ports.h"
#include "libs/compose/topology.h"
#include "libs/compose/units.h"

namespace darse::compose {
namespace {

using runtime::v1::ContainerSpec;

constexpr int64_t kEnvFileLimit = 4 << 20;
constexpr int64_t kProfileLimit = 4 << 20;
constexpr int64_t kMost = std::numeric_limits<int64_t>::max();

void SetDuration(absl::Duration duration, google::protobuf::Duration* to) {
  to->set_seconds(absl::ToInt64Seconds(duration));
  to->set_nanos(
      static_cast<int32_t>(absl::ToInt64Nanoseconds(duration - absl::Seconds(to->seconds()))));
}

// Decodes one service; one thread, used once.
class ServiceDecoder {
 public:
  ServiceDecoder(Scope& scope, scheduler::v1::ServiceSpec& service, BuildInput& build)
      : scope_(scope),
        values_(scope.values),
        service_(service),
        container_(*service.mutable_container()),
        build_(build) {}

  void Decode(const At& at) {
    values_.Keys(at, Handlers());
    FinishEnvironment();
    FinishImage(at);
    FinishReplicas(at);
    FinishNetwork(at);
  }

 private:
  using Handler = Values::Handler;

  std::map<std::string, Handler> Handlers() {
    std::map<std::string, Handler> handlers;
    AddProcess(handlers);
    AddPlaces(handlers);
    AddLimits(handlers);
    AddSafety(handlers);
    AddLife(handlers);
    return handlers;
  }

  // What runs.
  void AddProcess(std::map<std::string, Handler>& to) {
    to["image"] = [this](const At& at) { image_ = values_.Text(at).value_or(""); };
    to["build"] = [this](const At& at) {
      has_build_ = true;
      DecodeBuild(scope_, at, service_, build_);
    };
    to["command"] = [this](const At& at) { DecodeCommand(at, *container_.mutable_command()); };
    to["entrypoint"] = [this](const At& at) {
      DecodeCommand(at, *container_.mutable_entrypoint());
    };
    to["environment"] = [this](const At& at) { environment_ = values_.Pairs(at); };
    to["env_file"] = [this](const At& at) { DecodeEnvFiles(at); };
    to["working_dir"] = [this](const At& at) {
      container_.set_working_dir(values_.Text(at).value_or(""));
    };
    to["user"] = [this](const At& at) { container_.set_user(values_.Text(at).value_or("")); };
    to["hostname"] = [this](const At& at) {
      container_.set_hostname(values_.Text(at).value_or(""));
    };
    to["container_name"] = [this](const At& at) {
      service_.set_container_name(values_.Text(at).value_or(""));
    };
    to["labels"] = [this](const At& at) { DecodeLabels(at); };
    to["tty"] = [this](const At& at) { container_.set_tty(values_.Bool(at).value_or(false)); };
    to["stdin_open"] = [this](const At& at) {
      container_.set_stdin_open(values_.Bool(at).value_or(false));
    };
    to["init"] = [this](const At& at) { container_.set_init(values_.Bool(at).value_or(false)); };
  }

  // Files, devices and networks.
  void AddPlaces(std::map<std::string, Handler>& to) {
    to["volumes"] = [this](const At& at) { DecodeVolumes(scope_, at, service_); };
    to["tmpfs"] = [this](const At& at) { DecodeTmpfs(scope_, at, container_); };
    to["devices"] = [this](const At& at) { DecodeDevices(scope_, at, container_); };
    to["shm_size"] = [this](const At& at) {
      container_.set_shm_size_bytes(values_.Bytes(at).value_or(0));
    };
    to["read_only"] = [this](const At& at) {
      container_.set_read_only(values_.Bool(at).value_or(false));
    };
    to["ports"] = [this](const At& at) { DecodePorts(scope_, at, container_); };
    to["expose"] = [this](const At& at) { CheckExpose(scope_, at); };
    to["networks"] = [this](const At& at) {
      has_networks_ = true;
      DecodeServiceNetworks(scope_, at, container_);
    };
    to["network_mode"] = [this](const At& at) {
      has_network_mode_ = true;
      DecodeNetworkMode(scope_, at, service_);
    };
    to["extra_hosts"] = [this](const At& at) { DecodeExtraHosts(at); };
    to["dns"] = [this](const At& at) {
      for (std::string& server : values_.Texts(at)) container_.add_dns(std::move(server));
    };
    to["dns_search"] = [this](const At& at) {
      for (std::string& domain : values_.Texts(at)) container_.add_dns_search(std::move(domain));
    };
  }

  void AddLimits(std::map<std::string, Handler>& to) {
    runtime::v1::Resources& resources = *container_.mutable_resources();
    to["cpus"] = [this, &resources](const At& at) {
      resources.set_nano_cpus(values_.NanoCpus(at).value_or(0));
    };
    to["cpu_shares"] = [this, &resources](const At& at) {
      resources.set_cpu_shares(values_.Int(at, 0, 262144).value_or(0));
    };
    to["cpuset"] = [this, &resources](const At& at) {
      resources.set_cpuset_cpus(values_.Text(at).value_or(""));
    };
    to["mem_limit"] = [this, &resources](const At& at) {
      resources.set_memory_limit_bytes(values_.Bytes(at).value_or(0));
    };
    to["mem_reservation"] = [this, &resources](const At& at) {
      resources.set_memory_reservation_bytes(values_.Bytes(at).value_or(0));
    };
    to["memswap_limit"] = [this, &resources](const At& at) {
      const bool unlimited = at.node->IsScalar() && at.node->text == "-1";
      resources.set_memory_swap_limit_bytes(unlimited ? -1 : values_.Bytes(at).value_or(0));
    };
    to["pids_limit"] = [this, &resources](const At& at) {
      // -1 is Docker's word for no limit, which here is 0.
      resources.set_pids_limit(std::max<int64_t>(0, values_.Int(at, -1, 1 << 22).value_or(0)));
    };
    to["ulimits"] = [this](const At& at) { DecodeUlimits(at); };
    to["oom_score_adj"] = [this](const At& at) {
      container_.set_oom_score_adj(static_cast<int32_t>(values_.Int(at, -1000, 1000).value_or(0)));
    };
    to["deploy"] = [this](const At& at) { DecodeDeploy(at); };
    to["scale"] = [this](const At& at) { scale_ = values_.Int(at, 0, 1000); };
  }

  void AddSafety(std::map<std::string, Handler>& to) {
    to["privileged"] = [this](const At& at) {
      container_.set_privileged(values_.Bool(at).value_or(false));
    };
    to["cap_add"] = [this](const At& at) {
      for (std::string& capability : values_.Texts(at))
        container_.add_cap_add(std::move(capability));
    };
    to["cap_drop"] = [this](const At& at) {
      for (std::string& capability : values_.Texts(at))
        container_.add_cap_drop(std::move(capability));
    };
    to["security_opt"] = [this](const At& at) { DecodeSecurityOpt(at); };
    to["sysctls"] = [this](const At& at) {
      for (const Pair& pair : values_.Pairs(at)) {
        (*container_.mutable_sysctls())[pair.key] = pair.value.value_or("");
      }
    };
    to["pid"] = [this](const At& at) { container_.set_pid_mode(HostOrOwn(at, {})); };
    to["ipc"] = [this](const At& at) {
      container_.set_ipc_mode(HostOrOwn(at, {"private", "shareable"}));
    };
    to["userns_mode"] = [this](const At& at) { container_.set_userns_mode(HostOrPrivate(at)); };
  }

  void AddLife(std::map<std::string, Handler>& to) {
    to["depends_on"] = [this](const At& at) { DecodeDependsOn(scope_, at, service_); };
    to["healthcheck"] = [this](const At& at) { DecodeHealthcheck(at); };
    to["restart"] = [this](const At& at) { DecodeRestart(at); };
    to["stop_grace_period"] = [this](const At& at) {
      if (const auto time = values_.Duration(at))
        SetDuration(*time, container_.mutable_stop_timeout());
    };
    to["stop_signal"] = [this](const At& at) {
      container_.set_stop_signal(values_.Text(at).value_or(""));
    };
    to["logging"] = [this](const At& at) { DecodeLogging(at); };
    // Decided before: an inactive service is not decoded.
    to["profiles"] = [](const At&) {};
  }

  void DecodeCommand(const At& at, runtime::v1::Command& command) {
    const std::optional<std::vector<std::string>> words = values_.Words(at);
    if (!words) return;
    for (const std::string& word : *words) command.add_args(word);
  }

  void DecodeEnvFile(const At& at, absl::string_view name, bool required) {
    const std::string path = AbsolutePath(name, scope_.project_dir, scope_.home);
    absl::StatusOr<std::string> text = scope_.files.Read(path, kEnvFileLimit);
    if (!text.ok()) {
      if (required || !absl::IsNotFound(text.status())) values_.Refuse(at, text.status().message());
      return;
    }
    absl::StatusOr<std::vector<Variable>> variables =
        ParseDotenv(*text, path, [this](absl::string_view name) { return Outer(name); });
    if (!variables.ok()) return values_.Refuse(at, variables.status().message());
    for (Variable& variable : *variables) {
      if (!variable.value) variable.value = Outer(variable.name);
      if (variable.value) from_files_[variable.name] = *std::move(variable.value);
    }
  }

  void DecodeEnvFiles(const At& at) {
    if (at.node->IsScalar()) return DecodeEnvFile(at, at.node->text, true);
    if (!at.node->IsSequence()) return values_.Refuse(at, "must be a text or a list");
    for (size_t i = 0; i < at.node->items.size(); ++i) {
      const At item = at.Item(i);
      if (item.node->IsScalar()) {
        DecodeEnvFile(item, item.node->text, true);
        continue;
      }
      std::string path;
      bool required = true;
      values_.Keys(
          item,
          {
              {"path", [&](const At& value) { path = values_.Text(value).value_or(""); }},
              {"required", [&](const At& value) { required = values_.Bool(value).value_or(true); }},
          });
      if (path.empty()) {
        values_.Refuse(item, "needs a path");
      } else {
        DecodeEnvFile(item, path, required);
      }
    }
  }

  std::optional<std::string> Outer(absl::string_view name) const {
    const auto found = scope_.environment.find(std::string(name));
    if (found == scope_.environment.end()) return std::nullopt;
    return found->second;
  }

  void FinishEnvironment() {
    std::map<std::string, std::string> all = from_files_;
    for (const Pair& pair : environment_) {
      // A name alone: from the environment, and not set where it is not set there.
      const std::optional<std::string> value = pair.value ? pair.value : Outer(pair.key);
      if (value) {
        all[pair.key] = *value;
      } else {
        all.erase(pair.key);
      }
    }
    for (const auto& [name, value] : all) container_.add_env(absl::StrCat(name, "=", value));
  }

  void FinishImage(const At& at) {
    if (!has_build_) {
      if (image_.empty()) return values_.Refuse(at, "needs an image or a build");
      container_.set_image(image_);
      return;
    }
    if (image_.empty()) image_ = absl::StrCat(scope_.project, "-", service_.name(), ":latest");
    container_.set_image(image_);
    service_.mutable_build()->add_tags(image_);
  }

  void FinishReplicas(const At& at) {
    if (scale_ && replicas_ && *scale_ != *replicas_) {
      values_.Refuse(at, "scale and deploy.replicas say different numbers");
    }
    const int64_t wanted = scale_ ? *scale_ : replicas_.value_or(1);
    service_.set_replicas(wanted == 0 ? -1 : static_cast<int32_t>(wanted));
    if (wanted > 1 && !service_.container_name().empty()) {
      values_.Refuse(at, "container_name is one name, but more than one container is wanted");
    }
    if (wanted > 1) {
      for (const runtime::v1::PortMapping& port : container_.ports()) {
        if (port.host_port() == 0) continue;
        values_.Refuse(at, absl::StrCat("port ", port.host_port(),
                                        " is one port, but more than one container is wanted"));
      }
    }
  }

  void FinishNetwork(const At& at) {
    if (has_network_mode_ && has_networks_) {
      return values_.Refuse(at, "network_mode and networks exclude each other");
    }
    if (container_.network_mode() == runtime::v1::NETWORK_MODE_HOST ||
        container_.network_mode() == runtime::v1::NETWORK_MODE_CONTAINER) {
      if (!container_.ports().empty())
        values_.Refuse(at, "ports need a network of the container's own");
    }
    if (has_network_mode_) return;
    container_.set_network_mode(runtime::v1::NETWORK_MODE_BRIDGE);
    if (!has_networks_) container_.add_networks()->set_network(scope_.networks["default"]);
  }

  void DecodeLabels(const At& at) {
    for (const Pair& pair : values_.Pairs(at)) {
      if (absl::StartsWith(pair.key, "darse.")) {
        scope_.errors.Add(pair.position, at.path,
                          "labels that begin with \"darse.\" are Darse's own");
      }
      (*container_.mutable_labels())[pair.key] = pair.value.value_or("");
    }
  }

  void DecodeExtraHosts(const At& at) {
    for (const Pair& pair : values_.Pairs(at, /*colon_too=*/true)) {
      if (!pair.value || pair.value->empty()) {
        scope_.errors.Add(pair.position, at.path,
                          absl::StrCat("\"", pair.key, "\" needs an address"));
        continue;
      }
      container_.add_extra_hosts(absl::StrCat(pair.key, ":", *pair.value));
    }
  }

  void DecodeUlimits(const At& at) {
    if (!at.node->IsMapping()) return values_.Refuse(at, "must be a mapping");
    for (const yaml::Entry& entry : at.node->entries) {
      const At inner = at.Key(entry);
      runtime::v1::Ulimit& ulimit = *container_.add_ulimits();
      ulimit.set_name(entry.key);
      if (entry.value.IsScalar()) {
        const int64_t both = values_.Int(inner, -1, kMost).value_or(0);
        ulimit.set_soft(both);
        ulimit.set_hard(both);
        continue;
      }
      bool soft = false;
      bool hard = false;
      values_.Keys(inner, {
                              {"soft",
                               [&](const At& value) {
                                 soft = true;
                                 ulimit.set_soft(values_.Int(value, -1, kMost).value_or(0));
                               }},
                              {"hard",
                               [&](const At& value) {
                                 hard = true;
                                 ulimit.set_hard(values_.Int(value, -1, kMost).value_or(0));
                               }},
                          });
      if (!soft || !hard) values_.Refuse(inner, "needs soft and hard");
    }
  }

  void DecodeDeploy(const At& at) {
    runtime::v1::Resources& resources = *container_.mutable_resources();
    const auto limits = [&](const At& section) {
      values_.Keys(section,
                   {
                       {"cpus",
                        [&](const At& value) {
                          resources.set_nano_cpus(values_.NanoCpus(value).value_or(0));
                        }},
                       {"memory",
                        [&](const At& value) {
                          resources.set_memory_limit_bytes(values_.Bytes(value).value_or(0));
                        }},
                       {"pids",
                        [&](const At& value) {
                          resources.set_pids_limit(values_.Int(value, 0, 1 << 22).value_or(0));
                        }},
                   });
    };
    const auto reservations = [&](const At& section) {
      values_.Keys(section,
                   {{"memory", [&](const At& value) {
                       resources.set_memory_reservation_bytes(values_.Bytes(value).value_or(0));
                     }}});
    };
    const auto restart_policy = [&](const At& section) {
      deploys_restart_ = true;
      DecodeRestartPolicy(section);
    };
    values_.Keys(
        at, {
                {"restart_policy", restart_policy},
                {"replicas", [&](const At& value) { replicas_ = values_.Int(value, 0, 1000); }},
                {"mode",
                 [&](const At& value) {
                   if (value.node->text != "replicated") {
                     values_.Refuse(value,
                                    absl::StrCat("\"", value.node->text, "\": not supported yet"));
                   }
                 }},
                {"resources",
                 [&](const At& section) {
                   values_.Keys(section, {{"limits", limits}, {"reservations", reservations}});
                 }},
            });
  }

  void DecodeSecurityOpt(const At& at) {
    if (!at.node->IsSequence()) return values_.Refuse(at, "must be a list");
    for (size_t i = 0; i < at.node->items.size(); ++i) {
      const At item = at.Item(i);
      absl::string_view text = item.node->text;
      if (text == "no-new-privileges" || text == "no-new-privileges:true" ||
          text == "no-new-privileges=true") {
        container_.set_no_new_privileges(true);
      } else if (text == "no-new-privileges:false" || text == "no-new-privileges=false") {
        container_.set_no_new_privileges(false);
      } else if (absl::ConsumePrefix(&text, "seccomp:") || absl::ConsumePrefix(&text, "seccomp=")) {
        DecodeSeccomp(item, text);
      } else {
        values_.Refuse(item, absl::StrCat("\"", text, "\": not supported yet"));
      }
    }
  }

  void DecodeSeccomp(const At& at, absl::string_view profile) {
    if (profile == "unconfined") {
      container_.set_seccomp_profile("unconfined");
      return;
    }
    absl::StatusOr<std::string> json =
        scope_.files.Read(AbsolutePath(profile, scope_.project_dir, scope_.home), kProfileLimit);
    if (!json.ok()) return values_.Refuse(at, json.status().message());
    container_.set_seccomp_profile(*std::move(json));
  }

  std::string HostOrPrivate(const At& at) {
    const std::string text = values_.Text(at).value_or("");
    if (!text.empty() && text != "host" && text != "private") {
      values_.Refuse(at, absl::StrCat("\"", text, "\": not supported (host, private)"));
    }
    return text;
  }

  std::string HostOrOwn(const At& at, const std::set<std::string>& own) {
    const std::string text = values_.Text(at).value_or("");
    if (text == "host") return text;
    if (!own.contains(text)) values_.Refuse(at, absl::StrCat("\"", text, "\": not supported yet"));
    return "";
  }

  void DecodeHealthcheck(const At& at) {
    runtime::v1::Healthcheck& check = *container_.mutable_healthcheck();
    bool disabled = false;
    const auto time = [this](google::protobuf::Duration* to) {
      return [this, to](const At& value) {
        if (const auto duration = values_.Duration(value)) SetDuration(*duration, to);
      };
    };
    const auto when = [&](google::protobuf::Duration* (runtime::v1::Healthcheck::*field)()) {
      return [&check, field, time](const At& value) { time((check.*field)())(value); };
    };
    using Check = runtime::v1::Healthcheck;
    values_.Keys(
        at,
        {
            {"test", [&](const At& value) { DecodeTest(value, check); }},
            {"interval", when(&Check::mutable_interval)},
            {"timeout", when(&Check::mutable_timeout)},
            {"start_period", when(&Check::mutable_start_period)},
            {"start_interval", when(&Check::mutable_start_interval)},
            {"retries",
             [&](const At& value) {
               check.set_retries(static_cast<int32_t>(values_.Int(value, 0, 1 << 30).value_or(0)));
             }},
            {"disable", [&](const At& value) { disabled = values_.Bool(value).value_or(false); }},
        });
    if (!disabled) return;
    check.Clear();
    check.add_test("NONE");
  }

  void DecodeTest(const At& at, runtime::v1::Healthcheck& check) {
    if (at.node->IsScalar()) {
      check.add_test("CMD-SHELL");
      check.add_test(at.node->text);
      return;
    }
    const std::vector<std::string> words = values_.Texts(at);
    const std::string first = words.empty() ? "" : words[0];
    const bool known = first == "NONE" || (first == "CMD" && words.size() > 1) ||
                       (first == "CMD-SHELL" && words.size() == 2);
    if (!known)
      return values_.Refuse(at,
                            "must begin with CMD and a command, CMD-SHELL and a line, or be NONE");
    for (const std::string& word : words) check.add_test(word);
  }

  // Swarm's words; they win over `restart`, as with docker compose.
  void DecodeRestartPolicy(const At& at) {
    runtime::v1::RestartPolicy& policy = *container_.mutable_restart_policy();
    policy.Clear();
    policy.set_kind(runtime::v1::RestartPolicy::ALWAYS);
    values_.Keys(at, {
                         {"condition",
                          [&](const At& value) {
                            const absl::string_view text = value.node->text;
                            if (text == "none") {
                              policy.set_kind(runtime::v1::RestartPolicy::NO);
                            } else if (text == "on-failure") {
                              policy.set_kind(runtime::v1::RestartPolicy::ON_FAILURE);
                            } else if (text != "any") {
                              values_.Refuse(value, "must be none, on-failure or any");
                            }
                          }},
                         {"max_attempts",
                          [&](const At& value) {
                            policy.set_max_retries(
                                static_cast<int32_t>(values_.Int(value, 0, 1'000'000).value_or(0)));
                          }},
                         {"window",
                          [&](const At& value) {
                            const auto time = values_.Duration(value);
                            if (time && *time > absl::ZeroDuration()) {
                              SetDuration(*time, policy.mutable_window());
                            }
                          }},
                         {"delay",
                          [&](const At& value) {
                            const auto time = values_.Duration(value);
                            if (time && *time > absl::ZeroDuration()) {
                              SetDuration(*time, policy.mutable_delay());
                            }
                          }},
                     });
    if (policy.has_window() && policy.max_retries() == 0) {
      values_.Refuse(at, "a window needs max_attempts");
    }
    if (policy.kind() == runtime::v1::RestartPolicy::NO) {
      policy.Clear();
      policy.set_kind(runtime::v1::RestartPolicy::NO);
    }
  }

  void DecodeRestart(const At& at) {
    runtime::v1::RestartPolicy beside;
    runtime::v1::RestartPolicy& policy =
        deploys_restart_ ? beside : *container_.mutable_restart_policy();
    absl::string_view text = at.node->text;
    if (text == "no" || text == "false") {
      policy.set_kind(runtime::v1::RestartPolicy::NO);
    } else if (text == "always") {
      policy.set_kind(runtime::v1::RestartPolicy::ALWAYS);
    } else if (text == "unless-stopped") {
      policy.set_kind(runtime::v1::RestartPolicy::UNLESS_STOPPED);
    } else if (absl::ConsumePrefix(&text, "on-failure")) {
      policy.set_kind(runtime::v1::RestartPolicy::ON_FAILURE);
      int32_t retries = 0;
      if (text.empty()) return;
      if (!absl::ConsumePrefix(&text, ":") || !absl::SimpleAtoi(text, &retries) || retries < 0) {
        return values_.Refuse(at, "must be on-failure or on-failure:NUMBER");
      }
      policy.set_max_retries(retries);
    } else {
      values_.Refuse(at, "must be no, always, unless-stopped or on-failure[:NUMBER]");
    }
  }

  void DecodeLogging(const At& at) {
    runtime::v1::LogOptions& log = *container_.mutable_log();
    values_.Keys(
        at, {
                {"driver",
                 [&](const At& value) {
                   if (value.node->text == "json-file" || value.node->text == "local") return;
                   values_.Refuse(value,
                                  absl::StrCat("\"", value.node->text, "\": not supported yet"));
                 }},
                {"options",
                 [&](const At& options) {
                   values_.Keys(options,
                                {
                                    {"max-size",
                                     [&](const At& value) {
                                       log.set_max_size_bytes(values_.Bytes(value).value_or(0));
                                     }},
                                    {"max-file",
                                     [&](const At& value) {
                                       log.set_max_files(static_cast<int32_t>(
                                           values_.Int(value, 1, 1000).value_or(0)));
                                     }},
                                });
                 }},
            });
  }

  Scope& scope_;
  Values& values_;
  scheduler::v1::ServiceSpec& service_;
  ContainerSpec& container_;
  BuildInput& build_;
  std::string image_;
  bool has_build_ = false;
  bool has_networks_ = false;
  bool has_network_mode_ = false;
  std::optional<int64_t> scale_;
  std::optional<int64_t> replicas_;
  bool deploys_restart_ = false;
  std::map<std::string, std::string> from_files_;
  std::vector<Pair> environment_;
};

}  // namespace

void DecodeService(Scope& scope, const At& at, absl::string_view name, Project& project) {
  scheduler::v1::ServiceSpec service;
  BuildInput build{.service = std::string(name)};
  service.set_name(std::string(name));
  ServiceDecoder(scope, service, build).Decode(at);
  // Unset and empty would count as different configurations.
  if (service.container().resources().ByteSizeLong() == 0)
    service.mutable_container()->clear_resources();
  if (service.has_build()) project.builds.push_back(std::move(build));
  *project.stack.add_services() = std::move(service);
}

}  // namespace darse::compose
