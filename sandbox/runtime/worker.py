"""The worker: a process that can be killed, in which Wasmtime compiles and runs a component at a time behind its guard.

It is told what to run in jobs (plain data) and answers in messages on a socket; a denial is sent in the moment that it
is decided, so that nothing that happens to the worker afterwards can lose it. Callbacks return values and never raise:
Wasmtime's binding carries exceptions through one global.

Importing Wasmtime is most of what a short run takes, so nothing else that is slow is imported until a job needs it.
"""

from __future__ import annotations

import json
import os
import resource
import signal
import socket
import sys
import time
from typing import TYPE_CHECKING, Any

from sandbox.broker.links import stays_below

if TYPE_CHECKING:
    from wasmtime import Engine, Store
    from wasmtime import component as wasm

    from sandbox.broker.paths import Router
    from sandbox.broker.sockets import Sockets
    from sandbox.runtime.memory import GuardMemory

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
REPLY = 1 << 16
"""Bytes of the largest answer to a request."""
DENY = 0x8000_0000
MAX_TEXT = 4096
READER_PATIENCE = 0.5
"""Seconds that a run which is over waits for its last read of standard input."""
ROUTED = 2
"""The flag of that name in the guard's state."""
SYMBOLIC_LINK, LINK_TARGET, OUT_OF_FILES, WRITES = 10, 11, 15, 0x100
"""Of ``Reason``, without the time that importing it takes."""
ACCESS, NOT_PERMITTED = 0, 31
"""Of the router's ``Error``, likewise."""
MAX_NOTES = 4096
METHODS = ("GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH")
SCHEMES = ("http", "https")
JOB = b"job"
"""What a packet says that brings a job, in the first of the descriptors that come with it."""
CONTROL = socket.CMSG_SPACE(4)
WORD = 0xFFFF_FFFF
FAILED = 16
"""What the status of a stream begins at that failed; the error code 0 is ``unknown``."""


class Channel:
    """The worker's end of its socket. Each message is one packet, a JSON array."""

    def __init__(self, end: socket.socket) -> None:
        self.end = end

    def send(self, *message: object) -> None:
        try:
            self.end.send(json.dumps(message, separators=(",", ":")).encode())
        except OSError:
            os._exit(70)  # nobody is left to tell

    def receive(self) -> tuple[dict[str, Any], list[int]] | None:
        """The next job and the file descriptors that came with it; ``None`` when the supervisor has hung up."""
        while True:
            try:
                data, descriptors, _, _ = socket.recv_fds(self.end, 16, 8)
            except ConnectionResetError:
                return None
            if not data or (data == JOB and not descriptors):
                return None
            if data == JOB:
                break
            for descriptor in descriptors:  # an answer that the run before did not wait for
                os.close(descriptor)
        with open(descriptors.pop(0), "rb") as file:
            file.seek(0)
            return json.loads(file.read()), descriptors

    def reply(self, *, wait: bool) -> tuple[int, dict[str, Any], int | None] | None:
        """The supervisor's next answer: the request's number, the answer, a file descriptor. ``None``: none now."""
        flags = socket.MSG_CMSG_CLOEXEC | (0 if wait else socket.MSG_DONTWAIT)
        try:
            data, ancillary, _, _ = self.end.recvmsg(REPLY, CONTROL, flags)
        except BlockingIOError:
            return None
        except OSError:
            os._exit(70)  # nobody is left to ask
        if not data:
            os._exit(70)
        descriptor = int.from_bytes(ancillary[0][2][:4], sys.byteorder) if ancillary else None
        _, number, result = json.loads(data)
        return number, result, descriptor

    def fileno(self) -> int:
        return self.end.fileno()


