"""The plan on a page: what ``--plan`` prints of the network, and of a module."""

from __future__ import annotations

import pytest

from sandbox.component import Export, Facts, Import, ModuleFacts
from sandbox.host import Host
from sandbox.plan import make_plan
from sandbox.policy.load import digest_of, parse_policy
from sandbox.program import make_program
from sandbox.report.plan import plan_text

BASE = "version: 1\ncomponents: {c: {source: /c.wasm, grants: {sockets: %s}, limits: %s}}"


def text(sockets: str, limits: str = "{}") -> str:
    """The page of a component that imports sockets, with ``sockets`` and ``limits`` as its policy has them."""
    policy = parse_policy((BASE % (sockets, limits)).encode(), file="p.yaml", directory="/p")
    facts = Facts(
        path="/c.wasm",
        kind="component",
        size=10,
        digest="sha256:" + "a" * 64,
        imports=(Import(name="wasi:sockets/tcp@0.2.3", kind="instance"),),
        exports=(Export(name="wasi:cli/run@0.2.3", kind="instance"),),
    )
    return plan_text(make_plan(policy, policy.components[0], facts, Host()))


def part(page: str, heading: str) -> list[str]:
    """The lines under a heading of the page."""
    return page.partition(f"{heading}:\n")[2].partition("\n\n")[0].splitlines()


def network(page: str) -> list[str]:
    """What the page says of the network."""
    lines = part(page, "It gets")
    (start,) = (number for number, line in enumerate(lines) if line.startswith("  network "))
    return [
        line.removeprefix("  network".ljust(15) if number == 0 else " " * 15)
        for number, line in enumerate(lines[start:])
    ]


@pytest.mark.parametrize("sockets", ["", "{}", "{deny: [10.0.0.0/8], audit: all}"])
def test_no_network(sockets: str) -> None:
    """Where nothing of the network is granted, one word says so, and no bound of it is shown."""
    page = text(sockets)
    assert network(page) == ["none"]
    assert [line.split()[0] for line in part(page, "Bounds")] == [
        "memory",
        "deadline",
        "fuel",
        "output",
        "handles",
        "disk",
        "events",
    ]
    assert part(page, "It imports") == ["  wasi:sockets/tcp@0.2.3                       refused, call by call"]


def test_the_network_in_words() -> None:
    """Each grant of the network is a line; what widens it is said in words, and what changes nothing is not."""
    page = text(
        "{tcp: {connect: ['*.a.com:443', {to: 'metrics:9090-9099', private: true}, '[2001:db8::/32]:1-65535'],"
        " listen: ['127.0.0.1:8080', '0.0.0.0:80', '[::1]:0']},"
        " udp: {send: [{to: '10.2.0.53:53', private: true}], bind: ['[::]:0']},"
        " dns: [db.example, '**.b.com'], deny: ['**.internal', '[fd00::/8]:22', '10.0.0.0/24:1-1023'], audit: all}"
    )
    assert network(page) == [
        "connects by TCP to *.a.com:443",
        "connects by TCP to metrics:9090-9099, at private addresses too",
        "connects by TCP to [2001:db8::/32]:1-65535",
        "accepts TCP at 127.0.0.1:8080",
        "accepts TCP at 0.0.0.0:80, every address of this machine",
        "accepts TCP at [::1], a port that the system chooses",
        "exchanges UDP with 10.2.0.53:53",
        "receives UDP from anyone at [::], every address of this machine, a port that the system chooses",
        "looks up db.example, **.b.com",
        "never goes by the name **.internal",
        "never reaches [fd00::/8]:22",
        "never reaches 10.0.0.0/24:1-1023",
        "what is allowed is recorded as well",
    ]
    assert part(page, "It imports") == ["  wasi:sockets/tcp@0.2.3                       served by the broker"]


def test_the_bounds_of_the_network() -> None:
    """Each limit of the network is shown with what it counts."""
    page = text(
        "{dns: [a.b]}",
        "{sockets: 1000, sent: 1MiB, received: 1GB, connect-time: 500ms, lookups: 2000, lookup-bytes: 100}",
    )
    assert part(page, "Bounds")[6:] == [
        "  sockets      1,000 open at once",
        "  sent         1 MiB over sockets",
        "  received     1,000,000,000 bytes over sockets",
        "  connecting   0.5 s for each connection and each look-up",
        "  look-ups     2,000 a second, 100 bytes of names in all",
        "  events       1,000 refusals one by one, further ones counted",
    ]


