"""A machine of a test's own: namespaces in which every address is its own, and names resolve as the test says.

Everything that is sent there stays there, comes in at a listener if there is one, and is seen by ``Machine.packets``.
The guest's host is a process inside, which runs policies as ``Runner`` does; servers are run by the test, over
sockets that were made inside.
"""

from __future__ import annotations

import os
import select
import shutil
import socket
import struct
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import lru_cache
from ipaddress import ip_address
from multiprocessing.connection import Connection
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, NamedTuple

import pytest

from sandbox.audit.events import Event
from sandbox.runtime.outcome import Outcome
from tests.e2e.harness import GUESTS, ROOT, Ran, Runner
from tests.e2e.network import Told, told

SOCKETS = GUESTS / "sockets.wasm"

DNSMASQ = "127.0.0.53"
"""Where dnsmasq answers."""
NAMESERVER = "127.0.0.54"
"""Where a ``Nameserver`` of the test answers, if there is one; dnsmasq asks it for what is below ``liar.test``."""
VOID = "20.255.0.0/16"
"""Nothing that is sent here arrives, and nobody says so."""
UNREACHABLE = "20.254.0.0/16"
"""There is no way to here."""

_TOOLS = ("unshare", "ip", "mount", "setpriv", "dnsmasq")
_FILES = ("resolv.conf", "hosts", "nsswitch.conf")


@lru_cache(maxsize=1)
def _missing() -> str | None:
    """What is missing to make a machine."""
    tools = [tool for tool in _TOOLS if shutil.which(tool, path=_path()) is None]
    if tools:
        return f"no {', no '.join(tools)}: `make guest-tools` installs them"
    return None if _unshare() else "no namespaces: neither root nor a user namespace may make them"


def needs_namespaces() -> None:
    """Skip where namespaces or dnsmasq are missing, but never in the continuous integration."""
    missing = _missing()
    if missing is not None:
        assert not os.environ.get("CI"), missing
        pytest.skip(missing)


@lru_cache(maxsize=1)
def _unshare() -> list[str]:
    """The command before one that is to run in namespaces of its own; empty where there are none."""
    for privilege in ([], ["--map-root-user"]):
        command = ["unshare", *privilege, "--net", "--mount"]
        mount = ["mount", "--bind", "/etc/hosts", "/etc/hosts"]
        if subprocess.run([*command, *mount], capture_output=True, check=False).returncode == 0:
            return command
    return []


def _path() -> str:
    return f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/sbin"


class Packet(NamedTuple):
    """One packet that was sent: ``Packet("tcp", "127.0.0.1:4000", b"")``."""

    protocol: str
    to: str
    data: bytes


