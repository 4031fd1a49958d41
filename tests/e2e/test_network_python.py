"""CPython's own networking under policies: http.client, urllib, sockets and asyncio, none of which knows of a sandbox.

What is granted works as it does without a sandbox; what is not fails as the library says, with one event.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

import sandbox
from sandbox.audit.events import Event
from sandbox.audit.read import lines_of, read_trail
from tests.e2e.harness import ROOT, Ran, Runner
from tests.e2e.network import (
    EVENT_LOOP,
    SOCKETS_LINE,
    Responder,
    Server,
    Told,
    dns,
    echo,
    flood,
    free_port,
    http,
    network_python,
    policy_text,
    silent,
    told,
)

UNCOVERED = "no grant covers this address and port"
UNCOVERED_ADDRESS = "no grant covers this address"
UNCOVERED_NAME = "no grant covers this name"

REFUSED = "PermissionError EACCES"
FORBIDDEN = f"error {REFUSED}"

Run = Callable[..., Ran]


@pytest.fixture(scope="module")
def guest() -> Path:
    return network_python()


@pytest.fixture
def run(guest: Path, runner: Runner, tmp_path: Path) -> Run:
    """Runs commands of the guest: ``run(sockets, "get http://127.0.0.1:80/", limits="{sockets: 5}")``."""

    def go(sockets: str, *commands: str, limits: str = "{}", stdin: bytes = b"") -> Ran:
        path = tmp_path / "policy.yaml"
        path.write_text(policy_text(guest, sockets, limits))
        return runner.run(path, *arguments(*commands), stdin=stdin)

    return go


def arguments(*commands: str) -> list[str]:
    out: list[str] = []
    for command in commands:
        out += ["--"] * bool(out) + command.split(" ")
    return out


def answers(ran: Ran) -> list[str]:
    """What is behind the arrows, of a run that ended by itself."""
    assert (ran.outcome.how, ran.outcome.exit_status, ran.outcome.stderr) == ("exited", 0, b""), ran.outcome
    return [line.partition(" -> ")[2] for line in ran.lines]


def trail(ran: Ran) -> list[Told]:
    """All events but the last, which is ``ended``."""
    assert ran.outcome.events[-1].name == "ended"
    return [told(event) for event in ran.outcome.events[:-1]]


def refused(capability: str, resource: str, reason: str, *, resolved: str | None = None, grant: str | None) -> Told:
    """A denial by no rule: it names the line of ``sockets``."""
    return Told("denied", capability, resource, resolved, SOCKETS_LINE, reason, grant)


def tcp(peer: str) -> str:
    return f'sockets:\n  tcp: {{connect: ["{peer}"]}}'


PAGE = "200 5 2cf24dba5fb0a30e"
PAGES = {"/": ("200 OK", b"hello")}


# Fetching pages


def test_fetch_by_address(run: Run) -> None:
    """A page comes from the granted address; every other address, port and name is refused, with one event each."""
    other = free_port()
    with (
        Server(http(PAGES)) as server,
        Server(http(PAGES), "127.0.0.1", other) as elsewhere,
        Server(http(PAGES), "127.0.0.2", server.port) as second,
        Server(http(PAGES), "::1", server.port) as six,
    ):
        port = server.port
        ran = run(
            f'tcp: {{connect: ["127.0.0.1:{port}"]}}',
            f"get http://127.0.0.1:{port}/",
            f"get http://127.0.0.1:{other}/",
            f"get http://127.0.0.2:{port}/",
            f"get http://localhost:{port}/",
            f"get http://[::1]:{port}/",
            f"connect 127.0.0.1 {other}",
            f"connect 127.0.0.2 {port}",
            f"connect ::1 {port}",
            f"connect ::ffff:127.0.0.2 {port}",
            f"get http://127.0.0.1:{port}/",
        )
        counts = [s.accepted for s in (server, elsewhere, second, six)]
    assert answers(ran) == [
        f"ok {PAGE}",
        FORBIDDEN,
        FORBIDDEN,
        FORBIDDEN,
        FORBIDDEN,
        FORBIDDEN,
        FORBIDDEN,
        FORBIDDEN,
        FORBIDDEN,
        f"ok {PAGE}",
    ]
    assert trail(ran) == [
        refused("sockets.tcp.connect", f"127.0.0.1:{other}", UNCOVERED, grant=tcp(f"127.0.0.1:{other}")),
        refused("dns.resolve", "127.0.0.2", UNCOVERED_ADDRESS, grant=None),
        refused("dns.resolve", "localhost", UNCOVERED_NAME, grant="sockets:\n  dns: [localhost]"),
        refused("dns.resolve", "::1", UNCOVERED_ADDRESS, grant=None),
        refused("sockets.tcp.connect", f"127.0.0.1:{other}", UNCOVERED, grant=tcp(f"127.0.0.1:{other}")),
        refused("sockets.tcp.connect", f"127.0.0.2:{port}", UNCOVERED, grant=tcp(f"127.0.0.2:{port}")),
        refused("sockets.tcp.connect", f"[::1]:{port}", UNCOVERED, grant=tcp(f"[::1]:{port}")),
        refused(
            "sockets.tcp.connect",
            f"[::ffff:127.0.0.2]:{port}",
            UNCOVERED,
            resolved=f"127.0.0.2:{port}",
            grant=tcp(f"127.0.0.2:{port}"),
        ),
    ]
    assert counts == [2, 0, 0, 0]


def test_fetch_by_name(run: Run) -> None:
    """A page comes from the granted name; its address is pinned for its port and for no other."""
    other = free_port()
    with Server(http(PAGES)) as server, Server(http(PAGES), "127.0.0.1", other) as elsewhere:
        port = server.port
        ran = run(
            f'tcp: {{connect: [{{to: "localhost:{port}", private: true}}]}}',
            f"connect 127.0.0.1 {port}",
            f"get http://localhost:{port}/",
            f"get http://LocalHost.:{port}/",
            f"get http://127.0.0.1:{port}/",
            f"get http://localhost:{other}/",
            f"get http://127.0.0.2:{port}/",
            f"get http://sub.localhost:{port}/",
            f"post http://localhost:{port}/ 100000",
        )
        counts = [server.accepted, elsewhere.accepted]
    sent = "200 100000 c814539096c524c7"
    assert answers(ran) == [
        FORBIDDEN,
        f"ok {PAGE}",
        f"ok {PAGE}",
        f"ok {PAGE}",
        FORBIDDEN,
        FORBIDDEN,
        FORBIDDEN,
        f"ok {sent} {sent}",
    ]
    private = f'sockets:\n  tcp: {{connect: [{{to: "localhost:{other}", private: true}}]}}'
    assert trail(ran) == [
        refused("sockets.tcp.connect", f"127.0.0.1:{port}", UNCOVERED, grant=tcp(f"127.0.0.1:{port}")),
        refused(
            "sockets.tcp.connect",
            f"127.0.0.1:{other}",
            UNCOVERED,
            resolved=f"127.0.0.1:{other} (localhost)",
            grant=private,
        ),
        refused("dns.resolve", "127.0.0.2", UNCOVERED_ADDRESS, grant=None),
        refused("dns.resolve", "sub.localhost", UNCOVERED_NAME, grant="sockets:\n  dns: [sub.localhost]"),
    ]
    assert counts == [4, 0]


def test_a_lookup_grants_no_connection(run: Run) -> None:
    """A name that may only be looked up is found, and connecting to what was found is refused, naming both."""
    with Server(echo) as server:
        port = server.port
        ran = run("dns: [localhost]", "resolve localhost", f"get http://localhost:{port}/", f"connect 127.0.0.1 {port}")
        accepted = server.accepted
    assert answers(ran) == ["ok 127.0.0.1", FORBIDDEN, FORBIDDEN]
    private = f'sockets:\n  tcp: {{connect: [{{to: "localhost:{port}", private: true}}]}}'
    one = refused(
        "sockets.tcp.connect",
        f"127.0.0.1:{port}",
        UNCOVERED,
        resolved=f"127.0.0.1:{port} (localhost)",
        grant=private,
    )
    assert trail(ran) == [one, one]
    assert accepted == 0


def test_redirects(run: Run) -> None:
    """urllib follows a redirect on the granted server, and is refused wherever else one leads, with one event each."""
    other = free_port()
    seen: list[str] = []
    pages = dict(PAGES)
    with (
        Server(http(pages, seen)) as server,
        Server(http(PAGES), "127.0.0.1", other) as elsewhere,
        Server(http(PAGES), "127.0.0.2", server.port) as second,
    ):
        port = server.port
        for path, to in {
            "/near": "/",
            "/port": f"http://127.0.0.1:{other}/",
            "/address": f"http://127.0.0.2:{port}/",
            "/name": "http://elsewhere.example/",
            "/number": f"http://2130706434:{port}/",
            "/six": f"http://[::1]:{port}/",
        }.items():
            pages[path] = f"302 Found\r\nLocation: {to}", b""
        base = f"http://127.0.0.1:{port}"
        ran = run(
            f'tcp: {{connect: ["127.0.0.1:{port}"]}}',
            *(f"browse {base}/{path}" for path in ("near", "port", "address", "name", "number", "six")),
        )
        counts = [elsewhere.accepted, second.accepted]
    assert answers(ran) == [
        f"ok 200 {base}/ 5 2cf24dba5fb0a30e",
        "error URLError EACCES",
        "error URLError EACCES",
        "error URLError EACCES",
        "error URLError EACCES",
        "error URLError EACCES",
    ]
    assert trail(ran) == [
        refused("sockets.tcp.connect", f"127.0.0.1:{other}", UNCOVERED, grant=tcp(f"127.0.0.1:{other}")),
        refused("dns.resolve", "127.0.0.2", UNCOVERED_ADDRESS, grant=None),
        refused("dns.resolve", "elsewhere.example", UNCOVERED_NAME, grant="sockets:\n  dns: [elsewhere.example]"),
        refused("dns.resolve", "2130706434", UNCOVERED_ADDRESS, resolved="127.0.0.2", grant=None),
        refused("dns.resolve", "::1", UNCOVERED_ADDRESS, grant=None),
    ]
    assert seen == ["/near", "/", "/port", "/address", "/name", "/number", "/six"]
    assert counts == [0, 0]


# asyncio


def event_loop(connect: str = "", listen: str = "", more: str = "") -> str:
    """What an event loop of CPython needs, a place to connect to itself by, and what else is granted."""
    return f"""tcp:
  connect: [{connect and f'"{connect}"'}]
  listen: ["{EVENT_LOOP}"{listen and f', "{listen}"'}]
{more}"""


def echoes(port: int, connections: int) -> list[object]:
    """Connect so often, one after the other, each with bytes of its own to echo; what came back wrong."""
    wrong: list[object] = []
    for number in range(connections):
        data = f"{number} ".encode() * (20_000 if number % 500 == 499 else number % 40 + 1)
        with connected(port) as client:
            client.sendall(data)
            client.shutdown(socket.SHUT_WR)
            got = b"".join(iter(lambda c=client: c.recv(65536), b""))  # type: ignore[misc]
        if got != data:
            wrong.append((number, len(data), len(got)))
    return wrong


def connected(port: int, source: str | None = None) -> socket.socket:
    """Connect to a guest that is about to listen, from a given address if it matters."""
    until = time.monotonic() + 60
    while True:
        client = socket.socket()
        client.settimeout(30)
        try:
            if source is not None:
                client.bind((source, 0))
            client.connect(("127.0.0.1", port))
        except ConnectionRefusedError:
            client.close()
            assert time.monotonic() < until
            time.sleep(0.01)
            continue
        return client


def test_serve(run: Run) -> None:
    """An asyncio server echoes 10,000 connections on the granted port; another port and address are refused."""
    port, other = free_port(), free_port()
    wrong: list[object] = []
    clients = [threading.Thread(target=lambda: wrong.extend(echoes(port, 2500))) for _ in range(4)]
    for client in clients:
        client.start()
    ran = run(
        event_loop(listen=f"127.0.0.1:{port}"),
        f"serve 127.0.0.1 {other} 1",
        f"serve 127.0.0.2 {port} 1",
        f"serve 0.0.0.0 {port} 1",
        f"serve 127.0.0.1 {port} 10000",
        limits="{deadline: 60s, sent: 64MiB, received: 64MiB}",
    )
    for client in clients:
        client.join()
    carried = sum(len(f"{n} ") * (20_000 if n % 500 == 499 else n % 40 + 1) for n in range(2500)) * 4
    assert answers(ran) == [
        FORBIDDEN,
        FORBIDDEN,
        FORBIDDEN,
        f"ok 10000 connections, {carried} bytes, some at once",
    ]
    assert wrong == []
    assert trail(ran) == [
        refused(
            "sockets.tcp.bind",
            place,
            UNCOVERED,
            grant=f'sockets:\n  tcp: {{listen: ["{place}"]}}',
        )
        for place in (f"127.0.0.1:{other}", f"127.0.0.2:{port}", f"0.0.0.0:{port}")
    ]


def test_streams(run: Run) -> None:
    """Streams, half-close, a timeout and many connections at once work in an event loop; another peer is refused."""
    with Server(echo) as server, Server(silent) as mute, Server(echo, "127.0.0.2", server.port) as second:
        ran = run(
            event_loop(connect=f'{server.host}", "{mute.host}'),
            f"talk 127.0.0.1 {server.port} hello",
            f"patience 127.0.0.1 {mute.port} 0.3",
            f"gather 127.0.0.1 {server.port} 40 100000",
            f"talk 127.0.0.2 {server.port} hello",
            f"gather 127.0.0.1 {server.port} 3 2000000",
        )
        counts = [server.accepted, mute.accepted, second.accepted]
        assert server.all_closed()
        assert mute.all_closed()
    assert answers(ran) == [
        "ok hello",
        "ok timed out, in time",
        "ok 40 equal",
        FORBIDDEN,
        "ok 3 equal",
    ]
    assert trail(ran) == [
        refused("sockets.tcp.connect", f"127.0.0.2:{server.port}", UNCOVERED, grant=tcp(f"127.0.0.2:{server.port}"))
    ]
    assert counts == [44, 1, 0]


def test_server_and_clients_in_one_guest(run: Run) -> None:
    """A guest that may listen and connect to the same port is its own peer, in one event loop."""
    port = free_port()
    ran = run(event_loop(f"127.0.0.1:{port}", f"127.0.0.1:{port}"), f"both 127.0.0.1 {port} 10")
    assert answers(ran) == ["ok " + " ".join(f"CLIENT {n}" for n in range(10))]
    assert trail(ran) == []


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        ("stdin", "ok 'typed\\nagain\\n', with a timer beside it\n"),
        ("poll", "ok stdin b'typed\\nagain\\n' socket b'firsttyped\\nagain\\n'\n"),
    ],
)
def test_standard_input_beside_sockets(command: str, expected: str, guest: Path, tmp_path: Path) -> None:
    """Standard input that is typed over time, a socket and a timer are waited for together."""
    heard = threading.Semaphore(0)

    def hearing(connection: socket.socket) -> None:
        while data := connection.recv(65536):
            connection.sendall(data)
            if b"\n" in data:
                heard.release()

    path, audit = tmp_path / "policy.yaml", tmp_path / "trail.jsonl"
    with Server(hearing) as server:
        text = policy_text(guest, event_loop(connect=server.host)).replace("stdout: capture", "stdout: inherit")
        path.write_text(text)
        line = [sys.executable, "-m", "sandbox", "run", "--audit", str(audit), str(path), "--"]
        line += arguments(f"{command} 127.0.0.1 {server.port}")
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        with subprocess.Popen(line, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment) as process:
            assert process.stdin is not None
            assert process.stdout is not None
            for typed in (b"typed\n", b"again\n"):
                process.stdin.write(typed)
                process.stdin.flush()
                assert heard.acquire(timeout=60)
                time.sleep(0.05)
            process.stdin.close()
            said = process.stdout.read().decode()
            assert process.wait(30) == 0
    assert said == f"{command} 127.0.0.1 {server.port} -> {expected}"
    with open(audit, "rb") as file:
        assert [(e.name, e.capability) for e in read_trail(lines_of(file))] == [("ended", "run")]


# UDP


def udp(peer: str) -> str:
    return f'sockets:\n  udp: {{send: ["{peer}"]}}'


def test_ask_a_resolver(run: Run) -> None:
    """A resolver that is granted answers, by a socket that was never bound, bound or connected; another is refused."""
    records = {"one.example": ["192.0.2.1"], "two.example": ["192.0.2.1", "198.51.100.2"]}
    with Responder(dns(records)) as resolver, Responder(dns(records), "127.0.0.2", resolver.port) as other:
        port = resolver.port
        ran = run(
            f'udp: {{send: ["127.0.0.1:{port}"]}}',
            f"ask 127.0.0.1 {port} one.example",
            f"ask 127.0.0.1 {port} two.example connect",
            f"ask 127.0.0.1 {port} two.example bind",
            f"ask 127.0.0.1 {port} none.example",
            f"ask 127.0.0.2 {port} one.example",
            f"ask 127.0.0.2 {port} one.example connect",
            f"ask 127.0.0.2 {port} one.example bind",
            f"exchange 127.0.0.1 127.0.0.2 {port}",
        )
        counts = [len(resolver.received), len(other.received)]
    assert answers(ran) == [
        "ok bound 192.0.2.1",
        "ok bound 192.0.2.1 198.51.100.2",
        "ok bound 192.0.2.1 198.51.100.2",
        "ok bound",
        FORBIDDEN,
        FORBIDDEN,
        FORBIDDEN,
        "ok TimeoutError timed out; PermissionError EACCES; TimeoutError timed out",
    ]
    one = refused("sockets.udp.send", f"127.0.0.2:{port}", UNCOVERED, grant=udp(f"127.0.0.2:{port}"))
    assert trail(ran) == [one] * 4
    assert counts == [6, 0]


def test_answers_of_strangers(run: Run) -> None:
    """What somebody else sends to a socket of the guest's, before the resolver answers, is never seen."""
    answer = dns({"one.example": ["192.0.2.1"]})
    forged = dns({"one.example": ["203.0.113.66"]})

    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger:
        stranger.bind(("127.0.0.2", 0))

        def spoofed(query: bytes, sender: tuple[str, int]) -> bytes | None:
            false = forged(query, sender)
            assert false is not None
            stranger.sendto(false, sender)
            time.sleep(0.05)
            return answer(query, sender)

        with Responder(spoofed) as resolver:
            ran = run(
                f'udp: {{send: ["127.0.0.1:{resolver.port}"]}}',
                f"ask 127.0.0.1 {resolver.port} one.example",
                f"ask 127.0.0.1 {resolver.port} one.example connect",
            )
    assert answers(ran) == ["ok bound 192.0.2.1", "ok bound 192.0.2.1"]
    assert trail(ran) == []


