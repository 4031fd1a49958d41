"""What `inspect` shows of a component, as text and as data."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from sandbox.component import Export, Facts, Import
from sandbox.report.inspect import inspect_data, inspect_text

DIGEST = "sha256:" + "0123456789abcdef" * 4


def facts(**changes: Any) -> Facts:
    values: dict[str, Any] = {
        "path": "app.wasm",
        "kind": "component",
        "size": 21724,
        "digest": DIGEST,
        "imports": (
            Import(name="wasi:io/streams@0.2.3", kind="instance"),
            Import(name="wasi:sockets/tcp@0.2.3", kind="instance"),
            Import(name="wasi:cli/stdout@0.2.0", kind="instance"),
        ),
        "exports": (Export(name="wasi:cli/run@0.2.3", kind="instance"),),
    }
    return Facts(**(values | changes))


def test_a_command() -> None:
    """The first line is the digest and the families; then kind, size, each import with its use, the exports."""
    assert (
        inspect_text(facts())
        == f"""\
{DIGEST}  stdio, sockets
app.wasm: a command (wasi:cli/run@0.2.3), 21724 bytes

imports, what a policy grants them under, what they are for
  wasi:io/streams@0.2.3   -        reads and writes what another interface opened
  wasi:sockets/tcp@0.2.3  sockets  connects to hosts and listens, over TCP
  wasi:cli/stdout@0.2.0   stdio    writes standard output

exports
  wasi:cli/run@0.2.3  instance
"""
    )


def test_a_library_that_asks_for_nothing() -> None:
    """A component without imports says so and shows what it exports."""
    shown = inspect_text(facts(imports=(), exports=(Export(name="cyber:math/operations", kind="instance"),)))
    assert (
        shown
        == f"""\
{DIGEST}  asks for nothing
app.wasm: a component without a command to run, 21724 bytes

exports
  cyber:math/operations  instance
"""
    )


def test_imports_that_nothing_serves() -> None:
    """An import that nothing serves is marked where it stands and explained at the end."""
    shown = inspect_text(
        facts(
            imports=(
                Import(name="cyber:payments/auth@1.0.0", kind="instance"),
                Import(name="wasi:cli/stdout@0.3.0", kind="instance"),
            ),
            exports=(),
        )
    )
    assert (
        shown
        == f"""\
{DIGEST}  asks for nothing
app.wasm: a component without a command to run, 21724 bytes

imports, what a policy grants them under, what they are for
  cyber:payments/auth@1.0.0  refused
  wasi:cli/stdout@0.3.0      refused

It cannot run here:
  cyber:payments/auth@1.0.0: it is not part of WASI, and nothing here serves custom interfaces yet
  wasi:cli/stdout@0.3.0: it is of version 0.3.0; only releases of WASI 0.2 are served (0.2.0, 0.2.1, ...)
"""
    )


def test_a_core_module() -> None:
    """A core module shows its imports by both names and says how to make a component of it."""
    shown = inspect_text(
        facts(
            kind="module",
            size=1,
            imports=(Import(name="fd_write", kind="func", module="wasi_snapshot_preview1"),),
            exports=(Export(name="_start", kind="func"),),
        )
    )
    assert (
        shown
        == f"""\
{DIGEST}  not a component
app.wasm: a core module, 1 byte

imports
  wasi_snapshot_preview1 fd_write  func

exports
  _start  func

It cannot run here as it is: a core module is made into a component with `jco new`.
"""
    )


def test_hostile_names_stay_on_their_line() -> None:
    """File, import and export names cannot act on the terminal, break a line or fill the screen."""
    shown = inspect_text(
        facts(
            path="a\x1b[2J\n.wasm",
            imports=(Import(name="x\nsha256:fake  stdio", kind="func"),),
            exports=(Export(name="e\u202e" + "x" * 200, kind="func"),),
        )
    )
    assert (
        shown
        == f"""\
{DIGEST}  asks for nothing
a\\x1b[2J\\n.wasm: a component without a command to run, 21724 bytes

imports, what a policy grants them under, what they are for
  x\\nsha256:fake  stdio  refused

exports
  e\\u202e{"x" * 90}...  func

It cannot run here:
  x\\nsha256:fake  stdio: it is not the name of an interface, and only interfaces of WASI 0.2 are served
"""
    )


def test_the_data_of_a_command() -> None:
    """The data for JSON has everything that the text has, with names whole and verdicts apart."""
    assert inspect_data(
        facts(
            imports=(
                Import(name="wasi:cli/environment@0.2.3", kind="instance"),
                Import(name="host", kind="func"),
            )
        )
    ) == {
        "path": "app.wasm",
        "kind": "component",
        "size": 21724,
        "digest": DIGEST,
        "command": "wasi:cli/run@0.2.3",
        "families": ["environment", "arguments"],
        "capabilities": ["arguments", "environment"],
        "imports": [
            {
                "module": None,
                "name": "wasi:cli/environment@0.2.3",
                "kind": "instance",
                "families": ["environment", "arguments"],
                "capabilities": ["environment", "arguments"],
                "meaning": "reads all environment variables, the arguments and the working directory",
                "refused": None,
            },
            {
                "module": None,
                "name": "host",
                "kind": "func",
                "families": [],
                "capabilities": [],
                "meaning": None,
                "refused": "it is not the name of an interface, and only interfaces of WASI 0.2 are served",
            },
        ],
        "exports": [{"name": "wasi:cli/run@0.2.3", "kind": "instance"}],
    }


@given(st.text(), st.text(), st.text())
def test_any_names_are_shown_safely(path: str, name: str, export: str) -> None:
    """Whatever the names, each line of the text is printable, their number is fixed, and the data is JSON."""
    shown = facts(path=path, imports=(Import(name=name, kind="func"),), exports=(Export(name=export, kind="func"),))
    lines = inspect_text(shown).split("\n")
    assert all(line.isprintable() for line in lines)
    assert [index for index, line in enumerate(lines) if not line] == [2, 5, 8, 11]
    assert json.loads(json.dumps(inspect_data(shown)))["imports"][0]["name"] == name
