"""What `inspect` shows of a component or a module, as text and as data."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from sandbox.component import Export, Facts, Import, Inner, Inside, MemoryKind, ModuleFacts
from sandbox.preview1 import FUNCTIONS, MODULE
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


def module(*functions: str, foreign: tuple[Import, ...] = (), memory: MemoryKind = "plain", **changes: Any) -> Facts:
    """A module that imports functions of preview 1, and what else is ``foreign``."""
    values: dict[str, Any] = {
        "kind": "module",
        "imports": (*(Import(name=name, kind="func", module=MODULE) for name in functions), *foreign),
        "exports": (Export(name="memory", kind="memory"), Export(name="_start", kind="func")),
        "module": ModuleFacts(memory=memory, start=False),
    }
    return facts(**(values | changes))


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
                Import(name="cyber:payments/auth@1.0.0", kind="func"),
                Import(name="wasi:cli/stdout@0.3.0", kind="instance"),
                Import(name="cyber:payments/auth@1.0.0", kind="instance"),
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
  cyber:payments/auth@1.0.0  imports  another component of its policy can serve it, if that says so

It cannot run here:
  cyber:payments/auth@1.0.0: it is not part of WASI; another component can serve it, by `imports` of the policy
  wasi:cli/stdout@0.3.0: it is of version 0.3.0; only releases of WASI 0.2 are served (0.2.0, 0.2.1, ...)
"""
    )


def test_a_module_of_preview_1() -> None:
    """A module shows the functions that it imports, a line a family, with what they are for."""
    shown = inspect_text(
        module(
            *("proc_exit", "random_get", "fd_write", "clock_time_get", "fd_close", "environ_sizes_get"),
            *("environ_get", "poll_oneoff", "path_unlink_file", "path_open", "fd_read", "args_get", "fd_read"),
        )
    )
    assert (
        shown
        == f"""\
{DIGEST}  filesystem, stdio, environment, arguments, clocks, random
app.wasm: a module of WASI preview 1, a command (_start), 21724 bytes

imports, what a policy grants them under, what they are for
  filesystem   opens, reads, changes, lists and removes files: path_open, path_unlink_file
  stdio        reads and writes the standard streams, and what it opened: fd_read, fd_write
  environment  reads all environment variables: environ_get, environ_sizes_get
  arguments    reads its arguments: args_get
  clocks       reads clocks and waits: clock_time_get, poll_oneoff
  random       takes secure random numbers, for keys among others: random_get
  -            reaches nothing by itself: fd_close, proc_exit

It can run here.
"""
    )


def test_every_function_of_preview_1_stands_in_one_line() -> None:
    """Nothing that a module may import is left out, and each function is named once."""
    lines = inspect_text(module(*FUNCTIONS)).splitlines()
    rows = lines[lines.index("imports, what a policy grants them under, what they are for") + 1 :]
    shown = [name for row in rows[: rows.index("")] for name in row.partition(": ")[2].split(", ")]
    assert shown == list(FUNCTIONS)


def test_a_reactor_and_its_functions() -> None:
    """A module that is called shows its functions; sockets are told to be beyond every grant."""
    exports = (*(Export(name=name, kind="func") for name in ("_initialize", "add", "x\x1b")), Export("t", "table"))
    shown = inspect_text(module("fd_write", "sock_send", "sock_recv", exports=exports, size=1))
    assert (
        shown
        == f"""\
{DIGEST}  stdio, sockets
app.wasm: a module of WASI preview 1, a reactor (_initialize), 1 byte

imports, what a policy grants them under, what they are for
  stdio    writes standard output, standard error and open files: fd_write
  sockets  uses sockets that its host opened: sock_recv, sock_send

exports that can be called
  add
  x\\x1b

No grant serves sock_recv, sock_send: a module cannot open a socket.

It can run here, by `sandbox call`.
"""
    )


def test_modules_without_wasi() -> None:
    """A module that imports nothing needs no WASI; one that does nothing either is told to be so."""
    exports = (Export(name="memory", kind="memory"), Export(name="add", kind="func"))
    assert (
        inspect_text(module(exports=exports, memory="64-bit"))
        == f"""\
{DIGEST}  asks for nothing
app.wasm: a module without WASI, no command, 21724 bytes

exports that can be called
  add

It can run here, by `sandbox call`.
"""
    )
    assert (
        inspect_text(module(exports=(), memory="none"))
        == f"""\
{DIGEST}  asks for nothing
app.wasm: a module without WASI, no command, 21724 bytes

It exports nothing that can be run or called.
"""
    )


