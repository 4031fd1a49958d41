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
from typing import Any

from wasmtime import Engine, Store, WasiConfig, wat2wasm
from wasmtime.component import Component, Linker

from benchmarks.measure import Row, Skipped
from sandbox import Sandbox
from sandbox.guard.build import guard
from sandbox.guard.builder import HOST
from sandbox.guard.sites import HOST_INSTANCE
from sandbox.guard.state import DECOY
from sandbox.plan import Plan
from sandbox.runtime.cache import SETTLED
from sandbox.runtime.engine import shape_of

ROOT = Path(__file__).resolve().parent.parent
HERE = ROOT / "benchmarks"
RUN = "wasi:cli/run@0.2.0"
MEBIBYTE = 1 << 20

Cases = dict[str, Callable[[], Iterator[Row | Skipped]]]
"""Rows by name; some measurements give several."""
Directory = tuple[Path, str, bool]
"""A directory of the host's, the guest's name for it, and whether it is writable."""


class UnavailableError(Exception):
    """A row needs what is not here; one sentence."""


class Plain:
    """A component under plain wasmtime-py, compiled once; each run has a store of its own."""

    def __init__(self, engine: Engine, component: Component, linker: Linker | None = None) -> None:
        self.engine, self.component = engine, component
        if linker is None:
            linker = Linker(engine)
            linker.add_wasip2()
        self.linker = linker

    def run(self, arguments: Sequence[str], directories: Iterable[Directory], stdout: Path, stderr: Path) -> None:
        """One run of ``wasi:cli/run``. Raises ``WasmtimeError`` for a trap, ``RuntimeError`` for a failure."""
        store = Store(self.engine)
        config = WasiConfig()
        config.argv = ["guest", *arguments]
        config.env = [("CURRENCY", "EUR")]
        config.stdout_file = str(stdout)
        config.stderr_file = str(stderr)
        for host, guest, writable in directories:
            config.preopen_dir(str(host), guest, writable)
        store.set_wasi(config)
        instance = self.linker.instantiate(store, self.component)
        interface = instance.get_export_index(store, RUN)
        index = instance.get_export_index(store, "run", interface)
        assert index is not None
        function = instance.get_func(store, index)
        assert function is not None
        result = function(store)
        store.close()
        if getattr(result, "tag", "ok") == "error":
            raise RuntimeError("the guest failed under plain wasmtime-py")

    def instantiate(self) -> None:
        """Make a store and an instance, and drop them."""
        store = Store(self.engine)
        store.set_wasi(WasiConfig())
        self.linker.instantiate(store, self.component)
        store.close()


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

    @property
    def report(self) -> Path:
        return ROOT / "samples" / "report.wasm"

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
    def out(self) -> Path:
        path = self.directory / "out"
        path.mkdir()
        return path

    @functools.cached_property
    def data(self) -> Path:
        """A directory with ``file``, 4 MiB."""
        path = self.directory / "data"
        path.mkdir()
        (path / "file").write_bytes(bytes(4 * MEBIBYTE))
        return path

    def report_directories(self) -> list[Directory]:
        return [(ROOT / "samples" / "invoices", "/in", False), (self.out, "/out", True)]

    def data_directories(self, writable: bool = False) -> list[Directory]:
        """The data, and the empty root that the sandbox adds."""
        return [(self.data, "/data", writable), (self.empty, "/", False)]

    def plain(self, path: Path) -> Plain:
        return Plain(self.engine, self.compiled(path))

    def compiled(self, path: Path) -> Component:
        return Component.deserialize_file(self.engine, str(self.compiled_file(path)))

    def compiled_file(self, path: Path) -> Path:
        """``path``, unguarded, compiled as plain wasmtime-py does it, and kept beside the sandbox's cache."""
        kept = self.directory / f"{path.stem}.cwasm"
        if not kept.exists():
            kept.write_bytes(Component(self.engine, path.read_bytes()).serialize())
        return kept

    def policy(
        self, name: str, source: Path, directories: Iterable[Directory], *, stream: str = "discard", **more: Any
    ) -> Path:
        """Write a policy (JSON is YAML) of what a row needs. ``more``: ``limits``, ``excepted``, ``sockets``."""
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
                            if g != "/"
                        ],
                        "stdio": {"stdout": stream, "stderr": stream},
                        "environment": {"set": {"CURRENCY": "EUR"}},
                        "arguments": "inherit",
                        "clocks": {"monotonic": "real"},
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
        """The component of a policy behind its guard, in this process. Nobody listens, so nothing may be refused."""
        plan = self.plan(policy)
        made = guard(self.engine, Path(plan.source).read_bytes(), shape_of(plan))
        flags = "".join(chr(DECOY if p.decoy else 0) for p in plan.preopens)
        configuration = (plan.limits.handles, plan.limits.disk, flags)
        answers = {name: _constant({"config": configuration, "seed": plan.seed}.get(name)) for name in HOST}
        linker = Linker(self.engine)
        linker.add_wasip2()
        with linker.root() as root, root.add_instance(HOST_INSTANCE) as host:
            for name, answer in answers.items():
                host.add_func(name, answer)
        return Plain(self.engine, Component(self.engine, made.wasm), linker)

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
