#include "tools/darse/output/json.h"

#include "gtest/gtest.h"

namespace darse::client {
namespace {

TEST(JsonTest, KeepsTheOrderOfMembers) {
  Json json = Json::Object({{"z", 1}, {"a", "x"}});
  json.Set("m", true);
  json.Set("z", 2);
  EXPECT_EQ(json.Compact(), R"({"z":2,"a":"x","m":true})");
}

TEST(JsonTest, EscapesControlCharactersAndQuotes) {
  EXPECT_EQ(Json("a\"b\\c\n\x01").Compact(), R"("a\"b\\c\n\u0001")");
}

TEST(JsonTest, IndentsLikeDockerInspect) {
  Json json = Json::Object({{"A", Json::Array({"x"})}, {"B", Json::Object()}, {"C", Json()}});
  EXPECT_EQ(json.Indented(),
            "{\n    \"A\": [\n        \"x\"\n    ],\n    \"B\": {},\n    \"C\": null\n}");
}

TEST(JsonTest, ReadsWhatItWrites) {
  const char* text = R"({"a":[1,-2,1.5,"t",null,false],"b":{"c":{}}})";
  auto json = Json::Parse(text);
  ASSERT_TRUE(json.ok());
  EXPECT_EQ(json->Compact(), text);
}

TEST(JsonTest, SaysWhereTextIsBroken) {
  auto json = Json::Parse("{\"a\": }");
  EXPECT_EQ(json.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_NE(json.status().message().find("byte 6"), absl::string_view::npos)
      << json.status().message();
}

}  // namespace
}  // namespace darse::client
