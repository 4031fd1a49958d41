"""What the rows share: a private cache, policies written for them, guests, and plain wasmtime-py to compare with."""

from __future__ import annotations

import functools
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from wasmtime import Engine, ExitTrap, Func, Instance, InstancePre, Linker, Module, Store, WasiConfig, wat2wasm
from wasmtime import component as wasm

from benchmarks.measure import Row, Skipped
from sandbox import Sandbox
from sandbox.guard.build import guard
from sandbox.guard.builder import HOST
from sandbox.guard.sites import HOST_INSTANCE
from sandbox.guard.state import DECOY
from sandbox.plan import Plan
from sandbox.runtime.cache import SETTLED
from sandbox.runtime.callbacks import Callbacks
from sandbox.runtime.channel import Channel
from sandbox.runtime.engine import compiled_key, shape_of, shims_key
from sandbox.runtime.engines import Engines, Settings
from sandbox.runtime.modules import Modules, Ready

ROOT = Path(__file__).resolve().parent.parent
HERE = ROOT / "benchmarks"
RUN = "wasi:cli/run@0.2.0"
MEBIBYTE = 1 << 20
CORE_MODULE = 1
"""The section of a component that holds a module."""
LISTED = 100
"""Files in the directory that is listed."""

Cases = dict[str, Callable[[], Iterator[Row | Skipped]]]
"""Rows by name; some measurements give several."""
Directory = tuple[Path, str, bool]
"""A directory of the host's, the guest's name for it, and whether it is writable."""


class Program(NamedTuple):
    """A published program, and what it is run with."""

    source: Path
    directories: list[Directory]
    arguments: list[str]
    clocks: dict[str, str]


class UnavailableError(Exception):
    """A row needs what is not here; one sentence."""


class Plain:
    """A program under plain wasmtime-py, compiled once; each run has a store of its own."""

    engine: Engine

    def run(self, arguments: Sequence[str], directories: Iterable[Directory], stdout: Path, stderr: Path) -> None:
        """One run. Raises ``WasmtimeError`` or ``Trap`` for a trap, ``RuntimeError`` for a failure."""
        store = Store(self.engine)
        config = WasiConfig()
        config.argv = ["guest", *arguments]
        config.env = [("CURRENCY", "EUR")]
        config.stdout_file = str(stdout)
        config.stderr_file = str(stderr)
        for host, guest, writable in directories:
            config.preopen_dir(str(host), guest, writable)
        store.set_wasi(config)
        failed = self._start(store)
        store.close()
        if failed:
            raise RuntimeError("the guest failed under plain wasmtime-py")

    def instantiate(self) -> None:
        """Make a store and an instance, and drop them."""
        store = Store(self.engine)
        store.set_wasi(WasiConfig())
        self._instantiate(store)
        store.close()

    def _instantiate(self, store: Store) -> object:
        raise NotImplementedError

    def _start(self, store: Store) -> bool:
        """Instantiate and run; whether it failed."""
        raise NotImplementedError


class PlainComponent(Plain):
    """A component: its ``wasi:cli/run``."""

    def __init__(self, engine: Engine, component: wasm.Component, linker: wasm.Linker | None = None) -> None:
        self.engine, self.component = engine, component
        if linker is None:
            linker = wasm.Linker(engine)
            linker.add_wasip2()
        self.linker = linker

    def _instantiate(self, store: Store) -> wasm.Instance:
        return self.linker.instantiate(store, self.component)

    def _start(self, store: Store) -> bool:
        instance = self._instantiate(store)
        interface = instance.get_export_index(store, RUN)
        index = instance.get_export_index(store, "run", interface)
        assert index is not None
        function = instance.get_func(store, index)
        assert function is not None
        return getattr(function(store), "tag", "ok") == "error"


