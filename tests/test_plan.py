"""The plan as a pure function: what a run gets, how overlapping grants are cut, and every objection at once."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from typing import Any

import pytest

from sandbox.component import Export, Facts, Import, MemoryKind, ModuleFacts
from sandbox.host import Directory, File, Host
from sandbox.plan import Plan, PlanError, Preopen, StreamPlan, behind, make_plan, preopen_from_data
from sandbox.policy.load import parse_policy
from sandbox.policy.model import DeniedPeer, Limits, Local, Peer, Policy, Sockets

DIGEST = "sha256:" + "a" * 64
IMPORTS = ("wasi:cli/environment@0.2.3", "wasi:filesystem/types@0.2.3", "wasi:sockets/tcp@0.2.3", "wasi:io/poll@0.2.3")


def component(*imports: str) -> Facts:
    return Facts(
        path="/c.wasm",
        kind="component",
        size=10,
        digest=DIGEST,
        imports=tuple(Import(name, "instance", None) for name in imports),
        exports=(
            Export("wasi:cli/run@0.2.3", "instance"),
            Export("wasi:http/incoming-handler@0.2.3", "instance"),
            Export("a:b/c", "instance"),
        ),
    )


def module(*imports: str, exports: Sequence[str] = ("_start",), memory: MemoryKind = "plain") -> Facts:
    """A core module that imports and exports functions."""
    return Facts(
        path="/c.wasm",
        kind="module",
        size=10,
        digest=DIGEST,
        imports=tuple(Import(name, "func", first) for first, _, name in (i.partition(" ") for i in imports)),
        exports=(Export("memory", "memory"), *(Export(name, "func") for name in exports)),
        module=ModuleFacts(memory=memory, start=False),
    )


FD_WRITE = "wasi_snapshot_preview1 fd_write"


def tree(*paths: str, aliases: Sequence[str] = ()) -> Host:
    """A machine with directories at absolute ``paths``, each known by its own name, without links."""
    numbers: dict[str, int] = {}

    def ancestors(path: str) -> tuple[tuple[int, int], ...]:
        chain = [path]
        while chain[-1] != "/":
            chain.append(chain[-1].rpartition("/")[0] or "/")
        return tuple((1, numbers.setdefault(p, len(numbers))) for p in chain)

    return Host(
        directories={
            p: Directory(absolute=p, real=p, ancestors=ancestors(p), aliases_names=p in aliases) for p in paths
        },
        cache="/home/me/.cache/wasi-sandbox",
    )


def policy(grants: dict[str, Any] | None = None, **more: Any) -> Policy:
    body = {"source": "/c.wasm", "grants": grants or {}, **more}
    # One line a key, so that each has a line of its own.
    text = json.dumps({"version": 1, "components": {"c": body}}, indent=1)
    return parse_policy(text.encode(), file="p.yaml", directory="/p")


def plan(loaded: Policy, host: Host | None = None, facts: Facts | None = None, **more: Any) -> Plan:
    return make_plan(loaded, loaded.components[0], facts or component(*IMPORTS), host or Host(), **more)


def objections(loaded: Policy, host: Host | None = None, facts: Facts | None = None, **more: Any) -> list[str]:
    """What is objected to, without the place in the file; which is checked to be the route's own."""
    with pytest.raises(PlanError) as caught:
        plan(loaded, host, facts, **more)
    error = caught.value
    assert str(error) == "\n".join(f"p.yaml:{o.line}: {o.route}: {o.message}" for o in error.objections)
    assert [o.line for o in error.objections] == [loaded.place(o.route).line for o in error.objections]
    return [f"{o.route.removeprefix('components.c.')}: {o.message}" for o in error.objections]


def directory(path: str, guest: str, access: str = "read", /, **more: Any) -> dict[str, Any]:
    return {"host": path, "guest": guest, "access": access, **more}


def test_an_empty_policy_grants_nothing() -> None:
    """No grant: the decoy root, closed streams, no environment, no arguments, no clocks, no random numbers."""
    loaded = policy()
    found = plan(loaded)
    decoy = Preopen(guest="/", host=None, writable=False, route="components.c.grants")
    closed = StreamPlan(mode="closed", granted=False)
    assert found == Plan(
        component="c",
        policy="p.yaml",
        policy_digest=loaded.digest,
        kind="component",
        source="/c.wasm",
        digest=DIGEST,
        size=10,
        preopens=(decoy,),
        stdin=closed,
        stdout=closed,
        stderr=closed,
        environment=None,
        arguments=None,
        wall=None,
        monotonic=None,
        random="denied",
        seed=0,
        sockets=None,
        limits=Limits(),
        interfaces=(
            ("wasi:cli/environment@0.2.3", "guard"),
            ("wasi:filesystem/types@0.2.3", "guard"),
            ("wasi:sockets/tcp@0.2.3", "refused"),
            ("wasi:io/poll@0.2.3", "wasmtime"),
        ),
        exports=("instance wasi:cli/run@0.2.3", "instance a:b/c"),
        run="wasi:cli/run@0.2.3",
        initialize=False,
        deterministic=False,
        lines=found.lines,
    )
    assert (decoy.decoy, decoy.routed, found.counts_writes) == (True, False, False)