def test_datagram_endpoint(run: Run) -> None:
    """asyncio's datagram endpoint asks the granted peer, and is refused another."""
    with Responder(lambda data, _: data.upper()) as responder, Responder(lambda data, _: data, "127.0.0.2") as other:
        ran = run(
            event_loop(more=f'udp: {{send: ["127.0.0.1:{responder.port}"]}}'),
            f"datagrams 127.0.0.1 {responder.port} hello",
            f"datagrams 127.0.0.2 {other.port} hello",
        )
        received = other.received
    assert answers(ran) == ["ok HELLO from 127.0.0.1", FORBIDDEN]
    peer = f"127.0.0.2:{other.port}"
    assert trail(ran) == [refused("sockets.udp.send", peer, UNCOVERED, grant=udp(peer))]
    assert received == []


# Limits


def limit(name: str, reason: str, resource: str | None = None, *, event: str = "limit") -> Told:
    """A bound that was reached, under a policy whose ``sockets`` take one line."""
    return Told(event, f"limits.{name}", resource, None, SOCKETS_LINE + 2, reason)


def twice(name: str, reason: str, resource: str | None) -> list[Told]:
    """A bound that was reached, and reached again."""
    return [limit(name, reason, resource), limit(name, reason, resource, event="denied")]


MIB = 1 << 20


