"""The vocabulary of WASI preview 1: its functions, and the sentence for each import that nothing serves."""

from __future__ import annotations

import pytest
import wasmtime
from hypothesis import given
from hypothesis import strategies as st

from sandbox.component import ExternKind, Facts, facts_of
from sandbox.preview1 import (
    FUNCTIONS,
    MODULE,
    SIGNATURES,
    Function,
    classify,
    imported,
    imports_preview1,
    objections,
    quoted,
)
from sandbox.wasi import FAMILIES, Refused

TYPES = {"i": "i32", "I": "i64"}
REBUILD = "rebuild it for wasm32-wasip1"


def module(text: str) -> Facts:
    return facts_of("m.wasm", bytes(wasmtime.wat2wasm(f"(module {text})")))


def test_the_functions_are_those_of_wasmtime() -> None:
    """A module that imports every function with its signature is linked to Wasmtime's own preview 1."""
    imports = (
        f'(import "{MODULE}" "{name}" (func (param {" ".join(TYPES[p] for p in function.params)})'
        f" {'(result i32)' if function.result else ''}))"
        for name, function in FUNCTIONS.items()
    )
    engine = wasmtime.Engine()
    linker = wasmtime.Linker(engine)
    linker.define_wasi()
    store = wasmtime.Store(engine)
    store.set_wasi(wasmtime.WasiConfig())
    compiled = wasmtime.Module(engine, f"(module {''.join(imports)})")
    linker.instantiate(store, compiled)
    assert len(compiled.imports) == len(FUNCTIONS) == 46
    assert {name: function.params for name, function in FUNCTIONS.items()} == SIGNATURES


def test_what_functions_ask_for() -> None:
    """Each family is asked for by some function, HTTP aside, which preview 1 does not have."""
    asked: dict[str, list[str]] = {}
    for name, function in FUNCTIONS.items():
        for family in function.families or ("",):
            asked.setdefault(family, []).append(name)
    assert set(asked) == {*FAMILIES, ""} - {"http"}
    assert {family: asked[family] for family in ("stdio", "environment", "clocks", "random", "")} == {
        "stdio": ["fd_read", "fd_write"],
        "environment": ["environ_get", "environ_sizes_get"],
        "clocks": ["clock_time_get", "clock_res_get", "poll_oneoff"],
        "random": ["random_get"],
        "": [
            "fd_close",
            "fd_seek",
            "fd_tell",
            "fd_renumber",
            "fd_fdstat_get",
            "fd_fdstat_set_flags",
            "fd_fdstat_set_rights",
            "proc_exit",
            "proc_raise",
            "sched_yield",
        ],
    }
    assert {name for name in FUNCTIONS if name.startswith("path_")} < set(asked["filesystem"])
    assert [name for name in FUNCTIONS if name.startswith("sock_")] == asked["sockets"]


def test_a_known_import() -> None:
    """A function of preview 1 carries its signature, its family, its meaning and its capabilities."""
    assert classify(MODULE, "path_open", "func") == Function(
        params="iiiiiIIii",
        result=True,
        families=("filesystem",),
        meaning="opens and makes files, opens directories",
        capabilities=("filesystem.read", "filesystem.write"),
    )
    assert classify(MODULE, "proc_exit", "func") == Function(
        params="i", result=False, families=(), meaning="ends the program with a status", capabilities=()
    )


NO_FUNCTION = f"it is no function of WASI preview 1 but another runtime's extension; {REBUILD}"
WASIX = f"it is part of WASIX, which goes beyond preview 1; {REBUILD}"
OWN_MEMORY = f"a module has its own memory here; {REBUILD}, without threads"
THREADS = f"wasi is the proposal for threads, which are not served; {REBUILD}, without threads"
ENV = (
    "env is what another host gives (a page for Emscripten, say), or what the linker did not find;"
    f" {REBUILD} with everything linked in"
)
GO = "it is for a JavaScript host; build the program with GOOS=wasip1 GOARCH=wasm"
BINDGEN = f"it is made by wasm-bindgen for a JavaScript host; {REBUILD} without wasm-bindgen"
EXPERIMENT = f"it is an experiment beside WASI preview 1, which is not served; {REBUILD} without it"
SHARED_LIBRARY = "it belongs to a shared library, which nothing loads here; link it statically"
UNFINISHED = "the module is meant to become a component; make it one (wasm-tools component new, or jco new)"
OTHER = f"only the functions of wasi_snapshot_preview1 are served; {REBUILD}"


