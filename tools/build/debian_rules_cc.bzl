"""rules_cc from Debian's bazel-rules-cc, adapted to the Bazel that Debian ships beside it.

The package calls use_cpp_toolchain(), which Bazel 4.2.3 does not have; the toolchain type it stands
for is written out instead.
"""

_SOURCE = "/usr/share/bazel/rules/cc"

def _debian_rules_cc_impl(ctx):
    copied = ctx.execute(["cp", "-r", _SOURCE + "/.", str(ctx.path("."))])
    if copied.return_code != 0:
        fail("copying %s: %s" % (_SOURCE, copied.stderr))
    found = ctx.execute(["grep", "-rl", "--include=*.bzl", "use_cpp_toolchain", "."])
    for file in found.stdout.splitlines():
        patched = ctx.execute(["sed", "-i", "-e", _CALL, "-e", _LOAD, file])
        if patched.return_code != 0:
            fail("patching %s: %s" % (file, patched.stderr))

_CALL = "s|use_cpp_toolchain()|[\"@bazel_tools//tools/cpp:toolchain_type\"]|"
_LOAD = "s|, \"use_cpp_toolchain\"||"

debian_rules_cc = repository_rule(implementation = _debian_rules_cc_impl, local = False)