def test_the_same_values_give_the_same_plan() -> None:
    """A plan depends on its arguments alone."""
    loaded = policy({"filesystem": [directory("/d", "/in")], "arguments": "inherit"})
    assert plan(loaded, tree("/d"), arguments=["a"]) == plan(loaded, tree("/d"), arguments=["a"])


def test_lines() -> None:
    """A route's line is that of its nearest ancestor in the file; a route of another component has none."""
    found = plan(policy({"stdio": {"stdout": "inherit"}}))
    text = json.dumps(
        {"version": 1, "components": {"c": {"source": "", "grants": {"stdio": {"stdout": ""}}}}}, indent=1
    )
    lines = {key: number for number, line in enumerate(text.splitlines(), 1) for key in [line.partition('"')[2]]}
    expected = next(number for key, number in lines.items() if key.startswith("stdout"))
    assert found.line("components.c.grants.stdio.stdout") == expected
    assert found.line("components.c.grants.stdio.stderr") == expected - 1
    assert found.line("components.other") is None


def preopens(found: Plan) -> list[dict[str, Any]]:
    """What each preopen says beside its defaults and its route."""
    fields = {f.name: f.default for f in dataclasses.fields(Preopen)}
    out = []
    for preopen in found.preopens:
        data = dataclasses.asdict(preopen)
        del data["route"], data["written"]
        out.append({k: v for k, v in data.items() if v != fields.get(k)})
    return out


def test_directories() -> None:
    """Directories in the policy's order, then the decoy root; with ``/`` granted there is no decoy."""
    loaded = policy({"filesystem": [directory("/a", "/in"), {**directory("/b", "/out", "write"), "except": ["*.key"]}]})
    found = plan(loaded, tree("/a", "/b"))
    assert preopens(found) == [
        {"guest": "/in", "host": "/a", "writable": False},
        {"guest": "/out", "host": "/b", "writable": True, "excepted": ("*.key",)},
        {"guest": "/", "host": None, "writable": False},
    ]
    assert [p.routed for p in found.preopens] == [False, True, False]
    assert found.counts_writes
    found = plan(policy({"filesystem": [directory("/a", "/", **{"hard-links": "allow"})]}), tree("/a"))
    assert preopens(found) == [{"guest": "/", "host": "/a", "writable": False, "hard_links": True}]


def test_a_grant_inside_another() -> None:
    """The outer grant hands what lies in the inner one over to it, wherever the guest sees either of them."""
    grants = [directory("/d", "/d", "write"), directory("/d/a/b", "/inner"), directory("/d/a", "/middle")]
    assert preopens(plan(policy({"filesystem": grants}), tree("/d", "/d/a/b", "/d/a"))) == [
        {"guest": "/d", "host": "/d", "writable": True, "inner": (("a/b", 1), ("a", 2))},
        {"guest": "/inner", "host": "/d/a/b", "writable": False},
        {"guest": "/middle", "host": "/d/a", "writable": False, "inner": (("b", 1),)},
        {"guest": "/", "host": None, "writable": False},
    ]


def test_a_grant_that_stands_before_another() -> None:
    """Where the guest sees one directory inside another that it is not in, what the host has there is not granted."""
    grants = [directory("/a", "/d"), directory("/b", "/d/x/y")]
    assert preopens(plan(policy({"filesystem": grants}), tree("/a", "/b"))) == [
        {"guest": "/d", "host": "/a", "writable": False, "masked": ("x/y",)},
        {"guest": "/d/x/y", "host": "/b", "writable": False},
        {"guest": "/", "host": None, "writable": False},
    ]
    grants = [directory("/a", "/"), directory("/a/x", "/x", "write")]
    assert preopens(plan(policy({"filesystem": grants}), tree("/a", "/a/x"))) == [
        {"guest": "/", "host": "/a", "writable": False, "inner": (("x", 1),)},
        {"guest": "/x", "host": "/a/x", "writable": True},
    ]