def test_a_module_that_cannot_run() -> None:
    """What nothing serves is named up to a few, and the first reason is told beside what is wrong with the memory."""
    foreign = (
        Import(name="f\n", kind="func", module="env"),
        Import(name="fd_write", kind="func", module="wasi_unstable"),
        *(Import(name=f"sock_{n}", kind="func", module=MODULE) for n in range(5)),
    )
    assert (
        inspect_text(module("fd_close", foreign=foreign, memory="none"))
        == f"""\
{DIGEST}  asks for nothing
app.wasm: a module of WASI preview 1, a command (_start), 21724 bytes

imports, what a policy grants them under, what they are for
  -        closes what is open: fd_close
  refused  'env.f\\n', wasi_unstable.fd_write, {", ".join(f"{MODULE}.sock_{n}" for n in range(3))}, and 2 more

It cannot run here:
  it imports 'env.f\\n' (and 6 more that nothing serves): env is what another host gives (a page for Emscripten, say), \
or what the linker did not find; rebuild it for wasm32-wasip1 with everything linked in
  it exports no memory by the name of `memory`, which WASI preview 1 reads and writes; export its memory
"""
    )
    lines = inspect_text(module(foreign=foreign[:2], exports=())).splitlines()
    assert lines[1] == "app.wasm: a core module, no command, 21724 bytes"
    assert lines[4] == "  refused  'env.f\\n', wasi_unstable.fd_write"


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
                "component": False,
            },
            {
                "module": None,
                "name": "host",
                "kind": "func",
                "families": [],
                "capabilities": [],
                "meaning": None,
                "refused": "it is not the name of an interface, and only interfaces of WASI 0.2 are served",
                "component": False,
            },
        ],
        "exports": [{"name": "wasi:cli/run@0.2.3", "kind": "instance"}],
        "inside": {"components": [], "complete": True},
        "module": None,
    }


def test_the_data_of_a_module() -> None:
    """A module's imports have their two names; what is true of modules alone, and why one cannot run, stands apart."""
    unstable = "wasi_unstable is the snapshot before preview 1; rebuild it for wasm32-wasip1"
    shown = module(
        "path_readlink",
        foreign=(Import(name="fd_write", kind="func", module="wasi_unstable"),),
        exports=(Export(name="_initialize", kind="func"), Export(name="add", kind="func")),
        memory="shared",
    )
    assert inspect_data(shown) == {
        "path": "app.wasm",
        "kind": "module",
        "size": 21724,
        "digest": DIGEST,
        "command": None,
        "families": ["filesystem"],
        "capabilities": ["filesystem.read"],
        "imports": [
            {
                "module": "wasi_snapshot_preview1",
                "name": "path_readlink",
                "kind": "func",
                "families": ["filesystem"],
                "capabilities": ["filesystem.read"],
                "meaning": "reads where a symbolic link points",
                "refused": None,
                "component": False,
            },
            {
                "module": "wasi_unstable",
                "name": "fd_write",
                "kind": "func",
                "families": [],
                "capabilities": [],
                "meaning": None,
                "refused": unstable,
                "component": False,
            },
        ],
        "exports": [{"name": "_initialize", "kind": "func"}, {"name": "add", "kind": "func"}],
        "inside": {"components": [], "complete": True},
        "module": {
            "memory": "shared",
            "start": False,
            "initialize": True,
            "callable": ["add"],
            "refused": [
                f"imports wasi_unstable.fd_write: {unstable}",
                ("exports a memory that threads share, and WASI preview 1 knows no threads; rebuild it without them"),
            ],
        },
    }


AUTH = Inner(
    size=100,
    digest=DIGEST,
    imports=(
        Import(name="wasi:filesystem/types@0.2.3", kind="instance"),
        Import(name="wasi:io/error@0.2.3", kind="instance"),
    ),
    exports=(Export(name="bank:payments/auth@1.0.0", kind="instance"),),
    inner=(),
)
BROKEN = Inner(size=1, digest=DIGEST, imports=(), exports=(), inner=(), error="a \x1b name")
BANK = Inner(
    size=2000,
    digest=DIGEST,
    imports=tuple(Import(name=f"bank:payments/a{n}", kind="instance") for n in range(7)),
    exports=(Export(name="pay\x1b", kind="func"),),
    inner=(AUTH, BROKEN),
)


def test_components_inside() -> None:
    """Each has its place, its digest, what it asks for, what others serve it and what it exports."""
    shown = inspect_text(facts(imports=(), exports=()), Inside(components=(BANK, AUTH), complete=False))
    assert (
        shown
        == f"""\
{DIGEST}  asks for nothing
app.wasm: a component without a command to run, 21724 bytes

components inside, to all of which a policy grants alike
  1  {DIGEST}, 2000 bytes
     asks for nothing
     imports bank:payments/a0, bank:payments/a1, bank:payments/a2, bank:payments/a3, bank:payments/a4 and 2 more
     exports pay\\x1b
  1.1  {DIGEST}, 100 bytes
     asks for filesystem
     exports bank:payments/auth@1.0.0
  1.2  {DIGEST}, 1 byte
     cannot be decoded: a \\x1b name
  2  {DIGEST}, 100 bytes
     asks for filesystem
     exports bank:payments/auth@1.0.0
  and others, too many or too deep to be listed
"""
    )


