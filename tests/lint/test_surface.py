"""The capability surface of a component: how it is spelled, and what one version asks for beyond another."""

from __future__ import annotations

from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st
from wasmtime import wat2wasm

from sandbox.component import Export, ExternKind, Facts, Import, Kind, facts_of
from sandbox.lint.surface import (
    Surface,
    export_of,
    import_of,
    infinitive,
    narrowed,
    reshaped,
    surface_of,
    widened,
)
from sandbox.preview1 import FUNCTIONS, MODULE
from sandbox.wasi import known_interfaces

DIGEST = "sha256:" + "0123456789abcdef" * 4


def component(*imports: str, exports: tuple[Export, ...] = ()) -> Surface:
    return surface_of(facts("component", tuple(Import(name=name, kind="instance") for name in imports), exports))


def module(*functions: str, foreign: tuple[Import, ...] = (), exports: tuple[Export, ...] = ()) -> Surface:
    imports = tuple(Import(name=name, kind="func", module=MODULE) for name in functions)
    return surface_of(facts("module", (*imports, *foreign), exports))


def facts(kind: Kind, imports: tuple[Import, ...], exports: tuple[Export, ...] = ()) -> Facts:
    return Facts(path="app.wasm", kind=kind, size=1, digest=DIGEST, imports=imports, exports=exports)


EMPTY = component()
EMPTY_MODULE = module()


def test_what_asks_for_nothing() -> None:
    """A component without imports and exports has an empty surface."""
    assert component() == Surface(kind="component", imports=(), families=(), exports=())


def test_a_component() -> None:
    """Imports and exports are in order, each once; families are in the order of policies; kinds are told apart."""
    text = """(component
      (import "wasi:sockets/tcp@0.2.3" (instance))
      (import "wasi:cli/stdin@0.2.3" (instance))
      (import "wasi:io/poll@0.2.3" (instance))
      (import "f" (func))
      (export "cyber:math/operations" (instance 0))
      (export "g" (func 0)))"""
    assert surface_of(facts_of("app.wasm", bytes(wat2wasm(text)))) == Surface(
        kind="component",
        imports=("func f", "wasi:cli/stdin@0.2.3", "wasi:io/poll@0.2.3", "wasi:sockets/tcp@0.2.3"),
        families=("stdio", "sockets"),
        exports=("func g", "instance cyber:math/operations"),
    )


def test_a_module() -> None:
    """A module's imports have both names; what is no function has its kind before them."""
    text = """(module
      (import "wasi_snapshot_preview1" "fd_read" (func (param i32 i32 i32 i32) (result i32)))
      (import "wasi_snapshot_preview1" "fd_read" (func (param i32 i32 i32 i32) (result i32)))
      (import "env" "memory" (memory 1))
      (import "GOT.func" "f.llvm" (global i32))
      (export "memory" (memory 0)))"""
    assert surface_of(facts_of("app.wasm", bytes(wat2wasm(text)))) == Surface(
        kind="module",
        imports=("global GOT\\x2efunc.f.llvm", "memory env.memory", "wasi_snapshot_preview1.fd_read"),
        families=("stdio",),
        exports=("memory memory",),
    )


def test_hostile_names_are_spelled_in_printable_words() -> None:
    """What a terminal acts on, spaces and letters beyond ASCII are escaped, and so is the backslash."""
    hostile = Import(name="a b\x1b[2J\\\u202e", kind="func", module="m.\n")
    assert module(foreign=(hostile,), exports=(Export("é\0", "func"),)) == Surface(
        kind="module",
        imports=("m\\x2e\\n.a\\x20b\\x1b[2J\\\\\\u202e",),
        families=(),
        exports=("func \\xe9\\x00",),
    )