def test_a_preopen_survives_json() -> None:
    """What the worker gets of a preopen is the preopen."""
    grants = [{**directory("/a", "/d"), "except": ["x"]}, directory("/a/i", "/d/i"), directory("/b", "/d/x/y")]
    host = mounted(tree("/a", "/a/i", "/b"), "/a", interfaces=("proc",))
    found = plan(policy({"filesystem": grants}), host).preopens
    assert found[0].kernel == ("proc",)
    for preopen in found:
        assert preopen_from_data(json.loads(json.dumps(dataclasses.asdict(preopen)))) == preopen


def test_directories_that_are_refused() -> None:
    """What is not there, is granted twice, may not be cut, or holds what the host writes: each with its sentence."""
    missing = Host(directories={"/no": Directory(absolute="/no", real=None)})
    assert objections(policy({"filesystem": [directory("/no", "/n")]}), missing) == [
        "grants.filesystem[0].host: no directory at /no; it must exist before the run"
    ]
    twice = policy({"filesystem": [directory("/a", "/x"), directory("/a", "/y", "write")]})
    assert objections(twice, tree("/a")) == [
        "grants.filesystem[1].host: the same directory as filesystem[0] grants (/a); grant it once"
    ]
    around = "a hard link would be a way around the narrower grant"
    links = [directory("/a", "/a", "write", **{"hard-links": "allow"}), directory("/a/b", "/b")]
    assert objections(policy({"filesystem": links}), tree("/a", "/a/b")) == [
        f"grants.filesystem[0].hard-links: cannot be allowed where filesystem[1] is inside filesystem[0]: {around}"
    ]
    spelled = (
        "grants.filesystem[0].host: /a is on a file system that knows files by several spellings of a name,"
        " so neither `except` nor a grant inside this one can be enforced there"
    )
    excepted = policy({"filesystem": [{**directory("/a", "/a"), "except": ["*.key"]}]})
    assert objections(excepted, tree("/a", aliases=["/a"])) == [spelled]
    assert len(plan(policy({"filesystem": [directory("/a", "/a")]}), tree("/a", aliases=["/a"])).preopens) == 2
    home = policy({"filesystem": [directory("/home/me", "/h", "write")]})
    covers = "writable, and it covers the sandbox's cache of compiled code, /home/me/.cache/wasi-sandbox"
    assert objections(home, tree("/home/me")) == [f"grants.filesystem[0].access: {covers}"]
    assert len(plan(policy({"filesystem": [directory("/home/me", "/h")]}), tree("/home/me")).preopens) == 2
    out = policy({"filesystem": [directory("/out", "/o", "write")]})
    holds = "writable, and it holds the audit trail, /out/t.jsonl, which the guest could change"
    assert objections(out, tree("/out"), writes=[("the audit trail", "/out/t.jsonl")]) == [
        f"grants.filesystem[0].access: {holds}"
    ]
    assert len(plan(out, tree("/out"), writes=[("the audit trail", "/output/t.jsonl")]).preopens) == 2


def mounted(host: Host, path: str, **what: Any) -> Host:
    """``host``, where something is mounted at or below the directory at ``path``."""
    return dataclasses.replace(
        host, directories={**host.directories, path: dataclasses.replace(host.directories[path], **what)}
    )


def test_interfaces_of_the_kernel() -> None:
    """A directory on one is refused; one that covers some is granted without them, and each path in it is resolved."""
    loaded = policy({"filesystem": [directory("/a", "/a", "write")]})
    assert objections(loaded, mounted(tree("/a"), "/a", kernel="proc")) == [
        (
            "grants.filesystem[0].host: /a is on proc, an interface of the kernel, through which a component could"
            " read or change this and other processes; copy what it needs into a directory of its own"
        )
    ]
    found = plan(loaded, mounted(tree("/a"), "/a", interfaces=("proc", "x/sys"), mounts=("m",)))
    assert preopens(found) == [
        {"guest": "/a", "host": "/a", "writable": True, "kernel": ("proc", "x/sys")},
        {"guest": "/", "host": None, "writable": False},
    ]
    assert [p.routed for p in found.preopens] == [True, False]
    unknown = dataclasses.replace(tree("/a"), knows_mounts=False)
    assert objections(loaded, unknown) == [
        (
            "grants.filesystem: no directory can be granted: /proc/self/mountinfo, which says what is mounted in it,"
            " cannot be read"
        )
    ]
    assert len(plan(policy(), dataclasses.replace(tree(), knows_mounts=False)).preopens) == 1