class Callbacks:
    """What a guard may ask. One instance serves a worker's linkers; ``start`` points it at the next run."""

    network: Sockets
    """Of the run, where its policy grants something of the network."""
    memory: GuardMemory
    """Likewise: where the guard's memory is."""

    def __init__(self, channel: Channel) -> None:
        self.channel = channel
        self.sites: list[list[Any]] = []
        self.preopens: list[dict[str, Any]] = []
        self.directories: list[int] = []
        self.router: Router | None = None
        self.configuration: tuple[int, int, str] = (0, 0, "")
        self.random_seed = 0
        self.status: int | None = None
        self.trap: str | None = None
        self.notes: dict[tuple[int, str], str] = {}

    def start(self, job: dict[str, Any], sites: list[list[Any]], directories: list[int]) -> None:
        self.sites, self.preopens, self.directories = sites, job["preopens"], directories
        self.router = None
        self.configuration = (job["handles"], job["disk"], job["flags"])
        self.random_seed = job["seed"]
        if job["network"] is not None:
            from sandbox.broker.sockets import Sockets
            from sandbox.runtime.memory import GuardMemory

            if "memory" not in self.__dict__:
                self.memory = GuardMemory()
            self.memory.forget()
            self.network = Sockets(self.channel, job["network"], sites)
        if any(ord(flags) & ROUTED for flags in job["flags"]):
            self._router()  # now: a guest may leave no descriptor for what this imports
        self.status = self.trap = None
        self.notes.clear()

    def denied(self, _: object, site: int, reason: int, grant: int, base: str, path: str) -> None:
        if reason & 0xFF == OUT_OF_FILES and not _out_of_files():
            return
        self.channel.send("denied", time.time(), self.sites[site], reason, grant, base, path)

    def denied_pair(
        self, _: object, site: int, reason: int, grant: int, base: str, path: str, grant2: int, base2: str, path2: str
    ) -> None:
        self.channel.send("pair", time.time(), self.sites[site], reason, grant, base, path, grant2, base2, path2)

    def refused(self, _: object, site: int, text: str, raw: str) -> None:
        _, function, capability, _ = self.sites[site]
        if capability == "http.request" and function == "handle":
            text, raw = self._request(raw).encode("utf-8", "replace").decode("latin-1"), ""
        if capability == "random.secure":
            self.trap = "secure random numbers are not granted"
        elif function == "get-directories":
            self.trap = "the granted directories were asked for again, beyond the bound on open handles"
        self.channel.send("refused", time.time(), self.sites[site], text, raw)

    def note(self, _: object, site: int, number: int, case: int, text: str) -> None:
        what = self.sites[site][2].removeprefix("note.")
        if not text:
            names = METHODS if what == "method" else SCHEMES if what == "scheme" else ()
            text = names[case] if case < len(names) else ""
        self.notes.pop((number, what), None)
        if len(self.notes) >= MAX_NOTES:
            del self.notes[next(iter(self.notes))]  # the oldest: what is about to be sent was said last
        self.notes[number, what] = _text(text)

    def _request(self, raw: str) -> str:
        number = int.from_bytes(raw[:8].encode("latin-1"), "little")
        said = {w: self.notes.pop((number, w), "") for w in ("method", "scheme", "authority", "path")}
        return f"{said['method'] or 'GET'} {said['scheme'] or 'http'}://{said['authority']}{said['path']}"

    def route(self, _: object, site: int, intent: int, grant: int, base: str, path: str) -> tuple[int, str]:
        from sandbox.broker.paths import MUTATES, Place
        from sandbox.guard.sites import Reason

        found = self._router().route(grant, _path(base), _path(path), intent)
        if isinstance(found, Place):
            return found.preopen, _bytes(found.path)
        if found.reason is not None:
            writes = int(Reason.WRITES) if intent & MUTATES else 0
            self.denied(None, site, int(found.reason) | writes, grant, base, path)
        return DENY | found.error, ""

    def route_pair(
        self, _: object, site: int, intent: int, grant: int, base: str, path: str, grant2: int, base2: str, path2: str
    ) -> tuple[int, str, str]:
        """Route a rename, or judge the target of a new symbolic link, which comes as ``path2``."""
        if self.sites[site][1].endswith(".symlink-at"):
            return self._link(site, grant, base, path, path2)
        from sandbox.broker.paths import Denial

        found = self._router().rename(grant, _path(base), _path(path), _path(base2), _path(path2), intent)
        if isinstance(found, Denial):
            if found.reason is not None:
                self.denied_pair(None, site, int(found.reason) | WRITES, grant, base, path, grant2, base2, path2)
            return DENY | found.error, "", ""
        return found[0].preopen, _bytes(found[0].path), _bytes(found[1].path)

    def _link(self, site: int, grant: int, base: str, path: str, target: str) -> tuple[int, str, str]:
        routed = ord(self.configuration[2][grant]) & ROUTED
        if not routed and stays_below(_path(target)):
            return grant, path, target
        reason, error = (SYMBOLIC_LINK, ACCESS) if routed else (LINK_TARGET, NOT_PERMITTED)
        self.channel.send("denied", time.time(), self.sites[site], reason | WRITES, grant, base, path, _text(target))
        return DENY | error, "", ""

    def _router(self) -> Router:
        if self.router is None:
            from sandbox.broker.paths import Router, openat2_works
            from sandbox.plan import preopen_from_data

            if not openat2_works():
                raise UnfitError("this kernel has no openat2 (Linux 5.6), without which the grants cannot be enforced")
            self.router = Router([preopen_from_data(p) for p in self.preopens], self.directories)
        return self.router

    def config(self, _: object) -> tuple[int, int, str]:
        return self.configuration

    def seed(self, _: object) -> int:
        return self.random_seed

    def exit(self, _: object, status: int) -> None:
        self.status = status & 0xFF

    def end(self) -> None:
        """The run is over: close what is the guest's and was not handed to Wasmtime."""
        network = self.__dict__.pop("network", None)
        if network is not None:
            network.close()
            self.memory.forget()  # which goes with the store

    # What fails here against all expectation fails the run: the guest gets an error, and the supervisor is told.

    def socket(self, _: object, call: int, words: str, text: str) -> str:
        try:
            code, payload = self.network.control(call >> 32, call & WORD, words, text)
            return chr(code) + payload
        except Exception as error:  # noqa: BLE001
            self._fault("socket", error)
            return "\x01"

    def secret(self, _: object) -> str:
        return self.memory.new_secret()

    def locate(self, _: object, offset: int) -> int:
        return int(self.memory.locate(offset))

    def receive(self, _: object, stream: int, place: int) -> int:
        try:
            view, offset = self.memory.view, place >> 32
            assert view is not None
            into = view[offset : offset + (place & WORD)]
            status, size = self.network.receive_into(stream & WORD, stream >> 32, into)
            return status << 32 | size
        except Exception as error:  # noqa: BLE001
            self._fault("receive", error)
            return FAILED << 32

    def receive_text(self, _: object, stream: int, length: int) -> tuple[int, str]:
        try:
            return self.network.receive(stream & WORD, length, stream >> 32)
        except Exception as error:  # noqa: BLE001
            self._fault("receive", error)
            return FAILED, ""

    def send(self, _: object, stream: int, place: int) -> int:
        try:
            view, offset = self.memory.view, place >> 32
            assert view is not None
            data = view[offset : offset + (place & WORD)]
            return self.network.send_from(stream & WORD, stream >> 32, data)
        except Exception as error:  # noqa: BLE001
            self._fault("send", error)
            return FAILED

    def send_text(self, _: object, stream: int, data: str) -> int:
        try:
            return self.network.send(stream & WORD, stream >> 32, data)
        except Exception as error:  # noqa: BLE001
            self._fault("send", error)
            return FAILED

    def room(self, _: object, number: int) -> int:
        try:
            return self.network.room(number)
        except Exception as error:  # noqa: BLE001
            self._fault("room", error)
            return FAILED << 32

    def datagram(self, _: object, number: int, to: str, data: str) -> int:
        try:
            return self.network.datagram(number, to, data)
        except Exception as error:  # noqa: BLE001
            self._fault("datagram", error)
            return 1

    def wait(self, _: object, what: str, nanoseconds: int) -> str:
        try:
            return self.network.wait(what, nanoseconds)
        except Exception as error:  # noqa: BLE001
            self._fault("wait", error)
            return "\x01" * (len(what) // 4)

    def drop(self, _: object, handle: int) -> None:
        try:
            self.network.drop(handle & WORD, handle >> 32)
        except Exception as error:  # noqa: BLE001
            self._fault("drop", error)

    def _fault(self, where: str, error: Exception) -> None:
        if isinstance(error, MemoryError):
            os.write(2, b"MemoryError\n")  # the supervisor names the bound
            os._exit(70)
        self.channel.send("fault", f"{where}: {type(error).__name__}: {error}"[:MAX_TEXT])

    def functions(self) -> dict[str, Any]:
        return {
            "denied": self.denied,
            "denied-pair": self.denied_pair,
            "refused": self.refused,
            "note": self.note,
            "route": self.route,
            "route-pair": self.route_pair,
            "config": self.config,
            "seed": self.seed,
            "exit": self.exit,
            "socket": self.socket,
            "secret": self.secret,
            "locate": self.locate,
            "receive": self.receive,
            "receive-text": self.receive_text,
            "send": self.send,
            "send-text": self.send_text,
            "room": self.room,
            "datagram": self.datagram,
            "wait": self.wait,
            "drop": self.drop,
        }


def _text(latin: str) -> str:
    """Guest bytes, one a character, as text that can be shown."""
    return latin.encode("latin-1").decode("utf-8", "replace")[:MAX_TEXT]


def _path(latin: str) -> str:
    """Guest bytes, one a character, as Python names paths."""
    return latin.encode("latin-1").decode("utf-8", "surrogateescape")  # whatever the locale


def _bytes(path: str) -> str:
    return path.encode("utf-8", "surrogateescape").decode("latin-1")


class UnfitError(Exception):
    """The component cannot be run; the message says why."""


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

            linker = wasm.Linker(self.engine(fuel))
            linker.add_wasip2()
            with linker.root() as root, root.add_instance(HOST_INSTANCE) as host:
                for name, function in self.callbacks.functions().items():
                    host.add_func(name, function)
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


def _out_of_files() -> bool:
    try:
        os.close(os.dup(0))
    except OSError:
        return True
    return False


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
