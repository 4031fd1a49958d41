"""The samples do what their descriptions say, under the policies that are published with them."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from sandbox import Sandbox
from sandbox.audit.events import Event
from sandbox.audit.read import lines_of, read_trail
from tests.e2e.harness import UNGRANTED, Ran, snapshot
from tests.e2e.namespaces import DNSMASQ, Machine, needs_namespaces, serving
from tests.e2e.network import Server, Told, http, told

ROOT = Path(__file__).resolve().parent.parent.parent
SUMMED_UP = "report: 3 files, 13 rows, 2 left out, total 2906.20 EUR -> /out/summary.md, /out/totals.csv\n"
LEFT_OUT = (
    "report: 2026-03.csv:3: row left out: date is not YYYY-MM-DD\n"
    "report: 2026-03.csv:4: row left out: quantity is not a whole number\n"
)


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """The samples and their policies, as in a fresh clone: nothing that was built on demand, or that a sample wrote."""
    shutil.copytree(ROOT / "policies", tmp_path / "policies")
    shutil.copytree(
        ROOT / "samples",
        tmp_path / "samples",
        ignore=lambda directory, names: [
            n
            for n in names
            if n != ".gitkeep" and (Path(directory).name in WRITTEN or n.endswith("-python.wasm") or n == "__pycache__")
        ],
    )
    return tmp_path


WRITTEN = ("out", "db", "outbox")
"""Directories that samples write to."""


def sandbox(clone: Path, *arguments: str) -> tuple[int, str, str]:
    line = [sys.executable, "-m", "sandbox", *arguments]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(line, cwd=clone, env=environment, check=False, capture_output=True, text=True, timeout=120)
    return done.returncode, done.stdout, done.stderr


def trail(path: Path) -> list[Event]:
    with open(path, "rb") as file:
        return list(read_trail(lines_of(file)))


def test_report(clone: Path) -> None:
    """The report reads the invoices, writes two files, and needs nothing that it was not granted."""
    before = snapshot(clone / "samples" / "invoices")
    assert sandbox(clone, "run", "policies/report.yaml") == (0, SUMMED_UP, LEFT_OUT)
    out = clone / "samples" / "out"
    assert sorted(path.name for path in out.iterdir() if path.name != ".gitkeep") == ["summary.md", "totals.csv"]
    assert (out / "summary.md").read_text().splitlines()[:3] == [
        "# Invoices",
        "",
        "13 rows in 3 files, 2 left out. Total: **2906.20 EUR**",
    ]
    assert snapshot(clone / "samples" / "invoices") == before


def test_report_with_arguments(clone: Path) -> None:
    """What is behind ``--`` reaches the program."""
    status, _, _ = sandbox(clone, "run", "policies/report.yaml", "--", "--title", "First quarter")
    assert status == 0
    assert (clone / "samples" / "out" / "summary.md").read_text().startswith("# First quarter\n")


def test_calculator(clone: Path) -> None:
    """The calculator's typed exports answer as samples/README.md says."""
    for function, arguments, status, value in (
        ("add", ["2", "3"], 0, "5"),
        ("divide", ["1", "0"], 1, 'err("division by zero")'),
        ("factorial", ["20"], 0, "ok(2432902008176640000)"),
        ("mean", ["[1, 2, 6]"], 0, "ok(3)"),
    ):
        done = sandbox(clone, "call", "policies/calculator.yaml", "calculator", f"operations.{function}", *arguments)
        assert done == (status, f"{value}\n", "")