def test_mounts_in_a_directory_that_is_cut() -> None:
    """Where `except`, a grant inside or one before it cuts a directory, nothing may show its files by other names."""

    def sentence(where: str) -> str:
        return (
            f"grants.filesystem[0].host: a file system is mounted inside, at {where}: it may show the same files by"
            " other names, so neither `except` nor another grant inside this one can be enforced; grant what is"
            " mounted there apart from the rest"
        )

    excepted = policy({"filesystem": [{**directory("/a", "/a"), "except": ["*.key"]}]})
    assert objections(excepted, mounted(tree("/a"), "/a", mounts=("m",))) == [sentence("/a/m")]
    inner = policy({"filesystem": [directory("/", "/a"), directory("/b", "/b", "write")]})
    assert objections(inner, mounted(tree("/", "/b"), "/", mounts=("m", "n", "o"), interfaces=("proc",))) == [
        sentence("/m, and at 2 more")
    ]
    masked = policy({"filesystem": [directory("/a", "/x"), directory("/b", "/x/y")]})
    assert objections(masked, mounted(tree("/a", "/b"), "/a", mounts=("m",))) == [sentence("/a/m")]
    assert plan(masked, mounted(tree("/a", "/b"), "/b", mounts=("m",))).preopens[1].routed is False
    assert plan(excepted, mounted(tree("/a"), "/a", interfaces=("proc",))).preopens[0].kernel == ("proc",)


def test_what_the_next_run_reads() -> None:
    """A writable directory may not hold the policy, the component, or a link to one, unless it excepts them."""
    host = dataclasses.replace(tree("/p", "/p/in"), policy=("/p/link", "/p/etc/p.yaml"), source=("/p/in/c.wasm",))
    tail = "which the guest could change for the next run; grant a directory without it, or `except` it"
    route = "grants.filesystem[0].access: writable, and it holds"
    expected = [
        f"{route} a symbolic link to the policy, /p/link, {tail}",
        f"{route} the policy's own file, /p/etc/p.yaml, {tail}",
        f"{route} the component's own file, /p/in/c.wasm, {tail}, or pin its `digest`",
    ]

    def write(*excepted: str, inner: str | None = None, **more: Any) -> Policy:
        outer = {**directory("/p", "/p", "write"), **({"except": list(excepted)} if excepted else {})}
        return policy({"filesystem": [outer] + ([directory("/p/in", "/in", inner)] if inner else [])}, **more)

    assert objections(write(), host) == expected
    assert objections(write(digest=DIGEST), host) == expected[:2]
    assert objections(write("link", "**/*.yaml"), host) == expected[2:]
    assert objections(write("link", "etc", inner="read"), dataclasses.replace(host, policy=("/p/x",))) == [
        f"{route} the policy's own file, /p/x, {tail}"
    ]
    assert objections(write("link", "etc", inner="write"), host) == [
        text.replace("filesystem[0]", "filesystem[1]") for text in expected[2:]
    ]
    assert len(plan(write("link", "etc", inner="read"), host).preopens) == 3
    assert len(plan(write("link", "*/P.YAML", "in/**"), host).preopens) == 2
    assert len(plan(policy({"filesystem": [directory("/p", "/p")]}), host).preopens) == 2
    trail = [("the audit trail", "/p/in/t.jsonl")]
    assert len(plan(write("link", "etc", inner="read"), host, writes=trail).preopens) == 3


def test_handles() -> None:
    """A bound on handles that the granted directories alone use up is refused."""
    loaded = policy({"filesystem": [directory(p, p) for p in ("/a", "/b", "/c")]}, limits={"handles": 4})
    assert objections(loaded, tree("/a", "/b", "/c")) == [
        "limits.handles: 4 handles are too few: the granted directories alone take 4"
    ]


def test_streams() -> None:
    """Each mode of each stream; ``closed`` is as good as not said."""
    loaded = policy({"stdio": {"stdin": "closed", "stdout": "capture", "stderr": {"file": "log"}}})
    found = plan(loaded, Host(files={"log": File(real="/p/log", kind="nothing")}))
    assert (found.stdin, found.stdout, found.stderr) == (
        StreamPlan(mode="closed", granted=False),
        StreamPlan(mode="capture", granted=True),
        StreamPlan(mode="file", granted=True, path="/p/log"),
    )


def test_stream_files_that_are_refused() -> None:
    """A stream's file may not be a link, special, missing, used twice, the trail, nor in the cache."""
    names = {"stdin": {"file": "a"}, "stdout": {"file": "b"}, "stderr": {"file": "c"}}
    files = {
        "a": File(real="/p/a", kind="nothing"),
        "b": File(real="/p/b", kind="link", identity=(1, 1)),
        "c": File(real="/home/me/.cache/wasi-sandbox/c", kind="other", identity=(1, 1)),
    }
    host = dataclasses.replace(tree(), files=files)
    cached = "/home/me/.cache/wasi-sandbox/c"
    assert objections(policy({"stdio": names}), host, writes=[("the audit trail", "/p/b")]) == [
        "grants.stdio.stdin: /p/a does not exist",
        "grants.stdio.stdout: /p/b is a symbolic link; name its target",
        "grants.stdio.stdout: /p/b is the audit trail, which is for nobody else to read or write",
        f"grants.stdio.stderr: {cached} is no regular file",
        f"grants.stdio.stderr: {cached} is what stdout uses already; one would overwrite the other",
        f"grants.stdio.stderr: {cached} lies in the sandbox's cache of compiled code",
    ]


