"""The worker: a process that can be killed, in which Wasmtime compiles and runs a component at a time behind its guard.

It is told what to run in jobs (plain data) and answers in messages on a socket; a denial is sent in the moment that it
is decided, so that nothing that happens to the worker afterwards can lose it.

Importing Wasmtime is most of what a short run takes, so nothing else that is slow is imported until a job needs it.
"""

from __future__ import annotations

import json
import os
import resource
import signal
import socket
import time
from typing import TYPE_CHECKING, Any

from sandbox.runtime.callbacks import MAX_TEXT, Callbacks, UnfitError
from sandbox.runtime.channel import Channel

if TYPE_CHECKING:
    from wasmtime import Engine, Store
    from wasmtime import component as wasm


MEBIBYTE = 1 << 20
HOST_MEMORY = 32 * MEBIBYTE
"""Bytes that the worker itself may need for a run beyond what it holds at its start: stacks, buffers, handle tables."""
COMPILE_MEMORY = 4096 * MEBIBYTE
"""Bytes that compiling may take, whatever the policy says of running."""
THREAD_MEMORY = 2 * MEBIBYTE
"""Bytes of the stack of one of Wasmtime's own threads, which no run is charged with."""
HOST_FILES = 96
"""File descriptors that the worker itself may need."""
PASSING_FILES = 8
"""File descriptors of sockets that are being handed over, or refused, beside those that a guest may have open."""
READER_PATIENCE = 0.5
"""Seconds that a run which is over waits for its last read of standard input."""