def test_miner(clone: Path) -> None:
    """The miner prints its report and ends well; each of its attempts is refused, and one event of the trail."""
    audit = clone / "trail.jsonl"
    status, stdout, stderr = sandbox(clone, "run", "--audit", str(audit), "policies/miner.yaml")
    assert status == 0
    assert stdout.splitlines()[0].split() == ["Month", "Income", "Costs", "Result"]
    assert stdout.splitlines()[-1].split() == ["Year", "637,729.65", "505,894.36", "131,835.29"]
    assert len(stdout.splitlines()) == 14
    assert stderr.startswith("sandbox: 8 calls of miner were refused\n")
    assert [(e.sequence, e.name, e.capability, e.resource, e.exit_status) for e in trail(audit)] == [
        (1, "denied", "environment", None, None),
        (2, "denied", "filesystem.read", "/root/.ssh/id_rsa", None),
        (3, "denied", "filesystem.read", "/root/.ssh/id_ed25519", None),
        (4, "denied", "filesystem.read", "/home/user/.ssh/id_rsa", None),
        (5, "denied", "filesystem.read", "/home/user/.ssh/id_ed25519", None),
        (6, "denied", "filesystem.read", "/etc/passwd", None),
        (7, "denied", "dns.resolve", "pool.minexmr.example", None),
        (8, "denied", "sockets.tcp.connect", "203.0.113.7:3333", None),
        (9, "ended", "run", None, 0),
    ]
    assert sandbox(clone, "run", "--quiet", "--strict", "policies/miner.yaml")[0] == 119


# Programs of several components


PINS = "app: refused: no such user, or another PIN\n"


def test_payments(clone: Path) -> None:
    """A payment is a line in the books and a letter; a wrong PIN and an overdraft are neither."""
    payments = clone / "samples" / "payments"
    keys = snapshot(payments / "keys")

    def app(*arguments: str) -> tuple[int, str, str]:
        return sandbox(clone, "run", "--quiet", "policies/payments.yaml", "--", *arguments)

    assert app("pay", "ann", "bob", "12.50", "4821") == (0, "receipt 1: ann paid bob 12.50, and has 87.50 left\n", "")
    books, letters = (payments / "db" / "ledger.csv").read_text(), (payments / "outbox" / "letters.txt").read_text()
    assert books == "number,cents,payer,payee\n1,1250,ann,bob\n"
    assert letters == "To: bob\nSubject: Payment 1\n\nann paid you 12.50.\n\n"
    assert app("pay", "ann", "bob", "12.50", "0000") == (1, "", PINS)
    assert app("pay", "bob", "eve", "900", "1077") == (1, "", "app: only 112.50 is there\n")
    assert app("balance", "bob", "1077") == (0, "bob has 112.50\n", "")
    assert (payments / "db" / "ledger.csv").read_text() == books
    assert (payments / "outbox" / "letters.txt").read_text() == letters
    assert snapshot(payments / "keys") == keys


class Step(NamedTuple):
    """An event of a program, apart from when and in which run."""

    name: str
    component: str
    path: str | None
    digest: str | None
    line: int | None
    capability: str
    interface: str | None
    """Without its version."""
    function: str | None
    resource: str | None
    reason: str
    status: int | None = None


def step(event: Event) -> Step:
    return Step(
        event.name,
        event.component,
        event.path,
        event.component_digest,
        event.policy_line,
        event.capability,
        event.interface and event.interface.partition("@")[0],
        event.function,
        event.resource,
        event.reason,
        event.exit_status,
    )


def pinned(policy: Path, component: str) -> str:
    """The digest that a policy pins a component to."""
    text = policy.read_text(encoding="utf-8").partition(f"\n  {component}:\n")[2]
    return text.partition("digest: ")[2].partition("\n")[0]


def line_of(policy: Path, text: str) -> int:
    """The line of a policy that begins with ``text``, blanks left out."""
    lines = [line.strip() for line in policy.read_text(encoding="utf-8").splitlines()]
    (number,) = (n for n, line in enumerate(lines, 1) if line.startswith(text))
    return number


def test_payments_of_a_function_that_is_left_out(clone: Path) -> None:
    """The policy lets app call one function of auth; another one ends the program, and is told at the line of that."""
    policy, audit = clone / "policies" / "payments.yaml", clone / "trail.jsonl"
    status, stdout, _ = sandbox(clone, "run", "--audit", str(audit), "policies/payments.yaml", "--", "users")
    assert (status, stdout) == (122, "")
    auth, digest = "bank:payments/auth", pinned(policy, "app")
    why = "`only` allows validate-user of this interface of auth; the call trapped"
    ended = f"the component trapped: in app: the policy does not allow this call of users of {auth}@1.0.0"
    line = line_of(policy, '"bank:payments/auth": {component: auth, only: [validate-user]}')
    assert [step(event) for event in trail(audit)] == [
        Step("denied", "app", "app", digest, line, "imports", auth, "users", None, why),
        Step("ended", "app", "app", digest, None, "run", None, None, None, ended, 122),
    ]


