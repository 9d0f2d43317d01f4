#include "tools/darse/container/container_rows.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tools/darse/session/proto_time.h"

namespace darse::client {
namespace {

using namespace darse::runtime::v1;  // NOLINT: message names only
using ::testing::HasSubstr;

const absl::Time kNow = absl::FromUnixSeconds(1700000000);

Container Web() {
  Container container;
  container.set_id("0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef");
  container.set_name("journal-web-1");
  container.set_image_id("sha256:aa");
  container.set_state(CONTAINER_STATE_RUNNING);
  *container.mutable_create_time() = ToProto(kNow - absl::Hours(3));
  *container.mutable_start_time() = ToProto(kNow - absl::Minutes(2));
  ContainerSpec& spec = *container.mutable_spec();
  spec.set_image("journal/web:latest");
  (*spec.mutable_labels())["darse.stack"] = "journal";
  (*spec.mutable_labels())["darse.service"] = "web";
  (*spec.mutable_labels())["role"] = "front";
  PortMapping& port = *container.add_ports();
  port.set_host_port(8080);
  port.set_container_port(80);
  port.set_protocol("tcp");
  return container;
}

bool Matches(const Container& container, std::vector<std::string> filters) {
  auto filter = ContainerFilter::Parse(filters);
  EXPECT_TRUE(filter.ok()) << filter.status();
  return filter.ok() && filter->Matches(container);
}

TEST(ContainerRowsTest, ARowHasDockersFields) {
  const Json row =
      ContainerRow(Web(), {{"sha256:aa", "python3 /app/web.py --with-many-words"}}, true, kNow);
  EXPECT_EQ(row.TextOf("ID"), "0123456789ab");
  EXPECT_EQ(row.TextOf("Names"), "journal-web-1");
  EXPECT_EQ(row.TextOf("Image"), "journal/web:latest");
  EXPECT_EQ(row.TextOf("Command"), "\"python3 /app/web.py…\"");
  EXPECT_EQ(row.TextOf("RunningFor"), "3 hours ago");
  EXPECT_EQ(row.TextOf("Status"), "Up 2 minutes");
  EXPECT_EQ(row.TextOf("Ports"), "0.0.0.0:8080->80/tcp");
  EXPECT_EQ(row.TextOf("Stack"), "journal");
}

TEST(ContainerRowsTest, EveryColumnAndFieldIsInTheRow) {
  const Json row = ContainerRow(Web(), {}, true, kNow);
  for (const Column& column : ContainerColumns())
    EXPECT_NE(row.Find(column.field), nullptr) << column.field;
  for (const std::string& field : MoreContainerFields())
    EXPECT_NE(row.Find(field), nullptr) << field;
}

TEST(ContainerRowsTest, StatusSaysWhatDockerSays) {
  Container web = Web();
  web.mutable_health()->set_status(Health::HEALTHY);
  EXPECT_EQ(StatusText(web, kNow), "Up 2 minutes (healthy)");
  web.mutable_health()->set_status(Health::STARTING);
  EXPECT_EQ(StatusText(web, kNow), "Up 2 minutes (health: starting)");
  web.set_state(CONTAINER_STATE_PAUSED);
  EXPECT_EQ(StatusText(web, kNow), "Up 2 minutes (Paused)");
  web.set_state(CONTAINER_STATE_EXITED);
  web.set_exit_code(137);
  web.set_oom_killed(true);
  *web.mutable_finish_time() = ToProto(kNow - absl::Seconds(5));
  EXPECT_EQ(StatusText(web, kNow), "Exited (137) 5 seconds ago (out of memory)");
  web.set_state(CONTAINER_STATE_CREATED);
  EXPECT_EQ(StatusText(web, kNow), "Created");
}

TEST(ContainerRowsTest, AStoppedContainerPublishesNothing) {
  Container web = Web();
  web.set_state(CONTAINER_STATE_EXITED);
  EXPECT_EQ(PortsText(web), "");
}

TEST(ContainerRowsTest, FiltersOfOneKeyAreAlternativesAndLabelsAreNot) {
  EXPECT_TRUE(Matches(Web(), {"name=web"}));
  EXPECT_FALSE(Matches(Web(), {"name=db"}));
  EXPECT_TRUE(Matches(Web(), {"status=exited", "status=running"}));
  EXPECT_FALSE(Matches(Web(), {"status=running", "name=db"}));
  EXPECT_TRUE(Matches(Web(), {"label=role", "label=role=front"}));
  EXPECT_FALSE(Matches(Web(), {"label=role", "label=other"}));
  EXPECT_TRUE(Matches(Web(), {"stack=journal", "service=web", "health=none"}));
  EXPECT_TRUE(Matches(Web(), {"ancestor=journal/web"}));
}

TEST(ContainerRowsTest, UnknownFiltersAreRefused) {
  EXPECT_THAT(std::string(ContainerFilter::Parse({"colour=red"}).status().message()),
              HasSubstr("keys are"));
  EXPECT_FALSE(ContainerFilter::Parse({"status=sleepy"}).ok());
  EXPECT_FALSE(ContainerFilter::Parse({"name"}).ok());
}

}  // namespace
}  // namespace darse::client
