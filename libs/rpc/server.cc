#include "libs/rpc/server.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <grpcpp/ext/proto_server_reflection_plugin.h>
#include <grpcpp/grpcpp.h>
#include <grpcpp/server_posix.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <thread>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "libs/base/log.h"
#include "libs/base/reason.h"
#include "libs/base/status_macros.h"
#include "libs/base/unique_fd.h"
#include "libs/os/files.h"
#include "libs/rpc/channel.h"
#include "libs/rpc/status.h"

namespace darse::rpc {
namespace {

// Adds the reason that ToGrpc put into the details as trailing metadata too.
class ReasonInterceptor final : public grpc::experimental::Interceptor {
 public:
  void Intercept(grpc::experimental::InterceptorBatchMethods* methods) override {
    if (methods->QueryInterceptionHookPoint(
            grpc::experimental::InterceptionHookPoints::PRE_SEND_STATUS)) {
      grpc::Status status = methods->GetSendStatus();
      if (!status.ok() && !status.error_details().empty()) {
        std::string reason(Reason(FromGrpc(status)));
        if (!reason.empty()) methods->GetSendTrailingMetadata()->emplace(kReasonKey, reason);
      }
    }
    methods->Proceed();
  }
};

class ReasonInterceptorFactory final
    : public grpc::experimental::ServerInterceptorFactoryInterface {
 public:
  grpc::experimental::Interceptor* CreateServerInterceptor(
      grpc::experimental::ServerRpcInfo*) override {
    return new ReasonInterceptor();
  }
};

absl::StatusOr<struct sockaddr_un> Address(const std::string& path) {
  struct sockaddr_un address = {};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof(address.sun_path)) {
    return absl::InvalidArgumentError(absl::StrCat("socket ", path, ": longer than ",
                                                   sizeof(address.sun_path) - 1, " characters"));
  }
  path.copy(address.sun_path, path.size());
  return address;
}

bool SomebodyListens(const struct sockaddr_un& address) {
  UniqueFd probe(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  return ::connect(probe.get(), reinterpret_cast<const struct sockaddr*>(&address),
                   sizeof(address)) == 0 ||
         errno == EAGAIN;
}

// Bound and given its owner and mode under another name first: nobody can connect before that.
absl::StatusOr<UniqueFd> Listen(const std::string& path) {
  ASSIGN_OR_RETURN(struct sockaddr_un final_address, Address(path));
  if (SomebodyListens(final_address)) {
    return absl::UnavailableError(absl::StrCat("socket ", path, ": another process listens there"));
  }
  std::string temporary = absl::StrCat(path, ".new");
  ASSIGN_OR_RETURN(struct sockaddr_un address, Address(temporary));
  ::unlink(temporary.c_str());
  UniqueFd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (!fd.valid()) return absl::ErrnoToStatus(errno, "socket");
  if (::bind(fd.get(), reinterpret_cast<struct sockaddr*>(&address), sizeof(address)) != 0) {
    return absl::ErrnoToStatus(errno, absl::StrCat("bind ", temporary));
  }
  absl::Cleanup remove = [&] { ::unlink(temporary.c_str()); };
  if (struct group* group = ::getgrnam("darse")) {
    if (::chown(temporary.c_str(), static_cast<uid_t>(-1), group->gr_gid) != 0) {
      Log(LogLevel::kWarning, "socket keeps its group", {{"socket", path}});
    }
  }
  if (::chmod(temporary.c_str(), 0660) != 0) {
    return absl::ErrnoToStatus(errno, absl::StrCat("chmod ", temporary));
  }
  if (::listen(fd.get(), 128) != 0)
    return absl::ErrnoToStatus(errno, absl::StrCat("listen ", path));
  if (::rename(temporary.c_str(), path.c_str()) != 0) {
    return absl::ErrnoToStatus(errno, absl::StrCat("rename to ", path));
  }
  std::move(remove).Cancel();
  return fd;
}

class UnixServer final : public Server {
 public:
  UnixServer(std::string path, UniqueFd listener, std::unique_ptr<grpc::Server> server)
      : path_(std::move(path)),
        listener_(std::move(listener)),
        stop_(::eventfd(0, EFD_CLOEXEC)),
        server_(std::move(server)),
        thread_([this] { AcceptLoop(); }) {}

  ~UnixServer() override { Stop(absl::ZeroDuration()); }

  void Stop(absl::Duration grace) override {
    if (stopped_.exchange(true)) return;
    uint64_t one = 1;
    [[maybe_unused]] ssize_t written = ::write(stop_.get(), &one, sizeof(one));
    thread_.join();
    ::unlink(path_.c_str());
    listener_.Reset();
    server_->Shutdown(std::chrono::system_clock::now() + absl::ToChronoMicroseconds(grace));
    server_->Wait();
  }

 private:
  // Accepts connections itself and hands them to gRPC, which then names a peer "fd:<number>": that
  // is how Actor() comes to ask the kernel who it is.
  void AcceptLoop() {
    for (;;) {
      struct pollfd fds[2] = {{listener_.get(), POLLIN, 0}, {stop_.get(), POLLIN, 0}};
      if (::poll(fds, 2, -1) < 0 && errno != EINTR) return;
      if (fds[1].revents != 0) return;
      if (fds[0].revents == 0) continue;
      int fd = ::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK);
      if (fd >= 0) {
        grpc::AddInsecureChannelFromFd(server_.get(), fd);
      } else if (errno == EMFILE || errno == ENFILE || errno == ENOMEM) {
        // The connection stays in the queue until a descriptor is free.
        Log(LogLevel::kError, "out of descriptors", {{"socket", path_}});
        ::poll(&fds[1], 1, 100);
      }
    }
  }

  const std::string path_;
  UniqueFd listener_;
  const UniqueFd stop_;
  std::atomic<bool> stopped_{false};
  std::unique_ptr<grpc::Server> server_;
  std::thread thread_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<Server>> Server::Start(const ServerOptions& options,
                                                      const std::vector<grpc::Service*>& services) {
  TakeLocksUnchecked();
  ASSIGN_OR_RETURN(UniqueFd listener, Listen(options.socket_path));
  grpc::EnableDefaultHealthCheckService(true);
  grpc::reflection::InitProtoReflectionServerBuilderPlugin();
  grpc::ServerBuilder builder;
  for (grpc::Service* service : services) builder.RegisterService(service);
  // One queue with one to two threads that wait: more come only while handlers are busy.
  builder.SetSyncServerOption(grpc::ServerBuilder::NUM_CQS, 1);
  builder.SetSyncServerOption(grpc::ServerBuilder::MIN_POLLERS, 1);
  builder.SetSyncServerOption(grpc::ServerBuilder::MAX_POLLERS, 2);
  grpc::ResourceQuota quota("darse");
  quota.SetMaxThreads(options.max_threads);
  builder.SetResourceQuota(quota);
  builder.SetMaxReceiveMessageSize(64 << 20);
  std::vector<std::unique_ptr<grpc::experimental::ServerInterceptorFactoryInterface>> interceptors;
  interceptors.push_back(std::make_unique<ReasonInterceptorFactory>());
  builder.experimental().SetInterceptorCreators(std::move(interceptors));
  std::unique_ptr<grpc::Server> server = builder.BuildAndStart();
  if (server == nullptr) {
    return absl::InternalError(absl::StrCat("serve ", options.socket_path, ": gRPC did not start"));
  }
  return std::make_unique<UnixServer>(options.socket_path, std::move(listener), std::move(server));
}

std::string Actor(const grpc::ServerContextBase& context) {
  std::string peer = context.peer();
  absl::string_view number = peer;
  int fd = -1;
  struct ucred credentials;
  socklen_t size = sizeof(credentials);
  if (!absl::ConsumePrefix(&number, "fd:") || !absl::SimpleAtoi(number, &fd) ||
      ::getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &credentials, &size) != 0) {
    return "unknown";
  }
  return absl::StrCat("uid=", credentials.uid, " pid=", credentials.pid);
}

}  // namespace darse::rpc
