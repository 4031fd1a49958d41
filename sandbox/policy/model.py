"""What a policy grants, as frozen values: the one form of a policy that every other room reads.

Nothing here imports pydantic or PyYAML, so that a cached policy loads in microseconds. ``None`` for a family means the
policy does not speak of it: nothing is granted and each use is audited. A family that is present means what it says,
even where that is nothing: ``arguments: []`` is an empty list, on purpose, and asking for it is no denial.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

Access = Literal["read", "write"]
"""``write`` includes ``read``: Wasmtime has no write-only directory."""

ClockMode = Literal["real", "coarse", "frozen"]
StreamMode = Literal["closed", "inherit", "discard", "capture", "file"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Place:
    """A place in a policy file; line and column count from 1, columns in characters."""

    line: int
    column: int


@dataclass(frozen=True, kw_only=True, slots=True)
class DirectoryGrant:
    """One host directory, shown to the guest at ``guest``."""

    host: str
    """As written; relative to the directory of the policy file, ``~`` is the user's home."""
    guest: str
    """Absolute, normalised: ``/in``; no ``.``, ``..``, empty segment or trailing slash (``/`` itself aside)."""
    access: Access
    excepted: tuple[str, ...] = ()
    """Globs relative to the granted directory (``*``, ``?``, ``[...]``, ``**``); what matches is refused."""
    hard_links: bool = False
    """Whether files with more than one name may be opened, and hard links made."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Stream:
    """One standard stream. ``path`` is set when ``mode`` is ``file``, relative to the policy file's directory."""

    mode: StreamMode
    path: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Stdio:
    """``None``, as ``closed``: not granted (at its end, or accepted and thrown away; audited at first use)."""

    stdin: Stream | None = None
    stdout: Stream | None = None
    stderr: Stream | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class InheritedVariable:
    """A variable of the host's environment; with no ``default`` the run is refused where the host lacks it."""

    name: str
    default: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Environment:
    set: tuple[tuple[str, str], ...] = ()
    inherit: tuple[InheritedVariable, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Arguments:
    """``fixed`` is ``None`` when the arguments are the caller's (``arguments: inherit``).

    Argument 0 is the component's name.
    """

    fixed: tuple[str, ...] | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Clocks:
    """``None``: not granted; the clock is frozen and its first use audited."""

    wall: ClockMode | None = None
    monotonic: ClockMode | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Random:
    """``seed`` is ``None`` for the host's secure source, else every source is a generator started from it."""

    seed: int | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Peer:
    """Hosts and ports that a guest may reach.

    ``host`` is a name in lower case (``db.internal``), a wildcard (``*.example.com``: one label before the rest,
    ``**.example.com``: one or more), an address or a network in canonical form without brackets (``10.2.0.53``,
    ``10.2.0.0/16``, ``2001:db8::/32``).
    """

    host: str
    ports: tuple[int, int]
    """First and last, both included; 1 to 65535."""
    private: bool = False
    """Whether a name may resolve to an address that is not public. Beside an address or network: that the author means
    one that is not public, which changes nothing."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Local:
    """An address, in canonical form without brackets, and a port to be reached at; port 0: the system chooses."""

    address: str
    port: int


@dataclass(frozen=True, kw_only=True, slots=True)
class DeniedPeer:
    """Hosts, written as in ``Peer``, that are refused whatever else is granted; ``ports`` is ``None`` for all."""

    host: str
    ports: tuple[int, int] | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Sockets:
    """The network. Everything here is empty where the policy grants nothing of it."""

    connect: tuple[Peer, ...] = ()
    """``tcp.connect``"""
    listen: tuple[Local, ...] = ()
    """``tcp.listen``"""
    send: tuple[Peer, ...] = ()
    """``udp.send``"""
    bind: tuple[Local, ...] = ()
    """``udp.bind``"""
    dns: tuple[str, ...] = ()
    """Names and wildcards that may be looked up, beside those of ``connect`` and ``send``."""
    deny: tuple[DeniedPeer, ...] = ()
    audit_all: bool = False
    """``audit: all``: what was allowed is recorded as well."""

    @property
    def grants_something(self) -> bool:
        return bool(self.connect or self.listen or self.send or self.bind or self.dns)


@dataclass(frozen=True, kw_only=True, slots=True)
class Grants:
    filesystem: tuple[DirectoryGrant, ...] = ()
    stdio: Stdio = field(default_factory=Stdio)
    environment: Environment | None = None
    arguments: Arguments | None = None
    clocks: Clocks = field(default_factory=Clocks)
    random: Random | None = None
    sockets: Sockets | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Limits:
    """The bounds of a run, all of them always in force; ``fuel`` alone is off unless the policy sets it."""

    memory: int = 512 * 1024 * 1024
    """Bytes, over all memories, tables and instances together."""
    deadline: float = 60.0
    """Seconds, over compiling, instantiating, running and waiting."""
    fuel: int | None = None
    output: int = 64 * 1024 * 1024
    """Bytes written to standard output and error together."""
    handles: int = 256
    """Descriptors and directory streams open at once."""
    disk: int = 256 * 1024 * 1024
    """Bytes written to files, in total over the run."""
    sockets: int = 64
    """Sockets open at once, connecting and listening ones included."""
    sent: int = 256 * 1024 * 1024
    """Bytes sent over sockets, in total over the run."""
    received: int = 256 * 1024 * 1024
    """Bytes received over sockets, in total over the run."""
    connect_time: float = 10.0
    """Seconds that connecting may take, for each connection; looking up a name likewise."""
    lookups: int = 10
    """Names that may be looked up in any one second."""
    lookup_bytes: int = 4096
    """Bytes of names looked up, in total over the run: a name can carry data out."""
    events: int = 1000
    """Denials recorded one by one; further ones are folded into counts."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Wire:
    """An interface that a component imports, and the component of the same policy that serves it."""

    interface: str
    """As written: ``bank:payments/auth`` for every version that is imported, or with ``@1.0.0`` for that one."""
    component: str
    own: bool = False
    """Whether the importer has an instance for itself. The wires of one component to another all say the same."""
    only: tuple[str, ...] | None = None
    """The functions that may be called, by their names in WIT; ``None``: each one."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ComponentPolicy:
    name: str
    source: str | None = None
    """As written: a path relative to the directory of the policy file."""
    digest: str | None = None
    """``sha256:`` and 64 lower-case hexadecimal digits."""
    grants: Grants = field(default_factory=Grants)
    limits: Limits = field(default_factory=Limits)
    deterministic: bool = False
    """Whether nothing that it is given may differ from run to run, beside its inputs."""
    imports: tuple[Wire, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Policy:
    """A policy that was read, validated and found enforceable."""

    file: str
    """As the caller named it."""
    directory: str
    """Absolute directory that the policy's relative paths start from."""
    digest: str
    """``sha256:...`` of the policy file's bytes."""
    components: tuple[ComponentPolicy, ...]
    run: str | None = None
    """The component that runs where the caller names none."""
    places: Mapping[str, Place] = field(default_factory=dict)
    """Route (``components.report.grants.filesystem[0].access``) -> place of its key; values of a list: of the item."""

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Policy:
        """Read the policy file at ``path``. Raises ``PolicyError`` with everything that is wrong with it."""
        # The loader needs pydantic and PyYAML, which a run with a cached policy must not pay for.
        from sandbox.policy.load import load_policy

        return load_policy(path)

    def place(self, route: str) -> Place:
        """The place of ``route``, or of its nearest ancestor that the file has."""
        while route not in self.places:
            cut = max(route.rfind("."), route.rfind("["))
            if cut < 0:
                return Place(line=1, column=1)
            route = route[:cut]
        return self.places[route]
