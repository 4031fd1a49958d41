"""A ``Policy`` as plain data (what JSON can say) and back, to keep validated policies in a cache.

Light: nothing here imports pydantic or PyYAML. Reading is strict, so that a cache that was cut short or damaged is an
error and never a wider policy: every key must be there, no other may, and a digest covers the whole. The digest finds
accidents; it is no signature.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any

from sandbox.policy.model import (
    Arguments,
    Clocks,
    ComponentPolicy,
    DeniedPeer,
    DirectoryGrant,
    Environment,
    Grants,
    InheritedVariable,
    Limits,
    Local,
    Peer,
    Place,
    Policy,
    Random,
    Sockets,
    Stdio,
    Stream,
    Wire,
)

FORMAT = 4
"""Changes whenever the data of a policy changes its shape or meaning."""

_LAST_PORT = 65535


def policy_to_data(policy: Policy) -> dict[str, Any]:
    """``policy`` as data that ``json.dumps`` takes."""
    data = {
        "file": policy.file,
        "directory": policy.directory,
        "digest": policy.digest,
        "components": [_component_to_data(component) for component in policy.components],
        "run": policy.run,
        "places": {route: [place.line, place.column] for route, place in policy.places.items()},
    }
    return {"format": FORMAT, "sha256": _digest(data), "policy": data}


def policy_from_data(data: object) -> Policy:
    """The policy that ``policy_to_data`` made ``data`` from. Raises ``ValueError`` for anything else."""
    outer = _record(data, "format", "sha256", "policy")
    if type(outer["format"]) is not int or outer["format"] != FORMAT:
        raise ValueError("the data has another format")
    try:
        digest = _digest(outer["policy"])
    except (TypeError, RecursionError) as error:
        raise ValueError("the data is not JSON") from error
    if outer["sha256"] != digest:
        raise ValueError("the data is damaged: its digest differs")
    record = _record(outer["policy"], "file", "directory", "digest", "components", "run", "places")
    return Policy(
        file=_text(record["file"]),
        directory=_text(record["directory"]),
        digest=_text(record["digest"]),
        components=tuple(_component(item) for item in _list(record["components"])),
        run=_optional_text(record["run"]),
        places={route: _place(place) for route, place in _mapping(record["places"]).items()},
    )


def _digest(data: object) -> str:
    text = json.dumps(data, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode("ascii")).hexdigest()


def _component_to_data(component: ComponentPolicy) -> dict[str, Any]:
    grants, limits = component.grants, component.limits
    environment, arguments, random = grants.environment, grants.arguments, grants.random
    return {
        "name": component.name,
        "source": component.source,
        "digest": component.digest,
        "grants": {
            "filesystem": [
                {
                    "host": directory.host,
                    "guest": directory.guest,
                    "access": directory.access,
                    "excepted": list(directory.excepted),
                    "hard_links": directory.hard_links,
                }
                for directory in grants.filesystem
            ],
            "stdio": {
                "stdin": _stream_to_data(grants.stdio.stdin),
                "stdout": _stream_to_data(grants.stdio.stdout),
                "stderr": _stream_to_data(grants.stdio.stderr),
            },
            "environment": None
            if environment is None
            else {
                "set": [list(pair) for pair in environment.set],
                "inherit": [{"name": item.name, "default": item.default} for item in environment.inherit],
            },
            "arguments": None
            if arguments is None
            else {"fixed": None if arguments.fixed is None else list(arguments.fixed)},
            "clocks": {"wall": grants.clocks.wall, "monotonic": grants.clocks.monotonic},
            "random": None if random is None else {"seed": random.seed},
            "sockets": None if grants.sockets is None else _sockets_to_data(grants.sockets),
        },
        "limits": {
            "memory": limits.memory,
            "deadline": limits.deadline,
            "fuel": limits.fuel,
            "output": limits.output,
            "handles": limits.handles,
            "disk": limits.disk,
            "sockets": limits.sockets,
            "sent": limits.sent,
            "received": limits.received,
            "connect_time": limits.connect_time,
            "lookups": limits.lookups,
            "lookup_bytes": limits.lookup_bytes,
            "events": limits.events,
        },
        "deterministic": component.deterministic,
        "imports": [_wire_to_data(wire) for wire in component.imports],
    }


def _wire_to_data(wire: Wire) -> dict[str, Any]:
    return {
        "interface": wire.interface,
        "component": wire.component,
        "own": wire.own,
        "only": None if wire.only is None else list(wire.only),
    }


def _stream_to_data(stream: Stream | None) -> dict[str, Any] | None:
    return None if stream is None else {"mode": stream.mode, "path": stream.path}


def _sockets_to_data(sockets: Sockets) -> dict[str, Any]:
    return {
        "connect": [_peer_to_data(peer) for peer in sockets.connect],
        "listen": [{"address": local.address, "port": local.port} for local in sockets.listen],
        "send": [_peer_to_data(peer) for peer in sockets.send],
        "bind": [{"address": local.address, "port": local.port} for local in sockets.bind],
        "dns": list(sockets.dns),
        "deny": [
            {"host": denied.host, "ports": None if denied.ports is None else list(denied.ports)}
            for denied in sockets.deny
        ],
        "audit_all": sockets.audit_all,
    }


def _peer_to_data(peer: Peer) -> dict[str, Any]:
    return {"host": peer.host, "ports": list(peer.ports), "private": peer.private}


def _component(data: object) -> ComponentPolicy:
    record = _record(data, "name", "source", "digest", "grants", "limits", "deterministic", "imports")
    return ComponentPolicy(
        name=_text(record["name"]),
        source=_optional_text(record["source"]),
        digest=_optional_text(record["digest"]),
        grants=_grants(record["grants"]),
        limits=_limits(record["limits"]),
        deterministic=_flag(record["deterministic"]),
        imports=tuple(_wire(item) for item in _list(record["imports"])),
    )


def _wire(data: object) -> Wire:
    record = _record(data, "interface", "component", "own", "only")
    only = None if record["only"] is None else _texts(record["only"])
    if only == ():
        raise ValueError("a wire has an empty list of functions")
    return Wire(
        interface=_text(record["interface"]),
        component=_text(record["component"]),
        own=_flag(record["own"]),
        only=only,
    )


def _grants(data: object) -> Grants:
    record = _record(data, "filesystem", "stdio", "environment", "arguments", "clocks", "random", "sockets")
    stdio = _record(record["stdio"], "stdin", "stdout", "stderr")
    clocks = _record(record["clocks"], "wall", "monotonic")
    return Grants(
        filesystem=tuple(_directory(item) for item in _list(record["filesystem"])),
        stdio=Stdio(stdin=_stream(stdio["stdin"]), stdout=_stream(stdio["stdout"]), stderr=_stream(stdio["stderr"])),
        environment=_environment(record["environment"]),
        arguments=_arguments(record["arguments"]),
        clocks=Clocks(wall=_clock(clocks["wall"]), monotonic=_clock(clocks["monotonic"])),
        random=_random(record["random"]),
        sockets=_sockets(record["sockets"]),
    )


def _directory(data: object) -> DirectoryGrant:
    record = _record(data, "host", "guest", "access", "excepted", "hard_links")
    access = record["access"]
    if access != "read" and access != "write":
        raise ValueError("access is neither read nor write")
    if type(record["hard_links"]) is not bool:
        raise ValueError("hard_links is no boolean")
    return DirectoryGrant(
        host=_text(record["host"]),
        guest=_text(record["guest"]),
        access="write" if access == "write" else "read",
        excepted=_texts(record["excepted"]),
        hard_links=record["hard_links"],
    )


def _stream(data: object) -> Stream | None:
    if data is None:
        return None
    record = _record(data, "mode", "path")
    mode, path = record["mode"], _optional_text(record["path"])
    if mode not in ("closed", "inherit", "discard", "capture", "file"):
        raise ValueError("a stream has an unknown mode")
    if (mode == "file") is (path is None):
        raise ValueError("a stream has a path if and only if it is a file")
    return Stream(mode=mode, path=path)


def _environment(data: object) -> Environment | None:
    if data is None:
        return None
    record = _record(data, "set", "inherit")
    pairs = [_texts(pair) for pair in _list(record["set"])]
    variables = [_record(item, "name", "default") for item in _list(record["inherit"])]
    if any(len(pair) != 2 for pair in pairs):
        raise ValueError("a variable is not a name and a value")
    return Environment(
        set=tuple((pair[0], pair[1]) for pair in pairs),
        inherit=tuple(
            InheritedVariable(name=_text(item["name"]), default=_optional_text(item["default"])) for item in variables
        ),
    )


def _arguments(data: object) -> Arguments | None:
    if data is None:
        return None
    fixed = _record(data, "fixed")["fixed"]
    return Arguments(fixed=None if fixed is None else _texts(fixed))


def _clock(data: object) -> Any:
    if data not in (None, "real", "coarse", "frozen"):
        raise ValueError("a clock has an unknown mode")
    return data


def _random(data: object) -> Random | None:
    if data is None:
        return None
    seed = _record(data, "seed")["seed"]
    return Random(seed=None if seed is None else _whole(seed, 0))


def _sockets(data: object) -> Sockets | None:
    if data is None:
        return None
    record = _record(data, "connect", "listen", "send", "bind", "dns", "deny", "audit_all")
    denied = [_record(item, "host", "ports") for item in _list(record["deny"])]
    return Sockets(
        connect=tuple(_peer(item) for item in _list(record["connect"])),
        listen=tuple(_local(item) for item in _list(record["listen"])),
        send=tuple(_peer(item) for item in _list(record["send"])),
        bind=tuple(_local(item) for item in _list(record["bind"])),
        dns=_texts(record["dns"]),
        deny=tuple(
            DeniedPeer(host=_text(item["host"]), ports=None if item["ports"] is None else _ports(item["ports"]))
            for item in denied
        ),
        audit_all=_flag(record["audit_all"]),
    )


def _peer(data: object) -> Peer:
    record = _record(data, "host", "ports", "private")
    return Peer(host=_text(record["host"]), ports=_ports(record["ports"]), private=_flag(record["private"]))


def _local(data: object) -> Local:
    record = _record(data, "address", "port")
    return Local(address=_text(record["address"]), port=_whole(record["port"], 0, _LAST_PORT))


def _ports(data: object) -> tuple[int, int]:
    pair = [_whole(port, 1, _LAST_PORT) for port in _list(data)]
    if len(pair) != 2 or pair[0] > pair[1]:
        raise ValueError("ports are not a first and a last one")
    return pair[0], pair[1]


def _limits(data: object) -> Limits:
    record = _record(data, *Limits.__slots__)
    fuel = record["fuel"]
    return Limits(
        memory=_whole(record["memory"], 1),
        deadline=_time(record["deadline"], "deadline"),
        fuel=None if fuel is None else _whole(fuel, 1),
        output=_whole(record["output"], 0),
        handles=_whole(record["handles"], 1),
        disk=_whole(record["disk"], 0),
        sockets=_whole(record["sockets"], 1),
        sent=_whole(record["sent"], 0),
        received=_whole(record["received"], 0),
        connect_time=_time(record["connect_time"], "connect_time"),
        lookups=_whole(record["lookups"], 1),
        lookup_bytes=_whole(record["lookup_bytes"], 0),
        events=_whole(record["events"], 1),
    )


def _place(data: object) -> Place:
    pair = _list(data)
    if len(pair) != 2:
        raise ValueError("a place is not a line and a column")
    return Place(line=_whole(pair[0], 1), column=_whole(pair[1], 1))


def _mapping(data: object) -> dict[str, Any]:
    if type(data) is not dict or not all(type(key) is str for key in data):
        raise ValueError("a mapping is missing")
    return data


def _record(data: object, *keys: str) -> dict[str, Any]:
    record = _mapping(data)
    if record.keys() != set(keys):
        raise ValueError(f"a mapping has other keys than {', '.join(keys)}")
    return record


def _list(data: object) -> list[Any]:
    if type(data) is not list:
        raise ValueError("a list is missing")
    return data


def _text(data: object) -> str:
    if type(data) is not str:
        raise ValueError("a string is missing")
    return data


def _optional_text(data: object) -> str | None:
    return None if data is None else _text(data)


def _texts(data: object) -> tuple[str, ...]:
    return tuple(_text(item) for item in _list(data))


def _whole(data: object, minimum: int, maximum: int | None = None) -> int:
    if type(data) is not int or data < minimum:
        raise ValueError(f"a whole number of at least {minimum} is missing")
    if maximum is not None and data > maximum:
        raise ValueError(f"a whole number of at most {maximum} is missing")
    return data


def _time(data: object, what: str) -> float:
    if type(data) is not float or not 0 < data < float("inf"):
        raise ValueError(f"{what} is no time")
    return data


def _flag(data: object) -> bool:
    if type(data) is not bool:
        raise ValueError("a boolean is missing")
    return data