class PlainModule(Plain):
    """A module of preview 1: its ``_start``. Its imports are resolved once."""

    def __init__(self, engine: Engine, module: Module) -> None:
        self.engine = engine
        linker = Linker(engine)
        linker.define_wasi()
        self.prepared: InstancePre = linker.instantiate_pre(module)

    def _instantiate(self, store: Store) -> Instance:
        return self.prepared.instantiate(store)

    def _start(self, store: Store) -> bool:
        function = self._instantiate(store).exports(store)["_start"]
        assert isinstance(function, Func)
        try:
            function(store)
        except ExitTrap as ended:
            return ended.code != 0
        return False


class Nobody(Channel):
    """The channel of a guard that has nothing to tell."""

    def __init__(self) -> None:
        pass

    def send(self, *message: object) -> None:
        raise RuntimeError(f"a guest was refused something: {message}")


class ShimmedModule(Plain):
    """A module between base and shim as a worker has it, in this process. Nobody listens: nothing may be refused."""

    def __init__(self, modules: Modules, job: dict[str, Any], data: bytes) -> None:
        self.modules, self.job = modules, job
        self.engine = modules.engines.engine(Settings())
        self.guest = modules.compile(job, [data])

    def _instantiate(self, store: Store) -> Ready:
        found = self.modules.instantiate(self.job, store, self.guest)
        if not isinstance(found, Ready):
            raise RuntimeError(f"the guest cannot be called: {found}")
        return found

    def _start(self, store: Store) -> bool:
        return bool(self.modules.call(self.job, store, self._instantiate(store), -1)["status"])


def is_module(data: bytes) -> bool:
    """Whether these bytes are a core module rather than a component."""
    return data[:8] == b"\0asm\1\0\0\0"


def main_module(component: bytes) -> bytes:
    """The module that a component of a command was made from, byte by byte: the first of those in it."""
    at = 8
    while at < len(component):
        kind, size, shift = component[at], 0, 0
        at += 1
        while True:
            size |= (component[at] & 0x7F) << shift
            shift += 7
            at += 1
            if not component[at - 1] & 0x80:
                break
        if kind == CORE_MODULE:
            return component[at : at + size]
        at += size
    raise ValueError("a component without a module")


def _constant(answer: object) -> Callable[..., object]:
    return lambda *_: answer


