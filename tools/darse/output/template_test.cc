#include "tools/darse/output/template.h"

#include "gtest/gtest.h"

namespace darse::client {
namespace {

Json Sample() {
  return *Json::Parse(R"({"Name":"web","State":{"Pid":12,"Paused":false},"Ports":["80","443"],
                          "Labels":{"a.b":"c"},"Nets":{"one":{"IP":"1.2.3.4"},"two":{"IP":"5"}},
                          "LabelMap":{"a.b":"c"}})");
}

std::string Render(absl::string_view text) {
  auto parsed = Template::Parse(text);
  if (!parsed.ok()) return std::string(parsed.status().message());
  auto out = parsed->Render(Sample());
  return out.ok() ? *out : std::string(out.status().message());
}

TEST(TemplateTest, PrintsFieldsAndFieldsOfFields) {
  EXPECT_EQ(Render("{{.Name}}: {{ .State.Pid }}"), "web: 12");
}

TEST(TemplateTest, TurnsEscapesOutsideOfBracesIntoCharacters) {
  EXPECT_EQ(Render("{{.Name}}\\t{{.Name}}\\n"), "web\tweb\n");
}

TEST(TemplateTest, NamesAnUnknownFieldAndTheKnownOnes) {
  EXPECT_EQ(Render("{{.State.Pip}}"), "template: no field \"Pip\"; there are: Pid Paused");
}

TEST(TemplateTest, RangesOverItemsAndMembers) {
  EXPECT_EQ(Render("{{range .Ports}}<{{.}}>{{end}}"), "<80><443>");
  EXPECT_EQ(Render("{{range $k, $v := .Nets}}{{$k}}={{$v.IP}} {{end}}"), "one=1.2.3.4 two=5 ");
  EXPECT_EQ(Render("{{range .Nets}}{{.IP}},{{end}}"), "1.2.3.4,5,");
}

TEST(TemplateTest, DecidesByEmptiness) {
  EXPECT_EQ(Render("{{if .State.Paused}}p{{else}}r{{end}}"), "r");
  EXPECT_EQ(Render("{{if .Ports}}p{{end}}"), "p");
}

TEST(TemplateTest, KnowsTheFunctionsPeopleUse) {
  EXPECT_EQ(Render("{{json .State}}"), R"({"Pid":12,"Paused":false})");
  EXPECT_EQ(Render("{{index .Labels \"a.b\"}}"), "c");
  EXPECT_EQ(Render("{{index .Ports 1}}"), "443");
  EXPECT_EQ(Render("{{join .Ports \", \"}}"), "80, 443");
  EXPECT_EQ(Render("{{len .Ports}}"), "2");
  EXPECT_EQ(Render("{{upper .Name}}"), "WEB");
  EXPECT_EQ(Render("{{.Label \"a.b\"}}"), "c");
}

TEST(TemplateTest, RefusesWhatItDoesNotUnderstand) {
  EXPECT_FALSE(Template::Parse("{{.Name").ok());
  EXPECT_FALSE(Template::Parse("{{end}}").ok());
  EXPECT_FALSE(Template::Parse("{{range .Ports}}").ok());
  EXPECT_NE(Render("{{printf .Name .Name}}").find("not understood"), std::string::npos);
  EXPECT_NE(Render("{{Name}}").find("neither a field"), std::string::npos);
}

}  // namespace
}  // namespace darse::client