@pytest.mark.parametrize(
    ("module", "name", "kind", "reason"),
    [
        (MODULE, "sock_open", "func", NO_FUNCTION),
        (MODULE, "sock_connect", "func", NO_FUNCTION),
        (MODULE, "path_chmod", "func", NO_FUNCTION),
        (MODULE, "FD_WRITE", "func", NO_FUNCTION),
        (MODULE, "fd_write\0", "func", NO_FUNCTION),
        (MODULE, "", "func", NO_FUNCTION),
        (MODULE, "fd_write", "global", f"it is a global, and WASI preview 1 has functions alone; {REBUILD}"),
        (MODULE, "memory", "memory", f"it is a memory, and WASI preview 1 has functions alone; {REBUILD}"),
        ("wasi_unstable", "fd_write", "func", f"wasi_unstable is the snapshot before preview 1; {REBUILD}"),
        ("wasix_32v1", "fork", "func", WASIX),
        ("wasix_64v1", "sock_open", "func", WASIX),
        ("wasi", "thread-spawn", "func", THREADS),
        ("env", "memory", "memory", OWN_MEMORY),
        ("a", "b", "memory", OWN_MEMORY),
        ("env", "emscripten_get_now", "func", ENV),
        ("env", "__indirect_function_table", "table", ENV),
        ("wasi_ephemeral_nn", "load", "func", EXPERIMENT),
        ("wasi_experimental_http", "req", "func", EXPERIMENT),
        ("go", "runtime.wasmExit", "func", GO),
        ("gojs", "runtime.wasmExit", "func", GO),
        ("wbg", "__wbg_now_1", "func", BINDGEN),
        ("__wbindgen_placeholder__", "__wbindgen_throw", "func", BINDGEN),
        ("./app_bg.js", "__wbindgen_throw", "func", BINDGEN),
        ("GOT.mem", "stdout", "global", SHARED_LIBRARY),
        ("GOT.func", "main", "global", SHARED_LIBRARY),
        ("wasi:cli/stdout@0.2.0", "get-stdout", "func", UNFINISHED),
        ("[export]a:b/c", "[resource-new]d", "func", UNFINISHED),
        ("cm32p2|wasi:cli/exit@0.2", "exit", "func", UNFINISHED),
        ("$root", "f", "func", UNFINISHED),
        ("wasi_snapshot_preview2", "fd_write", "func", OTHER),
        ("wasi_snapshot_preview1 ", "fd_write", "func", OTHER),
        ("WASI_SNAPSHOT_PREVIEW1", "fd_write", "func", OTHER),
        ("host", "f", "func", OTHER),
        ("", "", "func", OTHER),
    ],
)
def test_what_is_not_served(module: str, name: str, kind: ExternKind, reason: str) -> None:
    """Each dialect and extension is refused with the sentence that says what it is and what to do instead."""
    assert classify(module, name, kind) == Refused(reason=reason)


@pytest.mark.parametrize(
    ("module", "name", "expected"),
    [
        ("wasi_unstable", "fd_write", "wasi_unstable.fd_write"),
        ("wasi:cli/stdout@0.2.0", "get-stdout", "wasi:cli/stdout@0.2.0.get-stdout"),
        ("", "f", "'.f'"),
        ("env", "", "'env.'"),
        ("env", "a b", "'env.a b'"),
        ("env", "a: it can run here", "'env.a: it can run here'"),
        ("env\n", "\x1b[2J\u202e", "'env\\n.\\x1b[2J\\u202e'"),
        ("env", "f" * 200, "env." + "f" * 93 + "..."),
        ("env", "it's", '"env.it\'s"'),
    ],
)
def test_a_name_in_a_sentence(module: str, name: str, expected: str) -> None:
    """Plain names stand as they are, others in quotes, long ones are cut."""
    assert quoted(module, name) == expected


