"""The worker: a process that can be killed, in which Wasmtime compiles and runs a guest at a time behind its guard.

A guest is a component or a core module; what differs between them is in ``components`` and ``modules``.

It is told what to run in jobs (plain data) and answers in messages on a socket; a denial is sent in the moment that it
is decided, so that nothing that happens to the worker afterwards can lose it.

Importing Wasmtime is most of what a short run takes, so nothing else that is slow is imported until a job needs it.
"""

from __future__ import annotations

import os
import resource
import signal
import socket
import time
from typing import TYPE_CHECKING, Any, Protocol

from sandbox.runtime.callbacks import MAX_TEXT, Callbacks, UnfitError
from sandbox.runtime.channel import Channel
from sandbox.runtime.components import Components
from sandbox.runtime.endings import Ended, cause, memory_ran_out
from sandbox.runtime.engines import Engines, Settings
from sandbox.runtime.threads import Threads

if TYPE_CHECKING:
    from wasmtime import Store, Trap, WasmtimeError


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
OWN_STREAMS = 3
"""Descriptors of standard streams that a job comes with for the component that is run. What a call answers goes to one
more; those of a program's other components follow, output and error of each."""
KEPT = 16
"""Compiled guests that a worker keeps from one run to the next: each holds a file descriptor of its ``HOST_FILES``."""


class Kind(Protocol):
    """What differs between components and modules. What ``cached`` or ``compile`` give goes back to the others."""

    lingers: bool
    """Whether a guest that is over may have a write to a file under way still, in a thread of Wasmtime's pool."""

    def cached(self, job: dict[str, Any]) -> Any | None:
        """What the cache holds, unless it is damaged or was cut short."""

    def compile(self, job: dict[str, Any], data: list[bytes]) -> Any:
        """Compile the bytes of the files, one for each component, and keep what comes of it. Raises ``UnfitError``."""

    def prepare(self, settings: Settings) -> None:
        """Make what a run needs and its guest is not charged with."""

    def instantiate(self, job: dict[str, Any], store: Store, loaded: Any) -> Any:
        """Raises what Wasmtime does, or ``UnfitError``."""

    def call(self, job: dict[str, Any], store: Store, instance: Any, answer: int) -> Ended:
        """Run the command or call a function, whose result is written to the descriptor ``answer``. Raises likewise."""

    def where(self, loaded: Any, error: WasmtimeError | Trap) -> tuple[int, bool] | None:
        """The number of the component in which a trap was, or in a call of which, where that is known."""