NAMES = st.text(max_size=8) | st.sampled_from(["wasi:cli/stdin@0.2.3", "fd_read", MODULE, "a.b", "\\x20", "", " "])
SORTS = st.sampled_from(get_args(ExternKind))
EXPORTS = st.lists(st.builds(Export, name=NAMES, kind=SORTS), max_size=3).map(tuple)
FACTS = st.builds(
    facts,
    st.just("component"),
    st.lists(st.builds(Import, name=NAMES, kind=SORTS, module=st.none()), max_size=3).map(tuple),
    EXPORTS,
) | st.builds(
    facts,
    st.just("module"),
    st.lists(st.builds(Import, name=NAMES, kind=SORTS, module=NAMES), max_size=3).map(tuple),
    EXPORTS,
)


@given(FACTS)
def test_names_are_read_back(found: Facts) -> None:
    """Every import and export is read back from its spelling, which is printable ASCII; no two have the same one."""
    surface = surface_of(found)
    assert {import_of(surface.kind, text) for text in surface.imports} == set(found.imports)
    assert {export_of(text) for text in surface.exports} == set(found.exports)
    assert len(surface.imports) == len(set(found.imports))
    assert len(surface.exports) == len(set(found.exports))
    assert all(text.isascii() and text.isprintable() for text in (*surface.imports, *surface.exports))


@given(st.sampled_from(["component", "module"]), st.text(st.sampled_from("ab. \\x2e0Uu1\nné\ud800func"), max_size=12))
def test_other_spellings_are_refused(kind: Kind, text: str) -> None:
    """A text is the spelling of the import or export that is read from it, or it is refused."""
    try:
        item = import_of(kind, text)
    except ValueError:
        pass
    else:
        assert surface_of(facts(kind, (item,))).imports == (text,)
    try:
        exported = export_of(text)
    except ValueError:
        pass
    else:
        assert surface_of(facts(kind, (), (exported,))).exports == (text,)


@given(FACTS, FACTS)
def test_what_is_gained_is_what_the_other_loses(one: Facts, other: Facts) -> None:
    """Nothing is gained over itself; and what one has beyond the other is lost on the way back."""
    old, new = surface_of(one), surface_of(other)
    assert (widened(old, old), narrowed(old, old), reshaped(old, old)) == ((), (), ())
    gained = [
        text.replace("could now", "can no longer").replace("now imports", "no longer imports")
        for text in widened(old, new)
    ]
    assert gained == list(narrowed(new, old))


def test_a_new_interface() -> None:
    """Each interface that gives authority is told with what it is for, in the order of families."""
    old = component("wasi:cli/stdout@0.2.3")
    new = component("wasi:cli/stdout@0.2.3", "wasi:sockets/tcp@0.2.3", "wasi:cli/stdin@0.2.3", "wasi:io/poll@0.2.3")
    assert widened(old, new) == (
        "could now read standard input (wasi:cli/stdin)",
        "could now connect to hosts and listen, over TCP (wasi:sockets/tcp)",
    )
    assert narrowed(old, new) == ()
    assert narrowed(new, old) == (
        "can no longer read standard input (wasi:cli/stdin)",
        "can no longer connect to hosts and listen, over TCP (wasi:sockets/tcp)",
    )


def test_a_patch_version_is_no_change() -> None:
    """An interface of WASI 0.2 is the same in every patch version, imported or exported."""
    run = (Export("wasi:cli/run@0.2.3", "instance"),)
    later = (Export("wasi:cli/run@0.2.10", "instance"),)
    old, new = component("wasi:cli/stdin@0.2.3", exports=run), component("wasi:cli/stdin@0.2.10", exports=later)
    assert (widened(old, new), narrowed(old, new), reshaped(old, new)) == ((), (), ())


def test_what_nothing_serves_is_compared_whole() -> None:
    """Another version of what is no WASI 0.2 is another import."""
    old = component("wasi:http/types@0.3.0", "wasi:cli/stdin@0.2.3")
    new = component("wasi:http/types@0.3.1", "wasi:cli/stdin@0.3.0")
    assert widened(old, new) == ("now imports wasi:cli/stdin@0.3.0, wasi:http/types@0.3.1, which nothing serves",)
    assert narrowed(old, new) == (
        "can no longer read standard input (wasi:cli/stdin)",
        "no longer imports wasi:http/types@0.3.0, which nothing serves",
    )