def test_stream_files_that_the_next_run_reads() -> None:
    """No output goes over the policy or the component, which may both be read as input."""
    files = {"a": File(real="/p/p.yaml", kind="file"), "b": File(real="/p/c.wasm", kind="file")}
    host = Host(files=files, policy=("/p/p.yaml",), source=("/p/c.wasm",))
    outputs = policy({"stdio": {"stdout": {"file": "a"}, "stderr": {"file": "b"}}})
    assert objections(outputs, host) == [
        "grants.stdio.stdout: /p/p.yaml is the policy's own file, which the output would overwrite",
        "grants.stdio.stderr: /p/c.wasm is the component's own file, which the output would overwrite",
    ]
    assert plan(policy({"stdio": {"stdin": {"file": "a"}}}), host).stdin.path == "/p/p.yaml"


def test_environment() -> None:
    """Set variables, then inherited ones, with defaults; one that is missing or no text is refused."""
    inherit = ["A", {"name": "B", "default": "b"}]
    loaded = policy({"environment": {"set": {"X": "1"}, "inherit": inherit}})
    assert plan(loaded, Host(environment={"A": "a"})).environment == (("X", "1"), ("A", "a"), ("B", "b"))
    assert plan(loaded, Host(environment={"A": "a", "B": "host"})).environment == (
        ("X", "1"),
        ("A", "a"),
        ("B", "host"),
    )
    assert plan(policy({"environment": {}})).environment == ()
    assert objections(loaded) == [
        "grants.environment.inherit[0]: A is not set here; write {name: A, default: ...} if it may be missing"
    ]
    assert objections(loaded, Host(environment={"A": "\udcff"})) == [
        "grants.environment.inherit[0]: A is not valid UTF-8 here"
    ]


def test_arguments() -> None:
    """The caller's, or the policy's own; never the caller's where the policy does not say so."""
    inherit, fixed = policy({"arguments": "inherit"}), policy({"arguments": ["x", "y"]})
    assert plan(inherit, arguments=["a b", ""]).arguments == ("c", "a b", "")
    assert plan(inherit).arguments == ("c",)
    assert plan(fixed).arguments == ("c", "x", "y")
    assert objections(fixed, arguments=["a"]) == [
        "grants.arguments: the policy fixes the arguments, so none can be given"
    ]
    assert objections(policy(), arguments=["a"]) == [
        "grants.arguments: the policy grants no arguments, so none can be given; `arguments: inherit` passes them on"
    ]
    for bad in ("a\0b", "\udcff"):
        assert objections(inherit, arguments=[bad]) == [
            "grants.arguments: an argument is not text that a component can be given"
        ]


@pytest.mark.parametrize(
    ("grant", "expected"),
    [("secure", ("secure", 0)), ("seeded", ("seeded", 0)), ({"seed": 7}, ("seeded", 7))],
)
def test_random(grant: object, expected: tuple[str, int]) -> None:
    """Random numbers are secure, or seeded with the policy's number."""
    found = plan(policy({"random": grant}))
    assert (found.random, found.seed) == expected


CONTRADICTIONS: list[tuple[dict[str, Any], list[str]]] = [
    (
        {"clocks": "real"},
        ["grants.clocks: a real clock differs from run to run, and {}; write `clocks: frozen`, {}"],
    ),
    (
        {"clocks": "coarse"},
        ["grants.clocks: a coarse clock differs from run to run, and {}; write `clocks: frozen`, {}"],
    ),
    (
        {"clocks": {"wall": "real", "monotonic": "coarse"}},
        [
            "grants.clocks.wall: a real clock differs from run to run, and {}; write `wall: frozen`, {}",
            "grants.clocks.monotonic: a coarse clock differs from run to run, and {}; write `monotonic: frozen`, {}",
        ],
    ),
    (
        {"clocks": {"wall": "frozen", "monotonic": "real"}},
        ["grants.clocks.monotonic: a real clock differs from run to run, and {}; write `monotonic: frozen`, {}"],
    ),
    (
        {"random": "secure"},
        ["grants.random: secure random numbers differ from run to run, and {}; write `random: seeded`, {}"],
    ),
    *(
        (
            {"sockets": sockets},
            [
                (
                    "grants.sockets: what comes over the network differs from run to run, and {};"
                    " remove the grant (a file can bring in what it fetches), {}"
                )
            ],
        )
        for sockets in (
            {"tcp": {"connect": ["10.0.0.1:80"]}},
            {"tcp": {"listen": ["127.0.0.1:80"]}},
            {"udp": {"send": ["10.0.0.1:80"]}},
            {"udp": {"bind": ["127.0.0.1:80"]}},
            {"dns": ["a.b"]},
        )
    ),
]
"""For each grant that differs from run to run: what is said where the component is declared deterministic."""