def test_a_flooding_peer_ends_at_the_bytes_received(run: Run) -> None:
    """A peer that never stops sending is read up to ``limits.received``; then its stream, and every other, is over."""
    with Server(flood) as server:
        command = f"read-all 127.0.0.1 {server.port}"
        ran = run(f'tcp: {{connect: ["{server.host}"]}}', command, command, limits="{received: 1MiB}")
        assert server.all_closed(of=2)
    assert answers(ran) == [f"ok {MIB} then OSError EIO", "ok 0 then OSError EIO"]
    reason = "the bytes that may be received over sockets are used up (1,048,576 bytes)"
    assert trail(ran) == twice("received", reason, server.host)
    assert ran.outcome.bounds == ("limits.received",)


def test_an_endless_writer_ends_at_the_bytes_sent(run: Run) -> None:
    """A guest that never stops writing gets ``limits.sent`` out, over all its connections, and not a byte more."""
    carried: list[int] = []

    def count(connection: socket.socket) -> None:
        carried.append(sum(len(data) for data in iter(lambda: connection.recv(65536), b"")))

    with Server(count) as server:
        command = f"write-all 127.0.0.1 {server.port}"
        ran = run(f'tcp: {{connect: ["{server.host}"]}}', command, limits="{sent: 1MiB}")
        assert server.all_closed(of=2)
    assert answers(ran) == [f"ok {MIB} then OSError EIO; again 0 then OSError EIO"]
    reason = "the bytes that may be sent over sockets are used up (1,048,576 bytes)"
    assert trail(ran) == twice("sent", reason, server.host)
    assert ran.outcome.bounds == ("limits.sent",)
    assert sorted(carried) == [0, MIB]