@pytest.mark.parametrize(
    ("before", "after", "more"),
    [
        ((), ("bank:payments/notify",), ("bank:payments/notify",)),
        ((), ("a:b/c@1.0.0", "bank:payments/notify@2.1.0"), ("a:b/c@1.0.0", "bank:payments/notify@2.1.0")),
        (("a:b/c@1.0.0",), ("a:b/c@1.0.1",), ()),
        (("a:b/c@1.2.0",), ("a:b/c@1.0.1",), ()),
        (("a:b/c@1.0.0",), ("a:b/c@2.0.0",), ("a:b/c@2.0.0",)),
        (("a:b/c@0.1.0",), ("a:b/c@0.2.0",), ("a:b/c@0.2.0",)),
        (("a:b/c@1.0.0",), ("a:b/d@1.0.0",), ("a:b/d@1.0.0",)),
        (("a:b/c@1.0.0",), ("a:b/c",), ("a:b/c",)),
    ],
)
def test_what_other_components_serve(before: tuple[str, ...], after: tuple[str, ...], more: tuple[str, ...]) -> None:
    """An import that another component can serve is something to call; a compatible version of it is no other one."""
    old, new = component(*before), component(*after)
    expected = (f"could now call {', '.join(more)} of another component",) if more else ()
    assert widened(old, new) == expected
    lost = tuple(sentence.replace("could now", "can no longer") for sentence in expected)
    assert narrowed(new, old) == lost


def test_only_an_interface_can_be_served_by_another_component() -> None:
    """A function by such a name, and what no policy can name, are told as what nothing serves."""
    text = "func bank:payments/notify@1.0.0"
    functions = Surface(kind="component", imports=(text,), families=(), exports=())
    assert widened(EMPTY, functions) == (f"now imports {text}, which nothing serves",)
    assert widened(EMPTY, component("Bank:payments/notify")) == (
        "now imports Bank:payments/notify, which nothing serves",
    )
    assert widened(EMPTY, component("bank:payments/notify", "b")) == (
        "could now call bank:payments/notify of another component",
        "now imports b, which nothing serves",
    )


def test_many_and_long_names_are_cut() -> None:
    """A sentence has five names at most, of a hundred characters at most."""
    names = ("a" * 200, *(f"b{number}" for number in range(10)))
    assert widened(EMPTY, component(*names)) == (
        f"now imports {'a' * 97}..., b0, b1, b2, b3 and 6 more, which nothing serves",
    )


def test_functions_of_a_module() -> None:
    """Functions are told by what they are for, those of one meaning together; none that gives no authority."""
    assert widened(
        module("path_open"), module("path_open", "path_unlink_file", "fd_sync", "fd_datasync", "fd_close")
    ) == (
        "could now wait until what it wrote is on the disk (fd_datasync, fd_sync)",
        "could now remove files (path_unlink_file)",
    )


def test_a_family_that_is_new_to_a_module() -> None:
    """More than three functions of a family that was not asked for at all are told in one sentence."""
    functions = ("fd_readdir", "path_open", "path_link", "path_rename", "fd_pread", "fd_pwrite", "random_get")
    assert widened(EMPTY_MODULE, module(*functions)) == (
        (
            "could now open, read, change, list and remove files"
            " (fd_pread, fd_pwrite, fd_readdir, path_link, path_open and 1 more)"
        ),
        "could now take secure random numbers, for keys among others (random_get)",
    )
    assert widened(module("path_open"), module(*functions[:-2])) == (
        "could now read files at an offset (fd_pread)",
        "could now list directories (fd_readdir)",
        "could now give a file another name (path_link)",
        "could now rename files and directories (path_rename)",
    )