@pytest.mark.parametrize(("grants", "expected"), CONTRADICTIONS)
def test_what_a_deterministic_component_is_not_granted(grants: dict[str, Any], expected: list[str]) -> None:
    """Each grant that contradicts the declaration is the policy's fault, with what to write; without it none is."""
    words = ("the policy declares the component deterministic", "or remove `deterministic`")
    assert objections(policy(grants, deterministic=True)) == [text.format(*words) for text in expected]
    with pytest.raises(PlanError) as caught:
        plan(policy(grants, deterministic=True))
    assert caught.value.about == "policy"
    for loaded in (policy(grants), policy(grants, deterministic=False)):
        assert plan(loaded).deterministic is False


def test_all_that_contradicts_a_declaration() -> None:
    """Every contradiction is told at once, and a module is called one."""
    loaded = policy({"clocks": "real", "random": "secure"}, deterministic=True)
    assert [text.partition(",")[0] for text in objections(loaded, facts=module(FD_WRITE))] == [
        "grants.clocks: a real clock differs from run to run",
        "grants.random: secure random numbers differ from run to run",
    ]
    assert "and the policy declares the module deterministic; " in objections(loaded, facts=module(FD_WRITE))[0]


@pytest.mark.parametrize(
    "grants",
    [
        {},
        {"clocks": "frozen", "random": "seeded"},
        {"clocks": {"wall": "frozen"}, "random": {"seed": 7}, "sockets": {"deny": ["10.0.0.0/8"], "audit": "all"}},
        {"stdio": {"stdin": "inherit", "stdout": "inherit", "stderr": "discard"}, "arguments": "inherit"},
        {"environment": {"set": {"A": "b"}, "inherit": [{"name": "B", "default": ""}]}},
        {"filesystem": [directory("/d", "/d", "write")]},
    ],
)
@pytest.mark.parametrize("facts", [component(*IMPORTS), module(FD_WRITE)], ids=["component", "module"])
def test_what_a_deterministic_component_may_be_granted(grants: dict[str, Any], facts: Facts) -> None:
    """Inputs, what stands still, what follows from a seed, and any bound: the plan differs in its flag alone."""
    limits = {"deadline": "1s", "fuel": 1}
    declared, silent = (policy(grants, limits=limits, deterministic=said) for said in (True, False))
    found = plan(declared, tree("/d"), facts)
    assert found.deterministic
    assert dataclasses.replace(plan(silent, tree("/d"), facts), deterministic=True) == dataclasses.replace(
        found, policy_digest=silent.digest
    )


def test_components_that_are_refused() -> None:
    """Another binary than the pinned one, and imports that nothing serves; all told at once."""
    loaded = policy(digest="sha256:" + "0" * 64)
    found = objections(loaded, facts=component("acme:x/y@1.0.0", "wasi:io/poll@0.2.0", "wasi:io/poll@0.3.0"))
    assert found[0] == f"digest: the component is another one: the policy pins sha256:{'0' * 64}, the file is {DIGEST}"
    assert [text.partition("': ")[0] for text in found[1:]] == [
        "source: the component imports 'acme:x/y@1.0.0",
        "source: the component imports 'wasi:io/poll@0.3.0",
    ]
    function = component()._replace(imports=(Import("wasi:io/poll@0.2.0", "func", None),))
    assert objections(policy(), facts=function) == [
        "source: the component imports 'wasi:io/poll@0.2.0': it is not an interface"
    ]


def test_an_empty_policy_grants_a_module_nothing() -> None:
    """A module gets by a plan what a component gets, through the guard; its functions may be called."""
    loaded = policy()
    found = plan(loaded, facts=module(FD_WRITE, exports=["_start", "add", "a b"]))
    assert found == dataclasses.replace(
        plan(loaded),
        kind="module",
        interfaces=(("wasi_snapshot_preview1", "guard"),),
        exports=("func add", "func a b"),
        run="_start",
    )


