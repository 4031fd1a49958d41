"""TCP under a policy that grants what a guest uses: what it sees is what it sees under Wasmtime's own sockets."""

from __future__ import annotations

import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

from tests.e2e.harness import Ran, Runner
from tests.e2e.namespaces import SOCKETS, Allowed, deliver, recorded, tried
from tests.e2e.native import Answer, Difference, answered, everything, expected, native, peers
from tests.e2e.network import SOCKETS_LINE, Told, free_port, policy_text

NEVER = "is never reached, whatever is granted"
NO_TRAP = "a mistake that harms nobody is answered, not punished"
OWN_TRAP = "the guard traps by itself, without a sentence"
TRAP = "wasm trap: wasm `unreachable` instruction executed"


def refused(resource: str, reason: str, capability: str = "sockets.tcp.connect", resolved: str | None = None) -> Told:
    """A denial that no grant could turn."""
    return Told("denied", capability, resource, resolved, SOCKETS_LINE, reason)


DIFFERENCES: Mapping[str, Difference] = {
    "connect ::1%1 {echo6} hello": Difference(
        "Wasmtime ignores a zone; here it is refused, since it may lead elsewhere",
        dict.fromkeys(native()["connect ::1%1 {echo6} hello"].printed),
        ("start-connect error=access-denied",),
        told=(refused("[::1%1]:{echo6}", f"an address with a zone {NEVER}"),),
    ),
    "connect-edges {echo}": Difference(
        "what the policy does not grant is refused before it is looked at any further",
        {
            f"{address} start-connect error=invalid-argument": f"{address} start-connect error=access-denied"
            for address in (
                "0.0.0.0",
                "::",
                "224.0.0.1",
                "ff02::1",
                "255.255.255.255",
                "::127.0.0.1",
                "::ffff:0.0.0.0",
            )
        },
        told=(
            refused("0.0.0.0:{echo}", f"an unspecified address {NEVER}"),
            refused("[::]:{echo}", f"an unspecified address {NEVER}"),
            refused("224.0.0.1:{echo}", f"a multicast address {NEVER}"),
            refused("[ff02::1]:{echo}", f"a multicast address {NEVER}"),
            refused("255.255.255.255:{echo}", f"a broadcast address {NEVER}"),
            refused("[::7f00:1]:{echo}", "no grant covers this address and port"),
            refused("[::ffff:0.0.0.0]:{echo}", f"an unspecified address {NEVER}", resolved="0.0.0.0:{echo}"),
        ),
    ),
    "bind 224.0.0.1 0": Difference(
        "likewise",
        {"start-bind error=invalid-argument": "start-bind error=access-denied"},
        told=(refused("224.0.0.1:0", "a multicast address is never bound, whatever is granted", "sockets.tcp.bind"),),
    ),
    "reset 127.0.0.1 {reset}": Difference(
        "at most 64 KiB are taken at a time; and who the peer was is still told",
        {
            "check-write ok value=1073741824": "check-write ok value=65536",
            "remote-address error=invalid-state": "remote-address ok",
        },
    ),
    "streams 127.0.0.1 {echo}": Difference(
        "at most 64 KiB are taken at a time", {"check-write ok value=1073741824": "check-write ok value=65536"}
    ),
    "misuse write-beyond-permit 127.0.0.1 {echo}": Difference(
        "the permit is small enough to be exceeded, which traps",
        {"check-write error=more-than-memory": None},
        trap=TRAP,
    ),
    "misuse write-while-full 127.0.0.1 {silent}": Difference(
        NO_TRAP,
        after=('write error=last-operation-failed text="Transport endpoint is not connected (os error 107)"',),
    ),
    "misuse write-zeroes-beyond-permit 127.0.0.1 {echo}": Difference(OWN_TRAP, trap=TRAP),
    "misuse blocking-write-too-much 127.0.0.1 {echo}": Difference(OWN_TRAP, trap=TRAP),
    "misuse blocking-zeroes-too-much 127.0.0.1 {echo}": Difference(OWN_TRAP, trap=TRAP),
    "misuse poll-empty 127.0.0.1 {echo}": Difference(OWN_TRAP, trap=TRAP),
    "misuse socket-before-streams 127.0.0.1 {echo}": Difference(
        NO_TRAP,
        after=("drop ok", "check-write ok value=65536", 'read ok bytes=0 data=""', "read error=patience"),
    ),
    "misuse input-before-pollable 127.0.0.1 {echo}": Difference(NO_TRAP, after=("drop ok", "ready ok value=0")),
    "misuse output-before-pollable 127.0.0.1 {echo}": Difference(NO_TRAP, after=("drop ok", "ready ok value=1")),
    "misuse socket-before-pollable 127.0.0.1 {echo}": Difference(NO_TRAP, after=("drop ok", "ready ok value=1")),
}
"""All that a guest can see of a policy that grants what it uses."""