def test_sockets_open_at_once(run: Run) -> None:
    """No more sockets than ``limits.sockets`` are open; when some were closed, others may be made."""
    with Server(echo) as server:
        command = f"many 127.0.0.1 {server.port} 10"
        ran = run(f'tcp: {{connect: ["{server.host}"]}}', command, command, limits="{sockets: 4}")
        accepted = server.accepted
    assert answers(ran) == ["ok 4 open, then OSError EMFILE; then another"] * 2
    assert trail(ran) == twice("sockets", "4 sockets are open, which is all that the policy allows", None)
    assert ran.outcome.bounds == ("limits.sockets",)
    assert accepted == 10


def test_a_silent_peer_ends_at_the_deadline(run: Run) -> None:
    """A peer that says nothing is waited for until the deadline; the connection is gone with the worker."""
    with Server(silent) as server:
        command = f"wait 127.0.0.1 {server.port} 0"
        ran = run(f'tcp: {{connect: ["{server.host}"]}}', command, limits="{deadline: 2s}")
        assert server.all_closed()
    assert (ran.outcome.how, ran.outcome.bound, ran.stdout) == ("deadline", "limits.deadline", "")
    assert trail(ran) == [DEADLINE]


DEADLINE = limit("deadline", "the deadline of 2 s passed while the component was running")