@pytest.mark.parametrize(
    ("facts", "expected"),
    [
        (module(FD_WRITE), ("_start", False, ())),
        (module(FD_WRITE, exports=["_initialize", "add"]), (None, True, ("func add",))),
        (module(FD_WRITE, exports=["_start", "_initialize"]), ("_start", True, ())),
        (module(FD_WRITE, exports=[]), (None, False, ())),
        (
            component("wasi:io/poll@0.2.3"),
            ("wasi:cli/run@0.2.3", False, ("instance wasi:cli/run@0.2.3", "instance a:b/c")),
        ),
    ],
)
def test_commands_and_reactors(facts: Facts, expected: tuple[str | None, bool, tuple[str, ...]]) -> None:
    """A module is run by ``_start``, made ready by ``_initialize``; both are no functions to call."""
    found = plan(policy(), facts=facts)
    assert (found.run, found.initialize, found.exports) == expected


@pytest.mark.parametrize("memory", ["none", "shared", "64-bit", "plain"])
def test_a_module_without_wasi(memory: MemoryKind) -> None:
    """Nothing stands behind a module that imports nothing, whatever its memory is like."""
    found = plan(policy(), facts=module(memory=memory))
    assert (found.interfaces, found.run) == ((), "_start")


def test_modules_that_are_refused() -> None:
    """Another binary, the first import that nothing serves, a memory unfit for preview 1, sockets; all at once."""
    unstable = "wasi_unstable is the snapshot before preview 1; rebuild it for wasm32-wasip1"
    assert objections(policy(), facts=module("wasi_unstable fd_write", FD_WRITE)) == [
        f"source: the module imports wasi_unstable.fd_write: {unstable}"
    ]
    loaded = policy({"sockets": {"dns": ["a.b"]}}, digest="sha256:" + "0" * 64)
    facts = module("wasi_unstable fd_write", "wasi_unstable fd_read", FD_WRITE, "env f", memory="none")
    assert objections(loaded, facts=facts) == [
        f"digest: the module is another one: the policy pins sha256:{'0' * 64}, the file is {DIGEST}",
        f"source: the module imports wasi_unstable.fd_write (and 2 more that nothing serves): {unstable}",
        (
            "source: the module exports no memory by the name of `memory`, which WASI preview 1 reads and writes;"
            " export its memory"
        ),
        (
            "grants.sockets: a module has no way to open a socket: WASI preview 1 has none; remove the grant, or build"
            " a component"
        ),
    ]
    denying = policy({"sockets": {"deny": ["10.0.0.0/8"]}})
    assert plan(denying, facts=module(FD_WRITE)).sockets is None


def test_a_hostile_import_of_a_module() -> None:
    """What a module's import is called is short and in quotes where a refusal names it."""
    facts = module("env \x1b[2J\n" + "x" * 9000)
    (sentence,) = objections(policy(), facts=facts)
    assert sentence.partition(": env is ")[0] == "source: the module imports 'env.\\x1b[2J\\n" + "x" * 88 + "...'"


def test_what_a_plan_says_of_a_module() -> None:
    """Where a sentence is about the guest itself, a module is called one."""
    host = dataclasses.replace(tree("/p"), source=("/p/c.wasm",), files={"b": File(real="/p/c.wasm", kind="file")})
    grants = {
        "filesystem": [directory("/p", "/p", "write")],
        "stdio": {"stderr": {"file": "b"}},
        "arguments": "inherit",
    }
    tail = "which the guest could change for the next run; grant a directory without it, or `except` it"
    assert objections(policy(grants), mounted(host, "/p", kernel="proc"), module(FD_WRITE), arguments=["\udcff"]) == [
        (
            "grants.filesystem[0].host: /p is on proc, an interface of the kernel, through which a module could"
            " read or change this and other processes; copy what it needs into a directory of its own"
        ),
        (
            "grants.filesystem[0].access: writable, and it holds the module's own file, /p/c.wasm,"
            f" {tail}, or pin its `digest`"
        ),
        "grants.stdio.stderr: /p/c.wasm is the module's own file, which the output would overwrite",
        (
            "grants.stdio.stderr: /p/c.wasm lies in a directory that the guest may write (/p), so the guest could"
            " change it"
        ),
        "grants.arguments: an argument is not text that a module can be given",
    ]


def test_whose_fault_it_is() -> None:
    """An error is about the component only if nothing is wrong with the policy itself."""
    with pytest.raises(PlanError) as caught:
        plan(policy(), facts=component("acme:x/y@1.0.0"))
    assert caught.value.about == "component"
    with pytest.raises(PlanError) as caught:
        plan(policy(), facts=component("acme:x/y@1.0.0"), arguments=["a"])
    assert caught.value.about == "policy"
    with pytest.raises(PlanError) as caught:
        plan(policy(), facts=module("env f"))
    assert caught.value.about == "component"
    with pytest.raises(PlanError) as caught:
        plan(policy({"sockets": {"dns": ["a.b"]}}), facts=module(FD_WRITE))
    assert caught.value.about == "policy"