class Bench:
    """One run of the benchmarks. ``directory`` is private and temporary; ``quick`` asks for tiny counts."""

    def __init__(self, directory: Path, *, quick: bool = False) -> None:
        self.directory, self.quick = directory, quick
        self.cache = directory / "cache"
        self.cache.mkdir(mode=0o700)
        self.empty = directory / "empty"
        self.empty.mkdir()
        self.engine = Engine()
        self.environment = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
        self.environment["SANDBOX_CACHE"] = str(self.cache)

    def count(self, full: int, quick: int = 1) -> int:
        return quick if self.quick else full

    @functools.cached_property
    def operations(self) -> Path:
        """``guests/operations.wat`` as a component."""
        path = self.directory / "operations.wasm"
        path.write_bytes(bytes(wat2wasm((HERE / "guests" / "operations.wat").read_text(encoding="utf-8"))))
        return path

    @functools.cached_property
    def preview1(self) -> Path:
        """``guests/preview1.wat`` as a module."""
        path = self.directory / "preview1.wasm"
        path.write_bytes(bytes(wat2wasm((HERE / "guests" / "preview1.wat").read_text(encoding="utf-8"))))
        return path

    @property
    def report(self) -> Path:
        return ROOT / "samples" / "report.wasm"

    @functools.cached_property
    def report_module(self) -> Path:
        """The same program before it was made a component."""
        path = self.directory / "report-module.wasm"
        path.write_bytes(main_module(self.report.read_bytes()))
        return path

    @functools.cached_property
    def report_python(self) -> Path:
        """The Python sample, built where it is missing or older than its source. Raises ``UnavailableError``."""
        samples = ROOT / "samples" / "report-python"
        sources = [samples / "app.py", samples / "command.wit"]
        kept = HERE / ".build" / "report-python.wasm"
        for path in (samples / "report-python.wasm", kept):
            if path.exists() and all(path.stat().st_mtime >= s.stat().st_mtime for s in sources):
                return path
        tool = shutil.which("componentize-py", path=f"{Path(sys.executable).parent}:{os.environ.get('PATH', '')}")
        if tool is None:
            raise UnavailableError("componentize-py is not installed")
        if self.quick:
            raise UnavailableError("samples/report-python is not built, which takes long")
        kept.parent.mkdir(exist_ok=True)
        fresh = kept.with_suffix(".new")
        done = subprocess.run(
            [tool, "--wit-path", sources[1], "--world", "command", "componentize", "-p", samples, "app", "-o", fresh],
            capture_output=True,
            check=False,
            text=True,
        )
        if done.returncode:
            raise UnavailableError(f"componentize-py failed: {done.stderr.strip()[-200:]}")
        fresh.rename(kept)
        return kept

    @functools.cached_property
    def python(self) -> Program:
        """CPython as a module, with its library in it. Raises ``UnavailableError``."""
        path = ROOT / ".guest-tools" / "programs" / "python.wasm"
        if not path.exists():
            raise UnavailableError("CPython as a module is not there: `make programs` fetches it")
        if self.quick:
            raise UnavailableError("CPython as a module takes long to compile")
        # A root of its own, where CPython looks for files that it does not find: it is refused nothing.
        root = self.directory / "root"
        root.mkdir()
        clocks = {"wall": "real", "monotonic": "real"}
        return Program(path, [(root, "/", False)], ["-S", "-s", "-c", "print(sum(range(1000)))"], clocks)

    @functools.cached_property
    def out(self) -> Path:
        path = self.directory / "out"
        path.mkdir()
        return path

    @functools.cached_property
    def data(self) -> Path:
        """A directory with ``file``, 4 MiB, and the directory ``list``."""
        path = self.directory / "data"
        (path / "list").mkdir(parents=True)
        (path / "file").write_bytes(bytes(4 * MEBIBYTE))
        for number in range(LISTED):
            (path / "list" / f"entry-{number:03}").touch()
        return path

    def report_directories(self) -> list[Directory]:
        return [(ROOT / "samples" / "invoices", "/in", False), (self.out, "/out", True)]

    def data_directories(self, writable: bool = False) -> list[Directory]:
        """The data, and the empty root that the sandbox adds."""
        return self.with_root([(self.data, "/data", writable)])

    def with_root(self, directories: Sequence[Directory]) -> list[Directory]:
        """The same and the empty root that the sandbox adds, where none is granted."""
        return [*directories, *([] if any(g == "/" for _, g, _ in directories) else [(self.empty, "/", False)])]

    def plain(self, path: Path) -> Plain:
        compiled = str(self.compiled_file(path))
        if is_module(path.read_bytes()):
            return PlainModule(self.engine, Module.deserialize_file(self.engine, compiled))
        return PlainComponent(self.engine, wasm.Component.deserialize_file(self.engine, compiled))

    def compiled_file(self, path: Path) -> Path:
        """``path``, unguarded, compiled as plain wasmtime-py does it, and kept beside the sandbox's cache."""
        kept = self.directory / f"{path.stem}.cwasm"
        if not kept.exists():
            data = path.read_bytes()
            compile_ = Module if is_module(data) else wasm.Component
            kept.write_bytes(compile_(self.engine, data).serialize())
        return kept

    def policy(
        self, name: str, source: Path, directories: Iterable[Directory], *, stream: str = "discard", **more: Any
    ) -> Path:
        """Write a policy (JSON is YAML) of what a row needs.

        ``more``: ``limits``, ``clocks``, ``excepted``, ``sockets``.
        """
        excepted = {"except": more["excepted"]} if "excepted" in more else {}
        sockets = {"sockets": more["sockets"]} if more.get("sockets") else {}
        policy = {
            "version": 1,
            "components": {
                "guest": {
                    "source": str(source),
                    "grants": {
                        "filesystem": [
                            {"host": str(h), "guest": g, "access": "write" if w else "read", **excepted}
                            for h, g, w in directories
                            if h != self.empty
                        ],
                        "stdio": {"stdout": stream, "stderr": stream},
                        "environment": {"set": {"CURRENCY": "EUR"}},
                        "arguments": "inherit",
                        "clocks": more.get("clocks", {"monotonic": "real"}),
                        "random": "secure",
                        **sockets,
                    },
                    "limits": {"disk": "1000TiB", "deadline": "1h", **more.get("limits", {})},
                }
            },
        }
        path = self.directory / f"{name}.yaml"
        path.write_text(json.dumps(policy), encoding="utf-8")
        return path

    def sandbox(self, policy: Path, audit: Path | None = None) -> Sandbox:
        return Sandbox(policy, audit=audit, cache=self.cache)

    def settle(self, path: Path) -> None:
        """Wait until the sandbox trusts that ``path`` is unchanged: a file written just now is read anew each time."""
        time.sleep(max(0.0, (path.stat().st_ctime_ns + SETTLED - time.time_ns()) / 1e9))

    def plan(self, policy: Path) -> Plan:
        with self.sandbox(policy) as sandbox:
            return sandbox.plan()

    def guarded(self, policy: Path) -> Plain:
        """What a policy runs behind its guard, in this process. Nobody listens, so nothing may be refused."""
        plan = self.plan(policy)
        flags = "".join(chr(DECOY if p.decoy else 0) for p in plan.preopens)
        if plan.kind == "module":
            return self._shimmed(plan, flags)
        made = guard(self.engine, Path(plan.source).read_bytes(), shape_of(plan))
        configuration = (plan.limits.handles, plan.limits.disk, flags)
        answers = {name: _constant({"config": configuration, "seed": plan.seed}.get(name)) for name in HOST}
        linker = wasm.Linker(self.engine)
        linker.add_wasip2()
        with linker.root() as root, root.add_instance(HOST_INSTANCE) as host:
            for name, answer in answers.items():
                host.add_func(name, answer)
        return PlainComponent(self.engine, wasm.Component(self.engine, made.wasm), linker)

    def _shimmed(self, plan: Plan, flags: str) -> ShimmedModule:
        shape = shape_of(plan)
        job = {
            "key": compiled_key(plan),
            "shims": shims_key(Settings()),
            "cache": str(self.cache),
            "fuel": None,
            "deterministic": plan.deterministic,
            "handles": plan.limits.handles,
            "disk": plan.limits.disk,
            "seed": plan.seed,
            "flags": flags,
            "wall": shape.wall,
            "monotonic": shape.monotonic,
            "random": shape.random,
            "environment": plan.environment,
            "arguments": plan.arguments,
            "counts_writes": shape.counts_writes,
            "run": plan.run,
            "call": None,
        }
        callbacks = Callbacks(Nobody())
        callbacks.directories = [
            os.open(p.host or self.empty, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC) for p in plan.preopens
        ]
        modules = Modules(Engines(), callbacks)
        return ShimmedModule(modules, job, Path(plan.source).read_bytes())

    def guest_time(self, sandbox: Sandbox, letter: str, count: int) -> Callable[[], float]:
        """Microseconds of one operation under the sandbox, as the guest itself measures them."""

        def measured() -> float:
            outcome = sandbox.run(arguments=[letter, str(count)])
            if outcome.exit_status or outcome.stdout is None:
                raise RuntimeError(f"operation {letter}: {outcome.how}: {outcome.reason}")
            return int(outcome.stdout) / count / 1e3

        return measured

    def plain_time(
        self, plain: Plain, letter: str, count: int, directories: Sequence[Directory]
    ) -> Callable[[], float]:
        """The same under plain wasmtime-py."""
        printed, null = self.directory / "printed", Path(os.devnull)

        def measured() -> float:
            plain.run([letter, str(count)], directories, printed, null)
            return int(printed.read_text()) / count / 1e3

        return measured
