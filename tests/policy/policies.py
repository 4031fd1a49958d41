"""Policies as plain data, and strategies that make them."""

from __future__ import annotations

import copy
import ipaddress
import json
from typing import Any

from hypothesis import strategies as st

from sandbox.policy.load import parse_policy
from sandbox.policy.model import Policy

DIGEST = "sha256:" + "0123456789abcdef" * 4

FULL: dict[str, Any] = {
    "version": 1,
    "components": {
        "report": {
            "source": "../samples/report.wasm",
            "digest": DIGEST,
            "grants": {
                "filesystem": [
                    {"host": "./invoices", "guest": "/in", "access": "read", "hard-links": "allow"},
                    {"host": "~/out", "guest": "/out", "access": "write", "except": ["**/.git/**", "[!a]?.tmp"]},
                ],
                "stdio": {"stdin": "inherit", "stdout": "capture", "stderr": {"file": "errors.txt"}},
                "environment": {
                    "set": {"TZ": "UTC", "EMPTY": ""},
                    "inherit": ["LANG", {"name": "HOME", "default": "/"}],
                },
                "arguments": ["--flag", "input.csv"],
                "clocks": {"wall": "coarse", "monotonic": "real"},
                "random": {"seed": 7},
                "sockets": {
                    "tcp": {
                        "connect": ["db.internal:5432", {"to": "cache.internal:6379", "private": True}],
                        "listen": ["127.0.0.1:8080"],
                    },
                    "udp": {"send": ["10.2.0.0/16:53-54"], "bind": ["[::]:0"]},
                    "dns": ["*.example.com"],
                    "deny": ["169.254.0.0/16", "**.corp.example.com:443"],
                    "audit": "all",
                },
                "http": [],
            },
            "limits": {
                "memory": "64MiB",
                "deadline": "5s",
                "fuel": 2_000_000_000,
                "output": "1MB",
                "handles": 100,
                "disk": 0,
                "sockets": 8,
                "sent": "1MiB",
                "received": "2MiB",
                "connect-time": "2s",
                "lookups": 3,
                "lookup-bytes": "1KiB",
                "events": 10,
            },
            "deterministic": True,
            "imports": {},
        },
        "auth": {},
    },
    "run": "report",
}
"""A policy that writes every key of the language, enforced ones with something that is not the default."""

LINKED = copy.deepcopy(FULL)
"""``FULL`` with imports."""
LINKED["components"]["report"]["imports"] = {
    "cyber:payments/ledger": "auth",
    "cyber:payments/auth@1.0.0": {"component": "clock", "instance": "own", "only": ["now", "[method]zone.name"]},
}
LINKED["components"] |= {"clock": {}, "auth2": {}}


def load(data: Any) -> Policy:
    """The policy that ``data`` says, as a file ``policy.yaml`` would. Raises ``PolicyError``."""
    return load_text(json.dumps(data, ensure_ascii=False))


def load_text(text: str) -> Policy:
    """The policy that ``text`` says, as a file ``policy.yaml``. Raises ``PolicyError``."""
    return parse_policy(text.encode(), file="policy.yaml", directory="/policies")


_PLAIN = st.characters(min_codepoint=0x20, max_codepoint=0x2FF, exclude_categories=("Cc", "Cf"))
_TEXT = st.text(_PLAIN, max_size=8)
_SEGMENT = st.text(st.sampled_from("abz09._-[ é"), min_size=1, max_size=6).filter(lambda text: text not in (".", ".."))
_NAME = st.from_regex(r"[A-Za-z_][A-Za-z0-9_]{0,5}", fullmatch=True)
_MODE = st.sampled_from(["real", "coarse", "frozen"])
_HOST = st.one_of(st.just("~"), st.builds("~/{}".format, _SEGMENT), st.builds("./{}".format, _SEGMENT))
_SIZES = st.one_of(
    st.integers(2**20, 2**40),
    st.builds("{}{}".format, st.integers(2, 999), st.sampled_from(["MB", "MiB", "GB", "GiB"])),
)
_FILE = st.builds(lambda path: {"file": path}, _HOST)
_GLOB = st.builds(
    "/".join,
    st.lists(st.sampled_from(["**", "*", "a*b", "?", "[a-z]", "[!x]y", "[]]", ".git", "é"]), min_size=1, max_size=4),
).filter(lambda glob: "**/**" not in glob)


@st.composite
def directories(draw: st.DrawFn) -> list[dict[str, Any]]:
    """A ``filesystem`` list."""
    guests = draw(st.lists(st.lists(_SEGMENT, max_size=3).map(lambda parts: "/" + "/".join(parts)), unique=True))
    grants = []
    for guest in guests:
        grant: dict[str, Any] = {
            "host": draw(_HOST),
            "guest": guest,
            "access": draw(st.sampled_from(["read", "write"])),
        }
        grant |= draw(
            st.one_of(
                st.just({}),
                st.sampled_from([{"hard-links": "allow"}, {"hard-links": "refuse"}]),
                st.builds(lambda globs: {"except": globs}, st.lists(_GLOB, max_size=3)),
            )
        )
        grants.append(grant)
    return grants


@st.composite
def environments(draw: st.DrawFn) -> dict[str, Any]:
    """An ``environment`` mapping."""
    names = draw(st.lists(_NAME, unique=True, max_size=6))
    cut = draw(st.integers(0, len(names)))
    inherit: list[Any] = [
        name if draw(st.booleans()) else {"name": name, "default": draw(_TEXT)} for name in names[cut:]
    ]
    return {"set": {name: draw(_TEXT) for name in names[:cut]}, "inherit": inherit}


