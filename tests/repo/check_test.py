"""Each rule of check.py finds what it is for and leaves the rest alone."""

import importlib.util
import pathlib

import pytest

spec = importlib.util.spec_from_file_location("check", pathlib.Path(__file__).with_name("check.py"))
check = importlib.util.module_from_spec(spec)
spec.loader.exec_module(check)


def violations(tmp_path, rule, files):
    for name, text in files.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return [v.file for v in rule(check.Tree(tmp_path, files))]


GRPC = "#include <grpcpp/grpcpp.h>\n"
OPEN_END = "// TO" + "DO"


@pytest.mark.parametrize("rule, path, text", [
    (check.libraries_know_no_service, "libs/os/a.cc", '#include "services/runtime/a.h"\n'),
    (check.libraries_know_no_service, "libs/os/a.cc", '#include "darse/runtime/v1/a.pb.h"\n'),
    (check.libraries_know_no_service, "libs/os/BUILD.bazel", 'deps = ["//services/runtime:a"]\n'),
    (check.services_know_only_protos_of_others, "services/builder/a.cc", '#include "services/runtime/a.h"\n'),
    (check.libraries_keep_their_levels, "libs/os/a.cc", '#include "libs/sqlite/a.h"\n'),
    (check.libraries_keep_their_levels, "libs/unheard/a.cc", ""),
    (check.names_say_something, "libs/os/path_util.cc", ""),
    (check.names_say_something, "libs/os/path_util_test.cc", ""),
    (check.names_say_something, "services/runtime/common/a.cc", ""),
    (check.names_say_something, "libs/os/a.h", "class PathManager final {\n"),
    (check.services_get_time_and_environment_from_main, "services/runtime/a.cc", 'getenv("A");\n'),
    (check.grpc_stays_in_adaptors, "services/runtime/container/container_engine.cc", GRPC),
    (check.grpc_stays_in_adaptors, "libs/os/a.h", '#include "darse/runtime/v1/a.grpc.pb.h"\n'),
    (check.no_tabs, "README.md", "a\tb\n"),
    (check.no_machine_paths, "tools/a", "cd /" + "work/here\n"),
    (check.open_ends_have_an_issue, "libs/os/a.cc", OPEN_END + ": later\n"),
])
def test_is_a_violation(tmp_path, rule, path, text):
    assert violations(tmp_path, rule, {path: text}) == [path]


@pytest.mark.parametrize("rule, path, text", [
    (check.libraries_know_no_service, "libs/rpc/a.cc", '#include "darse/runtime/v1/a.pb.h"\n'),
    (check.libraries_know_no_service, "libs/os/BUILD.bazel", '["//services/runtime:__subpackages__"]\n'),
    (check.libraries_know_no_service, "libs/os/BUILD.bazel", 'load("//tools/build:defs.bzl", "darse_cc_test")\n'),
    (check.services_know_only_protos_of_others, "services/builder/a.cc", '#include "darse/runtime/v1/a.pb.h"\n'),
    (check.libraries_keep_their_levels, "libs/sqlite/a.cc", '#include "libs/os/a.h"\n'),
    (check.names_say_something, "libs/base/status_macros.h", "class UndoStack {\n"),
    (check.services_get_time_and_environment_from_main, "services/runtime/main.cc", 'getenv("A");\n'),
    (check.grpc_stays_in_adaptors, "services/runtime/rpc/container_rpc.cc", GRPC),
    (check.grpc_stays_in_adaptors, "services/builder/runtime_client.h", GRPC),
    (check.no_tabs, "libs/os/testdata/a", "a\tb\n"),
    (check.no_machine_paths, "libs/os/a.cc", 'upper + "x/work/index"\n'),
    (check.open_ends_have_an_issue, "libs/os/a.cc", OPEN_END + "(#7): later\n"),
])
def test_is_fine(tmp_path, rule, path, text):
    assert violations(tmp_path, rule, {path: text}) == []


def test_finds_a_circle(tmp_path):
    files = {"libs/os/a.h": '#include "libs/json/a.h"\n', "libs/json/a.h": '#include "libs/os/a.h"\n'}
    assert len(violations(tmp_path, check.libraries_have_no_circle, files)) == 1
