"""libdbus-1-dev, whose headers lie in two directories of its own, one of them named after the machine."""

_BUILD = """
cc_library(
    name = "headers",
    hdrs = glob(["include/dbus/*.h", "arch/dbus/*.h"]),
    includes = ["arch", "include"],
    visibility = ["//visibility:public"],
)
"""

def _debian_dbus(repository_ctx):
    found = repository_ctx.execute(["sh", "-c", "echo /usr/lib/*/dbus-1.0/include"])
    repository_ctx.symlink(found.stdout.strip(), "arch")
    repository_ctx.symlink("/usr/include/dbus-1.0", "include")
    repository_ctx.file("BUILD.bazel", _BUILD)

debian_dbus = repository_rule(
    implementation = _debian_dbus,
    local = True,
)
