"""Runs Debian's protoc and grpc_cpp_plugin. Used through darse_proto and darse_grpc."""

ProtoSourcesInfo = provider(
    doc = ".proto files that an importer needs",
    fields = {"transitive": "depset of this target's .proto files and those it imports"},
)

_ROOT = "protos"

def _proto_code_impl(ctx):
    if not (ctx.label.package + "/").startswith(_ROOT + "/"):
        fail("%s: .proto files live under //%s" % (ctx.label, _ROOT))
    suffix = ".grpc.pb" if ctx.attr.grpc else ".pb"
    hdrs = []
    srcs = []
    for proto in ctx.files.srcs:
        stem = proto.basename[:-len(".proto")]
        hdrs.append(ctx.actions.declare_file(stem + suffix + ".h"))
        srcs.append(ctx.actions.declare_file(stem + suffix + ".cc"))

    sources = depset(
        ctx.files.srcs,
        transitive = [dep[ProtoSourcesInfo].transitive for dep in ctx.attr.deps],
    )
    out = ctx.bin_dir.path + "/" + _ROOT
    args = ctx.actions.args()
    args.add("-I" + _ROOT)
    args.add("-I/usr/include")
    if ctx.attr.grpc:
        args.add("--plugin=protoc-gen-grpc=/usr/bin/grpc_cpp_plugin")
        args.add("--grpc_out=" + out)
    else:
        args.add("--cpp_out=" + out)
    args.add_all(ctx.files.srcs)
    ctx.actions.run(
        executable = "/usr/bin/protoc",
        arguments = [args],
        inputs = sources,
        outputs = hdrs + srcs,
        mnemonic = "Protoc",
        progress_message = "Generating %s code for %s" % ("gRPC" if ctx.attr.grpc else "message", ctx.label),
        use_default_shell_env = True,
    )
    return [
        DefaultInfo(files = depset(hdrs + srcs)),
        ProtoSourcesInfo(transitive = sources),
        OutputGroupInfo(hdrs = depset(hdrs), srcs = depset(srcs)),
    ]

proto_code = rule(
    implementation = _proto_code_impl,
    attrs = {
        "srcs": attr.label_list(allow_files = [".proto"], mandatory = True),
        "deps": attr.label_list(providers = [ProtoSourcesInfo]),
        "grpc": attr.bool(doc = "stubs instead of messages"),
    },
)
