"""UDP under a policy that grants what a guest uses: as under Wasmtime's own sockets; and who may send to a guest."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.e2e.harness import Ran, Runner
from tests.e2e.namespaces import SOCKETS, Tried, answering, deliver, tried
from tests.e2e.native import Answer, Difference, answered, everything, expected, native, peers
from tests.e2e.network import SOCKETS_LINE, Told, free_port, policy_text

NEVER = "is never reached, whatever is granted"
NO_TRAP = "a mistake that harms nobody is answered, not punished"


def refused(resource: str, kind: str) -> Told:
    """The denial of sending to an address that no policy can grant."""
    return Told("denied", "sockets.udp.send", resource, None, SOCKETS_LINE, f"{kind} address {NEVER}")


DIFFERENCES: Mapping[str, Difference] = {
    "udp-ask 127.0.0.1 1 hello": Difference(
        "that nobody is there is told, where natively the guest waits for ever",
        {"receive error=patience": "receive error=connection-refused"},
    ),
    "udp-sendto 255.255.255.255 9 hi": Difference(
        "the error is the same, and recorded", told=(refused("255.255.255.255:9", "a broadcast"),)
    ),
    "udp-sendto 224.0.0.1 9 hi": Difference(
        "multicast is never granted",
        {"send ok datagrams=1": "send error=access-denied", "receive error=patience": None},
        told=(refused("224.0.0.1:9", "a multicast"),),
    ),
    "udp-sendto 0.0.0.0 {udp} hi": Difference(
        "what the policy does not grant is refused before it is looked at any further",
        {"send error=invalid-argument": "send error=access-denied"},
        told=(refused("0.0.0.0:{udp}", "an unspecified"),),
    ),
    "udp-ask 0.0.0.0 {udp} hi": Difference(
        "likewise",
        {"stream error=invalid-argument": "stream error=access-denied"},
        told=(refused("0.0.0.0:{udp}", "an unspecified"),),
    ),
    "udp-edges 127.0.0.1 {udp}": Difference(
        "a port that the system chose is kept; and what is not granted is refused first",
        {
            "unspecified stream error=invalid-argument": "unspecified stream error=access-denied",
            "again local-address ok address=0.0.0.0:0": "again local-address ok address=0.0.0.0:*",
        },
        told=(refused("0.0.0.0:{udp}", "an unspecified"),),
    ),
    "udp-edges ::1 {udp6}": Difference(
        "a port that the system chose is kept; and what is not granted is refused first",
        {
            "unspecified stream error=invalid-argument": "unspecified stream error=access-denied",
            "again local-address ok address=[0:0:0:0:0:0:0:0]:0": "again local-address ok address=[0:0:0:0:0:0:0:0]:*",
        },
        told=(refused("[::]:{udp6}", "an unspecified"),),
    ),
    "udp-states 127.0.0.1 {udp}": Difference(
        "a port that the system chose is kept",
        {"disconnected local-address ok address=127.0.0.1:0": "disconnected local-address ok address=127.0.0.1:*"},
    ),
    "misuse udp-socket-before-streams 127.0.0.1 {echo}": Difference(NO_TRAP, after=("drop ok", "check-send ok")),
    "misuse udp-stream-again 127.0.0.1 {echo}": Difference(NO_TRAP, after=("stream error=invalid-state",)),
    "misuse udp-send-unchecked 127.0.0.1 {echo}": Difference(NO_TRAP, after=("send ok datagrams=1",)),
    "misuse udp-send-beyond-permit 127.0.0.1 {echo}": Difference(
        "likewise; nobody is there, which stops it after the first", after=("send ok datagrams=1",)
    ),
}
"""All that a guest can see of a policy that grants what it uses."""

COMMANDS = [command for command in native() if command.startswith(("udp", "misuse udp", "two-families"))]


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


@pytest.mark.parametrize("command", COMMANDS)
def test_a_guest_sees_what_it_sees_natively(command: str, run: Callable[[str], Answer]) -> None:
    """Each command prints what it prints under Wasmtime alone, and ends alike; what differs is listed with a reason."""
    assert run(command) == expected(command, DIFFERENCES)


def test_ipv6_differs_in_addresses_alone(run: Callable[[str], Answer]) -> None:
    """The states of an IPv6 socket are those of an IPv4 one."""
    printed = [
        line.replace("127.0.0.1", "[0:0:0:0:0:0:0:1]").replace("{udp}", "{udp6}")
        for line in expected("udp-states 127.0.0.1 {udp}", DIFFERENCES).printed
    ]
    assert run("udp-states ::1 {udp6}") == Answer(tuple(printed))


def test_every_difference_is_of_a_command_that_is_run() -> None:
    """The list of differences has nothing that no test looks at."""
    assert sorted(set(DIFFERENCES) - set(COMMANDS)) == []


# Who may send to a guest


@contextmanager
def bystanders(port: int) -> Iterator[None]:
    """A peer that answers from other ports and addresses first, and only then from where it was asked."""
    done = threading.Event()

    def serve() -> None:
        while not done.is_set():
            try:
                _, guest = peer.recvfrom(65536)
            except TimeoutError:
                continue
            with (
                socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as neighbour,
                socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger,
            ):
                neighbour.bind(("127.0.0.1", 0))
                neighbour.sendto(b"from another port", guest)
                stranger.bind(("127.0.0.2", port))
                stranger.sendto(b"from another address", guest)
            peer.sendto(b"from the peer", guest)

    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as peer:
        peer.bind(("127.0.0.1", port))
        peer.settimeout(0.02)
        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield
        finally:
            done.set()
            thread.join()


@pytest.mark.parametrize("command", ["udp-ask", "udp-sendto"])
def test_a_guest_hears_those_alone_that_it_may_send_to(
    command: str, runner: Runner, policy: Callable[..., Path]
) -> None:
    """Without a grant to receive, a socket at a port of the system's choice takes nothing of anybody else."""
    port = free_port()
    path = policy(policy_text(SOCKETS, f'udp: {{send: ["127.0.0.1:{port}"]}}'))
    with bystanders(port):
        ran = tried(runner.run(path, command, "127.0.0.1", str(port), "hello"), command)
    local, remote = {
        "udp-ask": ("127.0.0.1", f"ok address=127.0.0.1:{port}"),
        "udp-sendto": ("0.0.0.0", "error=invalid-state"),
    }[command]
    assert ran == Tried(
        command,
        (
            f"local-address ok address={local}:*",
            f"remote-address {remote}",
            "send ok datagrams=1",
            f'receive ok bytes=13 data="from the peer" remote=127.0.0.1:{port}',
        ),
    )