def page_of_module(*exports: str, imports: bool = True, grants: str = "{}") -> str:
    policy = parse_policy(
        f"version: 1\ncomponents: {{c: {{source: /c.wasm, grants: {grants}}}}}".encode(), file="p.yaml", directory="/p"
    )
    facts = Facts(
        path="/c.wasm",
        kind="module",
        size=10,
        digest="sha256:" + "a" * 64,
        imports=(Import(name="fd_write", kind="func", module="wasi_snapshot_preview1"),) if imports else (),
        exports=tuple(Export(name=name, kind="func") for name in exports),
        module=ModuleFacts(memory="plain", start=False),
    )
    return plan_text(make_plan(policy, policy.components[0], facts, Host()))


def test_a_module() -> None:
    """The page of a module says what it is, and what preview 1 does where nothing is granted."""
    page = page_of_module("_start", grants="{stdio: {stdout: inherit}}")
    assert page.splitlines()[:1] + page.splitlines()[3:5] == [
        "c  /c.wasm",
        "  kind         module of WASI preview 1, a command (_start)",
        "",
    ]
    assert part(page, "It gets") == [
        "  files        none",
        "  stdin        at its end, not granted",
        "  stdout       the caller's",
        "  stderr       thrown away, not granted",
        "  environment  empty, not granted",
        "  arguments    none, not granted",
        "  clocks       wall frozen, not granted; monotonic frozen, not granted",
        "  random       not granted: a call that takes random numbers traps",
        "  network      none: a module cannot open a socket",
    ]
    assert part(page, "It imports") == ["  wasi_snapshot_preview1                       served through the shim"]
    seeded = part(page_of_module("_start", grants="{random: {seed: 7}}"), "It gets")
    assert seeded[7] == "  random       seeded with 7"


@pytest.mark.parametrize(("declared", "lines"), [("true", ["no grant differs from run to run"]), ("false", [])])
def test_what_is_declared_deterministic(declared: str, lines: list[str]) -> None:
    """One line says so, where the policy does."""
    policy = parse_policy(
        f"version: 1\ncomponents: {{c: {{source: /c.wasm, deterministic: {declared}}}}}".encode(),
        file="p.yaml",
        directory="/p",
    )
    facts = Facts(path="/c.wasm", kind="component", size=10, digest="sha256:" + "a" * 64, imports=(), exports=())
    head = plan_text(make_plan(policy, policy.components[0], facts, Host())).partition("\n\n")[0].splitlines()
    assert head[3:] == [f"  declared     deterministic: {line}" for line in lines]


@pytest.mark.parametrize(
    ("exports", "imports", "kind"),
    [
        (("_start", "_initialize"), True, "module of WASI preview 1, a command (_start)"),
        (("_initialize", "add"), True, "module of WASI preview 1, a reactor (_initialize comes before any call)"),
        (("add",), True, "module of WASI preview 1, no command"),
        (("add",), False, "module without WASI, no command"),
    ],
)
def test_the_kind_of_a_module(exports: tuple[str, ...], imports: bool, kind: str) -> None:
    """Commands, reactors and plain libraries are told apart; without imports nothing of WASI is served."""
    page = page_of_module(*exports, imports=imports)
    assert page.splitlines()[3] == f"  kind         {kind}"
    assert part(page, "It imports")[0].split()[0] == ("wasi_snapshot_preview1" if imports else "nothing")


PROGRAM = """\
version: 1
run: app
components:
  app:
    source: /app.wasm
    imports:
      "bank:payments/auth": {component: auth, only: [validate-user, users]}
      "bank:payments/ledger": ledger
    grants: {stdio: {stdout: inherit}}
    limits: {memory: 64MiB, deadline: 10s, sockets: 8}
  auth:
    source: /auth.wasm
    deterministic: true
  ledger:
    source: /ledger.wasm
    imports:
      "bank:payments/auth": {component: auth, instance: own}
    grants:
      sockets: {tcp: {connect: ["db.example:5432"]}}
"""


