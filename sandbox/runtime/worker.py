"""The worker: a process that can be killed, in which Wasmtime compiles and runs one component at a time behind its guard.

It is told what to do in jobs (plain data) and answers in messages on a socket; a denial is sent in the moment that it is
decided, so that nothing that happens to the worker afterwards can lose it. Callbacks return values and never raise:
Wasmtime's binding carries exceptions through one global.
"""

from __future__ import annotations

import hashlib
import json
import os
import resource
import socket
import time
from typing import TYPE_CHECKING, Any

from sandbox.broker.paths import Denial, Router
from sandbox.guard.sites import Reason, Site, site_from_data
from sandbox.guard.state import DECOY, HARD_LINKS, ROUTED
from sandbox.plan import Preopen

if TYPE_CHECKING:
    from wasmtime import Store
    from wasmtime import component as wasm

MEBIBYTE = 1 << 20
HOST_MEMORY = 64 * MEBIBYTE
"""Bytes that the worker itself may need for a run beyond what it holds at its start: stacks, buffers, handle tables."""
COMPILE_MEMORY = 4096 * MEBIBYTE
"""Bytes that compiling may take, whatever the policy says of running."""
HOST_FILES = 96
"""File descriptors that the worker itself may need."""
DENY = 0x8000_0000
MAX_TEXT = 4096
MAX_NOTES = 4096
METHODS = ("GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH")
SCHEMES = ("http", "https")


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
        _, descriptors, _, _ = socket.recv_fds(self.end, 16, 8)
        if not descriptors:
            return None
        job = descriptors.pop(0)
        with open(job, "rb") as file:
            file.seek(0)
            return json.loads(file.read()), descriptors


class Callbacks:
    """What a guard may ask. One instance serves a worker's linker; ``start`` points it at the next run."""

    def __init__(self, channel: Channel) -> None:
        self.channel = channel
        self.sites: tuple[Site, ...] = ()
        self.preopens: tuple[Preopen, ...] = ()
        self.router: Router | None = None
        self.configuration: tuple[int, int, str] = (0, 0, "")
        self.random_seed = 0
        self.status: int | None = None
        self.trap: str | None = None
        self.notes: dict[tuple[int, str], str] = {}

    def start(
        self, job: dict[str, Any], sites: tuple[Site, ...], preopens: tuple[Preopen, ...], router: Router | None
    ) -> None:
        self.sites, self.preopens, self.router = sites, preopens, router
        flags = "".join(
            chr((DECOY if p.decoy else 0) | (ROUTED if p.routed else 0) | (HARD_LINKS if p.hard_links else 0))
            for p in preopens
        )
        self.configuration = (job["handles"], job["disk"], flags)
        self.random_seed = job["seed"]
        self.status = self.trap = None
        self.notes.clear()

    def denied(self, _: object, site: int, reason: int, grant: int, base: str, path: str) -> None:
        self.channel.send("denied", time.time(), site, reason, grant, base, path)

    def denied_pair(
        self, _: object, site: int, reason: int, grant: int, base: str, path: str, grant2: int, base2: str, path2: str
    ) -> None:
        self.channel.send("pair", time.time(), site, reason, grant, base, path, grant2, base2, path2)

    def refused(self, _: object, site: int, text: str, raw: str) -> None:
        at = self.sites[site]
        if at.capability == "http.request":
            text, raw = self._request(raw).encode("utf-8", "replace").decode("latin-1"), ""
        if at.capability == "random.secure":
            self.trap = "secure random numbers are not granted"
        elif at.function == "get-directories":
            self.trap = "the granted directories were asked for again, beyond the bound on open handles"
        self.channel.send("refused", time.time(), site, text, raw)

    def note(self, _: object, site: int, number: int, case: int, text: str) -> None:
        what = self.sites[site].capability.removeprefix("note.")
        if not text:
            names = METHODS if what == "method" else SCHEMES if what == "scheme" else ()
            text = names[case] if case < len(names) else ""
        if len(self.notes) < MAX_NOTES:
            self.notes[number, what] = _text(text)

    def _request(self, raw: str) -> str:
        number = int.from_bytes(raw[:8].encode("latin-1"), "little")
        said = {w: self.notes.get((number, w), "") for w in ("method", "scheme", "authority", "path")}
        return f"{said['method'] or 'GET'} {said['scheme'] or 'http'}://{said['authority']}{said['path']}"

    def route(self, _: object, site: int, intent: int, grant: int, base: str, path: str) -> tuple[int, str]:
        assert self.router is not None
        found = self.router.route(grant, _path(base), _path(path), intent)
        if isinstance(found, Denial):
            reason = int(found.reason) | (int(Reason.WRITES) if intent & 2 else 0)
            self.channel.send("denied", time.time(), site, reason, grant, base, path)
            return DENY | found.error, ""
        return found.preopen, _bytes(found.path)

    def route_pair(
        self, _: object, site: int, intent: int, grant: int, base: str, path: str, grant2: int, base2: str, path2: str
    ) -> tuple[int, str, str]:
        writes = int(Reason.WRITES)
        if self.sites[site].function.endswith(".symlink-at"):
            denial = Router(self.preopens, ()).link_target(grant, _path(path2))
            if denial is None:
                return grant, path, path2
            self.channel.send("denied", time.time(), site, int(denial.reason) | writes, grant, base, path, _text(path2))
            return DENY | denial.error, "", ""
        assert self.router is not None
        found = self.router.rename(grant, _path(base), _path(path), _path(base2), _path(path2))
        if isinstance(found, Denial):
            self.channel.send(
                "pair", time.time(), site, int(found.reason) | writes, grant, base, path, grant2, base2, path2
            )
            return DENY | found.error, "", ""
        return found[0].preopen, _bytes(found[0].path), _bytes(found[1].path)

    def config(self, _: object) -> tuple[int, int, str]:
        return self.configuration

    def seed(self, _: object) -> int:
        return self.random_seed

    def exit(self, _: object, status: int) -> None:
        self.status = status & 0xFF

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
        }


