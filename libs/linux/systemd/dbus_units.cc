#include <dbus/dbus.h>

#include <map>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/str_cat.h"
#include "libs/base/monotonic.h"
#include "libs/base/status_macros.h"
#include "libs/linux/systemd/units.h"

namespace darse::systemd {
namespace {

constexpr char kService[] = "org.freedesktop.systemd1";
constexpr char kPath[] = "/org/freedesktop/systemd1";
constexpr char kManager[] = "org.freedesktop.systemd1.Manager";
constexpr char kJobRemoved[] =
    "type='signal',sender='org.freedesktop.systemd1',interface='org.freedesktop.systemd1.Manager',"
    "member='JobRemoved'";
// Where systemd listens without a bus.
constexpr char kPrivate[] = "unix:path=/run/systemd/private";
constexpr int kTimeoutMs = 30'000;

struct Unref {
  void operator()(DBusMessage* message) const { dbus_message_unref(message); }
};
using Message = std::unique_ptr<DBusMessage, Unref>;

class Error {
 public:
  Error() { dbus_error_init(&error_); }
  ~Error() { dbus_error_free(&error_); }
  Error(const Error&) = delete;
  DBusError* get() { return &error_; }
  absl::Status ToStatus(const std::string& what) const {
    static const std::map<std::string, absl::StatusCode> kCodes = {
        {"org.freedesktop.systemd1.NoSuchUnit", absl::StatusCode::kNotFound},
        {"org.freedesktop.systemd1.UnitExists", absl::StatusCode::kAlreadyExists},
        {DBUS_ERROR_INVALID_ARGS, absl::StatusCode::kInvalidArgument},
        {"org.freedesktop.DBus.Error.PropertyReadOnly", absl::StatusCode::kInvalidArgument},
        {DBUS_ERROR_ACCESS_DENIED, absl::StatusCode::kPermissionDenied},
        {DBUS_ERROR_NO_REPLY, absl::StatusCode::kDeadlineExceeded},
        {DBUS_ERROR_DISCONNECTED, absl::StatusCode::kUnavailable}};
    std::string name = error_.name == nullptr ? "no reason" : error_.name;
    auto code = kCodes.find(name);
    return absl::Status(
        code == kCodes.end() ? absl::StatusCode::kInternal : code->second,
        absl::StrCat("systemd: ", what, ": ", error_.message == nullptr ? name : error_.message));
  }

 private:
  DBusError error_;
};

// libdbus answers false only when memory is out.
void Must(dbus_bool_t done) {
  if (!done) abort();
}

// One container in another, closed at the end of the scope.
class Nested {
 public:
  Nested(DBusMessageIter* outer, int type, const char* signature) : outer_(outer) {
    Must(dbus_message_iter_open_container(outer, type, signature, &inner_));
  }
  ~Nested() { Must(dbus_message_iter_close_container(outer_, &inner_)); }
  Nested(const Nested&) = delete;
  DBusMessageIter* get() { return &inner_; }

 private:
  DBusMessageIter* outer_;
  DBusMessageIter inner_;
};

void Append(DBusMessageIter* to, const std::string& text) {
  const char* begin = text.c_str();
  Must(dbus_message_iter_append_basic(to, DBUS_TYPE_STRING, &begin));
}

void AppendPids(DBusMessageIter* to, pid_t pid) {
  Nested array(to, DBUS_TYPE_ARRAY, "u");
  auto number = static_cast<dbus_uint32_t>(pid);
  Must(dbus_message_iter_append_basic(array.get(), DBUS_TYPE_UINT32, &number));
}

struct VariantAppender {
  DBusMessageIter* to;