class Machine(AbstractContextManager["Machine"]):
    """A machine of its own. ``folder`` is an empty directory for its files."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        (folder / "resolv.conf").write_text(f"nameserver {DNSMASQ}\n", encoding="ascii")
        (folder / "hosts").write_text("127.0.0.1 localhost\n", encoding="ascii")
        (folder / "nsswitch.conf").write_text("hosts: files dns\n", encoding="ascii")
        ours, theirs = socket.socketpair()
        self._files, files = socket.socketpair()
        with theirs, files:
            self._process = subprocess.Popen(
                [*_unshare(), sys.executable, "-m", "tests.e2e.namespaces", str(theirs.fileno()), str(files.fileno())],
                cwd=ROOT,
                env={**os.environ, "PATH": _path()},
                pass_fds=(theirs.fileno(), files.fileno()),
            )
        self._calls = Connection(ours.detach())
        self._call("set_up", str(folder))
        self._sniffer = self._made_inside("sniffer")

    def run(self, policy: Path | str, *arguments: str, stdin: bytes = b"") -> Ran:
        """As ``Runner.run``."""
        outcome = self._call("run", str(policy), arguments, stdin)
        assert isinstance(outcome, Outcome)
        return Ran(outcome)

    def bound(self, protocol: Literal["tcp", "udp"], address: str, port: int) -> socket.socket:
        """A socket that is bound inside, and listening if it is one of TCP; closed by the caller."""
        return self._made_inside("bound", protocol, address, port)

    def send(self, protocol: Literal["tcp", "udp"], address: str, port: int) -> str:
        """What a program without a sandbox gets to hear: ``ok``, or the name of the error. It sends one byte."""
        return str(self._call("send", protocol, address, port))

    def look_up(self, name: str) -> list[str]:
        """The addresses that the machine's own resolver finds; a program without a sandbox asks."""
        found = self._call("look_up", name)
        assert isinstance(found, list)
        return found

    def use_nameservers(self, *addresses: str, options: str = "", search: str = "") -> None:
        """Have names looked up elsewhere, and in domains to ``search``, until it is said again."""
        lines = [f"nameserver {address}" for address in addresses]
        lines += [f"{key} {value}" for key, value in (("options", options), ("search", search)) if value]
        (self._folder / "resolv.conf").write_text("\n".join(lines) + "\n", encoding="ascii")

    def use_hosts(self, *lines: str) -> None:
        """Have these lines in the list of hosts that the machine looks into first, until it is said again."""
        (self._folder / "hosts").write_text("\n".join(("127.0.0.1 localhost", *lines)) + "\n", encoding="ascii")

    def records(self, *lines: str) -> None:
        """(Re)start dnsmasq with these lines of configuration, which are options without their dashes."""
        self._call("dnsmasq", str(self._folder), lines)

    def packets(self) -> list[Packet]:
        """What was sent since the last time this was asked, in order.

        Of TCP: what asks for a connection, and what carries data; the rest only answers those.
        """
        out: list[Packet] = []
        while True:
            try:
                data, address = self._sniffer.recvfrom(1 << 17)
            except BlockingIOError:
                return out
            if address[2] == socket.PACKET_OUTGOING:
                out += _packet(data)

    def _made_inside(self, *call: Any) -> socket.socket:
        self._call(*call)
        _, fds, _, _ = socket.recv_fds(self._files, 1, 1)
        return socket.socket(fileno=fds[0])

    def _call(self, *call: Any) -> object:
        self._calls.send(call)
        worked, value = self._calls.recv()
        if not worked:
            raise AssertionError(value)
        return value

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._calls.close()  # the process inside ends by that
        self._process.wait(20)
        self._files.close()
        if hasattr(self, "_sniffer"):
            self._sniffer.close()


class Watch(AbstractContextManager["Watch"]):
    """Listeners inside, on all addresses, that only say whether anybody came."""

    def __init__(self, machine: Machine, ports: Iterable[int]) -> None:
        self._sockets = {
            f"{protocol} {address}:{port}": machine.bound(protocol, address, port)
            for port in ports
            for address in ("0.0.0.0", "::")
            for protocol in ("tcp", "udp")
        }

    def arrived(self) -> list[str]:
        """Listeners that were reached, as ``tcp :::80``; they are not asked again."""
        poll = select.poll()
        names = {}
        for name, listener in self._sockets.items():
            poll.register(listener, select.POLLIN)
            names[listener.fileno()] = name
        return sorted(names[descriptor] for descriptor, _ in poll.poll(0))

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for listener in self._sockets.values():
            listener.close()


Talk = Callable[[socket.socket], None]


@contextmanager
def serving(listener: socket.socket, talk: Talk) -> Iterator[None]:
    """Have ``talk`` talk to each that connects, one after the other; closed afterwards."""

    def serve() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            with connection:
                try:
                    talk(connection)
                except OSError:
                    pass  # the guest went away

    listener.setblocking(True)
    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        thread.join()
        listener.close()


@contextmanager
def answering(bound: socket.socket) -> Iterator[list[bytes]]:
    """Send back each datagram; the value is those that came."""
    came: list[bytes] = []
    done = threading.Event()

    def serve() -> None:
        while not done.is_set():
            try:
                data, sender = bound.recvfrom(1 << 16)
            except TimeoutError:
                continue
            came.append(data)
            bound.sendto(data, sender)

    bound.settimeout(0.02)
    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield came
    finally:
        done.set()
        thread.join()
        bound.close()