def _streams() -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries(
        {},
        optional={
            "stdin": st.sampled_from(["closed", "inherit", "discard"]) | _FILE,
            "stdout": st.sampled_from(["closed", "inherit", "discard", "capture"]) | _FILE,
            "stderr": st.sampled_from(["closed", "inherit", "discard", "capture"]) | _FILE,
        },
    )


_LABEL = st.from_regex(r"[a-z]([a-z0-9_-]{0,4}[a-z0-9])?", fullmatch=True)
_HOST_NAME = st.lists(_LABEL, min_size=2, max_size=4).map(".".join).filter(lambda name: name[-10:] != ".localhost")
_WILDCARD = st.builds("{}.{}".format, st.sampled_from(["*", "**"]), _HOST_NAME)
_PORTS = st.integers(1, 65535).map(str) | st.tuples(st.integers(1, 999), st.integers(1000, 65535)).map(
    lambda ports: f"{ports[0]}-{ports[1]}"
)


@st.composite
def _numbers(draw: st.DrawFn) -> str:
    """An address or network of the ranges that mean themselves, in brackets for IPv6."""
    bits, around, first = draw(st.sampled_from([(128, 16, 0x2A00 << 112), (32, 8, 10 << 24)]))
    prefix = draw(st.integers(around, bits))
    start = first | draw(st.integers(0, 2 ** (bits - around) - 1)) >> (bits - prefix) << (bits - prefix)
    address = str(ipaddress.IPv6Address(start) if bits == 128 else ipaddress.IPv4Address(start))
    text = address if prefix == bits else f"{address}/{prefix}"
    return f"[{text}]" if bits == 128 else text


def _peers() -> st.SearchStrategy[list[Any]]:
    names = st.builds("{}:{}".format, _HOST_NAME | _WILDCARD, _PORTS)
    long = st.builds(lambda to, private: {"to": to, "private": private}, names, st.booleans())
    peers = names | long | st.builds("{}:{}".format, _numbers(), _PORTS)
    return st.lists(peers, max_size=3, unique_by=lambda peer: str(peer["to"] if isinstance(peer, dict) else peer))


def sockets() -> st.SearchStrategy[dict[str, Any]]:
    """A ``sockets`` mapping; what it denies is in ``denied.example``, where it grants nothing."""
    local = st.builds(
        "{}:{}".format, st.sampled_from(["127.0.0.1", "0.0.0.0", "[::]", "[::1]", "10.0.0.1"]), st.integers(0, 65535)
    )
    denied = st.builds("{}.denied.example{}".format, _LABEL, st.just("") | _PORTS.map(":{}".format))
    return st.fixed_dictionaries(
        {},
        optional={
            "tcp": st.fixed_dictionaries(
                {}, optional={"connect": _peers(), "listen": st.lists(local, max_size=2, unique=True)}
            ),
            "udp": st.fixed_dictionaries(
                {}, optional={"send": _peers(), "bind": st.lists(local, max_size=2, unique=True)}
            ),
            "dns": st.lists(_HOST_NAME | _WILDCARD, max_size=3, unique=True),
            "deny": st.lists(denied, max_size=3, unique=True),
            "audit": st.sampled_from(["refusals", "all"]),
        },
    )


GRANTS = st.fixed_dictionaries(
    {},
    optional={
        "filesystem": st.none() | directories(),
        "stdio": st.none() | _streams(),
        "environment": st.none() | environments(),
        "arguments": st.none() | st.just("inherit") | st.lists(_TEXT, max_size=3),
        "clocks": st.none() | _MODE | st.fixed_dictionaries({}, optional={"wall": _MODE, "monotonic": _MODE}),
        "random": st.sampled_from([None, "secure", "seeded"])
        | st.builds(lambda seed: {"seed": seed}, st.integers(0, 2**64 - 1)),
        "sockets": st.none() | sockets(),
        "http": st.sampled_from([None, []]),
    },
)

LIMITS = st.fixed_dictionaries(
    {},
    optional={
        "memory": _SIZES,
        "deadline": st.builds("{}{}".format, st.integers(1, 24), st.sampled_from(["ms", "s", "m", "h"])),
        "fuel": st.integers(1, 2**63 - 1),
        "output": _SIZES | st.just("0B"),
        "handles": st.integers(4, 65536),
        "disk": _SIZES | st.just(0),
        "sockets": st.integers(1, 65536),
        "sent": _SIZES | st.just(0),
        "received": _SIZES | st.just("0B"),
        "connect-time": st.builds("{}{}".format, st.integers(1, 60), st.sampled_from(["ms", "s", "m"])),
        "lookups": st.integers(1, 10_000),
        "lookup-bytes": st.integers(0, 2**30),
        "events": st.integers(1, 1_000_000),
    },
)

_PLAIN_POLICIES: st.SearchStrategy[dict[str, Any]] = st.fixed_dictionaries(
    {
        "version": st.just(1),
        "components": st.dictionaries(
            st.from_regex("[a-z0-9][a-z0-9_-]{0,6}", fullmatch=True),
            st.fixed_dictionaries(
                {},
                optional={
                    "source": _HOST,
                    "digest": st.from_regex("sha256:[0-9a-f]{64}", fullmatch=True),
                    "grants": st.none() | GRANTS,
                    "limits": st.none() | LIMITS,
                    "deterministic": st.booleans(),
                    "imports": st.just({}),
                },
            ),
            min_size=1,
            max_size=2,
        ),
    }
)
POLICIES = _PLAIN_POLICIES.flatmap(
    lambda policy: st.sampled_from([policy, *(policy | {"run": name} for name in policy["components"])])
)
"""Valid policies as plain data."""