def test_a_datagram_of_a_connected_stream_is_judged_by_its_own_address(
    runner: Runner, policy: Callable[..., Path]
) -> None:
    """A stream to a granted peer sends to no other, whatever a datagram says; the stream goes on."""
    port = free_port()
    path = policy(policy_text(SOCKETS, f'udp: {{send: ["127.0.0.1:{port}"]}}'))
    command = f"udp-elsewhere 127.0.0.1 {port} 127.0.0.2 {port} hello"
    peer, other = (socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(2))
    peer.bind(("127.0.0.1", port))
    other.bind(("127.0.0.2", port))
    with other, answering(peer) as came:
        ran = tried(runner.run(path, *command.split(" ")), command)
        other.setblocking(False)
        with pytest.raises(BlockingIOError):
            other.recv(100)
    refusal = Told(
        "denied",
        "sockets.udp.send",
        f"127.0.0.2:{port}",
        None,
        SOCKETS_LINE,
        "no grant covers this address and port",
        f'sockets:\n  udp: {{send: ["127.0.0.2:{port}"]}}',
    )
    printed = (
        "send error=access-denied",
        "send ok datagrams=1",
        f'receive ok bytes=5 data="hello" remote=127.0.0.1:{port}',
    )
    assert (ran, came) == (Tried(command, printed, (refusal,)), [b"hello"])