def deliver(sender: socket.socket, data: bytes) -> None:
    """Send one datagram to a guest that will be there soon; on loopback it is known at once whether it was taken."""
    sender.setblocking(False)
    for _ in range(1000):
        try:
            sender.send(data)
            sender.recv(1, socket.MSG_PEEK)
            return  # it was taken, and answered already
        except ConnectionRefusedError:
            time.sleep(0.005)
        except BlockingIOError:
            return
    raise AssertionError("the guest is not there")


# Names


class Question(NamedTuple):
    """What a ``Nameserver`` was asked: ``Question("a.test", "A")``."""

    name: str
    kind: str


class Query(NamedTuple):
    """A question as it came."""

    question: Question
    message: bytes
    by_tcp: bool


class Record(NamedTuple):
    """One line of an answer: ``Record("a.test", "CNAME", "b.test")``."""

    owner: str
    kind: str
    value: str


_TYPES = {"A": 1, "CNAME": 5, "AAAA": 28}


def answer(query: Query, *records: Record, code: int = 0, truncated: bool = False) -> bytes:
    """A whole answer with ``records``; those of a name's other family are left out."""
    fitting = [r for r in records if r.kind in ("CNAME", query.question.kind)]
    end = query.message.index(b"\0", 12) + 5
    flags = 0x8580 | code | (0x200 if truncated else 0)
    out = query.message[:2] + struct.pack("!HHHHH", flags, 1, len(fitting), 0, 0) + query.message[12:end]
    for owner, kind, value in fitting:
        data = _name(value) if kind == "CNAME" else ip_address(value).packed
        out += _name(owner) + struct.pack("!HHIH", _TYPES[kind], 1, 0, len(data)) + data
    return out


def asked(packets: Iterable[Packet]) -> list[str]:
    """The names that resolvers were asked for by UDP, each once, in order."""
    names = {_question(packet.data)[0]: None for packet in packets if packet[:2] in _RESOLVERS}
    return list(names)


_RESOLVERS = {("udp", f"{address}:53") for address in (DNSMASQ, NAMESERVER)}


def _question(message: bytes) -> tuple[str, int]:
    """The name that a message asks for, and the number of the kind of records."""
    labels, at = [], 12
    while message[at]:
        labels.append(message[at + 1 : at + 1 + message[at]].decode("ascii"))
        at += 1 + message[at]
    (kind,) = struct.unpack_from("!H", message, at + 1)
    return ".".join(labels), kind


def _name(text: str) -> bytes:
    return b"".join(bytes([len(label)]) + label.encode("ascii") for label in text.split(".")) + b"\0"


class Nameserver(AbstractContextManager["Nameserver"]):
    """Answers questions by a function, on ``NAMESERVER``, by UDP and TCP; ``None`` of it is no answer."""

    def __init__(self, machine: Machine, answer: Callable[[Query], bytes | None]) -> None:
        self._answer = answer
        self._udp, self._tcp = machine.bound("udp", NAMESERVER, 53), machine.bound("tcp", NAMESERVER, 53)
        self._closing, self._closed = socket.socketpair()
        self.asked: list[Question] = []
        """Each question that came, by UDP or TCP."""
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        while True:
            ready, _, _ = select.select([self._udp, self._tcp, self._closed], [], [])
            if self._closed in ready:
                return
            if self._udp in ready:
                message, sender = self._udp.recvfrom(65536)
                out = self._answered(message, by_tcp=False)
                if out is not None:
                    self._udp.sendto(out, sender)
            if self._tcp in ready:
                connection, _ = self._tcp.accept()
                connection.settimeout(5)
                with connection, connection.makefile("rb") as stream:
                    try:
                        while head := stream.read(2):
                            out = self._answered(stream.read(struct.unpack("!H", head)[0]), by_tcp=True)
                            if out is not None:
                                connection.sendall(struct.pack("!H", len(out)) + out)
                    except OSError:
                        pass  # whoever asked went away

    def _answered(self, message: bytes, *, by_tcp: bool) -> bytes | None:
        name, kind = _question(message)
        question = Question(name.lower(), {v: k for k, v in _TYPES.items()}.get(kind, str(kind)))
        self.asked.append(question)
        return self._answer(Query(question, message, by_tcp))

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._closing.close()
        self._thread.join()
        for each in (self._udp, self._tcp, self._closed):
            each.close()