def _path(latin: str) -> str:
    """A guest's path, which crosses byte by byte, as the host names files."""
    return os.fsdecode(latin.encode("latin-1"))


def _bytes(path: str) -> str:
    return os.fsencode(path).decode("latin-1")


def _text(latin: str) -> str:
    return latin.encode("latin-1").decode("utf-8", "replace")[:MAX_TEXT]


class Worker:
    """Compiles and runs jobs, keeping engines, linkers and components warm between them."""

    def __init__(self, channel: Channel) -> None:
        self.channel = channel
        self.callbacks = Callbacks(channel)
        self.linkers: dict[bool, Any] = {}
        self.components: dict[str, tuple[Any, tuple[Site, ...]]] = {}

    def do(self, job: dict[str, Any], streams: list[int]) -> None:
        """One job, of either kind."""
        if job["do"] == "compile":
            self.compile(job)
        else:
            self.run(job, streams)

    def compile(self, job: dict[str, Any]) -> None:
        """Guard and compile a component, and keep it in the cache. Answers ``compiled``, ``refused`` or ``broken``."""
        from wasmtime import WasmtimeError
        from wasmtime import component as wasm

        from sandbox.guard.build import guard
        from sandbox.guard.reflect import Unsupported
        from sandbox.guard.shape import Shape
        from sandbox.runtime.cache import Cache
        from sandbox.runtime.engine import engine

        resource.setrlimit(resource.RLIMIT_DATA, (_data() + COMPILE_MEMORY, resource.RLIM_INFINITY))
        try:
            with open(job["source"], "rb") as file:
                data = file.read()
        except OSError as error:
            return self.channel.send("refused", f"the component cannot be read: {error.strerror}")
        if "sha256:" + hashlib.sha256(data).hexdigest() != job["digest"]:
            return self.channel.send("refused", "the component changed while it was being read")
        shape = Shape(**{**job["shape"], "exports": tuple(job["shape"]["exports"])})
        try:
            guarded = guard(engine(job["fuel"]), data, shape)
            compiled = wasm.Component(engine(job["fuel"]), guarded.wasm)
        except Unsupported as error:
            return self.channel.send("refused", f"{error}"[:MAX_TEXT])
        except WasmtimeError as error:
            return self.channel.send("refused", f"Wasmtime refuses the component: {_cause(str(error))}")
        cache = Cache(job["cache"])
        cache.write(f"{job['key']}.sites", [s.to_data() for s in guarded.sites])
        if not cache.write_bytes(f"{job['key']}.cwasm", compiled.serialize()):
            return self.channel.send("broken", f"the compiled component cannot be kept in {cache.directory}")
        cache.prune()
        self.channel.send("compiled")

    def load(self, job: dict[str, Any]) -> tuple[Any, tuple[Site, ...]]:
        """The compiled component of a job and its guard's sites. Raises ``LookupError`` where the cache lacks them."""
        from wasmtime import WasmtimeError
        from wasmtime import component as wasm

        from sandbox.runtime.cache import Cache
        from sandbox.runtime.engine import engine

        key = job["key"]
        if key not in self.components:
            cache = Cache(job["cache"])
            sites = cache.read(f"{key}.sites")
            path = cache.path(f"{key}.cwasm")
            if sites is None or not path.exists():
                raise LookupError(key)
            try:
                component = wasm.Component.deserialize_file(engine(bool(job["fuel"])), str(path))
            except WasmtimeError:
                path.unlink(missing_ok=True)  # of another processor or version than its name says
                raise LookupError(key) from None
            self.components[key] = component, tuple(site_from_data(s) for s in sites)
        return self.components[key]

    def linker(self, fuel: bool) -> Any:
        from wasmtime import component as wasm

        from sandbox.guard.build import HOST_INSTANCE
        from sandbox.runtime.engine import engine

        if fuel not in self.linkers:
            linker = wasm.Linker(engine(fuel))
            linker.add_wasip2()
            with linker.root() as root, root.add_instance(HOST_INSTANCE) as host:
                for name, function in self.callbacks.functions().items():
                    host.add_func(name, function)
            self.linkers[fuel] = linker
        return self.linkers[fuel]

    def run(self, job: dict[str, Any], streams: list[int]) -> None:
        """Run a job's component. Answers ``missing`` or ``ended``; denials go before."""
        from wasmtime import Store, WasiConfig, WasmtimeError

        from sandbox.runtime.engine import engine

        try:
            component, sites = self.load(job)
        except LookupError:
            return self.channel.send("missing")
        linker = self.linker(job["fuel"] is not None)
        preopens = tuple(_preopen(p) for p in job["preopens"])
        directories: list[int] = []
        try:
            try:
                for p in preopens:
                    directories.append(_open_directory(p.host if p.host is not None else job["decoy"]))
            except OSError as error:
                return self.channel.send(
                    "broken", f"a granted directory cannot be opened: {error.filename}: {error.strerror}"
                )
            router = Router(preopens, directories) if any(p.routed for p in preopens) else None
            self.callbacks.start(job, sites, preopens, router)
            limit = job["memory"]
            before = _data()
            resource.setrlimit(resource.RLIMIT_DATA, (before + limit + HOST_MEMORY, resource.RLIM_INFINITY))
            files = job["handles"] + HOST_FILES + 2 * len(preopens)
            hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
            resource.setrlimit(
                resource.RLIMIT_NOFILE, (files if hard == resource.RLIM_INFINITY else min(files, hard), hard)
            )
            store = Store(engine(job["fuel"] is not None))
            store.set_limits(memory_size=limit, table_elements=min(limit // 16, 10_000_000))
            if job["fuel"] is not None:
                store.set_fuel(job["fuel"])
            config = WasiConfig()
            config.argv = job["arguments"] or []
            config.env = job["environment"] or []
            _streams(config, job, streams)
            for p, directory in zip(preopens, directories, strict=True):
                config.preopen_dir(f"/proc/self/fd/{directory}", p.guest, p.writable)
            store.set_wasi(config)
            clock, processor = time.perf_counter(), time.process_time()
            ended = self._call(job, linker, store, component, WasmtimeError)
            ended["wall"] = time.perf_counter() - clock
            ended["processor"] = time.process_time() - processor
            ended["memory"] = max(0, _data() - before)
            ended["fuel"] = job["fuel"] - store.get_fuel() if job["fuel"] is not None else None
            store.close()  # at once: the binding's objects refer to each other, so nothing else would
        finally:
            for descriptor in directories + streams:
                os.close(descriptor)
        self.channel.send("ended", ended)

    def _call(self, job: dict[str, Any], linker: Any, store: Store, component: Any, error_type: Any) -> dict[str, Any]:
        started = False
        try:
            instance = linker.instantiate(store, component)
            started = True
            call = job["call"]
            if call is None:
                function = _find(instance, store, job["run"], "run")
                # Wasmtime reports the error case of run's result as a value.
                failed = getattr(function(store), "tag", "ok") == "error"
                return {"how": "exited", "status": int(failed), "value": None}
            return self._typed_call(call, instance, store)
        except error_type as error:
            text = str(error)
            if self.callbacks.status is not None:
                return {"how": "exited", "status": self.callbacks.status, "value": None}
            if not started and "wasm backtrace" not in text and "wasm trap" not in text:
                how = "limit" if _memory_ran_out(text) else "refused"
                return {"how": how, "bound": "memory", "reason": _cause(text)}
            if "all fuel consumed" in text:
                return {"how": "limit", "bound": "fuel", "reason": "the fuel that the policy grants is used up"}
            if _memory_ran_out(text):
                return {"how": "limit", "bound": "memory", "reason": _cause(text)}
            return {"how": "trapped", "reason": self.callbacks.trap or _cause(text)}

    def _typed_call(self, call: dict[str, Any], instance: wasm.Instance, store: Store) -> dict[str, Any]:
        from sandbox import wave

        function = _find(instance, store, call["interface"], call["function"])
        if function is None:
            return {"how": "usage", "reason": f"the component exports no function {call['shown']}"}
        type_ = function.type(store)
        names = [n for n, _ in type_.params]
        given = call["arguments"]
        if len(given) != len(names):
            wanted = ", ".join(names) or "none"
            return {
                "how": "usage",
                "reason": f"{call['shown']} takes {len(names)} arguments ({wanted}), not {len(given)}",
            }
        try:
            values = [wave.parse_argument(text, t) for text, (_, t) in zip(given, type_.params, strict=True)]
        except wave.WaveError as error:
            return {"how": "usage", "reason": str(error)}
        result = function(store, *values)
        try:
            value = None if type_.result is None else wave.format(result, type_.result)
        except wave.WaveError as error:
            return {"how": "usage", "reason": str(error)}
        failed = getattr(result, "tag", None) == "error"
        return {"how": "exited", "status": int(failed), "value": value}


def _find(instance: wasm.Instance, store: Store, interface: str | None, name: str) -> Any:
    if interface is None:
        return instance.get_func(store, name)
    outer = instance.get_export_index(store, interface)
    index = None if outer is None else instance.get_export_index(store, name, outer)
    return None if index is None else instance.get_func(store, index)


def _streams(config: Any, job: dict[str, Any], streams: list[int]) -> None:
    """Standard streams, each a file descriptor; input that is the caller's own terminal or pipe is read in place."""
    stdin, stdout, stderr = streams
    if job["stdin"] == "inherit":
        config.inherit_stdin()
    elif job["stdin"] == "closed":
        # Wasmtime reads its own standard input only when the guest does; any other file it reads ahead.
        os.dup2(stdin, 0)
        config.inherit_stdin()
    else:
        config.stdin_file = f"/proc/self/fd/{stdin}"
    config.stdout_file = f"/proc/self/fd/{stdout}"
    config.stderr_file = f"/proc/self/fd/{stderr}"


def _preopen(data: dict[str, Any]) -> Preopen:
    return Preopen(
        guest=data["guest"],
        host=data["host"],
        writable=data["writable"],
        hard_links=data["hard_links"],
        excepted=tuple(data["excepted"]),
        inner=tuple((p, n) for p, n in data["inner"]),
        masked=tuple(data["masked"]),
        route=data["route"],
    )


def _open_directory(path: str) -> int:
    """``path`` is a real path: a link in it appeared after it was resolved."""
    return os.open(path, os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)


def _data() -> int:
    """Bytes of private writable memory that this process holds, as ``RLIMIT_DATA`` counts them."""
    with open("/proc/self/statm", "rb") as file:
        return int(file.read().split()[5]) * resource.getpagesize()


def _memory_ran_out(text: str) -> bool:
    return any(
        sign in text
        for sign in (
            "exceeds memory limits",
            "exceeds table limits",
            "Cannot allocate memory",
            "memory allocation of",
            "os error 12",
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
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    os.environ.clear()
    channel = Channel(socket.socket(fileno=descriptor))
    if watch:
        _end_with(channel.end)
    worker = Worker(channel)
    worker.linker(False)  # while the supervisor is still making its plan
    while (received := channel.receive()) is not None:
        job, streams = received
        worker.do(job, streams)


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
