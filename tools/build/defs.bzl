"""Macros for every BUILD file in Darse.

darse_cc_library, darse_cc_binary, darse_cc_test, darse_cc_fuzz_test: cc_* with the warnings that our
own code is held to. darse_proto, darse_grpc: C++ from .proto files.
"""

load("//tools/build:proto.bzl", "proto_code")

_COPTS = [
    "-Wall",
    "-Wextra",
    "-Werror",
    # Wrong about absl::StatusOr and std::optional in g++ 12 at -O2.
    "-Wno-maybe-uninitialized",
    # Options structs are filled with designated initialisers; the rest keeps its defaults.
    "-Wno-missing-field-initializers",
    # rapidjson's iterators have an operator== that C++20 could turn round; the other one is meant.
    "-Wno-ambiguous-reversed-operator",
    # clang and g++ each do not know some of these.
    "-Wno-unknown-warning-option",
]

def darse_cc_library(name, copts = [], **kwargs):
    native.cc_library(
        name = name,
        copts = _COPTS + copts,
        linkstatic = True,
        **kwargs
    )

def darse_cc_binary(name, static = False, copts = [], linkopts = [], **kwargs):
    """A program; libstdc++ and all of //third_party that has an archive are linked into it.

    Args:
      name: of the program.
      static: link libc too. getaddrinfo then loads NSS modules at run time, which must be of the same
        libc; gRPC looks names up with c-ares and does not need them.
      copts: added to the ones common to Darse.
      linkopts: added to the ones common to Darse.
      **kwargs: as for cc_binary.
    """
    inside = ["-static"] if static else [
        "-static-libgcc",
        "-l:libstdc++.a",
        # The toolchain adds -lstdc++ at the end; the archive has then answered for it already.
        "-Wl,--as-needed",
    ]
    native.cc_binary(
        name = name,
        copts = _COPTS + copts,
        linkopts = linkopts + select({
            "//tools/build:sanitize": [],
            "//conditions:default": inside,
        }),
        **kwargs
    )

def darse_cc_test(name, srcs = None, deps = [], copts = [], size = "small", **kwargs):
    """A GoogleTest program with a main; `srcs` is `<name>.cc` unless given."""
    native.cc_test(
        name = name,
        srcs = srcs or [name + ".cc"],
        size = size,
        copts = _COPTS + copts,
        linkstatic = True,
        deps = deps + ["//third_party:gtest_main"],
        **kwargs
    )

def darse_cc_fuzz_test(name, srcs = None, deps = [], copts = [], tags = [], **kwargs):
    """A libFuzzer program; builds only with --config=fuzz. `srcs` is `<name>.cc` unless given."""
    native.cc_binary(
        name = name,
        srcs = srcs or [name + ".cc"],
        testonly = True,
        copts = _COPTS + copts,
        linkopts = select({
            "//tools/build:fuzz": ["-fsanitize=fuzzer"],
            "//conditions:default": [],
        }),
        tags = tags + ["manual"],
        deps = deps,
        **kwargs
    )

def _of(label, suffix):
    if ":" in label:
        return label + suffix
    return label + ":" + label.split("/")[-1] + suffix

def _messages(name, srcs, deps, visibility):
    proto_code(
        name = name,
        srcs = srcs,
        deps = deps,
        visibility = visibility,
    )
    native.filegroup(
        name = name + "_pb_srcs",
        srcs = [name],
        output_group = "srcs",
        visibility = ["//visibility:private"],
    )
    native.filegroup(
        name = name + "_pb_hdrs",
        srcs = [name],
        output_group = "hdrs",
        visibility = ["//visibility:private"],
    )

def darse_proto(name, srcs, deps = [], visibility = ["//visibility:public"]):
    """Messages only. Makes `<name>` for other protos and `<name>_cc` for C++.

    Args:
      name: of the target, and the stem of the C++ one.
      srcs: .proto files of this package, which lies under //protos.
      deps: other darse_proto or darse_grpc targets, by `<name>`.
      visibility: of both targets.
    """
    _messages(name, srcs, deps, visibility)
    native.cc_library(
        name = name + "_cc",
        srcs = [name + "_pb_srcs"],
        hdrs = [name + "_pb_hdrs"],
        copts = ["-w"],
        linkstatic = True,
        visibility = visibility,
        deps = [_of(dep, "_pb_cc") for dep in deps] + ["//protos:import_root", "//third_party:protobuf"],
    )
    native.alias(
        name = name + "_pb_cc",
        actual = name + "_cc",
        visibility = visibility,
    )

def darse_grpc(name, srcs, services = None, deps = [], visibility = ["//visibility:public"]):
    """Messages and gRPC stubs.

    Makes `<name>` for other protos, `<name>_cc` for C++ with stubs and messages, and `<name>_pb_cc`
    with the messages alone, which compiles and links without gRPC.

    Args:
      name: of the target, and the stem of the C++ ones.
      srcs: all .proto files of this package, which lies under //protos.
      services: those of `srcs` that define a service; all of them unless given. Only they get a
        .grpc.pb.h, and each costs seconds to compile.
      deps: other darse_proto or darse_grpc targets, by `<name>`.
      visibility: of all targets.
    """
    _messages(name, srcs, deps, visibility)
    native.cc_library(
        name = name + "_pb_cc",
        srcs = [name + "_pb_srcs"],
        hdrs = [name + "_pb_hdrs"],
        copts = ["-w"],
        linkstatic = True,
        visibility = visibility,
        deps = [_of(dep, "_pb_cc") for dep in deps] + ["//protos:import_root", "//third_party:protobuf"],
    )
    proto_code(
        name = name + "_grpc",
        srcs = services or srcs,
        # The messages of this target may be imported by its services.
        deps = [name],
        grpc = True,
        visibility = ["//visibility:private"],
    )
    native.filegroup(
        name = name + "_grpc_srcs",
        srcs = [name + "_grpc"],
        output_group = "srcs",
        visibility = ["//visibility:private"],
    )
    native.filegroup(
        name = name + "_grpc_hdrs",
        srcs = [name + "_grpc"],
        output_group = "hdrs",
        visibility = ["//visibility:private"],
    )
    native.cc_library(
        name = name + "_cc",
        srcs = [name + "_grpc_srcs"],
        hdrs = [name + "_grpc_hdrs"],
        copts = ["-w"],
        linkstatic = True,
        visibility = visibility,
        deps = [":" + name + "_pb_cc", "//protos:import_root", "//third_party:grpc"],
    )