def resident() -> int:
    """Bytes of memory that processes below this one have."""
    total = 0
    for child in children():
        try:
            lines = Path(f"/proc/{child}/status").read_text(encoding="ascii").splitlines()
        except OSError:
            continue  # it has ended
        total += sum(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmRSS:"))
    return total


def test_a_slow_reader_bounds_what_is_kept_for_it(run: Run) -> None:
    """What a guest writes endlessly to a peer that hardly reads waits in the guest: nobody holds ever more of it."""
    sizes: list[int] = []
    over = threading.Event()

    def measure(connection: socket.socket) -> None:
        sizes.append(resident())
        while not over.is_set() and connection.recv(1024):
            time.sleep(0.05)

    def measure_later() -> None:
        while not over.wait(0.2):
            if sizes:
                sizes.append(resident())

    with Server(measure) as server:
        watcher = threading.Thread(target=measure_later)
        watcher.start()
        try:
            command = f"write-all 127.0.0.1 {server.port}"
            ran = run(f'tcp: {{connect: ["{server.host}"]}}', command, limits="{deadline: 2s}")
        finally:
            over.set()
            watcher.join()
    assert (ran.outcome.how, ran.outcome.bound) == ("deadline", "limits.deadline")
    assert len(sizes) > 3
    assert max(sizes) - sizes[0] < 8 * MIB
    assert trail(ran) == [DEADLINE]


# The end of a run


def descriptors() -> dict[str, str]:
    """What this process has open."""
    found = {}
    for number in os.listdir("/proc/self/fd"):
        try:
            found[number] = os.readlink(f"/proc/self/fd/{number}")
        except FileNotFoundError:
            continue  # the listing's own
    return found


def children() -> set[str]:
    found = set()
    for task in Path("/proc/self/task").iterdir():
        found.update((task / "children").read_text(encoding="ascii").split())
    return found


def write_policy(folder: Path, text: str) -> Path:
    path = folder / "policy.yaml"
    path.write_text(text)
    return path


@pytest.mark.parametrize("killer", ["deadline", "somebody"])
def test_a_worker_killed_in_the_middle_of_a_transfer(killer: str, guest: Path, tmp_path: Path) -> None:
    """The peer sees the connection end at once; this process has no descriptor, and no child, more than before."""
    carried = threading.Event()

    def echo_some(connection: socket.socket) -> None:
        left = 16 * MIB
        while data := connection.recv(65536):
            connection.sendall(data)
            left -= len(data)
            if left <= 0:
                carried.set()

    with Server(echo_some) as server:
        limits = (
            "{deadline: 2s, sent: 100GiB, received: 100GiB}"
            if killer == "deadline"
            else "{sent: 100GiB, received: 100GiB}"
        )
        path = write_policy(tmp_path, policy_text(guest, f'tcp: {{connect: ["{server.host}"]}}', limits))
        sandbox.run(path, arguments=arguments(f"wait 127.0.0.1 {server.port} 0.01"))  # compiled, and imported
        assert server.all_closed()
        before, processes = descriptors(), children()
        outcomes: list[sandbox.Outcome] = []
        thread = threading.Thread(
            target=lambda: outcomes.append(sandbox.run(path, arguments=arguments(f"transfer 127.0.0.1 {server.port}")))
        )
        thread.start()
        assert carried.wait(30)
        if killer == "somebody":
            for child in children() - processes:
                os.kill(int(child), signal.SIGKILL)
        thread.join(30)
        assert server.all_closed(1)
        assert (server.accepted, children()) == (2, processes)
        ours = {number: what for number, what in descriptors().items() if before.get(number) != what}
    (outcome,) = outcomes
    assert ours == {}
    assert (outcome.how, outcome.bound) == (
        ("deadline", "limits.deadline") if killer == "deadline" else ("failed", None)
    )
    assert [told(event) for event in outcome.events[:-1]] == ([DEADLINE] if killer == "deadline" else [])


def test_runs_in_one_worker_share_no_connection(run: Run) -> None:
    """A run that ends with connections open leaves none to the next run in the same worker."""
    with Server(echo) as server, Server(silent) as mute:
        sockets = f'tcp: {{connect: ["{server.host}", "{mute.host}"]}}'
        for number in range(1, 4):
            ran = run(sockets, f"leave 127.0.0.1 {mute.port} 5", f"say 127.0.0.1 {server.port} hello")
            assert answers(ran) == ["ok 5 left open", "ok hello"]
            assert mute.all_closed(of=5 * number)
            assert server.all_closed(of=number)
            assert (mute.accepted, server.accepted) == (5 * number, number)
            assert trail(ran) == []


def test_names_looked_up(run: Run) -> None:
    """Lookups of a second, and the bytes of all names, are bounded; what is beyond fails as a resolver may."""
    sockets = "dns: [localhost, absent.invalid]"
    ran = run(sockets, *["resolve localhost"] * 4, limits="{lookups: 2}")
    assert answers(ran)[:2] == ["ok 127.0.0.1"] * 2
    assert [a.partition(" ")[0] for a in answers(ran)[2:]] == ["error"] * 2
    reason = "2 names were looked up within a second, which is all that the policy allows"
    assert trail(ran) == twice("lookups", reason, "localhost")
    ran = run(sockets, *["resolve localhost"] * 3, limits="{lookup-bytes: 18B}")
    assert answers(ran) == ["ok 127.0.0.1", "ok 127.0.0.1", FORBIDDEN]
    reason = "the bytes of names that may be looked up are used up (18 bytes)"
    assert trail(ran) == [limit("lookup-bytes", reason, "localhost")]


def test_more_callers_than_sockets(run: Run) -> None:
    """Callers beyond ``limits.sockets`` wait in the backlog; asyncio's server takes them when others have left."""
    port = free_port()
    wrong: list[object] = []
    clients = [threading.Thread(target=lambda: wrong.extend(echoes(port, 1))) for _ in range(8)]
    for client in clients:
        client.start()
    ran = run(event_loop(listen=f"127.0.0.1:{port}"), f"serve 127.0.0.1 {port} 8", limits="{sockets: 5}")
    for client in clients:
        client.join()
    assert (ran.outcome.how, ran.outcome.exit_status) == ("exited", 0), ran.outcome
    assert (ran.stdout, wrong) == (f"serve 127.0.0.1 {port} 8 -> ok 8 connections, 16 bytes, some at once\n", [])


# Denials


def test_a_denial_wins(run: Run) -> None:
    """Out of a granted network, what is denied is refused by every way to it, naming the denial's line."""
    with (
        Server(echo) as server,
        Server(echo, "127.0.0.2", server.port) as denied,
        Responder(lambda data, _: data) as udp,
    ):
        port = server.port
        ran = run(
            f"""tcp: {{connect: ["127.0.0.0/8:1-65535", {{to: "localhost:{port}", private: true}}]}}
udp: {{send: ["127.0.0.0/8:1-65535"]}}
deny:
  - 127.0.0.2
  - 127.0.0.1:{udp.port}""",
            f"say 127.0.0.1 {port} hello",
            f"say localhost {port} hello",
            f"say 127.0.0.2 {port} hello",
            f"connect 127.0.0.2 {port}",
            f"connect ::ffff:127.0.0.2 {port}",
            f"exchange 127.0.0.2 127.0.0.1 {udp.port}",
        )
        counts = [server.accepted, denied.accepted, len(udp.received)]
    assert answers(ran) == ["ok hello", "ok hello", FORBIDDEN, FORBIDDEN, FORBIDDEN, f"ok {'; '.join([REFUSED] * 3)}"]
    line = SOCKETS_LINE + 4
    address, place = "denied by the policy: 127.0.0.2", f"denied by the policy: 127.0.0.1:{udp.port}"
    assert trail(ran) == [
        Told("denied", "dns.resolve", "127.0.0.2", None, line, address),
        Told("denied", "sockets.tcp.connect", denied.host, None, line, address),
        Told("denied", "sockets.tcp.connect", f"[::ffff:127.0.0.2]:{port}", denied.host, line, address),
        Told("denied", "sockets.udp.send", f"127.0.0.2:{udp.port}", None, line, address),
        Told("denied", "sockets.udp.send", udp.host, f"{udp.host} (localhost)", line + 1, place),
        Told("denied", "sockets.udp.send", f"127.0.0.2:{udp.port}", None, line, address),
    ]
    assert counts == [2, 0, 0]


def test_a_denied_caller(run: Run) -> None:
    """A server of the guest's never sees a connection from a denied address: it ends at once, with one event."""
    port = free_port()
    heard: list[bytes] = []

    def call(source: str) -> None:
        with connected(port, source) as client:
            try:
                client.sendall(b"hello")
                client.shutdown(socket.SHUT_WR)
                heard.append(client.recv(100))
            except ConnectionResetError:
                heard.append(b"")

    def both() -> None:
        call("127.0.0.2")
        call("127.0.0.1")

    calling = threading.Thread(target=both)
    calling.start()
    ran = run(event_loop(listen=f"127.0.0.1:{port}", more="deny: [127.0.0.2]"), f"serve 127.0.0.1 {port} 1")
    calling.join()
    assert answers(ran) == ["ok 1 connections, 5 bytes, none at once"]
    assert heard == [b"", b"hello"]
    (event,) = trail(ran)
    assert event.resource is not None
    assert event.resource.startswith("127.0.0.2:")
    assert event._replace(resource=None) == Told(
        "denied", "sockets.tcp.accept", None, None, SOCKETS_LINE + 4, "denied by the policy: 127.0.0.2"
    )


# What was allowed


def test_everything_is_told(run: Run) -> None:
    """``audit: all`` adds an event for each lookup, connection and datagram socket, with bytes, time and rule."""
    nobody, served = free_port(), free_port()
    records = {"one.example": ["192.0.2.1"]}
    caller = free_port()

    def client() -> None:
        until = time.monotonic() + 60
        while True:
            with socket.socket() as calling_from:
                calling_from.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                calling_from.bind(("127.0.0.1", caller))
                try:
                    calling_from.connect(("127.0.0.1", served))
                except ConnectionRefusedError:
                    assert time.monotonic() < until
                    time.sleep(0.01)
                    continue
                calling_from.sendall(b"question")
                calling_from.shutdown(socket.SHUT_WR)
                while calling_from.recv(100):
                    pass
                return

    with (
        Server(echo) as server,
        Server(http(PAGES)) as pages,
        Server(silent) as mute,
        Responder(dns(records)) as resolver,
        Responder(dns(records)) as other,
    ):
        calling = threading.Thread(target=client)
        calling.start()
        ran = run(
            f"""tcp:
  connect:
    - "{server.host}"
    - "{mute.host}"
    - "127.0.0.1:{nobody}"
    - {{to: "localhost:{pages.port}", private: true}}
  listen:
    - "127.0.0.1:{served}"
    - "{EVENT_LOOP}"
udp:
  send:
    - "127.0.0.1:{resolver.port}"
    - "127.0.0.1:{other.port}"
audit: all""",
            f"say 127.0.0.1 {server.port} hello",
            f"connect 127.0.0.1 {nobody}",
            f"connect 127.0.0.2 {nobody}",
            f"ask 127.0.0.1 {resolver.port} one.example",
            f"ask 127.0.0.1 {other.port} one.example connect",
            f"serve 127.0.0.1 {served} 1",
            f"get http://localhost:{pages.port}/",
            f"leave 127.0.0.1 {mute.port} 1",
        )
        calling.join()
    assert answers(ran) == [
        "ok hello",
        "error ConnectionRefusedError ECONNREFUSED",
        FORBIDDEN,
        "ok bound 192.0.2.1",
        "ok bound 192.0.2.1",
        "ok 1 connections, 8 bytes, none at once",
        f"ok {PAGE}",
        "ok 1 left open",
    ]
    assert all(e.seconds is not None and 0 <= e.seconds < 30 for e in ran.outcome.events if e.name == "allowed")
    first = SOCKETS_LINE + 3  # of the first rule
    mine = f"127.0.0.1:{nobody}"
    found = " (localhost)"
    assert [(*told(e)[1:-1], e.sent, e.received) for e in ran.outcome.events[:-1] if not is_event_loop(e)] == [
        ("dns.resolve", "127.0.0.1", None, first, by(server.host), None, None),
        ("sockets.tcp.connect", server.host, None, first, by(server.host), 5, 5),
        ("sockets.tcp.connect", mine, None, first + 2, f"{by(mine)}; it failed: connection-refused", 0, 0),
        ("sockets.tcp.connect", f"127.0.0.2:{nobody}", None, SOCKETS_LINE, UNCOVERED, None, None),
        ("sockets.udp.send", resolver.host, None, first + 9, by(resolver.host), 29, 45),
        ("sockets.udp.send", other.host, None, first + 10, by(other.host), 29, 45),
        ("sockets.tcp.accept", f"127.0.0.1:{caller}", None, first + 5, by(f"127.0.0.1:{served}"), 8, 8),
        ("sockets.tcp.listen", f"127.0.0.1:{served}", None, first + 5, by(f"127.0.0.1:{served}"), None, None),
        ("dns.resolve", "localhost", "127.0.0.1", first + 3, by(f"localhost:{pages.port}"), None, None),
        ("sockets.tcp.connect", pages.host, pages.host + found, first + 3, by(f"localhost:{pages.port}"), 68, 43),
        ("dns.resolve", "127.0.0.1", "127.0.0.1" + found, first, by(server.host), None, None),
        ("sockets.tcp.connect", mute.host, mute.host + found, first + 1, by(mute.host), 0, 0),
    ]
    # The loop's own pair of sockets: a listener, the end that was accepted, and the end that connected to it.
    loop = [e for e in ran.outcome.events if is_event_loop(e)]
    place = loop[0].resolved
    assert place is not None
    assert [(e.capability, e.resource, e.resolved, e.policy_line, e.sent, e.received) for e in loop] == [
        ("sockets.tcp.listen", EVENT_LOOP, place, first + 6, None, None),
        ("sockets.tcp.accept", loop[1].resource, None, first + 6, 0, 0),
        ("sockets.tcp.connect", place, None, first + 6, 0, 0),
    ]


def by(rule: str) -> str:
    return f"allowed by the policy: {rule}"


def is_event_loop(event: Event) -> bool:
    return event.reason in (by(EVENT_LOOP), by("the component itself listens there"))
