"""Components in text that import from each other, to be run as programs: each with all of WASI 0.2 at hand."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from wasmtime import wat2wasm

from tests.e2e.components import IMPORTS, MEMORY, Call, Drop
from tests.e2e.harness import QUIET, Ran, Runner, write_policy


class Interface(NamedTuple):
    """What one guest exports and another imports: functions by name with their types, over resources of WASI."""

    name: str
    functions: Mapping[str, str]
    """``{"read": '(param "file" (borrow $descriptor)) (result u32)'}``"""
    resources: tuple[str, ...] = ()

    def imported(self) -> str:
        """As an import. Its functions are called as those of an interface of WASI: ``Call("f", NAME, "f", ...)``."""
        named = "".join(
            f'(alias outer 1 ${r} (type $x-{r})) (export "{r}" (type ${r} (eq $x-{r})))' for r in self.resources
        )
        functions = "".join(f'(export "{n}" (func {t}))' for n, t in self.functions.items())
        return f'(import "{self.name}" (instance $wasi:{self.name}@VERSION {named} {functions}))'

    def exported(self) -> str:
        """As an export of core functions of the same names, in the core instance ``$main``."""
        inner, given, lifted = [], [], []
        for r in self.resources:
            inner.append(f'(import "{r}" (type $in-{r} (sub resource)))')
            given.append(f'(with "{r}" (type ${r}))')
        for number, (n, t) in enumerate(self.functions.items()):
            inside = re.sub(r"\$(?=[a-z])", "$in-", t)
            inner.append(f'(import "f{number}" (func $f{number} {inside}))')
            given.append(f'(with "f{number}" (func $lifted{number}))')
            lifted.append(
                f'(func $lifted{number} {t} (canon lift (core func $main "{n}") (memory $memory) (realloc $realloc)))'
            )
        inner += [f'(export ${r} "{r}" (type $in-{r}))' for r in self.resources]
        inner += [f'(export "{n}" (func $f{i}) (func {t}))' for i, (n, t) in enumerate(self.functions.items())]
        return f"""{" ".join(lifted)}
(component $interface {" ".join(inner)})
(instance $exports (instantiate $interface {" ".join(given)}))
(export "{self.name}" (instance $exports))"""


T, S = "filesystem/types", "io/streams"
CALLS: tuple[Call | Drop, ...] = (
    Call("stdout", "cli/stdout", "get-stdout", "", "i32"),
    Call("stderr", "cli/stderr", "get-stderr", "", "i32"),
    Call("stdin", "cli/stdin", "get-stdin", "", "i32"),
    Call("write", S, "[method]output-stream.blocking-write-and-flush", "i32 i32 i32 i32"),
    Call("take", S, "[method]input-stream.blocking-read", "i32 i64 i32"),
    Call("directories", "filesystem/preopens", "get-directories", "i32"),
    Call("open", T, "[method]descriptor.open-at", "i32 i32 i32 i32 i32 i32 i32"),
    Call("rename", T, "[method]descriptor.rename-at", "i32 i32 i32 i32 i32 i32 i32"),
    Call("reads", T, "[method]descriptor.read-via-stream", "i32 i64 i32"),
    Call("writes", T, "[method]descriptor.write-via-stream", "i32 i64 i32"),
    Drop("drop", T, "descriptor"),
    Drop("drop-out", S, "output-stream"),
    Drop("drop-in", S, "input-stream"),
)
PRELUDE = """
(func $print (param i32 i32) (local $out i32)
  (local.set $out (call $stdout))
  (call $write (local.get $out) (local.get 0) (local.get 1) (i32.const 8))
  (call $drop-out (local.get $out)))
(func $say (param i32) (local $at i32)
  (local.set $at (i32.const 99))
  (i32.store8 (local.get $at) (i32.const 10))
  (loop $digit
    (local.set $at (i32.sub (local.get $at) (i32.const 1)))
    (i32.store8 (local.get $at) (i32.add (i32.const 48) (i32.rem_u (local.get 0) (i32.const 10))))
    (br_if $digit (local.tee 0 (i32.div_u (local.get 0) (i32.const 10)))))
  (call $print (local.get $at) (i32.sub (i32.const 100) (local.get $at))))
;; The directory that stands at a place in the list.
(func $root (param i32) (result i32)
  (call $directories (i32.const 8))
  (if (i32.ge_u (local.get 0) (i32.load (i32.const 12))) (then unreachable))
  (i32.load (i32.add (i32.load (i32.const 8)) (i32.mul (local.get 0) (i32.const 12)))))