  void operator()(bool value) const {
    Nested variant(to, DBUS_TYPE_VARIANT, "b");
    dbus_bool_t as_int = value;
    Must(dbus_message_iter_append_basic(variant.get(), DBUS_TYPE_BOOLEAN, &as_int));
  }
  void operator()(uint64_t value) const {
    Nested variant(to, DBUS_TYPE_VARIANT, "t");
    Must(dbus_message_iter_append_basic(variant.get(), DBUS_TYPE_UINT64, &value));
  }
  void operator()(const std::string& value) const {
    Nested variant(to, DBUS_TYPE_VARIANT, "s");
    Append(variant.get(), value);
  }
  void operator()(const std::vector<uint8_t>& value) const {
    Nested variant(to, DBUS_TYPE_VARIANT, "ay");
    Nested array(variant.get(), DBUS_TYPE_ARRAY, "y");
    const uint8_t* begin = value.data();
    Must(dbus_message_iter_append_fixed_array(array.get(), DBUS_TYPE_BYTE, &begin,
                                              static_cast<int>(value.size())));
  }
  void operator()(const std::vector<std::pair<std::string, std::string>>& value) const {
    Nested variant(to, DBUS_TYPE_VARIANT, "a(ss)");
    Nested array(variant.get(), DBUS_TYPE_ARRAY, "(ss)");
    for (const auto& [first, second] : value) {
      Nested pair(array.get(), DBUS_TYPE_STRUCT, nullptr);
      Append(pair.get(), first);
      Append(pair.get(), second);
    }
  }
};

// a(sv), with a scope's processes among them where there are any.
void AppendProperties(DBusMessageIter* to, const std::vector<Property>& properties, pid_t pid = 0) {
  Nested array(to, DBUS_TYPE_ARRAY, "(sv)");
  for (const Property& property : properties) {
    Nested pair(array.get(), DBUS_TYPE_STRUCT, nullptr);
    Append(pair.get(), property.name);
    std::visit(VariantAppender{pair.get()}, property.value);
  }
  if (pid == 0) return;
  Nested pair(array.get(), DBUS_TYPE_STRUCT, nullptr);
  Append(pair.get(), "PIDs");
  Nested variant(pair.get(), DBUS_TYPE_VARIANT, "au");
  AppendPids(variant.get(), pid);
}

class DbusUnits final : public Units {
 public:
  explicit DbusUnits(DBusConnection* connection) : connection_(connection) {}
  ~DbusUnits() override {
    dbus_connection_close(connection_);
    dbus_connection_unref(connection_);
  }

  // systemd's own socket only. A message that comes with the end of our introduction lies there
  // unread until another comes: so one that may be sent again and again goes first.
  absl::Status Knock() {
    constexpr int kTries = 100, kWaitMs = 50;
    absl::Status knocked;
    for (int tries = 0; tries < kTries; ++tries) {
      Message ping(dbus_message_new_method_call(kService, kPath, DBUS_INTERFACE_PEER, "Ping"));
      Must(ping != nullptr);
      knocked = Send(std::move(ping), "ping", kWaitMs).status();
      if (!absl::IsDeadlineExceeded(knocked)) break;
    }
    return knocked;
  }

  // So that the ends of jobs are told.
  absl::Status Subscribe(bool on_bus) {
    if (on_bus) {
      Error error;
      dbus_bus_add_match(connection_, kJobRemoved, error.get());
      if (dbus_error_is_set(error.get())) return error.ToStatus("listen for jobs");
    }
    return Send(Call("Subscribe"), "Subscribe").status();
  }

  absl::Status StartScope(const std::string& unit, pid_t pid,
                          const std::vector<Property>& properties) override {
    Message call = Call("StartTransientUnit");
    DBusMessageIter arguments;
    dbus_message_iter_init_append(call.get(), &arguments);
    Append(&arguments, unit);
    Append(&arguments, "replace");
    AppendProperties(&arguments, properties, pid);
    { Nested no_others(&arguments, DBUS_TYPE_ARRAY, "(sa(sv))"); }
    return RunJob(std::move(call), absl::StrCat("start ", unit));
  }

  absl::Status Attach(const std::string& unit, pid_t pid) override {
    Message call = Call("AttachProcessesToUnit");
    DBusMessageIter arguments;
    dbus_message_iter_init_append(call.get(), &arguments);
    Append(&arguments, unit);
    Append(&arguments, "");
    AppendPids(&arguments, pid);
    return Send(std::move(call), absl::StrCat("attach ", pid, " to ", unit)).status();
  }

  absl::Status SetProperties(const std::string& unit,
                             const std::vector<Property>& properties) override {
    Message call = Call("SetUnitProperties");
    DBusMessageIter arguments;
    dbus_message_iter_init_append(call.get(), &arguments);
    Append(&arguments, unit);
    dbus_bool_t runtime = TRUE;
    Must(dbus_message_iter_append_basic(&arguments, DBUS_TYPE_BOOLEAN, &runtime));
    AppendProperties(&arguments, properties);
    return Send(std::move(call), absl::StrCat("change ", unit)).status();
  }