COMMANDS = [
    command
    for command in native()
    if not command.startswith(("lookup", "fetch", "udp", "misuse udp", "poll-mixed")) and command != "two-families"
]
SLOW = {"misuse output-then-read 127.0.0.1 {echo}", "misuse socket-before-streams 127.0.0.1 {echo}"}
"""Those in which the guest waits for 5 s, to no avail."""


@pytest.fixture(scope="module")
def ports() -> Iterator[Mapping[str, int]]:
    """Peers on loopback for the whole module."""
    with peers() as ports:
        yield ports


@pytest.fixture
def run(runner: Runner, ports: Mapping[str, int], policy: Callable[..., Path]) -> Callable[[str], Answer]:
    """Runs a command of the guest under all grants that it uses."""
    path = policy(policy_text(SOCKETS, everything(ports), "{deadline: 20s}"))
    return lambda command: answered(runner.run(path, *command.format(**ports).split(" ")), ports)


FULL = "misuse write-while-full 127.0.0.1 {silent}"


@pytest.mark.parametrize("command", [c for c in COMMANDS if c not in SLOW and c != FULL])
def test_a_guest_sees_what_it_sees_natively(command: str, run: Callable[[str], Answer]) -> None:
    """Each command prints what it prints under Wasmtime alone, and ends alike; what differs is listed with a reason."""
    assert run(command) == expected(command, DIFFERENCES)


def test_a_write_beyond_what_is_permitted_fails_or_finds_room(run: Callable[[str], Answer]) -> None:
    """It fails while something is pending. Some systems find room in a full buffer a little later, though they say of
    it that it cannot be written to; then it is taken."""
    found, wanted = run(FULL), expected(FULL, DIFFERENCES)
    assert (found.printed[:-1], found.trap) == (wanted.printed[:-1], wanted.trap)
    assert found.printed[-1] in (wanted.printed[-1], "write ok")


def test_streams_outlive_each_other(cache: Path, ports: Mapping[str, int], policy: Callable[..., Path]) -> None:
    """Dropping the output sends no end, and what is left can still be used: nothing more comes in the guest's 5 s."""
    path = policy(policy_text(SOCKETS, everything(ports), "{deadline: 20s}"))
    answers: dict[str, Answer] = {}

    def run(command: str) -> None:
        runner = Runner(cache)
        try:
            answers[command] = answered(runner.run(path, *command.format(**ports).split(" ")), ports)
        finally:
            runner.close()

    threads = [threading.Thread(target=run, args=(command,)) for command in SLOW]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == {command: expected(command, DIFFERENCES) for command in SLOW}


@pytest.mark.parametrize("command", ["states {six} {{echo6}}", "options {six} {{echo6}}", "reuse {six} {{echo6}}"])
def test_ipv6_differs_in_addresses_alone(command: str, run: Callable[[str], Answer]) -> None:
    """The states, options and closed streams of an IPv6 socket are those of an IPv4 one."""
    four = expected(command.format(six="127.0.0.1").replace("{echo6}", "{echo}"), DIFFERENCES)
    printed = [line.replace("127.0.0.1", "[0:0:0:0:0:0:0:1]").replace("{echo}", "{echo6}") for line in four.printed]
    assert run(command.format(six="::1")) == four._replace(printed=tuple(printed))


def test_every_difference_is_of_a_command_that_is_run() -> None:
    """The list of differences has nothing that no test looks at."""
    assert sorted(set(DIFFERENCES) - set(COMMANDS)) == []