class Worker:
    """Compiled components and linkers, kept from one run to the next. Nothing of a run's store or instances is."""

    def __init__(self, channel: Channel) -> None:
        self.channel = channel
        self.callbacks = Callbacks(channel)
        self.process = Self()
        self.threads: int | None = None
        """How many threads this process has when Wasmtime's own are ready; ``None``: not known yet."""
        self.engines: dict[bool, Engine] = {}
        self.linkers: dict[bool, wasm.Linker] = {}
        self.components: dict[str, tuple[wasm.Component, list[list[Any]]]] = {}

    def engine(self, fuel: bool) -> Engine:
        """An engine. Only fuel differs between them: some settings abort the process, so no policy chooses any."""
        if fuel not in self.engines:
            from wasmtime import Config, Engine

            config = Config()
            if fuel:
                config.consume_fuel = True
            self.engines[fuel] = Engine(config)
        return self.engines[fuel]

    def linker(self, fuel: bool) -> wasm.Linker:
        if fuel not in self.linkers:
            from wasmtime import component as wasm

            from sandbox.guard.sites import HOST_INSTANCE
            from sandbox.runtime.binding import bind

            linker = wasm.Linker(self.engine(fuel))
            linker.add_wasip2()
            with linker.root() as root, root.add_instance(HOST_INSTANCE) as host:
                for name, function in self.callbacks.functions().items():
                    bind(host, name, function, self.callbacks.fault)
            self.linkers[fuel] = linker
        return self.linkers[fuel]

    def warm_up(self) -> None:
        """Make what every run needs, while the supervisor is still making its plan."""
        self.linker(False)
        self._ready_threads()

    def load(self, job: dict[str, Any]) -> tuple[wasm.Component, list[list[Any]]]:
        """A job's compiled component and its guard's sites: kept, or made. Raises ``UnfitError``."""
        found = self.components.get(job["key"])
        if found is None:
            found = self._cached(job)
        if found is None:
            self.channel.send("compiling")
            found = self._compile(job)
            self.channel.send("compiled")
        self.components[job["key"]] = found
        return found

    def _cached(self, job: dict[str, Any]) -> tuple[wasm.Component, list[list[Any]]] | None:
        """What the cache holds, unless it is damaged or was cut short."""
        from wasmtime import WasmtimeError
        from wasmtime import component as wasm

        base = os.path.join(job["cache"], job["key"])
        try:
            with open(f"{base}.sites", "rb") as file:
                data = json.loads(file.read())
            sites, size = data["sites"], data["size"]
            if os.stat(f"{base}.cwasm").st_size != size or not _are_sites(sites):
                return None
            engine = self.engine(job["fuel"] is not None)
            return wasm.Component.deserialize_file(engine, f"{base}.cwasm"), sites
        except (OSError, ValueError, KeyError, TypeError, WasmtimeError):
            return None

    def _compile(self, job: dict[str, Any]) -> tuple[wasm.Component, list[list[Any]]]:
        from hashlib import sha256

        from wasmtime import WasmtimeError
        from wasmtime import component as wasm

        from sandbox.component import ComponentError
        from sandbox.guard.build import guard
        from sandbox.guard.reflect import Unsupported
        from sandbox.guard.shape import Shape
        from sandbox.runtime.cache import Cache

        _bound(resource.RLIMIT_DATA, self.process.data() + COMPILE_MEMORY)
        try:
            with open(job["source"], "rb") as file:
                data = file.read()
        except OSError as error:
            raise UnfitError(f"the component cannot be read: {error.strerror}") from None
        if "sha256:" + sha256(data).hexdigest() != job["digest"]:
            raise UnfitError("the component changed while it was being read")
        shape = Shape(**{**job["shape"], "exports": tuple(job["shape"]["exports"])})
        engine = self.engine(job["fuel"] is not None)
        try:
            guarded = guard(engine, data, shape)
            component = wasm.Component(engine, guarded.wasm)
        except (Unsupported, ComponentError) as error:
            raise UnfitError(f"{error}"[:MAX_TEXT]) from None
        except WasmtimeError as error:
            raise UnfitError(f"Wasmtime refuses the component: {_cause(str(error))}") from None
        sites = [s.to_data() for s in guarded.sites]
        cache, compiled = Cache(job["cache"]), component.serialize()
        # The sites come last: they say how large the other file is once it is whole.
        if cache.write_bytes(f"{job['key']}.cwasm", compiled):
            cache.write(f"{job['key']}.sites", {"size": len(compiled), "sites": sites})
            cache.prune()
        return component, sites

    def run(self, job: dict[str, Any], streams: list[int]) -> None:
        """Run a job's component. Answers ``ended``, ``unfit`` or ``broken``; denials go before."""
        directories: list[int] = []
        try:
            component, sites = self.load(job)
            broken = _open_directories([p["host"] or job["decoy"] for p in job["preopens"]], directories)
            if broken is not None:
                answer: tuple[str, Any] = ("broken", broken)
            else:
                answer = ("ended", self._run(job, streams, directories, component, sites))
        except UnfitError as error:
            answer = ("unfit", str(error))
        except MemoryError:
            raise  # the process ends, and the supervisor names the bound
        except Exception as error:  # noqa: BLE001 - whatever it is, the run ends with a sentence
            answer = ("broken", f"{type(error).__name__}: {error}"[:MAX_TEXT])
        finally:
            self.callbacks.end()
            for descriptor in directories + streams:
                os.close(descriptor)
        self.channel.send(*answer)

    def _run(
        self,
        job: dict[str, Any],
        streams: list[int],
        directories: list[int],
        component: wasm.Component,
        sites: list[list[Any]],
    ) -> dict[str, Any]:
        from wasmtime import Store, WasiConfig

        self.callbacks.start(job, sites, directories)
        fuel, memory = job["fuel"], job["memory"]
        linker = self.linker(fuel is not None)
        self._ready_threads()
        before, threads = self.process.data(), self.process.threads()
        _bound(resource.RLIMIT_DATA, before + memory + HOST_MEMORY)
        _bound(resource.RLIMIT_NOFILE, job["handles"] + HOST_FILES + 2 * len(directories) + _socket_files(job))
        store = Store(self.engine(fuel is not None))
        store.set_limits(memory_size=memory, table_elements=min(memory // 16, 10_000_000))
        if fuel is not None:
            store.set_fuel(fuel)
        config = WasiConfig()
        config.argv = job["arguments"] or []
        config.env = job["environment"] or []
        _streams(config, job, streams)
        for p, directory in zip(job["preopens"], directories, strict=True):
            config.preopen_dir(f"/proc/self/fd/{directory}", p["guest"], p["writable"])
        store.set_wasi(config)
        processor = time.process_time()
        ended = self._call(job, linker, store, component, streams)
        ended["processor"] = time.process_time() - processor
        ended["memory"] = max(0, self.process.data() - before - (self.process.threads() - threads) * THREAD_MEMORY)
        ended["fuel"] = fuel - store.get_fuel() if fuel is not None else None
        store.close()  # at once: the binding's objects refer to each other, so nothing else would
        if job["stdin"] == "closed":
            _rest()
        return ended

    def _ready_threads(self) -> None:
        """Have Wasmtime's own threads running before the guest may take the memory that their stacks need.

        They start with the first file that is opened, and one that has nothing to do ends after some seconds.
        """
        if self.threads is None or self.process.threads() < self.threads:
            from wasmtime import Store, WasiConfig

            store, config = Store(self.engine(False)), WasiConfig()
            config.stdin_file = os.devnull  # it is opened, and read ahead, in a thread
            store.set_wasi(config)
            store.close()
            self.threads = self.process.threads()

    def _call(
        self, job: dict[str, Any], linker: wasm.Linker, store: Store, component: wasm.Component, streams: list[int]
    ) -> dict[str, Any]:
        from wasmtime import WasmtimeError

        started = False
        try:
            instance = linker.instantiate(store, component)
            started = True
            if job["call"] is not None:
                return self._typed_call(job["call"], instance, store, streams[3])
            run = _find(instance, store, job["run"], "run")
            if run is None or not _is_run(run.type(store)):
                return {"how": "refused", "reason": f"its {job['run']} has no function run: func() -> result"}
            result = run(store)
            return {"how": "exited", "status": int(getattr(result, "tag", "ok") != "ok")}
        except WasmtimeError as error:
            if self.callbacks.status is not None:
                return {"how": "exited", "status": self.callbacks.status}
            text = str(error)
            cause = _cause(text)  # the rest of the text holds names that the guest chose
            if _memory_ran_out(cause):
                return {"how": "limit", "bound": "memory", "reason": cause}
            if "all fuel consumed" in cause:
                return {"how": "limit", "bound": "fuel", "reason": "the fuel that the policy grants is used up"}
            if not started and "wasm backtrace" not in text and "wasm trap" not in cause:
                return {"how": "refused", "reason": cause}
            return {"how": "trapped", "reason": self.callbacks.trap or cause}

    def _typed_call(self, call: dict[str, Any], instance: wasm.Instance, store: Store, answer: int) -> dict[str, Any]:
        """Call a function with WAVE arguments; its result is written to ``answer`` in WAVE, whatever its size."""
        from wasmtime.component import ResultType

        from sandbox import wave

        function = _find(instance, store, call["interface"], call["function"])
        if function is None:
            return {"how": "usage", "reason": f"the component exports no function {call['shown']}"}
        type_ = function.type(store)
        try:
            values = wave.parse_arguments(call["arguments"], type_.params)
        except wave.WaveError as error:
            return {"how": "usage", "reason": str(error)[:MAX_TEXT]}
        result = function(store, *values)
        try:
            text = "" if type_.result is None else wave.format(result, type_.result)
        except wave.WaveError as error:
            return {"how": "usage", "reason": str(error)[:MAX_TEXT]}
        data = memoryview(text.encode("utf-8", "backslashreplace"))
        while data:
            data = data[os.write(answer, data) :]
        # Wasmtime's binding gives some results without their case; WAVE tells it.
        failed = isinstance(type_.result, ResultType) and text.startswith("err")
        return {"how": "exited", "status": int(failed)}


def _are_sites(data: object) -> bool:
    """Whether ``data`` is what ``Site.to_data`` gives, for each site of a guard."""
    return isinstance(data, list) and all(
        isinstance(row, list) and [type(x) for x in row] == [str, str, str, bool] for row in data
    )


def _is_run(type_: wasm.FuncType) -> bool:
    from wasmtime.component import ResultType

    result = type_.result
    return not type_.params and isinstance(result, ResultType) and result.ok is None and result.err is None


def _find(instance: wasm.Instance, store: Store, interface: str | None, name: str) -> Any:
    if interface is None:
        return instance.get_func(store, name)
    outer = instance.get_export_index(store, interface)
    index = None if outer is None else instance.get_export_index(store, name, outer)
    return None if index is None else instance.get_func(store, index)


def _streams(config: Any, job: dict[str, Any], streams: list[int]) -> None:
    """Standard streams, each a file descriptor; input that is the caller's own terminal or pipe is read in place."""
    stdin, stdout, stderr = streams[:3]
    if job["stdin"] == "inherit":
        config.inherit_stdin()
    elif job["stdin"] == "closed":
        # Wasmtime reads its own standard input only when the guest does; any other file it reads ahead.
        os.dup2(stdin, 0)
        config.inherit_stdin()
    elif job["stdin"] == "given":
        config.stdin_file = f"/proc/self/fd/{stdin}"  # else it is at its end, as Wasmtime has it
    config.stdout_file = f"/proc/self/fd/{stdout}"
    config.stderr_file = f"/proc/self/fd/{stderr}"


def _open_directories(paths: list[str], opened: list[int]) -> str | None:
    """Open real paths (where the last name is a link, it became one after the plan was made); or say what is wrong."""
    for path in paths:
        try:
            opened.append(os.open(path, os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC))
        except OSError as error:
            return f"a granted directory cannot be opened: {path}: {error.strerror}"
    return None


class Self:
    """What the kernel says of this process, through files opened before a guest could use up the descriptors."""

    def __init__(self) -> None:
        self.memory = os.open("/proc/self/statm", os.O_RDONLY | os.O_CLOEXEC)
        self.state = os.open("/proc/self/stat", os.O_RDONLY | os.O_CLOEXEC)
        self.page = resource.getpagesize()

    def data(self) -> int:
        """Bytes of private writable memory that this process holds, as ``RLIMIT_DATA`` counts them."""
        return int(os.pread(self.memory, 256, 0).split()[5]) * self.page

    def threads(self) -> int:
        return int(os.pread(self.state, 1024, 0).rpartition(b")")[2].split()[17])


def _socket_files(job: dict[str, Any]) -> int:
    network = job["network"]
    return 0 if network is None else int(network["sockets"]) + PASSING_FILES


def _rest() -> None:
    """Wait until every other thread sleeps: Wasmtime's reader of standard input may still have a read to make that the
    guest asked for, and whether it was made is what tells that the guest did."""
    patience = time.monotonic() + READER_PATIENCE
    while time.monotonic() < patience:
        busy = False
        for task in os.listdir("/proc/self/task"):
            if int(task) == os.getpid():
                continue
            try:
                with open(f"/proc/self/task/{task}/stat", "rb") as file:
                    busy = busy or file.read(1024).rpartition(b")")[2][1:2] != b"S"
            except OSError:
                continue  # it has ended
        if not busy:
            return
        time.sleep(0.0005)


def _bound(what: int, soft: int) -> None:
    """Set a soft limit, within the hard one that this process was started under."""
    hard = resource.getrlimit(what)[1]
    resource.setrlimit(what, (soft if hard == resource.RLIM_INFINITY else min(soft, hard), hard))


def _memory_ran_out(text: str) -> bool:
    return any(
        sign in text
        for sign in (
            "exceeds memory limits",
            "exceeds table limits",
            "Cannot allocate memory",
            "memory allocation of",
            "os error 12",
            "out of memory",
        )
    )


def _cause(text: str) -> str:
    """The innermost cause that Wasmtime gives, without its backtrace."""
    _, _, causes = text.rpartition("Caused by:")
    lines = [line.strip() for line in (causes or text).strip().splitlines() if line.strip()]
    lines = [line for line in lines if not line.startswith(("note:", "error while executing"))]
    found = " ".join(
        line.split(": ", 1)[-1] if line[:1].isdigit() and ": " in line[:4] else line for line in lines[-2:]
    )
    return found[:MAX_TEXT]


def close_all_but(keep: set[int]) -> None:
    """Close every inherited file descriptor that is not named."""
    at = 3
    for descriptor in sorted(k for k in keep if k > 2):
        os.closerange(at, descriptor)
        at = descriptor + 1
    os.closerange(at, 65536)


def serve(descriptor: int, watch: bool = False) -> None:
    """The life of a worker: jobs until the supervisor hangs up.

    ``watch``: also end in the middle of a job when that happens; a worker that was forked has the kernel see to it.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the supervisor decides what an interrupt means
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    os.environ.clear()
    os.environ["TOKIO_WORKER_THREADS"] = "1"  # Wasmtime's own threads: their stacks count against the run's memory
    channel = Channel(socket.socket(fileno=descriptor))
    if watch:
        _end_with(channel.end)
    worker = Worker(channel)
    worker.warm_up()
    while (received := channel.receive()) is not None:
        worker.run(*received)


def _end_with(end: socket.socket) -> None:
    import select
    import threading

    def wait() -> None:
        poll = select.poll()
        poll.register(end, 0)
        while not any(event & (select.POLLHUP | select.POLLERR) for _, event in poll.poll()):
            pass
        os._exit(0)

    threading.Thread(target=wait, daemon=True).start()