def test_very_many_components_inside() -> None:
    """The text has fifty of them and says how many there are; the data has all."""
    inside = Inside(components=(AUTH,) * 60, complete=True)
    lines = inspect_text(facts(), inside).splitlines()
    assert len([line for line in lines if DIGEST in line]) == 51
    assert "  and 10 more, which the JSON has" in lines
    data = inspect_data(facts(), inside)["inside"]
    assert isinstance(data, dict)
    assert len(data["components"]) == 60


def test_the_data_of_components_inside() -> None:
    """They are nested as they are in the file, names whole."""
    (data,) = [inspect_data(facts(), Inside(components=(BANK,), complete=False))["inside"]]
    broken = {"size": 1, "digest": DIGEST, "imports": [], "exports": [], "components": [], "error": "a \x1b name"}
    auth = {
        "size": 100,
        "digest": DIGEST,
        "imports": [
            {"name": "wasi:filesystem/types@0.2.3", "kind": "instance"},
            {"name": "wasi:io/error@0.2.3", "kind": "instance"},
        ],
        "exports": [{"name": "bank:payments/auth@1.0.0", "kind": "instance"}],
        "components": [],
        "error": None,
    }
    bank = {
        "size": 2000,
        "digest": DIGEST,
        "imports": [{"name": f"bank:payments/a{n}", "kind": "instance"} for n in range(7)],
        "exports": [{"name": "pay\x1b", "kind": "func"}],
        "components": [auth, broken],
        "error": None,
    }
    assert data == {"components": [bank], "complete": False}


def test_a_component_that_needs_others() -> None:
    """Imports that other components can serve are no reason why it could not run; they are told at the end."""
    imports = tuple(Import(name=f"bank:payments/a{n}@1.0.0", kind="instance") for n in range(7))
    shown = inspect_text(facts(imports=(*imports[:1], Import(name="wasi:cli/stdout@0.2.0", kind="instance"))))
    assert (
        shown
        == f"""\
{DIGEST}  stdio
app.wasm: a command (wasi:cli/run@0.2.3), 21724 bytes

imports, what a policy grants them under, what they are for
  bank:payments/a0@1.0.0  imports  another component of its policy can serve it, if that says so
  wasi:cli/stdout@0.2.0   stdio    writes standard output

exports
  wasi:cli/run@0.2.3  instance

By itself it cannot run. Its policy names the components that serve bank:payments/a0@1.0.0; types need none.
"""
    )
    last = inspect_text(facts(imports=imports)).splitlines()[-1]
    named = ", ".join(f"bank:payments/a{n}@1.0.0" for n in range(5))
    served = f"Its policy names the components that serve {named} and 2 more; types need none."
    assert last == f"By itself it cannot run. {served}"
    data = inspect_data(facts(imports=imports[:1]))["imports"]
    assert data == [
        {
            "module": None,
            "name": "bank:payments/a0@1.0.0",
            "kind": "instance",
            "families": [],
            "capabilities": [],
            "meaning": "another component of its policy can serve it, if that says so",
            "refused": None,
            "component": True,
        }
    ]


@given(st.text(), st.text(), st.text())
def test_any_names_are_shown_safely(path: str, name: str, export: str) -> None:
    """Whatever the names, each line of the text is printable, their number is fixed, and the data is JSON."""
    shown = facts(path=path, imports=(Import(name=name, kind="func"),), exports=(Export(name=export, kind="func"),))
    lines = inspect_text(shown).split("\n")
    assert all(line.isprintable() for line in lines)
    assert [index for index, line in enumerate(lines) if not line] == [2, 5, 8, 11]
    assert json.loads(json.dumps(inspect_data(shown)))["imports"][0]["name"] == name


def test_no_name_is_a_command_to_a_runner() -> None:
    """Modules may call what they import and export anything, and no line is one that a job's log would carry out."""
    shown = inspect_text(module(exports=(Export(name="::error::x", kind="func"), Export(name="##[y]", kind="func"))))
    assert "\n  \\x3a:error::x" in shown
    assert "\n  #\\x23[y]" in shown
    assert "##[" not in shown


@given(st.text(), st.text(), st.text(), st.text())
def test_any_names_of_a_module_are_shown_safely(path: str, first: str, name: str, export: str) -> None:
    """Whatever a module names, each line of the text is printable, their number is fixed, and the data is JSON."""
    shown = module(
        path=path,
        foreign=(Import(name=f"{name}!", kind="func", module=first),),
        exports=(Export(name=f"{export}!", kind="func"),),
    )
    lines = inspect_text(shown).split("\n")
    assert all(line.isprintable() for line in lines)
    assert [index for index, line in enumerate(lines) if not line] == [2, 5, 8, 11]
    assert json.loads(json.dumps(inspect_data(shown)))["imports"][0]["name"] == f"{name}!"