def test_one_poll_waits_for_sockets_and_native_things(ports: Mapping[str, int], policy: Callable[..., Path]) -> None:
    """A stream, a listener, standard input and a timer in one list: each wakes the guest, and alone."""
    path = policy(
        policy_text(SOCKETS, everything(ports), "{deadline: 20s}").replace("stdout: capture", "stdout: inherit")
    )
    command = "poll-mixed 127.0.0.1 {echo}"
    with subprocess.Popen(
        [sys.executable, "-m", "sandbox", "run", str(path), "--", *command.format(**ports).split(" ")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        printed = []
        for line in process.stdout:
            printed.append(line.rstrip("\n"))
            if printed[-1] == "waiting ok":
                time.sleep(0.1)
                process.stdin.write("typed\n")
                process.stdin.flush()
        process.stdin.close()
    assert (process.returncode, Answer(tuple(printed))) == (0, native()[command])


# Serving


def reached(port: int, address: str = "127.0.0.1", by: tuple[str, int] | None = None) -> socket.socket:
    """A connection to a guest that will be listening soon, from the address and port ``by``."""
    for _ in range(500):
        try:
            return socket.create_connection((address, port), timeout=10, source_address=by)
        except ConnectionRefusedError:
            time.sleep(0.01)
    raise AssertionError("the guest does not listen")


@pytest.mark.parametrize(
    ("listen", "at", "by"),
    [
        ("127.0.0.1", "127.0.0.1", "127.0.0.1"),
        ("::1", "[0:0:0:0:0:0:0:1]", "::1"),
        ("0.0.0.0", "0.0.0.0", "127.0.0.1"),
        ("0.0.0.0", "0.0.0.0", "127.0.0.9"),
    ],
)
def test_a_guest_serves_at_a_granted_address(
    listen: str, at: str, by: str, runner: Runner, policy: Callable[..., Path]
) -> None:
    """It listens, accepts one after the other, echoes what is large, and sees each peer's end."""
    port = free_port()
    grant = f"[{listen}]:{port}" if ":" in listen else f"{listen}:{port}"
    path = policy(policy_text(SOCKETS, f'tcp: {{listen: ["{grant}"]}}', "{deadline: 20s}"))
    ran: list[Ran] = []
    thread = threading.Thread(target=lambda: ran.append(runner.run(path, "listen", listen, str(port), "3")))
    thread.start()
    got = []
    for size in (0, 5, 300_000):
        with reached(port, by) as connection:
            writer = threading.Thread(
                target=lambda c=connection, n=size: (c.sendall(b"x" * n), c.shutdown(socket.SHUT_WR))
            )
            writer.start()
            data = b""
            while piece := connection.recv(65536):
                data += piece
            writer.join()
            got.append(data == b"x" * size)
    thread.join()
    assert got == [True, True, True]
    assert tried(ran[0], "listen") == (
        "listen",
        (f"listen ok address={at}:{port}", "echo ok connections=3 bytes=300005"),
        (),
    )


def test_a_denied_peer_is_not_accepted(runner: Runner, policy: Callable[..., Path]) -> None:
    """Its connection ends at once, with one event; the guest, who never sees it, goes on serving the others."""
    port, other = free_port(), free_port()
    sockets = f'tcp: {{listen: ["0.0.0.0:{port}"]}}\ndeny: ["127.0.0.2", "127.0.0.3:1-{other - 1}"]'
    path = policy(policy_text(SOCKETS, sockets, "{deadline: 20s}"))
    ran: list[Ran] = []
    thread = threading.Thread(target=lambda: ran.append(runner.run(path, "listen", "0.0.0.0", str(port), "2")))
    thread.start()
    got = []
    for address in ("127.0.0.1", "127.0.0.2", "127.0.0.3"):
        with reached(port, by=(address, other)) as asker:
            data = b""
            try:
                asker.sendall(b"hello")
                asker.shutdown(socket.SHUT_WR)
                while piece := asker.recv(100):
                    data += piece
            except ConnectionError:
                pass  # the end of it may come as a reset
            got.append(data)
    thread.join()
    assert got == [b"hello", b"", b"hello"]
    assert tried(ran[0], "listen") == (
        "listen",
        (f"listen ok address=0.0.0.0:{port}", "echo ok connections=2 bytes=10"),
        (
            Told(
                "denied",
                "sockets.tcp.accept",
                f"127.0.0.2:{other}",
                None,
                SOCKETS_LINE + 2,
                "denied by the policy: 127.0.0.2",
            ),
        ),
    )


def test_what_is_served_is_recorded_where_the_policy_says_so(runner: Runner, policy: Callable[..., Path]) -> None:
    """One event for each connection and sender that was taken, with its bytes; a listener's when it is closed."""
    port, other = free_port(), free_port()
    here, there = f"127.0.0.1:{port}", f"127.0.0.1:{other}"
    sockets = f"""
tcp: {{listen: ["{here}"], connect: ["127.0.0.1:9"]}}
udp: {{bind: ["{here}"], send: ["{there}"]}}
audit: all
"""
    commands = [
        "connect 127.0.0.1 9",
        f"listen 127.0.0.1 {port} 1",
        f"udp-bind 127.0.0.1 {port} 1",
        f"bind 127.0.0.1 {port}",
    ]
    path = policy(policy_text(SOCKETS, sockets, "{deadline: 20s}"))
    ran: list[Ran] = []
    thread = threading.Thread(target=lambda: ran.append(runner.run(path, *" -- ".join(commands).split(" "))))
    thread.start()
    with reached(port, by=("127.0.0.1", other)) as asker:
        asker.sendall(b"hello")
        asker.shutdown(socket.SHUT_WR)
        while asker.recv(100):
            pass
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        sender.bind(("127.0.0.1", other))
        sender.connect(("127.0.0.1", port))
        deliver(sender, b"abc")
        sender.settimeout(10)
        assert sender.recv(100) == b"abc"
    thread.join()
    *events, last = ran[0].outcome.events
    assert last.name == "ended"
    tcp, udp, held = SOCKETS_LINE + 1, SOCKETS_LINE + 2, "allowed by the policy: "
    assert list(map(recorded, events)) == [
        Allowed(
            "sockets.tcp.connect",
            "127.0.0.1:9",
            None,
            tcp,
            f"{held}127.0.0.1:9; it failed: connection-refused",
            0,
            0,
        ),
        Allowed("sockets.tcp.accept", there, None, tcp, f"{held}{here}", 5, 5),
        Allowed("sockets.tcp.listen", here, None, tcp, f"{held}{here}", None, None),
        Allowed("sockets.udp.receive", there, None, udp, f"{held}{here}", None, None),
        Allowed("sockets.udp.bind", here, None, udp, f"{held}{here}", 3, 3),
        Allowed("sockets.udp.send", there, None, udp, f"{held}{there}", None, None),
        Allowed("sockets.tcp.bind", here, None, tcp, f"{held}{here}", 0, 0),
    ]
    assert all(event.seconds is not None and 0 <= event.seconds < 20 for event in events)


# Limits


def test_sockets_beyond_the_limit_are_not_made(runner: Runner, policy: Callable[..., Path]) -> None:
    """The ninth of eight answers ``new-socket-limit``, with one event; those that were closed do not count."""
    path = policy(policy_text(SOCKETS, 'tcp: {connect: ["127.0.0.1:9"]}', "{sockets: 8}"))
    twice = "many-sockets 20 -- many-sockets 8"
    assert tried(runner.run(path, *twice.split(" ")), twice) == (
        twice,
        ("create-tcp-socket error=new-socket-limit", "many-sockets ok open=8", "many-sockets ok open=8"),
        (
            Told(
                "limit",
                "limits.sockets",
                line=SOCKETS_LINE + 2,
                reason="8 sockets are open, which is all that the policy allows",
            ),
        ),
    )


def test_connections_beyond_the_limit_are_not_made(
    runner: Runner, ports: Mapping[str, int], policy: Callable[..., Path]
) -> None:
    """A hundred at once where a hundred sockets are granted, and none beyond; again when those are closed."""
    path = policy(policy_text(SOCKETS, everything(ports), "{sockets: 100}"))
    commands = "many 100 127.0.0.1 {echo} -- many 101 127.0.0.1 {echo} -- many 100 127.0.0.1 {echo}"
    ran = answered(runner.run(path, *commands.format(**ports).split(" ")), ports)
    assert ran.printed == (
        "many ok open=100",
        "create-tcp-socket error=new-socket-limit",
        "many ok open=100",
        "many ok open=100",
    )
    assert [event.capability for event in ran.told] == ["limits.sockets"]


def test_where_many_sockets_are_granted_each_write_is_asked_for(
    runner: Runner, ports: Mapping[str, int], policy: Callable[..., Path]
) -> None:
    """Less is permitted at a time then, after a flush and a write that waited as well; all else is as ever."""
    path = policy(policy_text(SOCKETS, everything(ports), "{sockets: 4096}"))
    command = "streams 127.0.0.1 {echo}"
    permit = {"check-write ok value=1073741824": "check-write ok value=4096"}
    ran = answered(runner.run(path, *command.format(**ports).split(" ")), ports)
    assert ran.printed == tuple(permit.get(line, line) for line in native()[command].printed)
    assert ran.told == ()
