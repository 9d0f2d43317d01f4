#include "tools/darse/container/inspection.h"

#include "gtest/gtest.h"
#include "tools/darse/output/template.h"

namespace darse::client {
namespace {

using namespace darse::runtime::v1;  // NOLINT: message names only

std::string Render(const Container& container, const char* oci, const char* text) {
  auto out = Template::Parse(text)->Render(InspectContainer(container, oci));
  return out.ok() ? *out : std::string(out.status().message());
}

TEST(InspectionTest, TemplatesPeopleUseWithDockerWork) {
  Container container;
  container.set_name("web");
  container.set_state(CONTAINER_STATE_RUNNING);
  container.set_pid(42);
  container.mutable_spec()->mutable_restart_policy()->set_kind(RestartPolicy::ALWAYS);
  NetworkEndpoint& endpoint = *container.add_endpoints();
  endpoint.set_network_name("back");
  endpoint.set_ipv4_address("10.1.0.2");
  PortMapping& port = *container.add_ports();
  port.set_host_port(8080);
  port.set_container_port(80);
  port.set_protocol("tcp");
  const char* oci = R"({"process":{"args":["python3","-u"],"env":["A=1"],"cwd":"/srv"}})";
  EXPECT_EQ(Render(container, oci, "{{.State.Pid}} {{.State.Running}} {{.Name}}"), "42 true /web");
  EXPECT_EQ(Render(container, oci, "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}"),
            "10.1.0.2");
  EXPECT_EQ(
      Render(container, oci, "{{(index .NetworkSettings.Ports \"80/tcp\")}}").find("template"), 0u);
  EXPECT_EQ(Render(container, oci, "{{json .NetworkSettings.Ports}}"),
            R"({"80/tcp":[{"HostIp":"0.0.0.0","HostPort":"8080"}]})");
  EXPECT_EQ(Render(container, oci, "{{.HostConfig.RestartPolicy.Name}}"), "always");
  EXPECT_EQ(Render(container, oci,
                   "{{.Path}} {{json .Args}} {{json .Config.Env}} {{.Config.WorkingDir}}"),
            R"(python3 ["-u"] ["A=1"] /srv)");
}

}  // namespace
}  // namespace darse::client
