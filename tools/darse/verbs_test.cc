#include "tools/darse/verbs.h"

#include <algorithm>
#include <set>
#include <string>

#include "absl/strings/str_split.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tools/darse/cli/arguments.h"
#include "tools/darse/cli/usage.h"

namespace darse::client {
namespace {

using ::testing::HasSubstr;

TEST(VerbsTest, NoNameIsTakenTwice) {
  std::set<std::string> names;
  for (const Verb* verb : AllVerbs()) {
    EXPECT_TRUE(names.insert(verb->name).second) << verb->name;
    for (const char* alias : verb->aliases) EXPECT_TRUE(names.insert(alias).second) << alias;
  }
}

TEST(VerbsTest, NoVerbHasAFlagOrLetterTwice) {
  for (const Verb* verb : AllVerbs()) {
    std::set<std::string> names;
    std::set<char> letters;
    for (const Flag& flag : verb->flags) {
      EXPECT_TRUE(names.insert(flag.name).second) << verb->name << " --" << flag.name;
      if (flag.letter) {
        EXPECT_TRUE(letters.insert(flag.letter).second) << verb->name << " -" << flag.letter;
      }
    }
    // Flags of all verbs must not be hidden.
    for (const Flag& global : GlobalFlags()) EXPECT_EQ(names.count(global.name), 0u) << verb->name;
  }
}

TEST(VerbsTest, EveryVerbExplainsItself) {
  for (const Verb* verb : AllVerbs()) {
    const std::string help = VerbHelp(*verb);
    EXPECT_THAT(help, HasSubstr(verb->summary));
    EXPECT_NE(verb->run, nullptr) << verb->name;
    EXPECT_STRNE(verb->examples, "") << verb->name;
    for (const Flag& flag : verb->flags)
      EXPECT_STRNE(flag.help, "") << verb->name << " " << flag.name;
    EXPECT_THAT(Overview(AllVerbs()), HasSubstr(verb->name));
  }
}

// An example that darse itself would refuse is worse than none.
TEST(VerbsTest, EveryExampleParses) {
  for (const Verb* verb : AllVerbs()) {
    for (absl::string_view line : absl::StrSplit(verb->examples, '\n', absl::SkipEmpty())) {
      const size_t begin = line.find("darse ");
      if (begin == absl::string_view::npos) continue;
      std::string text(line.substr(begin + 6));
      text = text.substr(0, std::min(text.find("$("), text.find_first_of("|;#<>)")));
      // What another command answers stands for one argument.
      if (line.find("$(") != absl::string_view::npos) text += " x";
      // Quotes as the shell takes them.
      std::vector<std::string> words;
      std::string word;
      char quote = 0;
      bool any = false;
      for (char c : text + " ") {
        if (quote != 0) {
          if (c == quote) {
            quote = 0;
          } else {
            word += c;
          }
        } else if (c == '\'' || c == '"') {
          quote = c;
          any = true;
        } else if (c == ' ') {
          if (any || !word.empty()) words.push_back(word);
          word.clear();
          any = false;
        } else {
          word += c;
        }
      }
      auto read = ReadCommandLine(AllVerbs(), words);
      EXPECT_TRUE(read.ok()) << line << ": " << read.status();
    }
  }
}

TEST(VerbsTest, CompletionKnowsEveryVerbAndFlag) {
  const std::string script = BashCompletion(AllVerbs());
  for (const Verb* verb : AllVerbs()) {
    for (const Flag& flag : verb->flags)
      EXPECT_THAT(script, HasSubstr(std::string("--") + flag.name));
  }
}

}  // namespace
}  // namespace darse::client
