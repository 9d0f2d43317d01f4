#include "libs/compose/load.h"

#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "google/protobuf/text_format.h"
#include "google/protobuf/util/message_differencer.h"
#include "gtest/gtest.h"

namespace darse::compose {
namespace {

using scheduler::v1::ServiceSpec;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

class LoadTest : public ::testing::Test {
 protected:
  LoadTest() {
    options_.working_dir = "/home/me/shop";
    options_.environment = {{"HOME", "/home/me"}};
  }

  void Write(absl::string_view name, absl::string_view text) {
    files_.files[absl::StrCat("/home/me/shop/", name)] = std::string(text);
  }

  Project Load() {
    absl::StatusOr<Project> project = compose::Load(options_, files_);
    EXPECT_TRUE(project.ok()) << project.status();
    return project.ok() ? *std::move(project) : Project{};
  }

  std::string Error() {
    absl::StatusOr<Project> project = compose::Load(options_, files_);
    EXPECT_FALSE(project.ok());
    return std::string(project.status().message());
  }

  static const ServiceSpec& Service(const Project& project, absl::string_view name) {
    static const auto* const kNone = new ServiceSpec;
    for (const ServiceSpec& service : project.stack.services()) {
      if (service.name() == name) return service;
    }
    ADD_FAILURE() << "no service " << name;
    return *kNone;
  }

  static std::vector<std::string> Env(const ServiceSpec& service) {
    return {service.container().env().begin(), service.container().env().end()};
  }