@pytest.mark.parametrize("name", ["supply-chain", "supply-chain-1.1"])
def test_supply_chain(name: str, clone: Path) -> None:
    """With the library as it was and with the one that mines, the same report comes out, and the same files."""
    assert sandbox(clone, "run", "--quiet", f"policies/{name}.yaml") == (0, SUMMED_UP, LEFT_OUT)
    out = clone / "samples" / "out"
    written = {path.name: path.read_bytes() for path in out.iterdir() if path.name != ".gitkeep"}
    for path in out.iterdir():
        path.unlink()
    assert sandbox(clone, "run", "policies/report.yaml") == (0, SUMMED_UP, LEFT_OUT)
    assert written == {path.name: path.read_bytes() for path in out.iterdir()}


def test_trail_of_the_supply_chain(clone: Path) -> None:
    """Each attempt of the library is in the trail under its own name, path and digest; what it computes is bounded."""
    path = captured(clone, "supply-chain-1.1.yaml", ("arguments: capture", "arguments: inherit"))
    with Sandbox(path, cache=clone / "cache") as library:
        first, outcome = library.run(), library.run()
    assert (outcome.how, outcome.exit_status) == ("exited", 0)
    assert (outcome.stdout, outcome.stderr) == (SUMMED_UP.encode(), LEFT_OUT.encode())
    assert outcome.captured == (("report", "stdout", SUMMED_UP.encode()), ("report", "stderr", LEFT_OUT.encode()))
    usage = outcome.usage
    assert usage.memory is not None
    assert usage.memory <= 64 << 20
    assert usage.seconds <= 10
    digest, line = pinned(path, "fastfmt"), line_of(path, "grants: {}")
    assert digest != pinned(path, "report")

    def tried(capability: str, interface: str, function: str, resource: str | None, reason: str) -> Step:
        return Step(
            "denied", "fastfmt", "report>fastfmt", digest, line, capability, interface, function, resource, reason
        )

    files = ["/root/.ssh/id_rsa", "/root/.ssh/id_ed25519", "/home/user/.ssh/id_rsa", "/home/user/.ssh/id_ed25519"]
    assert [step(event) for event in outcome.events] == [
        tried(
            "environment",
            "wasi:cli/environment",
            "get-environment",
            None,
            "the environment is not granted; the component got an empty one",
        ),
        *(
            tried("filesystem.read", "wasi:filesystem/types", "[method]descriptor.open-at", file, UNGRANTED)
            for file in (*files, "/etc/passwd")
        ),
        tried(
            "dns.resolve",
            "wasi:sockets/ip-name-lookup",
            "resolve-addresses",
            "pool.minexmr.example",
            "looking up names is not granted",
        ),
        tried(
            "sockets.tcp.connect",
            "wasi:sockets/tcp",
            "[method]tcp-socket.start-connect",
            "203.0.113.7:3333",
            "sockets are not granted",
        ),
        Step(
            "ended", "report", "report", pinned(path, "report"), None, "run", None, None, None, "the component ended", 0
        ),
    ]
    assert [step(event) for event in first.events] == [step(event) for event in outcome.events]


# The network


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    """A machine of the module's own, on which the hosts that the samples go for can be reached."""
    needs_namespaces()
    with Machine(tmp_path_factory.mktemp("machine")) as machine:
        hosts = {
            "pool.minexmr.example": "203.0.113.7",
            "news.example.com": "20.1.1.1",
            "seen.tracker.example": "20.9.9.9",
        }
        machine.records(*(f"address=/{name}/{address}" for name, address in hosts.items()))
        yield machine


def captured(clone: Path, name: str, *changes: tuple[str, str]) -> Path:
    """A published policy with its output captured, and ``changes`` to its text, each of which is there once."""
    path = clone / "policies" / name
    text = path.read_text(encoding="utf-8").replace(": inherit", ": capture")
    for old, new in changes:
        assert text.count(old) == 1
        text = text.replace(old, new)
    path.write_text(text, encoding="utf-8")
    return path