class Worker:
    """Compiled guests and linkers, kept from one run to the next. Nothing of a run's store or instances is."""

    def __init__(self, channel: Channel) -> None:
        self.channel = channel
        self.callbacks = Callbacks(channel)
        self.process = Self()
        self.store: Store | None = None
        """The store of the run that is going on, or is being taken away."""
        self.others = Threads(os.getpid())
        self.threads: int | None = None
        """How many threads this process has when Wasmtime's own are ready; ``None``: not known yet."""
        self.engines = Engines()
        self.components = Components(self.engines, self.callbacks)
        self.kinds: dict[str, Kind] = {"component": self.components}
        self.loaded: dict[str, Any] = {}

    def kind(self, job: dict[str, Any]) -> Kind:
        found = self.kinds.get(job["kind"])
        if found is None:
            from sandbox.runtime.modules import Modules

            found = self.kinds[job["kind"]] = Modules(self.engines, self.callbacks)
        return found

    def warm_up(self) -> None:
        """Make what every run needs, while the supervisor is still making its plan."""
        self.components.linker(Settings())
        self._ready_threads()
        self.others.ready()

    def load(self, job: dict[str, Any], kind: Kind) -> Any:
        """A job's compiled guest: kept, or made. Raises ``UnfitError``."""
        found = self.loaded.pop(job["key"], None)
        if found is None:
            found = kind.cached(job)
        if found is None:
            self.channel.send("compiling")
            with self.others.no_guest_runs():
                found = self._compile(job, kind)
            self.channel.send("compiled")
        self.loaded[job["key"]] = found
        while len(self.loaded) > KEPT:
            del self.loaded[next(iter(self.loaded))]  # the one that was used least recently
        return found

    def _compile(self, job: dict[str, Any], kind: Kind) -> Any:
        from hashlib import sha256

        _bound(resource.RLIMIT_DATA, self.process.data() + COMPILE_MEMORY)
        found = []
        for member in job["members"]:
            try:
                with open(member["source"], "rb") as file:
                    data = file.read()
            except OSError as error:
                raise UnfitError(f"the {job['kind']} cannot be read: {error.strerror}") from None
            if "sha256:" + sha256(data).hexdigest() != member["digest"]:
                raise UnfitError(f"the {job['kind']} changed while it was being read")
            found.append(data)
        return kind.compile(job, found)

    def run(self, job: dict[str, Any], streams: list[int]) -> None:
        """Run a job's guest. Answers ``ended``, ``unfit`` or ``broken``; denials go before."""
        directories: list[int] = []
        try:
            kind = self.kind(job)
            loaded = self.load(job, kind)
            broken = _open_directories([p["host"] or job["decoy"] for p in job["preopens"]], directories)
            if broken is not None:
                answer: tuple[Any, ...] = ("broken", broken)
            else:
                answer = ("ended", self._run(job, streams, directories, kind, loaded))
        except UnfitError as error:
            answer = ("unfit", str(error), error.instance, error.name)
        except MemoryError:
            raise  # the process ends, and the supervisor names the bound
        except Exception as error:  # noqa: BLE001 - whatever it is, the run ends with a sentence
            answer = ("broken", f"{type(error).__name__}: {error}"[:MAX_TEXT])
        finally:
            self.callbacks.end()
        # The supervisor goes on with what it has to do, while what is left of the run is taken away here.
        self.channel.send(*answer)
        store, self.store = self.store, None
        if store is not None:
            store.close()  # at once: the binding's objects refer to each other, so nothing else would
        for descriptor in directories + streams:
            os.close(descriptor)
        self.channel.send("idle")

    def _run(
        self, job: dict[str, Any], streams: list[int], directories: list[int], kind: Kind, loaded: Any
    ) -> dict[str, Any]:
        from wasmtime import Store, WasiConfig

        self.callbacks.start(job, loaded.sites, directories, streams[OWN_STREAMS + (job["call"] is not None) :])
        fuel, memory, settings = job["fuel"], job["memory"], Settings.of_job(job)
        kind.prepare(settings)
        threads = self._ready_threads()
        before = self.process.data()
        _bound(resource.RLIMIT_DATA, before + memory + HOST_MEMORY)
        _bound(resource.RLIMIT_NOFILE, job["handles"] + HOST_FILES + 2 * len(directories) + _socket_files(job))
        store = self.store = Store(self.engines.engine(settings))
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
        ended = self._call(job, kind, store, loaded, streams)
        ended["processor"] = time.process_time() - processor
        ended["memory"] = max(0, self.process.data() - before - (self.process.threads() - threads) * THREAD_MEMORY)
        ended["fuel"] = fuel - store.get_fuel() if fuel is not None else None
        if job["stdin"] == "closed":
            self.others.rest(pool=kind.lingers)
        return ended

    def _ready_threads(self) -> int:
        """Have Wasmtime's own threads running before the guest may take the memory that their stacks need: how many.

        They start with the first file that is opened, and one that has nothing to do ends after some seconds.
        """
        running = self.process.threads()
        if self.threads is None or running < self.threads:
            from wasmtime import Store, WasiConfig

            store, config = Store(self.engines.engine(Settings())), WasiConfig()
            config.stdin_file = os.devnull  # it is opened, and read ahead, in a thread
            store.set_wasi(config)
            store.close()
            self.threads = running = self.process.threads()
        return running

    def _call(self, job: dict[str, Any], kind: Kind, store: Store, loaded: Any, streams: list[int]) -> Ended:
        from wasmtime import Trap, WasmtimeError

        started = False
        try:
            instance = kind.instantiate(job, store, loaded)
            started = True
            return kind.call(job, store, instance, streams[OWN_STREAMS] if job["call"] is not None else -1)
        except UnfitError as error:
            return {"how": "refused", "reason": str(error)}
        except (WasmtimeError, Trap) as error:
            if self.callbacks.status is not None:
                return {"how": "exited", "status": self.callbacks.status, "instance": self.callbacks.left}
            text = str(error)
            reason = cause(text)  # the rest of the text holds names that the guest chose
            if memory_ran_out(reason):
                return {"how": "limit", "bound": "memory", "reason": reason}
            if "all fuel consumed" in reason:
                return {"how": "limit", "bound": "fuel", "reason": "the fuel that the policy grants is used up"}
            if not started and "wasm backtrace" not in text and "wasm trap" not in reason:
                return {"how": "refused", "reason": reason}
            if self.callbacks.trap is not None:
                return {"how": "trapped", "reason": self.callbacks.trap, "instance": self.callbacks.trapped}
            member, inside = kind.where(loaded, error) or (None, False)
            return {"how": "trapped", "reason": reason, "member": member, "inside": inside}


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
        self.tasks = os.open("/proc/self/task", os.O_PATH | os.O_CLOEXEC)
        self.page = resource.getpagesize()

    def data(self) -> int:
        """Bytes of private writable memory that this process holds, as ``RLIMIT_DATA`` counts them."""
        return int(os.pread(self.memory, 256, 0).split()[5]) * self.page

    def threads(self) -> int:
        """How many threads it has: each is a directory of this one's."""
        return os.fstat(self.tasks).st_nlink - 2


def _socket_files(job: dict[str, Any]) -> int:
    network = job["network"]
    others = 4 * (len(job["members"]) - 1)
    return others if network is None else others + int(network["sockets"]) + PASSING_FILES


def _bound(what: int, soft: int) -> None:
    """Set a soft limit, within the hard one that this process was started under."""
    hard = resource.getrlimit(what)[1]
    resource.setrlimit(what, (soft if hard == resource.RLIM_INFINITY else min(soft, hard), hard))


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
    # A peer that is gone is the guest's to hear of; a fork may have it so.
    signal.signal(signal.SIGPIPE, signal.SIG_IGN)
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