  LoadOptions options_;
  FakeFileReader files_;
};

TEST_F(LoadTest, ANameComesFromTheDirectoryTheFileTheEnvironmentOrTheFlag) {
  Write("compose.yaml", "services: {web: {image: x}}\n");
  EXPECT_EQ(Load().stack.name(), "shop");
  Write("compose.yaml", "name: n-${A:-1}\nservices: {web: {image: x}}\n");
  EXPECT_EQ(Load().stack.name(), "n-1");
  Write(".env", "COMPOSE_PROJECT_NAME=fromenv\n");
  EXPECT_EQ(Load().stack.name(), "fromenv");
  options_.project_name = "flag";
  EXPECT_EQ(Load().stack.name(), "flag");
  options_.project_name = "Bad Name";
  EXPECT_THAT(Error(), HasSubstr("is no project name"));
}

TEST_F(LoadTest, FilesAreFoundInTheParentsToo) {
  Write("docker-compose.yml", "services: {web: {image: x, volumes: [./d:/d]}}\n");
  options_.working_dir = "/home/me/shop/sub/dir";
  const Project project = Load();
  EXPECT_EQ(project.stack.name(), "shop");
  EXPECT_EQ(Service(project, "web").container().mounts(0).source(), "/home/me/shop/d");
}

TEST_F(LoadTest, NoFileIsNotFound) {
  EXPECT_EQ(compose::Load(options_, files_).status().code(), absl::StatusCode::kNotFound);
}

TEST_F(LoadTest, AllThatIsWrongIsSaidAtOnceWithItsLine) {
  Write("compose.yaml",
        "services:\n"
        "  web:\n"
        "    image: x\n"
        "    gpus: all\n"
        "    ports: ['99999:1']\n"
        "    mem_limit: lots\n"
        "    depends_on: [db]\n"
        "secrets:\n"
        "  a: {file: b}\n");
  EXPECT_EQ(Error(),
            "compose.yaml:4: services.web.gpus: not supported yet\n"
            "compose.yaml:5: services.web.ports[0]: \"99999:1\" is no port: expected "
            "[[IP:]HOST:]CONTAINER[/PROTOCOL]\n"
            "compose.yaml:6: services.web.mem_limit: must be a size such as 512m or 2g\n"
            "compose.yaml:7: services.web.depends_on: service \"db\" is not there\n"
            "compose.yaml:8: secrets: not supported yet");
}

TEST_F(LoadTest, DotEnvAndEnvFilesGiveVariablesAndTheProcessWins) {
  Write("compose.yaml", "services: {web: {image: 'x:${TAG:-none}-${B:-}'}}\n");
  EXPECT_EQ(Service(Load(), "web").container().image(), "x:none-");
  Write(".env", "TAG=env\nB=${TAG}b\n");
  EXPECT_EQ(Service(Load(), "web").container().image(), "x:env-envb");
  Write("other.env", "TAG=other\n");
  options_.env_files = {"other.env"};
  EXPECT_EQ(Service(Load(), "web").container().image(), "x:other-");
  options_.environment["TAG"] = "mine";
  EXPECT_EQ(Service(Load(), "web").container().image(), "x:mine-");
}

TEST_F(LoadTest, EnvironmentGoesOverEnvFileAndBareNamesAreTakenFromOutside) {
  Write("a.env", "A=file\nB=file\nC\n");
  Write("compose.yaml",
        "services:\n  web:\n    image: x\n    env_file: [a.env, {path: no.env, required: false}]\n"
        "    environment:\n      B: here\n      D:\n      E: 5\n      NOT_SET:\n");
  options_.environment["C"] = "c";
  options_.environment["D"] = "d";
  EXPECT_THAT(Env(Service(Load(), "web")), ElementsAre("A=file", "B=here", "C=c", "D=d", "E=5"));
}

TEST_F(LoadTest, LaterFilesGoOverEarlierOnes) {
  Write("compose.yaml",
        "services:\n  web:\n    image: x\n    command: [a, b]\n    environment: [A=1, B=1]\n"
        "    ports: ['80:80']\n    volumes: ['./a:/data', 'v:/v']\n    depends_on: [db]\n    "
        "labels: {l: 1}\n"
        "  db: {image: y, cap_add: [NET_ADMIN]}\nvolumes: {v: }\n");
  Write("b.yaml",
        "services:\n  web:\n    command: c\n    environment: {B: 2, C: 2}\n    ports: ['81:81']\n"
        "    volumes: ['./b:/data:ro']\n    depends_on: {db: {condition: service_healthy}}\n"
        "  db: {cap_add: !reset [], image: z}\n");
  options_.files = {"compose.yaml", "b.yaml"};
  const Project project = Load();
  const ServiceSpec& web = Service(project, "web");
  EXPECT_THAT(Env(web), ElementsAre("A=1", "B=2", "C=2"));
  EXPECT_THAT(web.container().command().args(), ElementsAre("c"));
  EXPECT_EQ(web.container().ports_size(), 2);
  ASSERT_EQ(web.container().mounts_size(), 2);
  EXPECT_EQ(web.container().mounts(0).source(), "/home/me/shop/b");
  EXPECT_TRUE(web.container().mounts(0).read_only());
  EXPECT_EQ(web.container().mounts(1).source(), "shop_v");
  ASSERT_EQ(web.depends_on_size(), 1);
  EXPECT_EQ(web.depends_on(0).condition(), scheduler::v1::Dependency::HEALTHY);
  EXPECT_EQ(Service(project, "db").container().image(), "z");
  EXPECT_EQ(Service(project, "db").container().cap_add_size(), 0);
}

TEST_F(LoadTest, AnOverrideFileIsTakenAlong) {
  Write("compose.yaml", "services: {web: {image: x}}\n");
  Write("compose.override.yaml", "services: {web: {image: y}}\n");
  EXPECT_EQ(Service(Load(), "web").container().image(), "y");
}

TEST_F(LoadTest, ProfilesChooseServicesAndNamedOnesComeWithWhatTheyNeed) {
  Write("compose.yaml",
        "services:\n  web: {image: x}\n  debug: {image: y, profiles: [dev], depends_on: [tool]}\n"
        "  tool: {image: z, profiles: [other]}\n");
  EXPECT_EQ(Load().stack.services_size(), 1);
  options_.services = {"debug"};
  EXPECT_EQ(Load().stack.services_size(), 3);
  options_.services = {};
  options_.profiles = {"dev"};
  EXPECT_THAT(Error(), HasSubstr("service \"tool\" is in no active profile"));
  options_.profiles = {"*"};
  EXPECT_EQ(Load().stack.services_size(), 3);
}

TEST_F(LoadTest, PortsInAllTheirForms) {
  Write("compose.yaml",
        "services:\n  web:\n    image: x\n    ports:\n      - 80\n      - '8080:80'\n      - "
        "'127.0.0.1:53:53/udp'\n"
        "      - '9000-9001:90-91'\n      - {target: 5, published: '6', protocol: udp, host_ip: "
        "10.0.0.1}\n"
        "      - '127.0.0.1::7'\n");
  std::vector<std::string> ports;
  const Project project = Load();
  for (const auto& port : Service(project, "web").container().ports()) {
    ports.push_back(absl::StrCat(port.host_ip(), "|", port.host_port(), "|", port.container_port(),
                                 "|", port.protocol()));
  }
  EXPECT_THAT(ports, ElementsAre("|0|80|tcp", "|8080|80|tcp", "127.0.0.1|53|53|udp", "|9000|90|tcp",
                                 "|9001|91|tcp", "10.0.0.1|6|5|udp", "127.0.0.1|0|7|tcp"));
}

TEST_F(LoadTest, MountedFilesAreKnownByTheirContents) {
  Write("nginx.conf", "hello");
  Write("html/index.html", "x");
  Write("compose.yaml",
        "services:\n  web:\n    image: x\n    volumes: ['./nginx.conf:/etc/nginx.conf:ro', "
        "'./html:/html', '/cache']\n");
  const Project project = Load();
  const ServiceSpec& web = Service(project, "web");
  ASSERT_EQ(web.content_digests_size(), 1);
  EXPECT_EQ(web.content_digests().at("/home/me/shop/nginx.conf"),
            "sha256:2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824");
  EXPECT_EQ(web.container().mounts(2).source(), "");
  EXPECT_EQ(web.container().mounts(2).target(), "/cache");
}

TEST_F(LoadTest, BuildsNameTheirContextAndImage) {
  Write("web/Dockerfile", "FROM x");
  Write("Dockerfile.db", "FROM y");
  Write("compose.yaml",
        "services:\n  web: {build: web}\n"
        "  db:\n    image: mydb:1\n    build: {context: ./web, dockerfile: ../Dockerfile.db, args: "
        "[A=1, B], target: t}\n"
        "  inline:\n    build: {dockerfile_inline: 'FROM z'}\n");
  options_.environment["B"] = "b";
  const Project project = Load();
  ASSERT_EQ(project.builds.size(), 3u);
  EXPECT_EQ(project.builds[0].context_dir, "/home/me/shop/web");
  EXPECT_EQ(project.builds[0].dockerfile, "Dockerfile");
  EXPECT_EQ(Service(project, "web").container().image(), "shop-web:latest");
  EXPECT_THAT(Service(project, "web").build().tags(), ElementsAre("shop-web:latest"));
  const ServiceSpec& db = Service(project, "db");
  EXPECT_EQ(db.build().dockerfile_text(), "FROM y");
  EXPECT_EQ(db.build().build_args().at("B"), "b");
  EXPECT_EQ(db.build().target(), "t");
  EXPECT_EQ(project.builds[2].context_dir, "");
  EXPECT_EQ(Service(project, "inline").build().dockerfile_text(), "FROM z");
}

TEST_F(LoadTest, NetworksAreNamedAfterTheStackAndOnlyUsedOnesAreMade) {
  Write("compose.yaml",
        "services:\n  a: {image: x}\n  b: {image: x, networks: {back: {aliases: [bb], "
        "ipv4_address: 10.1.0.5}, out: }}\n"
        "  c: {image: x, network_mode: host}\n  d: {image: x, network_mode: 'service:a'}\n"
        "networks:\n  back: {internal: true, ipam: {config: [{subnet: 10.1.0.0/24}]}}\n  out: "
        "{external: true, name: ext}\n"
        "  unused: {}\n");
  const Project project = Load();
  std::vector<std::string> names;
  for (const auto& network : project.stack.networks()) names.push_back(network.name());
  EXPECT_THAT(names, ElementsAre("shop_back", "ext", "shop_default"));
  EXPECT_EQ(project.stack.networks(0).subnet(), "10.1.0.0/24");
  EXPECT_TRUE(project.stack.networks(0).internal());
  EXPECT_EQ(Service(project, "a").container().networks(0).network(), "shop_default");
  EXPECT_EQ(Service(project, "b").container().networks(0).ipv4_address(), "10.1.0.5");
  EXPECT_THAT(Service(project, "b").container().networks(0).aliases(), ElementsAre("bb"));
  EXPECT_EQ(Service(project, "c").container().networks_size(), 0);
  EXPECT_EQ(Service(project, "d").container().network_container(), "service:a");
  EXPECT_EQ(Service(project, "d").depends_on(0).service(), "a");
}

TEST_F(LoadTest, EveryOtherKeyArrivesInTheContainerSpec) {
  Write("s.json", "{\"defaultAction\": 1}");
  Write("compose.yaml", R"(
x-common: &common
  restart: on-failure:3
services:
  web:
    <<: *common
    image: x
    entrypoint: ["/e", "1"]
    command: sh -c 'echo $$HOME'
    user: "1000:1000"
    working_dir: /w
    hostname: h
    container_name: c
    tty: true
    stdin_open: true
    init: true
    privileged: true
    cap_drop: [ALL]
    read_only: true
    tmpfs: ["/run:size=64m,mode=755", /tmp]
    extra_hosts: ["a:1.2.3.4", "b=host-gateway"]
    dns: 9.9.9.9
    dns_search: [example.org]
    sysctls: {net.core.somaxconn: 1024}
    ulimits: {nofile: {soft: 10, hard: 20}, nproc: 5}
    shm_size: 1g
    devices: ["/dev/ttyUSB0:/dev/tty:rw"]
    security_opt: ["no-new-privileges:true", "seccomp:s.json"]
    pid: host
    ipc: private
    oom_score_adj: -5
    stop_grace_period: 1m30s
    stop_signal: SIGINT
    cpus: 0.5
    cpu_shares: 512
    cpuset: 0-1
    mem_reservation: 16m
    memswap_limit: -1
    deploy: {resources: {limits: {memory: 64m, pids: 10}}}
    logging: {driver: json-file, options: {max-size: 10m, max-file: "3"}}
    healthcheck: {test: curl -f localhost, interval: 5s, timeout: 1s, retries: 2, start_period: 1m, start_interval: 500ms}
    labels: {a: b}
    expose: ["80", "53/udp"]
    x-note: ignored
)");
  constexpr char kWanted[] = R"(
name: "web" replicas: 1 container_name: "c"
container {
  image: "x" entrypoint { args: "/e" args: "1" } command { args: "sh" args: "-c" args: "echo $HOME" }
  working_dir: "/w" user: "1000:1000" hostname: "h" labels { key: "a" value: "b" }
  mounts { type: MOUNT_TYPE_TMPFS target: "/run" tmpfs_size_bytes: 67108864 tmpfs_mode: 493 }
  mounts { type: MOUNT_TYPE_TMPFS target: "/tmp" }
  network_mode: NETWORK_MODE_BRIDGE networks { network: "shop_default" }
  resources { memory_limit_bytes: 67108864 memory_swap_limit_bytes: -1 memory_reservation_bytes: 16777216
              nano_cpus: 500000000 cpu_shares: 512 cpuset_cpus: "0-1" pids_limit: 10 }
  restart_policy { kind: ON_FAILURE max_retries: 3 }
  tty: true stdin_open: true stop_signal: "SIGINT" stop_timeout { seconds: 90 }
  healthcheck { test: "CMD-SHELL" test: "curl -f localhost" interval { seconds: 5 } timeout { seconds: 1 }
                start_period { seconds: 60 } start_interval { nanos: 500000000 } retries: 2 }
  cap_drop: "ALL" privileged: true read_only: true no_new_privileges: true
  seccomp_profile: "{\"defaultAction\": 1}" init: true
  extra_hosts: "a:1.2.3.4" extra_hosts: "b:host-gateway" dns: "9.9.9.9" dns_search: "example.org"
  log { max_size_bytes: 10485760 max_files: 3 }
  sysctls { key: "net.core.somaxconn" value: "1024" }
  ulimits { name: "nofile" soft: 10 hard: 20 } ulimits { name: "nproc" soft: 5 hard: 5 }
  shm_size_bytes: 1073741824
  devices { host_path: "/dev/ttyUSB0" container_path: "/dev/tty" permissions: "rw" }
  pid_mode: "host" oom_score_adj: -5
})";
  ServiceSpec wanted;
  ASSERT_TRUE(google::protobuf::TextFormat::ParseFromString(kWanted, &wanted));
  google::protobuf::util::MessageDifferencer differencer;
  std::string difference;
  differencer.ReportDifferencesToString(&difference);
  EXPECT_TRUE(differencer.Compare(wanted, Service(Load(), "web"))) << difference;
}

TEST_F(LoadTest, ARestartPolicyOfDeployWinsOverRestart) {
  for (const char* order : {"{image: x, restart: 'no', deploy: {restart_policy: {condition: any, "
                            "max_attempts: 3, window: 2m, delay: 500ms}}}",
                            "{image: x, deploy: {restart_policy: {condition: any, max_attempts: 3, "
                            "window: 2m, delay: 500ms}}, restart: 'no'}"}) {
    Write("compose.yaml", absl::StrCat("services: {web: ", order, "}"));
    const runtime::v1::RestartPolicy policy = Service(Load(), "web").container().restart_policy();
    EXPECT_EQ(policy.kind(), runtime::v1::RestartPolicy::ALWAYS) << order;
    EXPECT_EQ(policy.max_retries(), 3);
    EXPECT_EQ(policy.window().seconds(), 120);
    EXPECT_EQ(policy.delay().nanos(), 500'000'000);
  }
}

TEST_F(LoadTest, ContradictionsAreRefused) {
  const std::pair<const char*, const char*> cases[] = {
      {"{}", "needs an image or a build"},
      {"{image: x, network_mode: host, networks: [default]}", "exclude each other"},
      {"{image: x, network_mode: host, ports: ['80:80']}", "ports need a network"},
      {"{image: x, scale: 2, container_name: c}", "more than one container"},
      {"{image: x, scale: 2, ports: ['80:80']}", "port 80 is one port"},
      {"{image: x, volumes: ['v:/v']}", "volume \"v\" is not declared"},
      {"{image: x, networks: [n]}", "network \"n\" is not declared"},
      {"{image: x, volumes: ['./a:b']}", "must be an absolute path"},
      {"{image: x, restart: sometimes}", "must be no, always"},
      {"{image: x, deploy: {restart_policy: {condition: never}}}", "none, on-failure or any"},
      {"{image: x, deploy: {restart_policy: {window: 10s}}}", "a window needs max_attempts"},
      {"{image: x, userns_mode: auto}", "not supported (host, private)"},
      {"{image: x, healthcheck: {test: [curl]}}", "must begin with CMD"},
      {"{image: x, labels: {darse.stack: y}}", "Darse's own"},
      {"{image: x, environment: 'A=1'}", "must be a mapping or a list"},
      {"{image: x, logging: {driver: syslog}}", "\"syslog\": not supported yet"},
      {"{image: x, build: {context: /home/me/shop, ssh: [default]}}",
       "services.web.build.ssh: not supported yet"},
      {"{image: x, env_file: missing.env}", "missing.env"},
      {"{build: nowhere}", "no directory /home/me/shop/nowhere"},
      {"[image]", "must be a mapping"},
  };
  for (const auto& [service, wanted] : cases) {
    Write("compose.yaml", absl::StrCat("services:\n  web: ", service, "\n"));
    EXPECT_THAT(Error(), HasSubstr(wanted)) << service;
    EXPECT_THAT(Error(), HasSubstr("compose.yaml:2: ")) << service;
  }
}

TEST_F(LoadTest, BrokenYamlSaysWhere) {
  Write("compose.yaml", "services:\n  web: [\n");
  EXPECT_THAT(Error(), HasSubstr("compose.yaml:"));
}

TEST_F(LoadTest, WarnsOfWhatHasNoEffect) {
  Write("compose.yaml", "version: '3'\nservices: {web: {image: 'x${NO}'}}\n");
  EXPECT_THAT(Load().warnings,
              ElementsAre(HasSubstr("variable NO is not set"), HasSubstr("version is obsolete")));
}

}  // namespace
}  // namespace darse::compose