def network_events(ran: Ran) -> list[Told]:
    return [told(e) for e in ran.outcome.events if e.capability.startswith(("sockets", "dns"))]


def reached(machine: Machine) -> list[str]:
    """Where anything was sent, answers left out, each once."""
    return sorted({to for _, to, _ in machine.packets() if int(to.rpartition(":")[2]) < 32768})


class Pool(NamedTuple):
    """What a policy says of sockets, on the lines from 19, and what becomes of the mining pool."""

    sockets: tuple[str, ...]
    told: tuple[Told, ...]
    reached: tuple[str, ...] = ()


POOL, POOL_ADDRESS = "pool.minexmr.example", "203.0.113.7:3333"
LOOK_UP, CONNECT = f"sockets:\n  dns: [{POOL}]", f'sockets:\n  tcp: {{connect: ["{POOL_ADDRESS}"]}}'
NO_NAME, NO_ADDRESS = "no grant covers this name", "no grant covers this address and port"
NAMED = f"{POOL_ADDRESS} ({POOL})"

POOLS = {
    "nothing granted": Pool(
        (),
        (
            Told("denied", "dns.resolve", POOL, None, 14, "looking up names is not granted", LOOK_UP),
            Told("denied", "sockets.tcp.connect", POOL_ADDRESS, None, 14, "sockets are not granted", CONNECT),
        ),
    ),
    "others granted": Pool(
        ('tcp: {connect: ["203.0.113.8:3333", "203.0.113.7:443", "*.example.com:3333"]}', "dns: [minexmr.example]"),
        (
            Told("denied", "dns.resolve", POOL, None, 18, NO_NAME, LOOK_UP),
            Told("denied", "sockets.tcp.connect", POOL_ADDRESS, None, 18, NO_ADDRESS, CONNECT),
        ),
    ),
    "looking up granted": Pool(
        (f"dns: [{POOL}]",),
        (
            Told(
                "denied",
                "sockets.tcp.connect",
                POOL_ADDRESS,
                NAMED,
                18,
                NO_ADDRESS,
                f'sockets:\n  tcp: {{connect: [{{to: "{POOL}:3333", private: true}}]}}',
            ),
        ),
        (f"{DNSMASQ}:53",),
    ),
    "denied": Pool(
        (
            'tcp: {connect: ["0.0.0.0/0:1-65535", {to: "**.minexmr.example:1-65535", private: true}]}',
            f'deny: ["{POOL}", "203.0.113.0/24"]',
        ),
        (
            Told("denied", "dns.resolve", POOL, None, 20, f"denied by the policy: {POOL}"),
            Told("denied", "sockets.tcp.connect", POOL_ADDRESS, None, 20, "denied by the policy: 203.0.113.0/24"),
        ),
    ),
    "the name granted, its address denied": Pool(
        (
            f'tcp: {{connect: [{{to: "{POOL}:3333", private: true}}]}}',
            'deny: ["203.0.113.0/24:3333"]',
        ),
        (
            Told(
                "denied",
                "sockets.tcp.connect",
                POOL_ADDRESS,
                NAMED,
                20,
                "denied by the policy: 203.0.113.0/24:3333",
            ),
        ),
        (f"{DNSMASQ}:53",),
    ),
}


@pytest.mark.parametrize("pool", POOLS.values(), ids=POOLS)
def test_the_pool_of_the_miner(pool: Pool, machine: Machine, clone: Path) -> None:
    """The pool is refused by its name and by its address, whichever the policy speaks of; nothing is sent to it."""
    grants = "".join(f"        {line}\n" for line in pool.sockets)
    more = f"      sockets:\n{grants}" if grants else ""
    path = captured(clone, "miner.yaml", ("        stderr: capture\n", f"        stderr: capture\n{more}"))
    machine.packets()
    ran = machine.run(path)
    assert (ran.outcome.how, ran.outcome.exit_status, len(ran.lines)) == ("exited", 0, 14), ran.outcome
    assert Pool(pool.sockets, tuple(network_events(ran)), tuple(reached(machine))) == pool