@pytest.mark.parametrize(
    ("interface", "server"),
    [
        ("wasi:io/streams@0.2.0", "wasmtime"),
        ("wasi:io/poll@0.2.0", "wasmtime"),
        ("wasi:cli/stdout@0.2.0", "wasmtime"),
        ("wasi:cli/exit@0.2.0", "guard"),
        ("wasi:random/random@0.2.0", "guard"),
        ("wasi:clocks/wall-clock@0.2.0", "guard"),
        ("wasi:clocks/timezone@0.2.0", "refused"),
        ("wasi:http/types@0.2.0", "refused"),
    ],
)
def test_what_stands_behind_an_interface(interface: str, server: str) -> None:
    """Wasmtime serves what cannot reach out, the guard what is narrowed: streams too, where some may be sockets'."""
    assert behind(interface) == server
    assert behind(interface, sockets=True) == ("guard" if server == "wasmtime" else server)


@pytest.mark.parametrize("name", ["network", "instance-network", "tcp", "udp-create-socket", "ip-name-lookup"])
def test_what_stands_behind_sockets(name: str) -> None:
    """The broker where the policy grants any, otherwise nothing."""
    assert behind(f"wasi:sockets/{name}@0.2.3") == "refused"
    assert behind(f"wasi:sockets/{name}@0.2.3", sockets=True) == "broker"


def test_sockets_that_are_granted() -> None:
    """The plan holds what the policy grants of the network, the lines of its rules, and who serves it."""
    loaded = policy(
        {
            "sockets": {
                "tcp": {"connect": [{"to": "db.internal:5432", "private": True}], "listen": ["127.0.0.1:0"]},
                "deny": ["10.0.0.0/8"],
            }
        },
        limits={"sockets": 2},
    )
    found = plan(loaded)
    assert found.sockets == Sockets(
        connect=(Peer(host="db.internal", ports=(5432, 5432), private=True),),
        listen=(Local(address="127.0.0.1", port=0),),
        deny=(DeniedPeer(host="10.0.0.0/8"),),
    )
    assert dict(found.interfaces)["wasi:sockets/tcp@0.2.3"] == "broker"
    root = "components.c.grants.sockets"
    assert [found.line(root + route) for route in ("", ".tcp.connect[0]", ".tcp.listen[0]", ".deny[0]", ".dns[0]")] == [
        7,
        10,
        16,
        20,
        7,
    ]


@pytest.mark.parametrize("sockets", [{}, {"deny": ["10.0.0.0/8"], "audit": "all"}])
def test_sockets_that_grant_nothing(sockets: dict[str, Any]) -> None:
    """Denials alone open nothing: no broker stands behind the interfaces."""
    found = plan(policy({"sockets": sockets}))
    assert (found.sockets, dict(found.interfaces)["wasi:sockets/tcp@0.2.3"]) == (None, "refused")


def test_too_few_sockets_to_accept_a_connection() -> None:
    """A listening socket is one of those that the policy allows."""
    grants = {"sockets": {"tcp": {"listen": ["127.0.0.1:80"]}}}
    assert objections(policy(grants, limits={"sockets": 1})) == [
        "limits.sockets: 1 socket is too few to accept connections: the listening one takes it"
    ]
    bound = {"sockets": {"udp": {"bind": ["127.0.0.1:80"]}}}
    assert plan(policy(bound, limits={"sockets": 1})).limits.sockets == 1


def test_the_code_that_enforces_the_plan() -> None:
    """No directory may be written that holds this program's own code, or lies in it, unless it is excepted."""
    host = dataclasses.replace(tree("/p", "/p/venv/lib"), code=("/p/venv",))
    tail = "which the guest could change for the next run; grant a directory without it, or `except` it"
    text = f"grants.filesystem[0].access: writable, and it covers the sandbox's own code, /p/venv, {tail}"
    assert objections(policy({"filesystem": [directory("/p", "/p", "write")]}), host) == [text]
    assert objections(policy({"filesystem": [directory("/p/venv/lib", "/p", "write")]}), host) == [text]
    excepted = {**directory("/p", "/p", "write"), "except": ["venv"]}
    assert len(plan(policy({"filesystem": [excepted]}), host).preopens) == 2
    assert len(plan(policy({"filesystem": [directory("/p", "/p", "read")]}), host).preopens) == 2