# What came of a run


class Tried(NamedTuple):
    """One run of the guest: its command, what it printed, what was recorded."""

    command: str
    printed: tuple[str, ...]
    told: tuple[Told, ...] = ()


def tried(ran: Ran, command: str) -> Tried:
    """What came of ``command``; the run is asserted to have ended by itself."""
    outcome = ran.outcome
    assert (outcome.how, outcome.exit_status, outcome.stderr) == ("exited", 0, b""), outcome
    *others, last = outcome.events
    assert last.name == "ended"
    assert [event.sequence for event in outcome.events] == list(range(1, len(outcome.events) + 1))
    return Tried(command, tuple(ran.lines), tuple(map(told, others)))


class Allowed(NamedTuple):
    """What an ``allowed`` event says, apart from when and how long."""

    capability: str
    resource: str | None
    resolved: str | None
    line: int | None
    reason: str
    sent: int | None
    received: int | None


def recorded(event: Event) -> Allowed:
    """The event of something that was allowed."""
    assert event.name == "allowed"
    return Allowed(
        event.capability,
        event.resource,
        event.resolved,
        event.policy_line,
        event.reason,
        event.sent,
        event.received,
    )


def _packet(data: bytes) -> list[Packet]:
    """An IP packet, as its destination and what it carries, if it is one that is told of."""
    if data[0] >> 4 == 4:
        protocol, at, destination = data[9], (data[0] & 15) * 4, ip_address(data[16:20])
    else:
        protocol, at, destination = data[6], 40, ip_address(data[24:40])
    name = {1: "icmp", 6: "tcp", 17: "udp", 58: "icmp6"}.get(protocol, str(protocol))
    if name not in ("tcp", "udp"):
        return [Packet(name, str(destination), b"")]
    (port,) = struct.unpack_from("!H", data, at + 2)
    head = data[at + 12] >> 4 << 2 if name == "tcp" else 8
    asks = name == "udp" or data[at + 13] & 0x12 == 0x02  # SYN without ACK
    to = f"{destination}:{port}" if destination.version == 4 else f"[{destination}]:{port}"
    packet = Packet(name, to, data[at + head :])
    return [packet] if asks or packet.data else []


# The process inside