HEADLINES = """The Harbour Herald
  1. Ferry back in service after winter repairs
  2. Library opens on Sundays
  3. Fish & chips: prices rise again
"""
METADATA = Told("denied", "sockets.tcp.connect", "169.254.169.254:80", None, 25, "denied by the policy: 169.254.0.0/16")
TRACKER = Told(
    "denied",
    "sockets.tcp.connect",
    "203.0.113.66:443",
    None,
    18,
    NO_ADDRESS,
    'sockets:\n  tcp: {connect: ["203.0.113.66:443"]}',
)


def tracked(host: str) -> Told:
    """The refusal of the name by which the tracker would learn what was read from ``host``."""
    name = f"news.xml.{host}.seen.tracker.example"
    return Told("denied", "dns.resolve", name, None, 18, NO_NAME, f"sockets:\n  dns: [{name}]")


def test_feed(clone: Path) -> None:
    """The feed is fetched and printed; what its dependency goes for is refused; all of it is in the trail."""
    seen: list[str] = []
    page = (ROOT / "samples" / "www" / "news.xml").read_bytes()
    with Server(http({"/news.xml": ("200 OK", page)}, seen)) as server:
        path = clone / "policies" / "feed.yaml"
        path.write_text(path.read_text(encoding="utf-8").replace(":18080", f":{server.port}"), encoding="utf-8")
        audit = clone / "trail.jsonl"
        status, stdout, stderr = sandbox(clone, "run", "--audit", str(audit), "policies/feed.yaml")
    assert (status, stdout, stderr.partition("\n")[0]) == (0, HEADLINES, "sandbox: 3 calls of feed were refused")
    assert (seen, server.accepted) == (["/news.xml"], 1)
    allowed = f"allowed by the policy: localhost:{server.port}"
    peer = server.host
    *events, last = trail(audit)
    assert [told(event) for event in events if event.name != "allowed"] == [tracked("localhost"), TRACKER, METADATA]
    lookup, connection = (event for event in events if event.name == "allowed")
    assert (lookup.capability, lookup.resource, lookup.reason) == ("dns.resolve", "localhost", allowed)
    assert told(connection) == Told("allowed", "sockets.tcp.connect", peer, f"{peer} (localhost)", 23, allowed)
    sent = f"GET /news.xml HTTP/1.0\r\nHost: localhost:{server.port}\r\nConnection: close\r\n\r\n"
    answered = f"HTTP/1.1 200 OK\r\nContent-Length: {len(page)}\r\n\r\n"
    assert (connection.sent, connection.received) == (len(sent), len(answered) + len(page))
    assert (last.name, last.exit_status) == ("ended", 0)


def test_feed_of_a_public_host(machine: Machine, clone: Path) -> None:
    """A host on the internet needs no more than its name and port; nothing is sent but to it, and to the resolver."""
    page = (ROOT / "samples" / "www" / "news.xml").read_bytes()
    path = captured(
        clone,
        "feed.yaml",
        ('{to: "localhost:18080", private: true}', '"news.example.com:80"  '),
        ("http://localhost:18080/", "http://news.example.com/"),
    )
    machine.packets()
    with serving(machine.bound("tcp", "20.1.1.1", 80), http({"/news.xml": ("200 OK", page)})):
        ran = machine.run(path)
    assert (ran.stdout, ran.outcome.stderr) == (HEADLINES, b"")
    refused = [event for event in network_events(ran) if event.name == "denied"]
    assert refused == [tracked("news.example.com"), TRACKER, METADATA]
    assert reached(machine) == [f"{DNSMASQ}:53", "20.1.1.1:80"]


WATCHED = """
import os, sys

def watch(event, arguments):
    if event.startswith("socket.") and not (event == "socket.sendmsg" and arguments[1] is None):
        if event == "socket.__new__" and sys._getframe(1).f_locals.get("fileno") is not None:
            event = "of a descriptor"
        log = os.open(sys.argv[1], os.O_WRONLY | os.O_APPEND)
        os.write(log, f"{'supervisor' if os.getpid() == supervisor else 'worker'} {event}\\n".encode())
        os.close(log)

supervisor = os.getpid()
sys.addaudithook(watch)
from sandbox.cli.main import main
main(sys.argv[2:])
"""
"""The command in an interpreter that notes each use of sockets, also in the worker that it forks; what goes between the
two names no address, and is left out."""


