"""What a guard may ask of its worker. Callbacks return values; one that raises against all expectation makes the guest
trap and the run fail (see ``binding``).

Light: every run has these at hand from its start, and what only some need is imported when they do.
"""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, Any

from sandbox.broker.links import stays_below
from sandbox.runtime.channel import Channel

if TYPE_CHECKING:
    from sandbox.broker.paths import Router
    from sandbox.broker.sockets import Sockets
    from sandbox.runtime.memory import GuardMemory

DENY = 0x8000_0000
MAX_TEXT = 4096
ROUTED, OWNER = 2, 3
"""Of the guard's state, without the time that importing it takes."""
SYMBOLIC_LINK, LINK_TARGET, OUT_OF_FILES, WRITES = 10, 11, 15, 0x100
"""Of ``Reason``, without the time that importing it takes."""
ACCESS, NOT_PERMITTED = 0, 31
"""Of the router's ``Error``, likewise."""
MAX_NOTES = 4096
METHODS = ("GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH")
SCHEMES = ("http", "https")
WORD = 0xFFFF_FFFF


class UnfitError(Exception):
    """The component cannot be run; the message says why.

    ``instance``: the number of the one of a program that it is about; ``name``: its import that is not what is to serve
    it, where that is why.
    """

    def __init__(self, message: str, instance: int | None = None, name: str | None = None) -> None:
        super().__init__(message)
        self.instance, self.name = instance, name


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
        self.routers: dict[int, tuple[int, Router]] = {}
        """The router of each component that has one, behind the number of its first directory."""
        self.configuration: tuple[int, int, str] = (0, 0, "")
        self.seeds: list[int] = []
        self.lists: list[tuple[str, str]] = []
        self.unused: dict[int, list[Any]] = {}
        """Standard streams of a program's instances that are not granted and were not used yet, with the sites that
        give them. Those of the component that is run are Wasmtime's, and watched by the supervisor."""
        self.status: int | None = None
        self.left: int | None = None
        """The instance that ended the program with ``status``."""
        self.trap: str | None = None
        self.trapped: int | None = None
        """The instance that the guard made trap, for the reason ``trap``."""
        self.notes: dict[tuple[int, str], str] = {}

    def start(self, job: dict[str, Any], sites: list[list[Any]], directories: list[int], outputs: list[int]) -> None:
        """``outputs`` are the ends of the standard output and error of each component of a program but the first."""
        self.sites, self.preopens, self.directories = sites, job["preopens"], directories
        self.routers = {}
        self.unused = {}
        self.configuration = (job["handles"], job["disk"], job["flags"])
        self.seeds = job["seeds"]
        self.lists = [(_words(own["arguments"]), _words(own["environment"])) for own in job["members"]]
        if job["network"] is not None:
            from sandbox.broker.sockets import Sockets
            from sandbox.runtime.memory import GuardMemory

            if "memory" not in self.__dict__:
                self.memory = GuardMemory()
            self.memory.forget()
            self.network = Sockets(self.channel, job["network"], sites)
            self._standard_streams(job, outputs)
        for owner in {ord(flags) >> OWNER for flags in job["flags"] if ord(flags) & ROUTED}:
            self._router(owner)  # now: a guest may leave no descriptor for what this imports
        self.status = self.left = self.trap = self.trapped = None
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
        _, function, capability = self.sites[site][:3]
        if capability == "http.request" and function == "handle":
            text, raw = self._request(raw).encode("utf-8", "replace").decode("latin-1"), ""
        if capability == "random.secure":
            self._make_trap(site, "secure random numbers are not granted")
        elif function == "get-directories":
            self._make_trap(site, "the granted directories were asked for again, beyond the bound on open handles")
        self.channel.send("refused", time.time(), self.sites[site], text, raw)

    def barred(self, _: object, site: int) -> None:
        interface, function = self.sites[site][:2]
        self._make_trap(site, f"the policy does not allow this call of {function} of {interface}")
        self.channel.send("refused", time.time(), self.sites[site], "", "")

    def _make_trap(self, site: int, reason: str) -> None:
        self.trap, self.trapped = reason, self.sites[site][4]

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

        first, router = self._router(self._owner(grant))
        found = router.route(grant - first, _path(base), _path(path), intent)
        if isinstance(found, Place):
            return found.preopen + first, _bytes(found.path)
        if found.reason is not None:
            writes = int(Reason.WRITES) if intent & MUTATES else 0
            self.denied(None, site, int(found.reason) | writes, grant, base, path)
        return DENY | found.error, ""

    def route_pair(
        self, _: object, site: int, intent: int, grant: int, base: str, path: str, grant2: int, base2: str, path2: str
    ) -> tuple[int, str, str]:
        """Route a rename, or judge the target of a new symbolic link, which comes as ``path2``."""
        if self.sites[site][1].endswith(".symlink-at"):
            return self.link(site, grant, base, path, path2)
        from sandbox.broker.paths import Denial

        first, router = self._router(self._owner(grant))
        found = router.rename(grant - first, _path(base), _path(path), _path(base2), _path(path2), intent)
        if isinstance(found, Denial):
            if found.reason is not None:
                self.denied_pair(None, site, int(found.reason) | WRITES, grant, base, path, grant2, base2, path2)
            return DENY | found.error, "", ""
        return found[0].preopen + first, _bytes(found[0].path), _bytes(found[1].path)

    def link(self, site: int, grant: int, base: str, path: str, target: str) -> tuple[int, str, str]:
        routed = ord(self.configuration[2][grant]) & ROUTED
        if not routed and stays_below(_path(target)):
            return grant, path, target
        reason, error = (SYMBOLIC_LINK, ACCESS) if routed else (LINK_TARGET, NOT_PERMITTED)
        self.channel.send("denied", time.time(), self.sites[site], reason | WRITES, grant, base, path, _text(target))
        return DENY | error, "", ""

    def _owner(self, grant: int) -> int:
        """The component that a directory is granted to; another one may have been handed it."""
        return ord(self.configuration[2][grant]) >> OWNER

    def _router(self, owner: int = 0) -> tuple[int, Router]:
        if owner not in self.routers:
            from sandbox.broker.paths import Router, openat2_works
            from sandbox.plan import preopen_from_data

            if not openat2_works():
                raise UnfitError("this kernel has no openat2 (Linux 5.6), without which the grants cannot be enforced")
            own = [n for n, flags in enumerate(self.configuration[2]) if ord(flags) >> OWNER == owner]
            router = Router([preopen_from_data(self.preopens[n]) for n in own], [self.directories[n] for n in own])
            self.routers[owner] = own[0], router
        return self.routers[owner]

    def _standard_streams(self, job: dict[str, Any], outputs: list[int]) -> None:
        """Open the standard streams of each instance but that of the first component, whose own are Wasmtime's.

        Instances of one component write to the same output.
        """
        if not outputs:
            return
        import socket

        from sandbox.broker.objects import standard_stream
        from sandbox.guard.streams import STANDARD
        from sandbox.guard.streams import standard_stream as numbered

        ends: dict[tuple[int, int], socket.socket] = {}
        for row in self.sites:
            if not row[2].startswith("stdio.") or row[1] not in STANDARD:
                continue
            owner, which = job["owners"][row[4]], STANDARD.index(row[1])
            if which and (owner, which) not in ends:
                ends[owner, which] = socket.socket(fileno=os.dup(outputs[2 * (owner - 1) + which - 1]))
            number = numbered(row[4], which)
            self.network.keep(standard_stream(number, row, ends.get((owner, which))))
            if not job["members"][owner]["streams"][which]:
                self.unused[number] = row

    def config(self, _: object) -> tuple[int, int, str]:
        return self.configuration

    def seed(self, _: object, owner: int) -> int:
        return self.seeds[owner]

    def words(self, _: object, what: int) -> str:
        """The arguments of a component of a program, or its variables: see ``builder.HOST``."""
        return self.lists[what >> 1][what & 1]

    def exit(self, _: object, status: int) -> None:
        """``status`` has eight bits; above them is the site that asks for it and one more, where it is known."""
        self.status, site = status & 0xFF, (status >> 8) - 1
        self.left = self.sites[site][4] if site >= 0 else None

    def end(self) -> None:
        """The run is over: close what is the guest's and was not handed to Wasmtime."""
        network = self.__dict__.pop("network", None)
        if network is not None:
            network.close()
            self.memory.forget()  # which goes with the store

    def socket(self, _: object, call: int, words: str, text: str) -> str:
        code, payload = self.network.control(call >> 32, call & WORD, words, text)
        return chr(code) + payload

    def secret(self, _: object) -> str:
        return self.memory.new_secret()

    def locate(self, _: object, offset: int) -> int:
        return int(self.memory.locate(offset))

    def receive(self, _: object, stream: int, place: int) -> int:
        if self.unused:
            self._first_use(stream & WORD)
        status, size = self.network.receive_into(stream & WORD, stream >> 32, self._place(place))
        return status << 32 | size

    def receive_text(self, _: object, stream: int, length: int) -> tuple[int, str]:
        if self.unused:
            self._first_use(stream & WORD)
        return self.network.receive(stream & WORD, length, stream >> 32)

    def _first_use(self, number: int) -> None:
        """Tell of the first use of a standard stream that is not granted."""
        row = self.unused.pop(number, None)
        if row is not None:
            self.channel.send("refused", time.time(), row, "", "")

    def send(self, _: object, stream: int, place: int) -> int:
        if self.unused and place & WORD:
            self._first_use(stream & WORD)
        return self.network.send_from(stream & WORD, stream >> 32, self._place(place))

    def send_text(self, _: object, stream: int, data: str) -> int:
        if self.unused and data:
            self._first_use(stream & WORD)
        return self.network.send(stream & WORD, stream >> 32, data)

    def room(self, _: object, number: int) -> int:
        return self.network.room(number)

    def datagram(self, _: object, number: int, to: str, data: str) -> int:
        return self.network.datagram(number, to, data)

    def wait(self, _: object, what: str, nanoseconds: int) -> str:
        return self.network.wait(what, nanoseconds)

    def drop(self, _: object, handle: int) -> None:
        self.network.drop(handle & WORD, handle >> 32)

    def _place(self, place: int) -> memoryview:
        """A part of the guard's memory: an offset above 32 bits, and a length."""
        view, offset = self.memory.view, place >> 32
        assert view is not None
        return view[offset : offset + (place & WORD)]

    def fault(self, where: str, error: Exception) -> None:
        """A function failed that never does: the guest traps, and the supervisor, which is told, ends the run."""
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
            "words": self.words,
            "barred": self.barred,
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


def _words(strings: list[str]) -> str:
    """How many strings there are, and each behind its length: as bytes, one a character."""
    out = [len(strings).to_bytes(4, "little")]
    for string in strings:
        data = string.encode("utf-8")
        out += [len(data).to_bytes(4, "little"), data]
    return b"".join(out).decode("latin-1")


def _text(latin: str) -> str:
    """Guest bytes, one a character, as text that can be shown."""
    return latin.encode("latin-1").decode("utf-8", "replace")[:MAX_TEXT]


def _path(latin: str) -> str:
    """Guest bytes, one a character, as Python names paths."""
    return latin.encode("latin-1").decode("utf-8", "surrogateescape")  # whatever the locale


def _bytes(path: str) -> str:
    return path.encode("utf-8", "surrogateescape").decode("latin-1")


def _out_of_files() -> bool:
    try:
        os.close(os.dup(0))
    except OSError:
        return True
    return False