class _Inside:
    """What the test calls, by name."""

    def __init__(self, files: socket.socket) -> None:
        self._files = files
        self._runner: Runner | None = None
        self._dnsmasq: subprocess.Popen[bytes] | None = None

    def set_up(self, folder: str) -> None:
        for name in _FILES:
            subprocess.run(["mount", "--bind", f"{folder}/{name}", f"/etc/{name}"], check=True)
        commands = [
            "ip link set lo up",
            # Every address is this machine's own: what is sent anywhere comes in here.
            "ip route add local default dev lo",
            "ip -6 route add local default dev lo",
            f"ip route add unreachable {UNREACHABLE} table local",
            "ip address add 20.0.0.1/32 dev lo",
            "ip address add 2600:ffff::1/128 dev lo nodad",
            "ip address add fe80::1/64 dev lo nodad",
            "ip route add multicast 224.0.0.0/4 dev lo table local src 20.0.0.1",
            "ip route add broadcast 255.255.255.255 dev lo table local src 20.0.0.1",
            "ip -6 route add multicast ff00::/8 dev lo table local",
            # The other end of this pair is down.
            "ip link add void type veth peer name hole",
            "ip link set void up arp off addrgenmode none",
            f"ip route add {VOID} dev void table local src 20.0.0.1",
        ]
        for command in commands:
            subprocess.run(command.split(), check=True)

    def sniffer(self) -> None:
        every = 0x0003  # ETH_P_ALL
        with socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK, socket.htons(every)) as sniffer:
            sniffer.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
            socket.send_fds(self._files, [b"\0"], [sniffer.fileno()])

    def bound(self, protocol: str, address: str, port: int) -> None:
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        with socket.socket(family, socket.SOCK_STREAM if protocol == "tcp" else socket.SOCK_DGRAM) as made:
            if family == socket.AF_INET6:
                made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            if protocol == "tcp":
                made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            made.bind((address, port))
            if protocol == "tcp":
                made.listen(128)
            socket.send_fds(self._files, [b"\0"], [made.fileno()])

    def send(self, protocol: str, address: str, port: int) -> str:
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        with socket.socket(family, socket.SOCK_STREAM if protocol == "tcp" else socket.SOCK_DGRAM) as sender:
            sender.settimeout(2)
            to: tuple[str, int] | tuple[str, int, int, int] = (address, port)
            if family == socket.AF_INET:
                sender.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
            else:
                address, _, scope = address.partition("%")
                to = (address, port, 0, int(scope or 0))
                if protocol == "udp":
                    sender.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_IF, socket.if_nametoindex("lo"))
            try:
                sender.connect(to)
                sender.send(b"!")
            except OSError as error:
                return str(error)
        return "ok"

    def look_up(self, name: str) -> list[str]:
        try:
            found = socket.getaddrinfo(name, None, type=socket.SOCK_STREAM)
        except OSError as error:
            return [str(error)]
        return [str(address[0]) for *_, address in found]

    def dnsmasq(self, folder: str, lines: tuple[str, ...]) -> None:
        self._stop_dnsmasq()
        path = Path(folder) / "dnsmasq.conf"
        fixed = [
            "port=53",
            f"listen-address={DNSMASQ}",
            "bind-interfaces",
            "no-resolv",
            "no-hosts",
            "no-poll",
            "cache-size=0",
            f"server=/liar.test/{NAMESERVER}",
            "local=/test/",
        ]
        path.write_text("\n".join([*fixed, *lines]) + "\n", encoding="ascii")
        # Without its daemon's ways it wants no other user, which a user namespace has not got.
        command = ["dnsmasq", "--no-daemon", f"--conf-file={path}"]
        self._dnsmasq = subprocess.Popen(["setpriv", "--pdeathsig", "KILL", *command], stderr=subprocess.DEVNULL)
        for _ in range(500):
            with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as asker:
                if asker.connect_ex((DNSMASQ, 53)) == 0:
                    return
            assert self._dnsmasq.poll() is None, "dnsmasq ended"
            time.sleep(0.01)
        raise AssertionError("dnsmasq does not answer")

    def run(self, policy: str, arguments: tuple[str, ...], stdin: bytes) -> Outcome:
        self._runner = self._runner or Runner(Path(os.environ["SANDBOX_CACHE"]))
        return self._runner.run(policy, *arguments, stdin=stdin).outcome

    def close(self) -> None:
        self._stop_dnsmasq()
        if self._runner is not None:
            self._runner.close()

    def _stop_dnsmasq(self) -> None:
        if self._dnsmasq is not None:
            self._dnsmasq.kill()
            self._dnsmasq.wait()
            self._dnsmasq = None


def _serve(calls: Connection, files: socket.socket) -> None:
    inside = _Inside(files)
    try:
        while True:
            name, *arguments = calls.recv()
            try:
                calls.send((True, getattr(inside, name)(*arguments)))
            except Exception:  # noqa: BLE001 -- told in the test
                calls.send((False, traceback.format_exc()))
    except EOFError:
        pass
    finally:
        inside.close()


if __name__ == "__main__":
    _serve(Connection(int(sys.argv[1])), socket.socket(fileno=int(sys.argv[2])))