  absl::Status Stop(const std::string& unit) override {
    Message call = Call("StopUnit");
    DBusMessageIter arguments;
    dbus_message_iter_init_append(call.get(), &arguments);
    Append(&arguments, unit);
    Append(&arguments, "replace");
    absl::Status stopped = RunJob(std::move(call), absl::StrCat("stop ", unit));
    if (absl::IsNotFound(stopped)) return absl::OkStatus();
    RETURN_IF_ERROR(stopped);
    return ForgetFailure(unit);
  }

  absl::Status ForgetFailure(const std::string& unit) override {
    Message call = Call("ResetFailedUnit");
    DBusMessageIter arguments;
    dbus_message_iter_init_append(call.get(), &arguments);
    Append(&arguments, unit);
    absl::Status forgotten = Send(std::move(call), absl::StrCat("reset ", unit)).status();
    return absl::IsNotFound(forgotten) ? absl::OkStatus() : forgotten;
  }

 private:
  static Message Call(const char* method) {
    Message call(dbus_message_new_method_call(kService, kPath, kManager, method));
    Must(call != nullptr);
    return call;
  }

  absl::StatusOr<Message> Send(Message call, const std::string& what, int timeout_ms = kTimeoutMs) {
    Error error;
    Message reply(dbus_connection_send_with_reply_and_block(connection_, call.get(), timeout_ms,
                                                            error.get()));
    if (reply == nullptr) return error.ToStatus(what);
    return reply;
  }

  absl::Status RunJob(Message call, const std::string& what) {
    ASSIGN_OR_RETURN(Message reply, Send(std::move(call), what));
    Error error;
    const char* job = nullptr;
    if (!dbus_message_get_args(reply.get(), error.get(), DBUS_TYPE_OBJECT_PATH, &job,
                               DBUS_TYPE_INVALID)) {
      return error.ToStatus(what);
    }
    for (int64_t deadline = MonotonicMs() + kTimeoutMs; MonotonicMs() < deadline;) {
      Message message(dbus_connection_pop_message(connection_));
      if (message == nullptr) {
        if (!dbus_connection_read_write(connection_, 1000)) {
          return absl::UnavailableError(absl::StrCat("systemd: ", what, ": it hung up"));
        }
        continue;
      }
      if (!dbus_message_is_signal(message.get(), kManager, "JobRemoved")) continue;
      dbus_uint32_t id = 0;
      const char *path = nullptr, *unit = nullptr, *result = nullptr;
      Error ill_formed;
      if (!dbus_message_get_args(message.get(), ill_formed.get(), DBUS_TYPE_UINT32, &id,
                                 DBUS_TYPE_OBJECT_PATH, &path, DBUS_TYPE_STRING, &unit,
                                 DBUS_TYPE_STRING, &result, DBUS_TYPE_INVALID)) {
        continue;
      }
      if (std::string(path) != job) continue;
      if (std::string(result) == "done") return absl::OkStatus();
      return absl::FailedPreconditionError(
          absl::StrCat("systemd: ", what, ": its job ended as \"", result, "\""));
    }
    return absl::DeadlineExceededError(absl::StrCat("systemd: ", what, ": not in time"));
  }

  DBusConnection* const connection_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<Units>> ConnectToSystemd() {
  // What we start must not find SIGPIPE ignored.
  dbus_connection_set_change_sigpipe(FALSE);
  Error no_bus;
  bool on_bus = true;
  DBusConnection* connection = dbus_bus_get_private(DBUS_BUS_SYSTEM, no_bus.get());
  if (connection == nullptr) {
    on_bus = false;
    Error error;
    connection = dbus_connection_open_private(kPrivate, error.get());
    if (connection == nullptr) {
      absl::Status why = error.ToStatus("connect");
      return absl::UnavailableError(absl::StrCat(why.message(), "; is it running here?"));
    }
  }
  dbus_connection_set_exit_on_disconnect(connection, FALSE);
  auto units = std::make_unique<DbusUnits>(connection);
  if (!on_bus) RETURN_IF_ERROR(units->Knock());
  RETURN_IF_ERROR(units->Subscribe(on_bus));
  return std::unique_ptr<Units>(std::move(units));
}

}  // namespace darse::systemd