@pytest.mark.parametrize(
    ("grant", "address", "sender"),
    [
        ("127.0.0.1:{port}", "127.0.0.1", "127.0.0.1"),
        ("127.0.0.1:{port}", "127.0.0.1", "127.0.0.2"),
        ("0.0.0.0:{port}", "0.0.0.0", "127.0.0.3"),
        ("0.0.0.0:{port}", "127.0.0.1", "127.0.0.1"),
        ("[::1]:{port}", "::1", "::1"),
    ],
)
def test_a_guest_hears_everybody_where_it_is_granted(
    grant: str, address: str, sender: str, runner: Runner, policy: Callable[..., Path]
) -> None:
    """A granted address receives from anyone, but answering somebody is sending, and granted apart: an event each."""
    port, other = free_port(), free_port()
    path = policy(policy_text(SOCKETS, f'udp: {{bind: ["{grant.format(port=port)}"]}}', "{deadline: 20s}"))
    ran: list[Ran] = []
    thread = threading.Thread(target=lambda: ran.append(runner.run(path, "udp-bind", address, str(port), "2")))
    thread.start()
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    to = {"0.0.0.0": "127.0.0.1"}.get(address, address)
    with socket.socket(family, socket.SOCK_DGRAM) as asker:
        asker.bind((sender, other))
        asker.connect((to, port))
        deliver(asker, b"hello")
        deliver(asker, b"again")
        thread.join()
        with pytest.raises(BlockingIOError):
            asker.recv(1)
    shown = {"::1": "[0:0:0:0:0:0:0:1]"}.get(address, address)
    who = f"[{sender}]:{other}" if ":" in sender else f"{sender}:{other}"
    denied = Told(
        "denied",
        "sockets.udp.send",
        who,
        None,
        SOCKETS_LINE,
        "no grant covers this address and port",
        f'sockets:\n  udp: {{send: ["{who}"]}}',
    )
    assert tried(ran[0], "udp-bind") == Tried(
        "udp-bind",
        (f"bind ok address={shown}:{port}", *["send error=access-denied"] * 2, "echo ok datagrams=2"),
        (denied, denied),
    )


def test_a_guest_answers_whom_it_may_send_to(runner: Runner, policy: Callable[..., Path]) -> None:
    """A server of datagrams: a granted place to receive at, and grants to send to those that ask."""
    port, asking = free_port(), free_port()
    path = policy(
        policy_text(SOCKETS, f'udp: {{bind: ["127.0.0.1:{port}"], send: ["127.0.0.2/31:{asking}"]}}', "{deadline: 20s}")
    )
    ran: list[Ran] = []
    thread = threading.Thread(target=lambda: ran.append(runner.run(path, "udp-bind", "127.0.0.1", str(port), "2")))
    thread.start()
    got = []
    for address in ("127.0.0.2", "127.0.0.3"):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asker:
            asker.bind((address, asking))
            asker.connect(("127.0.0.1", port))
            deliver(asker, address.encode("ascii"))
            asker.settimeout(10)
            got.append(asker.recv(100))
    thread.join()
    assert got == [b"127.0.0.2", b"127.0.0.3"]
    assert tried(ran[0], "udp-bind") == Tried("udp-bind", (f"bind ok address=127.0.0.1:{port}", "echo ok datagrams=2"))


def test_a_denied_sender_is_not_heard(runner: Runner, policy: Callable[..., Path]) -> None:
    """What it sends to a granted place is dropped, with one event for the sender; others are heard and answered."""
    port, other = free_port(), free_port()
    sockets = f'udp: {{bind: ["127.0.0.1:{port}"], send: ["127.0.0.0/8:{other}"]}}\ndeny: ["127.0.0.2"]'
    path = policy(policy_text(SOCKETS, sockets, "{deadline: 20s}"))
    ran: list[Ran] = []
    thread = threading.Thread(target=lambda: ran.append(runner.run(path, "udp-bind", "127.0.0.1", str(port), "1")))
    thread.start()
    with (
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as denied,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as heard,
    ):
        denied.bind(("127.0.0.2", other))
        denied.connect(("127.0.0.1", port))
        deliver(denied, b"hello")
        deliver(denied, b"again")
        heard.bind(("127.0.0.1", other))
        heard.connect(("127.0.0.1", port))
        deliver(heard, b"it is me")
        heard.settimeout(10)
        assert heard.recv(100) == b"it is me"
        thread.join()
        with pytest.raises(BlockingIOError):
            denied.recv(100)
    refusal = Told(
        "denied",
        "sockets.udp.receive",
        f"127.0.0.2:{other}",
        None,
        SOCKETS_LINE + 2,
        "denied by the policy: 127.0.0.2",
    )
    assert tried(ran[0], "udp-bind") == Tried(
        "udp-bind", (f"bind ok address=127.0.0.1:{port}", "echo ok datagrams=1"), (refusal,)
    )
