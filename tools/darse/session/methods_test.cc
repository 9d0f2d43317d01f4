#include <google/protobuf/descriptor.h>

#include "absl/strings/str_replace.h"
#include "gtest/gtest.h"
#include "tools/darse/session/builder_methods.h"
#include "tools/darse/session/metrics_methods.h"
#include "tools/darse/session/runtime_methods.h"
#include "tools/darse/session/scheduler_methods.h"

namespace darse::client {
namespace {

// The method of that path in the protos, whose messages must be those that the constant has.
template <typename M>
void Check(const M& method, bool streams) {
  const std::string name = absl::StrReplaceAll(std::string(method.path).substr(1), {{"/", "."}});
  const auto* request = M::Request::descriptor();
  const auto* found = request->file()->pool()->FindMethodByName(name);
  ASSERT_NE(found, nullptr) << name;
  EXPECT_EQ(found->input_type(), request) << name;
  EXPECT_EQ(found->output_type(), M::Response::descriptor()) << name;
  EXPECT_EQ(found->client_streaming() || found->server_streaming(), streams) << name;
  EXPECT_EQ(found->file()->package(), std::string("darse.") + NameOf(method.service) + ".v1");
}
template <typename Q, typename R>
void CheckOne(const Method<Q, R>& method) {
  Check(method, false);
}
template <typename Q, typename R>
void CheckOne(const StreamMethod<Q, R>& method) {
  Check(method, true);
}

TEST(MethodsTest, EveryPathAndItsMessagesAreInTheProtos) {
  CheckOne(runtime::kCreateContainer);
  CheckOne(runtime::kStartContainer);
  CheckOne(runtime::kRunContainer);
  CheckOne(runtime::kStopContainer);
  CheckOne(runtime::kKillContainer);
  CheckOne(runtime::kRestartContainer);
  CheckOne(runtime::kPauseContainer);
  CheckOne(runtime::kUnpauseContainer);
  CheckOne(runtime::kDeleteContainer);
  CheckOne(runtime::kGetContainer);
  CheckOne(runtime::kListContainers);
  CheckOne(runtime::kWaitContainer);
  CheckOne(runtime::kUpdateContainer);
  CheckOne(runtime::kReadLogs);
  CheckOne(runtime::kAttach);
  CheckOne(runtime::kExec);
  CheckOne(runtime::kListProcesses);
  CheckOne(runtime::kGetStats);
  CheckOne(runtime::kWatchEvents);
  CheckOne(runtime::kGetEventPosition);
  CheckOne(runtime::kGetImage);
  CheckOne(runtime::kListImages);
  CheckOne(runtime::kDeleteImage);
  CheckOne(runtime::kTagImage);
  CheckOne(runtime::kLoadImages);
  CheckOne(runtime::kSaveImages);
  CheckOne(runtime::kImportImage);
  CheckOne(runtime::kBootstrapImage);
  CheckOne(runtime::kPruneImages);
  CheckOne(runtime::kCreateNetwork);
  CheckOne(runtime::kGetNetwork);
  CheckOne(runtime::kListNetworks);
  CheckOne(runtime::kDeleteNetwork);
  CheckOne(runtime::kPruneNetworks);
  CheckOne(runtime::kGetNode);
  CheckOne(runtime::kGetDiskUsage);
  CheckOne(runtime::kCreateVolume);
  CheckOne(runtime::kGetVolume);
  CheckOne(runtime::kListVolumes);
  CheckOne(runtime::kDeleteVolume);
  CheckOne(runtime::kPruneVolumes);
  CheckOne(builder::kHasContext);
  CheckOne(builder::kUploadContext);
  CheckOne(builder::kCreateBuild);
  CheckOne(builder::kGetBuild);
  CheckOne(builder::kListBuilds);
  CheckOne(builder::kWatchBuild);
  CheckOne(builder::kCancelBuild);
  CheckOne(builder::kListCacheEntries);
  CheckOne(builder::kPruneCache);
  CheckOne(scheduler::kListPeers);
  CheckOne(scheduler::kApplyStack);
  CheckOne(scheduler::kPlanStack);
  CheckOne(scheduler::kGetStack);
  CheckOne(scheduler::kListStacks);
  CheckOne(scheduler::kWatchStack);
  CheckOne(scheduler::kDeleteStack);
  CheckOne(scheduler::kRestartStack);
  CheckOne(scheduler::kHasContext);
  CheckOne(scheduler::kUploadContext);
  CheckOne(metrics::kWatchFrames);
  CheckOne(metrics::kListSeries);
  CheckOne(metrics::kQuerySeries);
  CheckOne(metrics::kListMarks);
  CheckOne(metrics::kGetStatus);
}

}  // namespace
}  // namespace darse::client