;; Opens for reading (1) or writing (2): a descriptor, or what went wrong, above a million.
(func $opened (param $at i32) (param $path i32) (param $length i32) (param $flags i32) (result i32)
  (call $open (local.get $at) (i32.const 1) (local.get $path) (local.get $length)
    (select (i32.const 1) (i32.const 0) (i32.and (local.get $flags) (i32.const 2)))
    (local.get $flags) (i32.const 16))
  (if (i32.load8_u (i32.const 16)) (then
    (return (i32.add (i32.const 1000000) (i32.load8_u (i32.const 20))))))
  (i32.load (i32.const 20)))
;; Prints the names of all directories that are granted.
(func $roots (local $i i32) (local $entry i32)
  (call $directories (i32.const 8))
  (block $done (loop $next
    (br_if $done (i32.ge_u (local.get $i) (i32.load (i32.const 12))))
    (local.set $entry (i32.add (i32.load (i32.const 8)) (i32.mul (local.get $i) (i32.const 12))))
    (i32.store8 (i32.const 100) (i32.const 10))
    (call $print (i32.load offset=4 (local.get $entry)) (i32.load offset=8 (local.get $entry)))
    (call $print (i32.const 100) (i32.const 1))
    (call $drop (i32.load (local.get $entry)))
    (local.set $i (i32.add (local.get $i) (i32.const 1)))
    (br $next))))
;; Prints what an open file holds, up to 4,096 bytes, or the number that is none.
(func $cat (param i32) (local $in i32)
  (if (i32.ge_u (local.get 0) (i32.const 1000000)) (then (call $say (local.get 0)) (return)))
  (call $reads (local.get 0) (i64.const 0) (i32.const 16))
  (if (i32.load8_u (i32.const 16)) (then (unreachable)))
  (local.set $in (i32.load (i32.const 20)))
  (call $take (local.get $in) (i64.const 4096) (i32.const 16))
  (if (i32.load8_u (i32.const 16)) (then (call $say (i32.const 99)))
    (else (call $print (i32.load (i32.const 20)) (i32.load (i32.const 24)))))
  (call $drop-in (local.get $in))
  (call $drop (local.get 0)))
;; What became of an attempt to open: 0, or what went wrong, above a million.
(func $tried (param i32) (result i32)
  (if (i32.ge_u (local.get 0) (i32.const 1000000)) (then (return (local.get 0))))
  (call $drop (local.get 0))
  (i32.const 0))
"""
"""Core functions that any guest may call. Results lie at 8 and 16, digits below 100; texts begin at 1024."""
ACCESS, NOT_PERMITTED, CROSS_DEVICE = 1_000_000, 1_000_031, 1_000_036
"""What ``$opened`` and ``$tried`` answer for these errors of ``wasi:filesystem``."""
_TEXT = re.compile(r'\(text "([^"]*)"\)')


def guest(
    functions: Mapping[str, str],
    *,
    exports: Interface | None = None,
    imports: Iterable[Interface] = (),
    calls: Iterable[Call | Drop] = (),
    more: str = "",
    before: str = "",
    realloc: str = "$realloc",
    version: str = "0.2.12",
    wasi: str = IMPORTS,
) -> bytes:
    """A guest whose core ``functions`` are signature and body: those that ``exports`` names, and ``run``.

    ``(text "abc")`` is where a text is, and its length; ``more`` is core text beside the functions. ``before`` is text
    of the component, and ``realloc`` the core function that makes room for what is returned.
    """
    lowered, core_imports, given = [], [], []
    for call in (*CALLS, *calls):
        if isinstance(call, Call):
            lowered.append(f'(alias export $wasi:{call.interface}@VERSION "{call.function}" (func $f-{call.label}))')
            lowered.append(
                f"(core func ${call.label} (canon lower (func $f-{call.label}) (memory $memory) (realloc {realloc})))"
            )
            params, result = f"(param {call.params})", f"(result {call.result})" if call.result else ""
        else:
            lowered.append(f'(alias export $wasi:{call.interface}@VERSION "{call.resource}" (type $t-{call.label}))')
            lowered.append(f"(core func ${call.label} (canon resource.drop $t-{call.label}))")
            params, result = "(param i32)", ""
        core_imports.append(f'(import "wasi" "{call.label}" (func ${call.label} {params} {result}))')
        given.append(f'(export "{call.label}" (func ${call.label}))')
    texts: dict[str, int] = {}
    at = 1024

    def placed(match: re.Match[str]) -> str:
        nonlocal at
        text = match[1]
        if text not in texts:
            texts[text] = at
            at += len(text.encode())
        return f"(i32.const {texts[text]}) (i32.const {len(text.encode())})"

    core = "\n".join(f'(func (export "{name}") {text})' for name, text in functions.items())
    core = _TEXT.sub(placed, more + core)
    data = "".join(f'(data (i32.const {place}) "{_escaped(text)}")' for text, place in texts.items())
    run = """