def test_the_family_of_sockets_in_one_sentence() -> None:
    """Four functions of sockets are the other family with a sentence of its own."""
    assert widened(EMPTY_MODULE, module("sock_accept", "sock_recv", "sock_send", "sock_shutdown")) == (
        "could now use sockets that its host opened (sock_accept, sock_recv, sock_send, sock_shutdown)",
    )


@pytest.mark.parametrize("family", sorted({f.families[0] for f in FUNCTIONS.values() if f.families}))
def test_every_family_can_be_told(family: str) -> None:
    """All the functions of a family make sentences that begin the same way."""
    functions = [name for name, function in FUNCTIONS.items() if function.families == (family,)]
    told = widened(EMPTY_MODULE, module(*functions))
    assert told
    assert all(text.startswith("could now ") for text in told)


def test_a_component_that_becomes_a_module() -> None:
    """The kinds have other names for the same: only what goes beyond the capabilities that it had is gained."""
    old = component("wasi:cli/stdin@0.2.3", "wasi:filesystem/types@0.2.3")
    new = module("fd_read", "path_open", "fd_prestat_get", "random_get", exports=(Export("_start", "func"),))
    assert widened(old, new) == ("could now take secure random numbers, for keys among others (random_get)",)
    assert reshaped(old, new) == ("is now a module and was a component", "now exports _start")


def test_exports() -> None:
    """What is no longer exported, and what is instead, is told, hostile names escaped."""
    old = component(exports=(Export("cyber:math/operations", "instance"), Export("f", "func")))
    new = component(exports=(Export("f", "func"), Export("\x1b]0;\x07", "func"), Export("cyber:math/more", "instance")))
    assert reshaped(old, new) == (
        "now exports \\x1b]0;\\x07, cyber:math/more",
        "no longer exports cyber:math/operations",
    )


def test_infinitives() -> None:
    """What the vocabularies say of imports reads well after a "could": only verbs of the sentence change."""
    meanings = dict.fromkeys(
        [known.meaning for _, known in known_interfaces()] + [f.meaning for f in FUNCTIONS.values()]
    )
    assert "\n".join(map(infinitive, meanings)) + "\n" == INFINITIVES


INFINITIVES = """\
read all environment variables, the arguments and the working directory
end the program with a status
read standard input
write standard output
write standard error
be the handle of a terminal that is read
be the handle of a terminal that is written
ask whether standard input is a terminal
ask whether standard output is a terminal
ask whether standard error is a terminal
describe a failed read or write
wait for what another interface opened
read and write what another interface opened
measure time and wait
read the date and time
read the time zone
take secure random numbers, for keys among others
take random numbers that nothing secret rests on
take a seed for its own hash tables
open, read, write, list, rename and remove files
ask which directories it was given
name networks, addresses and their errors
take the network that sockets and look-ups need
look up the addresses of host names
connect to hosts and listen, over TCP
make TCP sockets
send and receive over UDP
make UDP sockets
build and read HTTP requests and responses
send HTTP requests
ask where the directories that it was given stand
open and make files, open directories
ask what is at a path, how large it is and when it was changed
read where a symbolic link points
make directories
set the times of what is at a path
give a file another name
remove directories
rename files and directories
make symbolic links
remove files
list directories
read files at an offset
write files at an offset
ask how large an open file is and when it was changed
cut open files, or make them longer
set the times of open files
set room aside for open files
say how it will read an open file
wait until what it wrote is on the disk
read standard input and open files
write standard output, standard error and open files
read all environment variables
ask how many environment variables there are
read its arguments
ask how many arguments there are
read the date and time, and measure time
ask how finely clocks go
wait for a time, or for what is open
take connections to a socket that its host opened
receive from a socket that its host opened
send over a socket that its host opened
close a socket that its host opened
close what is open
move within an open file
ask where in an open file it is
give what is open another number
ask what is open, and with which flags
set the flags of what is open
give up rights to what is open
send itself a signal
let others run
"""
