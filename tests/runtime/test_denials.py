"""What the messages of a worker become: sockets and names that a policy does not grant, and the bounds of sockets."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from sandbox.audit.events import Happening
from sandbox.component import Export, Facts, Import, ModuleFacts
from sandbox.guard.preview1.layout import SITES
from sandbox.guard.sites import Site
from sandbox.host import Host
from sandbox.plan import Plan, make_plan
from sandbox.policy.load import parse_policy
from sandbox.runtime.denials import Explainer

NOW = 1_700_000_000.5
POLICY = """version: 1
components:
  app:
    grants:
      sockets: {deny: [10.0.0.0/8]}
    limits:
      sockets: 3
      sent: 1KiB
      received: 2KiB
"""


def plan(text: str = POLICY) -> Plan:
    policy = parse_policy(text.encode(), file="p.yaml", directory="/p")
    facts = Facts(
        path="/c.wasm",
        kind="component",
        size=10,
        digest="sha256:" + "a" * 64,
        imports=(),
        exports=(Export("wasi:cli/run@0.2.3", "instance"),),
    )
    return make_plan(policy, policy.components[0], facts, Host())


def words(*numbers: int) -> str:
    return b"".join(n.to_bytes(8, "little") for n in numbers).decode("latin-1")


def four(port: int, *parts: int) -> str:
    return words(0, port, *parts, *[0] * 6)


def six(port: int, *groups: int, zone: int = 0) -> str:
    return words(1, port, 9, *groups, zone)


POOL = four(3333, 203, 0, 113, 7)
LOCAL = six(443, 0x2001, 0xDB8, 0, 0, 0, 0, 0, 1)
MAPPED = six(80, 0, 0, 0, 0, 0, 0xFFFF, 0x0A00, 1)
ZONED = six(80, 0xFE80, 0, 0, 0, 0, 0, 0, 1, zone=5)

REFUSED: list[tuple[str, str, str, str | None, str | None]] = [
    ("sockets.tcp.connect", "", POOL, "203.0.113.7:3333", 'tcp: {connect: ["203.0.113.7:3333"]}'),
    ("sockets.tcp.connect", "", LOCAL, "[2001:db8::1]:443", 'tcp: {connect: ["[2001:db8::1]:443"]}'),
    ("sockets.tcp.connect", "", MAPPED, "[::ffff:10.0.0.1]:80", 'tcp: {connect: ["10.0.0.1:80"]}'),
    ("sockets.tcp.connect", "", ZONED, "[fe80::1%5]:80", None),
    ("sockets.tcp.connect", "", four(0, 203, 0, 113, 7), "203.0.113.7:0", None),
    ("sockets.tcp.connect", "", four(80, 224, 0, 0, 1), "224.0.0.1:80", None),
    ("sockets.tcp.bind", "", POOL, "203.0.113.7:3333", 'tcp: {listen: ["203.0.113.7:3333"]}'),
    ("sockets.tcp.bind", "", four(0, 0, 0, 0, 0), "0.0.0.0:0", 'tcp: {listen: ["0.0.0.0:0"]}'),
    ("sockets.udp.bind", "", LOCAL, "[2001:db8::1]:443", 'udp: {bind: ["[2001:db8::1]:443"]}'),
    ("sockets.udp.send", "", words(1) + POOL, "203.0.113.7:3333", 'udp: {send: ["203.0.113.7:3333"]}'),
    ("sockets.udp.send", "", words(0) + POOL, None, None),
    ("sockets.udp.send", "", "", None, None),
    ("sockets.tcp.listen", "", "", None, None),
    ("dns.resolve", "Pool.Example", "", "Pool.Example", "dns: [pool.example]"),
    ("dns.resolve", "pool.minexmr.example\x1b", "", "pool.minexmr.example\x1b", None),
    ("dns.resolve", "127.1", "", "127.1", None),
    ("dns.resolve", "b\u00c3\u00bccher.example", "", "b\u00fccher.example", "dns: [xn--bcher-kva.example]"),
    ("dns.resolve", "", "", None, None),
]


@pytest.mark.parametrize(("capability", "text", "raw", "resource", "grant"), REFUSED)
def test_nothing_of_the_network_is_granted(
    capability: str, text: str, raw: str, resource: str | None, grant: str | None
) -> None:
    """Where a policy grants no sockets, each act says so, and what a policy would say to grant just this."""
    site = Site("wasi:sockets/x@0.2.3", "act", capability, capability.startswith("sockets") and bool(raw))
    found = Explainer(plan()).happening(["refused", NOW, site.to_data(), text, raw])
    about_names = capability.startswith("dns")
    assert found == Happening(
        name="denied",
        component="app",
        capability=capability,
        reason="looking up names is not granted" if about_names else "sockets are not granted",
        interface="wasi:sockets/x@0.2.3",
        function="act",
        resource=resource,
        line=5,
        grant=grant and f"sockets:\n  {grant}",
        time=NOW,
    )
    if grant is not None:
        text = POLICY.replace("{deny: [10.0.0.0/8]}", f"{{{grant}}}")
        assert plan(text).sockets is not None


BOUNDS = [
    ("sockets", None, "3 sockets are open, which is all that the policy allows", 7),
    ("sent", "203.0.113.7:80", "the bytes that may be sent over sockets are used up (1,024 bytes)", 8),
    ("received", "203.0.113.7:80", "the bytes that may be received over sockets are used up (2,048 bytes)", 9),
]


@pytest.mark.parametrize(("name", "resource", "reason", "line"), BOUNDS)
def test_bounds_of_sockets(name: str, resource: str | None, reason: str, line: int) -> None:
    """A bound on sockets is a limit when it is first reached, and a denial each time after."""
    explainer = Explainer(plan())
    site = Site("wasi:sockets/tcp@0.2.3", "[method]tcp-socket.accept", "sockets.tcp.accept")
    message = ["bound", NOW, site.to_data(), name, resource]
    first = Happening(
        name="limit",
        component="app",
        capability=f"limits.{name}",
        reason=reason,
        interface=site.interface,
        function=site.function,
        resource=resource,
        line=line,
        time=NOW,
    )
    assert [explainer.happening(message) for _ in range(3)] == [first, *[replace(first, name="denied")] * 2]
    assert explainer.bounds == {f"limits.{name}"}


@pytest.mark.parametrize(
    ("name", "resource"), [("deadline", None), ("memory", None), (None, None), ("sent", 5), ([], None), ("sent", {})]
)
def test_bounds_that_no_worker_reports(name: Any, resource: Any) -> None:
    """A worker cannot report the bounds that are its supervisor's to see, nor anything but text."""
    explainer = Explainer(plan())
    site = Site("wasi:sockets/tcp@0.2.3", "[method]tcp-socket.accept", "sockets.tcp.accept")
    with pytest.raises(ValueError, match=r"^no bound that a worker reports$"):
        explainer.happening(["bound", NOW, site.to_data(), name, resource])
    assert explainer.bounds == set()