(func $run (result (result)) (canon lift (core func $main "run")))
(instance $command (export "run" (func $run)))
(export "wasi:cli/run@VERSION" (instance $command))"""
    text = f"""(component
{wasi}
{"".join(interface.imported() for interface in imports)}
{MEMORY}
{before}
{" ".join(lowered)}
(core module $main
  (import "wasi" "memory" (memory 40))
  {" ".join(core_imports)}
  {PRELUDE} {data}
  {core})
(core instance $main (instantiate $main
  (with "wasi" (instance (export "memory" (memory $memory)) {" ".join(given)}))))
{exports.exported() if exports is not None else ""}
{run if "run" in functions else ""})"""
    return bytes(wat2wasm(text.replace("VERSION", version)))


def _escaped(text: str) -> str:
    return "".join(f"\\{byte:02x}" for byte in text.encode())


class Linked(NamedTuple):
    """Writes programs into a directory, and runs them."""

    folder: Path
    runner: Runner

    def write(self, components: Mapping[str, Mapping[str, Any]], run: str = "app", **more: Any) -> Path:
        """The policy of a program: ``{"app": {"guest": b"...", "imports": {...}, "stdio": ..., "limits": {...}}}``.

        What is no key of a component is one of its grants, beside those of ``QUIET``; of ``None``, it is left out.
        """
        out = {}
        self.folder.mkdir(exist_ok=True)
        for name, component in components.items():
            file = self.folder / f"{name}.wasm"
            file.write_bytes(component["guest"])
            own = {k: v for k, v in component.items() if k in ("imports", "limits", "deterministic")}
            grants = {**QUIET, **{k: v for k, v in component.items() if k != "guest" and k not in own}}
            if name != run and "stdio" not in component:
                grants["stdio"] = {"stdout": "capture", "stderr": "capture"}
            if name != run and "arguments" not in component:
                grants["arguments"] = None
            out[name] = {"source": str(file), "grants": {k: v for k, v in grants.items() if v is not None}, **own}
        return write_policy(self.folder, {"version": 1, "components": out, "run": run, **more})

    def run(self, components: Mapping[str, Mapping[str, Any]], *arguments: str, **more: Any) -> Ran:
        return self.runner.run(self.write(components), *arguments, **more)


class Refused(NamedTuple):
    """An event, as tests of programs compare it."""

    path: str | None
    capability: str
    resource: str | None
    reason: str
    line: int | None = None


def refused(ran: Ran) -> list[Refused]:
    """Every event but the last, whose lines are left out; each is of the component that its path ends in."""
    *others, last = ran.outcome.events
    assert (last.name, last.component, last.path) == ("ended", "app", "app")
    assert all(e.component == (e.path or "").rpartition(">")[2] for e in ran.outcome.events)
    return [Refused(e.path, e.capability, e.resource, e.reason) for e in others]


def captured(ran: Ran) -> dict[str, str]:
    """What each component wrote to its standard output."""
    return {component: data.decode() for component, stream, data in ran.outcome.captured if stream == "stdout"}


LIB = "acme:x/lib"
GO = Interface(LIB, {"go": ""})
CALL_GO = Call("go", LIB, "go", "")
WIRE = {LIB: "lib"}


def both(body: str, calls: Iterable[Call | Drop] = (), more: str = "") -> dict[str, dict[str, Any]]:
    """A program of ``app`` and ``lib``, which do the same: first ``app``, then, called by it, ``lib``.

    ``body`` is core text with a local ``$a``, ``more`` what stands beside it.
    """
    app = f"(result i32) (local $a i32) {body} (call $go) (i32.const 0)"
    return {
        "app": {"guest": guest({"run": app}, imports=[GO], calls=[CALL_GO, *calls], more=more), "imports": WIRE},
        "lib": {"guest": guest({"go": f"(local $a i32) {body}"}, exports=GO, calls=calls, more=more)},
    }
