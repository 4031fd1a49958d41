"""The shim: every function of preview 1, over the guest's memory (memory 0) and the base's (``$own``).

The guest's descriptors are numbers of the shim's own, chosen as Wasmtime chooses them; an entry of the table says which
of Wasmtime's stands behind each, and where the path is that it was opened by. So the directories that are granted stay
open whatever the guest closes or renumbers, and every event can say the whole path.

A path is copied out of the guest's memory before anything is decided: what is decided, called and told is that copy.
"""

from __future__ import annotations

from sandbox.guard.clocks import COARSE, FROZEN_MONOTONIC, FROZEN_WALL
from sandbox.guard.filesystem import FOLLOWS, METADATA_COST, MUTATES
from sandbox.guard.preview1 import descriptors, layout, paths, rest
from sandbox.guard.preview1.base import OWN, arguments, params, result
from sandbox.guard.random import MAX_BYTES, SPLITMIX
from sandbox.guard.sites import HOST_INSTANCE, Reason
from sandbox.guard.state import DECOY, HARD_LINKS, ROUTED
from sandbox.preview1 import MODULE, SIGNATURES

HOST = {
    "denied": (7, False),
    "denied_pair": (12, False),
    "told": (1, False),
    "route": (8, True),
    "route_pair": (14, True),
    "link": (8, True),
    "look": (5, True),
    "misaligned": (2, False),
    "outside": (2, False),
    "exit": (1, False),
}
"""The host's functions: how many numbers each takes, and whether it answers one."""

ERRNO = {
    "ACCES": 2,
    "BADF": 8,
    "DQUOT": 19,
    "INVAL": 28,
    "IO": 29,
    "LOOP": 32,
    "NAMETOOLONG": 37,
    "NOMEM": 48,
    "NOSPC": 51,
    "NOTDIR": 54,
    "PERM": 63,
    "ROFS": 69,
    "XDEV": 75,
    "NOTCAPABLE": 76,
}

PAIRED = {
    "DISK": Reason.DISK,
    "UNGRANTED": Reason.UNGRANTED,
    "ACROSS": Reason.ACROSS_GRANTS,
    "LINK": Reason.HARD_LINK,
    "SYMBOLIC_LINK": Reason.SYMBOLIC_LINK,
}
"""Reasons that only changes are refused for, or pairs of paths."""

CONSTANTS: dict[str, object] = {
    "site": layout.SITE,
    **{
        name: getattr(layout, name) for name in dir(layout) if name.isupper() and isinstance(getattr(layout, name), int)
    },
    **{f"E_{name}": number for name, number in ERRNO.items()},
    **{f"R_{reason.name}": int(reason) for reason in Reason},
    "DECOY": DECOY,
    "HARD_LINKS": HARD_LINKS,
    "ROUTED_GRANT": ROUTED,
    "FOLLOWS": FOLLOWS,
    "MUTATES": MUTATES,
    "METADATA_COST": METADATA_COST,
    **{f"{name}_REASON": int(reason | Reason.WRITES) for name, reason in PAIRED.items()},
    "ROUTED_TEXT": layout.ROUTED + 4,
    "OTHER_ROUTED_TEXT": layout.OTHER_ROUTED + 4,
    "PATH_MOST": layout.PATH_MAX - 1,
    "CREATE": 1,
    "DIRECTORY": 2,
    "TRUNCATE": 8,
    "CREATE_OR_TRUNCATE": 9,
    "NOT_FOR_DIRECTORIES": 1 | 4 | 8,
    "RIGHTS_BOTH": 1 << 1 | 1 << 6,
    "RIGHT_READ": 1 << 1,
    "RIGHT_WRITE": 1 << 6,
    "MOST_SUBSCRIPTIONS": 1 << 20,
    "MOST_RANDOM": MAX_BYTES,
    "SPLITMIX": SPLITMIX,
    "RESOLUTION": COARSE,
    "FROZEN_MONOTONIC": FROZEN_MONOTONIC,
    "FROZEN_TIME": FROZEN_WALL * 1_000_000_000,
}


def shim_text() -> str:
    """The whole module. A function that no part writes down is passed on as it is."""
    written = {**descriptors.functions(), **paths.FUNCTIONS, **rest.FUNCTIONS}
    lines = ['(import "guest" "memory" (memory 0))', '(import "base" "memory" (memory $own 1))']
    lines.append(f'(import "base" "table" (table {len(SIGNATURES)} funcref))')
    for name, (count, answers) in HOST.items():
        type_ = f"(param{' i32' * count}) {'(result i32)' if answers else ''}"
        lines.append(f'(import "{HOST_INSTANCE}" "{name}" (func $host.{name} {type_}))')
    lines += [f'(import "{MODULE}" "{n}" (func $native.{n} {params(n)} {result(n)}))' for n in SIGNATURES]
    lines += [f'(import "base" "own.{n}" (func $own.{n} {params(n)} {result(n)}))' for n in OWN]
    lines.append('(export "memory" (memory 0))')
    lines += [descriptors.TEXT, paths.TEXT, rest.TEXT]
    for name in SIGNATURES:
        body = written.get(name, f"(call $native.{name} {arguments(name)})")
        lines.append(f"(func ${name} {params(name)} {result(name)} {body})")
    lines.append(f"(elem (i32.const 0) func {' '.join(f'${name}' for name in SIGNATURES)})")
    lines.append("(start $begin)")
    # Addresses, bounds and the numbers of sites stand in it by name: {PATH}, {site[path_open]}.
    return "(module\n" + "\n".join(lines).format_map(CONSTANTS) + ")"