def test_who_makes_the_sockets_of_the_feed(clone: Path) -> None:
    """The supervisor looks up, makes and connects; the worker is handed what is connected, and does nothing of it."""
    page = (ROOT / "samples" / "www" / "news.xml").read_bytes()
    path, log = clone / "policies" / "feed.yaml", clone / "log"
    log.touch()
    with Server(http({"/news.xml": ("200 OK", page)})) as server:
        path.write_text(path.read_text(encoding="utf-8").replace(":18080", f":{server.port}"), encoding="utf-8")
        line = [sys.executable, "-c", WATCHED, str(log), "run", "--quiet", "policies/feed.yaml"]
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        done = subprocess.run(line, cwd=clone, env=environment, check=True, capture_output=True, text=True, timeout=120)
    assert (done.stdout, done.stderr) == (HEADLINES, "")
    used = log.read_text(encoding="ascii").splitlines()
    assert [act for act in used if act.startswith("worker")] == ["worker of a descriptor"] * 2
    assert [act for act in used if act.startswith("supervisor") and "descriptor" not in act] == [
        *["supervisor socket.__new__"] * 2,  # one of each family, to see whether the machine speaks it
        "supervisor socket.getaddrinfo",
        "supervisor socket.__new__",
        "supervisor socket.connect",
    ]


@pytest.mark.parametrize(
    ("url", "printed", "events"),
    [
        (
            "http://20.1.1.1/news.xml",
            "feed: access denied\n",
            [
                Told("denied", "dns.resolve", "20.1.1.1", None, 18, "no grant covers this address"),
            ],
        ),
        (
            "http://news.example.com/news.xml",
            "feed: access denied\n",
            [
                Told(
                    "denied",
                    "dns.resolve",
                    "news.example.com",
                    None,
                    18,
                    NO_NAME,
                    "sockets:\n  dns: [news.example.com]",
                ),
            ],
        ),
    ],
)
def test_feed_of_a_host_that_is_not_granted(
    url: str, printed: str, events: list[Told], machine: Machine, clone: Path
) -> None:
    """It is refused with one event, and the program says so; nothing is sent anywhere."""
    path = captured(clone, "feed.yaml", ("http://localhost:18080/news.xml", url))
    machine.packets()
    ran = machine.run(path)
    assert (ran.stdout, (ran.outcome.stderr or b"").decode(), ran.outcome.exit_status) == ("", printed, 1)
    assert (network_events(ran), reached(machine)) == (events, [])


def test_report_in_python(clone: Path) -> None:
    """The report in Python, CPython and all, writes the same summary as the one in C."""
    tool = shutil.which("componentize-py", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    if tool is None:
        assert not os.environ.get("CI"), "componentize-py belongs to the development dependencies"
        pytest.skip("componentize-py is not installed")
    python = ROOT / "samples" / "report-python"
    target = python / "report-python.wasm"
    if not target.exists() or target.stat().st_mtime < max(p.stat().st_mtime for p in python.glob("*.[pw]*[yt]")):
        make = ["make", "-C", str(ROOT / "samples"), "report-python", f"COMPONENTIZE_PY={tool}"]
        subprocess.run(make, check=True, capture_output=True, timeout=300)
    shutil.copy(target, clone / "samples" / "report-python")
    assert sandbox(clone, "run", "policies/report.yaml")[0] == 0
    expected = (clone / "samples" / "out" / "summary.md").read_text()
    (clone / "samples" / "out" / "summary.md").unlink()
    assert sandbox(clone, "run", "policies/report-python.yaml") == (
        0,
        SUMMED_UP.replace("report:", "report-python:"),
        LEFT_OUT.replace("report:", "report-python:"),
    )
    assert (clone / "samples" / "out" / "summary.md").read_text() == expected
