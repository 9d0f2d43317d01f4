#include "services/runtime/images/bootstrap_clean.h"

#include <sys/stat.h>

#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "libs/base/status_macros.h"
#include "libs/os/files.h"

namespace darse::runtime {
namespace {

// Emptied; the directories stay.
constexpr const char* kEmptied[] = {"dev",
                                    "proc",
                                    "sys",
                                    "run",
                                    "tmp",
                                    "var/tmp",
                                    "var/log/apt",
                                    "var/lib/apt/lists",
                                    "var/cache/apt/archives"};

constexpr const char* kRemoved[] = {
    // of this machine
    "etc/resolv.conf", "etc/hostname", "etc/machine-id", "var/lib/dbus/machine-id", "etc/hosts",
    // of this day
    "var/log/bootstrap.log", "var/log/dpkg.log", "var/log/alternatives.log", "var/log/faillog",
    "var/log/lastlog", "var/cache/ldconfig/aux-cache", "var/cache/apt/pkgcache.bin",
    "var/cache/apt/srcpkgcache.bin", "debootstrap",
    // backups of what is there as well
    "etc/passwd-", "etc/group-", "etc/shadow-", "etc/gshadow-", "var/lib/dpkg/status-old",
    "var/lib/dpkg/available-old", "var/lib/dpkg/diversions-old", "var/lib/dpkg/statoverride-old",
    "var/cache/debconf/config.dat-old", "var/cache/debconf/templates.dat-old"};

// A layer is the only copy: downloads are not kept, lists stay compressed, no daemon starts when
// its package is installed, and dpkg need not sync what a commit makes durable.
constexpr char kAptConf[] =
    "APT::Keep-Downloaded-Packages \"false\";\n"
    "APT::AutoRemove::SuggestsImportant \"false\";\n"
    "Acquire::Languages \"none\";\n"
    "Acquire::GzipIndexes \"true\";\n"
    "DPkg::Post-Invoke { \"rm -f /var/cache/apt/archives/*.deb /var/cache/apt/*.bin || true\"; };\n"
    "Dir::Cache::pkgcache \"\";\n"
    "Dir::Cache::srcpkgcache \"\";\n";
constexpr char kDpkgConf[] = "force-unsafe-io\n";
constexpr char kPolicy[] = "#!/bin/sh\nexit 101\n";

absl::Status Write(const std::string& path, absl::string_view bytes, mode_t mode) {
  return WriteFileVolatile(path, bytes, mode);
}

}  // namespace

absl::Time ReleaseDate(const std::string& root, absl::Time fallback) {
  std::string lists = absl::StrCat(root, "/var/lib/apt/lists");
  absl::StatusOr<std::vector<std::string>> names = ListDirectory(lists);
  if (!names.ok()) return fallback;
  for (const std::string& name : *names) {
    if (!absl::EndsWith(name, "Release")) continue;
    absl::StatusOr<std::string> text = ReadFile(JoinPath(lists, name));
    if (!text.ok()) continue;
    for (absl::string_view line : absl::StrSplit(*text, '\n')) {
      absl::Time date;
      if (absl::ConsumePrefix(&line, "Date: ") &&
          absl::ParseTime("%a, %d %b %Y %H:%M:%S UTC", line, &date, nullptr)) {
        return date;
      }
    }
  }
  return fallback;
}

absl::Status CleanBootstrap(const std::string& root, absl::string_view sources_list) {
  for (const char* directory : kEmptied) {
    std::string path = JoinPath(root, directory);
    if (!Exists(path)) continue;
    ASSIGN_OR_RETURN(std::vector<std::string> names, ListDirectory(path));
    for (const std::string& name : names) RETURN_IF_ERROR(RemoveTree(JoinPath(path, name)));
  }
  for (const char* path : kRemoved) RETURN_IF_ERROR(RemoveTree(JoinPath(root, path)));
  RETURN_IF_ERROR(MakeDirectories(JoinPath(root, "var/lib/apt/lists/partial")));
  RETURN_IF_ERROR(MakeDirectories(JoinPath(root, "var/cache/apt/archives/partial")));
  RETURN_IF_ERROR(Write(JoinPath(root, "etc/apt/sources.list"), sources_list, 0644));
  RETURN_IF_ERROR(Write(JoinPath(root, "etc/apt/apt.conf.d/container"), kAptConf, 0644));
  RETURN_IF_ERROR(Write(JoinPath(root, "etc/dpkg/dpkg.cfg.d/container"), kDpkgConf, 0644));
  return Write(JoinPath(root, "usr/sbin/policy-rc.d"), kPolicy, 0755);
}

}  // namespace darse::runtime