def program(policy_text: str, components: dict[str, tuple[tuple[str, ...], tuple[str, ...]]]) -> str:
    """The page of a program of components that import and export these interfaces."""
    policy = parse_policy(policy_text.encode(), file="p.yaml", directory="/p")
    facts = {
        name: Facts(
            path=f"/{name}.wasm",
            kind="component",
            size=10,
            digest="sha256:" + "a" * 64,
            imports=tuple(Import(name=each, kind="instance") for each in imports),
            exports=tuple(Export(name=each, kind="instance") for each in exports),
        )
        for name, (imports, exports) in components.items()
    }
    return plan_text(make_program(policy, "app", facts, dict.fromkeys(facts, Host())))


def test_a_program() -> None:
    """Each component has a section with its instances and who serves its imports; the bounds stand at the end, once."""
    page = program(
        PROGRAM,
        {
            "app": (
                ("bank:payments/auth@1.0.0", "bank:payments/ledger@1.0.0", "wasi:cli/stdout@0.2.3"),
                ("wasi:cli/run@0.2.3",),
            ),
            "auth": ((), ("bank:payments/auth@1.2.0",)),
            "ledger": (
                ("bank:payments/auth@1.2.0", "bank:payments/types\x1b@1.0.0", "wasi:sockets/tcp@0.2.3"),
                ("bank:payments/ledger@1.0.0",),
            ),
        },
    )
    head = f"  digest       sha256:{'a' * 64} (10 bytes)\n  policy       p.yaml ({digest_of(PROGRAM.encode())})\n"
    lacks = """\
  environment  empty, not granted
  arguments    none, not granted
  clocks       wall frozen, not granted; monotonic frozen, not granted
  random       not granted: secure numbers trap, insecure ones are always the same
"""
    assert (
        page
        == f"""\
app  /app.wasm
{head}\
  instance     app

app gets:
  files        none
  stdin        at its end, not granted
  stdout       the caller's
  stderr       thrown away, not granted
{lacks}\
  network      none

app imports:
  bank:payments/auth@1.0.0                     served by app>auth, as bank:payments/auth@1.2.0; ONLY
  bank:payments/ledger@1.0.0                   served by app>ledger
  wasi:cli/stdout@0.2.3                        served through the guard

auth  /auth.wasm
{head}\
  declared     deterministic: no grant differs from run to run
  instance     app>auth
               app>ledger>auth

auth gets:
  files        none
  stdin        at its end, not granted
  stdout       thrown away, not granted
  stderr       thrown away, not granted
{lacks}\
  network      none

auth imports:
  nothing

ledger  /ledger.wasm
{head}\
  instance     app>ledger

ledger gets:
  files        none
  stdin        at its end, not granted
  stdout       thrown away, not granted
  stderr       thrown away, not granted
{lacks}\
  network      connects by TCP to db.example:5432

ledger imports:
  bank:payments/auth@1.2.0                     served by app>ledger>auth
  bank:payments/types\\x1b@1.0.0                types alone, served by nobody
  wasi:sockets/tcp@0.2.3                       served by the broker

Bounds of all components together:
  memory       64 MiB, over all memories and tables
  deadline     10 s, compiling and waiting included
  fuel         not counted
  output       64 MiB
  handles      256 open at once
  disk         256 MiB written to files
  sockets      8 open at once
  sent         256 MiB over sockets
  received     256 MiB over sockets
  connecting   10 s for each connection and each look-up
  look-ups     10 a second, 4 KiB of names in all
  events       1,000 refusals one by one, further ones counted
""".replace("ONLY", "of its functions validate-user, users alone")
    )


def test_a_component_with_several_instances() -> None:
    """Where each instance of an importer has another instance to serve it, all of them are told."""
    text = """\
version: 1
components:
  app: {source: /a, imports: {"a:b/c": {component: lib, instance: own}, "a:b/d": more}}
  more: {source: /m, imports: {"a:b/c": {component: lib, instance: own}}}
  lib: {source: /l, imports: {"a:b/e": {component: deep, instance: own}}}
  deep: {source: /d}
"""
    page = program(
        text,
        {
            "app": (("a:b/c", "a:b/d"), ()),
            "more": (("a:b/c",), ("a:b/d",)),
            "lib": (("a:b/e",), ("a:b/c",)),
            "deep": ((), ("a:b/e",)),
        },
    )
    served = "served by app>lib>deep, app>more>lib>deep"
    assert part(page, "lib imports") == [f"  {'a:b/e':<44} {served}"]
    assert [line for line in page.splitlines() if line.endswith("network      none")] == ["  network      none"] * 4
    assert not [line for line in page.splitlines() if line.startswith("  sockets ")]
