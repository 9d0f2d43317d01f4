#include "libs/base/undo_stack.h"

#include <gtest/gtest.h>

#include <string>

namespace darse {
namespace {

TEST(UndoStackTest, RunsStepsNewestFirst) {
  std::string order;
  {
    UndoStack undo;
    undo.Push([&] { order += "a"; });
    undo.Push([&] { order += "b"; });
  }
  EXPECT_EQ(order, "ba");
}

TEST(UndoStackTest, CommitKeepsWhatWasDone) {
  std::string order;
  {
    UndoStack undo;
    undo.Push([&] { order += "a"; });
    undo.Commit();
  }
  EXPECT_EQ(order, "");
}

}  // namespace
}  // namespace darse