def module_plan() -> Plan:
    policy = parse_policy(POLICY.encode(), file="p.yaml", directory="/p")
    facts = Facts(
        path="/m.wasm",
        kind="module",
        size=10,
        digest="sha256:" + "a" * 64,
        imports=(Import("fd_write", "func", "wasi_snapshot_preview1"),),
        exports=(Export("_start", "func"), Export("memory", "memory")),
        module=ModuleFacts(memory="plain", start=False),
    )
    return make_plan(policy, policy.components[0], facts, Host())


@pytest.mark.parametrize(
    ("name", "function", "reason", "grant"),
    [
        ("stdin", "fd_read", "standard input is not granted; it is at its end", "stdio:\n  stdin: inherit"),
        (
            "stdout",
            "fd_write",
            "standard output is not granted; what is written is thrown away",
            "stdio:\n  stdout: inherit",
        ),
        (
            "stderr",
            "fd_write",
            "standard error is not granted; what is written is thrown away",
            "stdio:\n  stderr: inherit",
        ),
    ],
)
def test_streams_of_a_module(name: str, function: str, reason: str, grant: str) -> None:
    """The first use of a standard stream names the function that a module reads or writes with."""
    assert Explainer(module_plan()).stream(name, NOW) == Happening(
        name="denied",
        component="app",
        capability=f"stdio.{name}",
        reason=reason,
        interface="wasi_snapshot_preview1",
        function=function,
        line=4,
        grant=grant,
        time=NOW,
    )


def test_sockets_of_a_module() -> None:
    """No grant is offered for what preview 1 has no way to ask for."""
    site = next(s for s in SITES if s.function == "sock_accept")
    assert Explainer(module_plan()).happening(["refused", NOW, site.to_data(), "", ""]) == Happening(
        name="denied",
        component="app",
        capability="sockets",
        reason="preview 1 opens no sockets, so there is none that this could be done with",
        interface="wasi_snapshot_preview1",
        function="sock_accept",
        line=5,
        time=NOW,
    )


def test_every_site_of_a_module_is_explained() -> None:
    """Whatever a shim reports, the message becomes an event of its interface and function."""
    explainer = Explainer(module_plan())
    for site in SITES:
        if site.capability.startswith("filesystem."):
            message: list[Any] = ["denied", NOW, site.to_data(), 1, 0, "", "etc/passwd"]
        else:
            message = ["refused", NOW, site.to_data(), "", ""]
        found = explainer.happening(message)
        capability = "filesystem.read" if site.capability.startswith("filesystem.") else site.capability
        assert (found.name, found.interface, found.function) == ("denied", "wasi_snapshot_preview1", site.function)
        assert found.capability == capability
        assert found.reason