def test_what_is_imported() -> None:
    """The functions of preview 1 are listed once each in the vocabulary's order; other imports are not among them."""
    facts = module(
        f'(import "{MODULE}" "proc_exit" (func (param i32))) (import "env" "fd_read" (func))'
        f' (import "{MODULE}" "fd_tell" (global i32))'
        f' (import "{MODULE}" "fd_close" (func (param i32) (result i32))) (import "{MODULE}" "proc_exit" (func))'
    )
    assert imported(facts) == ("fd_close", "proc_exit")
    assert imports_preview1(facts)
    facts = module('(import "env" "f" (func))')
    assert (imported(facts), imports_preview1(facts)) == ((), False)


FD_CLOSE = f'(import "{MODULE}" "fd_close" (func (param i32) (result i32)))'
EXPORT = '(export "memory" (memory 0))'
OTHERS = "(and 1 more that nothing serves)"
IN_SENTENCES = {
    "none": "exports no memory by the name of `memory`, which WASI preview 1 reads and writes; export its memory",
    "shared": "exports a memory that threads share, and WASI preview 1 knows no threads; rebuild it without them",
    "64-bit": f"exports a memory with 64-bit addresses, and those of WASI preview 1 have 32; {REBUILD}",
    "pages": "exports a memory with pages of its own size, which is not served; rebuild it without that",
}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", []),
        (f'{FD_CLOSE} (memory (export "memory") 1)', []),
        ("(memory i64 1)", []),
        (FD_CLOSE, [IN_SENTENCES["none"]]),
        (f'{FD_CLOSE} (memory 1) (export "mem" (memory 0))', [IN_SENTENCES["none"]]),
        (f'{FD_CLOSE} (memory (export "memory") 1 2 shared)', [IN_SENTENCES["shared"]]),
        (f'{FD_CLOSE} (memory (export "memory") i64 1)', [IN_SENTENCES["64-bit"]]),
        (f'{FD_CLOSE} (memory (export "memory") 1 (pagesize 1))', [IN_SENTENCES["pages"]]),
        ('(import "env" "f" (func))', [f"imports env.f: {ENV}"]),
        (
            '(import "wasi_unstable" "fd_write" (func)) (import "env" "f" (func))',
            [f"imports wasi_unstable.fd_write {OTHERS}: wasi_unstable is the snapshot before preview 1; {REBUILD}"],
        ),
        (
            f'(import "env" "memory" (memory $m 1 2 shared)) (import "wasi" "thread-spawn" (func)) {FD_CLOSE} {EXPORT}',
            [f"imports env.memory {OTHERS}: {OWN_MEMORY}", IN_SENTENCES["shared"]],
        ),
        (
            f'{FD_CLOSE} (import "{MODULE}" "sock_open" (func)) (memory (export "memory") 1)',
            [f"imports wasi_snapshot_preview1.sock_open: {NO_FUNCTION}"],
        ),
    ],
)
def test_why_a_module_cannot_run(text: str, expected: list[str]) -> None:
    """Only the first import that nothing serves is named; preview 1 needs a memory that it can work on."""
    assert list(objections(module(text))) == expected


KINDS: tuple[ExternKind, ...] = ("func", "table", "memory", "global", "tag")


@given(st.text(max_size=300) | st.sampled_from([MODULE, "env"]), st.text(max_size=300), st.sampled_from(KINDS))
def test_any_import_is_judged_in_plain_ascii(module: str, name: str, kind: ExternKind) -> None:
    """Whatever a file names, the verdict and the name in it are one short printable line of ASCII."""
    verdict = classify(module, name, kind)
    text = f"{quoted(module, name)}: {verdict.reason if isinstance(verdict, Refused) else verdict.meaning}"
    assert text.isascii()
    assert text.isprintable()
    assert len(text) < 1200
