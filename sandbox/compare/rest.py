"""The families without hosts and directories, the limits, and which binary a component is."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence

from sandbox.compare.change import Change, Direction, Pair, directions
from sandbox.compare.places import Places
from sandbox.policy.model import Arguments, ClockMode, ComponentPolicy, Environment, Limits, Random, Stdio, Stream, Wire

_STREAMS = (("stdin", "standard input"), ("stdout", "standard output"), ("stderr", "standard error"))
_CLOCKS = (("wall", "the wall clock"), ("monotonic", "the monotonic clock"))
_PRECISION: dict[ClockMode | None, int] = {None: 0, "frozen": 0, "coarse": 1, "real": 2}


def binary(pair: Pair, places: Places) -> Iterator[Change]:
    """Which binary it is, and whether it is declared deterministic."""
    old, new = pair.old, pair.new
    if old.digest is not None and new.digest is None:
        yield pair.gained("component", "may now be any binary: its digest is not pinned any more", "source")
    elif old.digest is None and new.digest is not None:
        yield pair.lost("component", "is now pinned to one binary", "source")
    elif old.digest != new.digest:
        yield pair.changed("component", "is pinned to another binary", "digest")
    if _source(old, places) != _source(new, places):
        was = "had none" if old.source is None else f"was {old.source}"
        yield pair.changed("component", f"is {new.source or 'named by no file'} ({was})", "source")
    if old.deterministic != new.deterministic:
        word = "now" if new.deterministic else "no longer"
        yield pair.changed("component", f"is {word} declared deterministic", "deterministic")


def asks(pair: Pair, sentences: Sequence[str]) -> Iterator[Change]:
    """What the new binary asks for beside the old one. It gets no more than before, so it is no gain."""
    key = "digest" if pair.new.digest is not None else "source"
    for sentence in sentences:
        yield pair.changed("component", f"has another binary, which {sentence}", key)


def _source(component: ComponentPolicy, places: Places) -> str | None:
    return None if component.source is None else places.sources[component.source]


def stdio(pair: Pair, places: Places) -> Iterator[Change]:
    for direction in directions(pair):
        for name, words in _STREAMS:
            less, more = (_stream(side.grants.stdio, name) for side in (direction.less, direction.more))
            if more is None or _end(more, places) in (None, _end(less, places)):
                continue
            act = "read" if name == "stdin" else "write"
            what = f"{more.path} as {words}" if more.path is not None else f"the caller's {words}"
            if more.mode == "capture":
                what = f"{words}, which is captured"
            yield direction.change(f"stdio.{name}", f"{direction.can} {act} {what}", f"grants.stdio.{name}")
    for name, words in _STREAMS:
        old, new = (_stream(side.grants.stdio, name) for side in (pair.old, pair.new))
        if _end(old, places) is None is _end(new, places) and _is_granted(old) != _is_granted(new):
            ends = "is at its end" if name == "stdin" else "is thrown away"
            use = "which is no refusal any more" if _is_granted(new) else "which is a refusal now"
            yield pair.changed(f"stdio.{name}", f"finds that {words} {ends}, {use}", f"grants.stdio.{name}")


def _stream(stdio: Stdio, name: str) -> Stream | None:
    return {"stdin": stdio.stdin, "stdout": stdio.stdout, "stderr": stdio.stderr}[name]


def _end(stream: Stream | None, places: Places) -> tuple[str, str | None] | None:
    """Who is at the other end of a stream, if anybody is."""
    if stream is None or stream.mode in ("closed", "discard"):
        return None
    return stream.mode, None if stream.path is None else places.files[stream.path]


def _is_granted(stream: Stream | None) -> bool:
    return stream is not None and stream.mode != "closed"


def environment(pair: Pair) -> Iterator[Change]:
    old, new = pair.old.grants.environment, pair.new.grants.environment
    for direction in directions(pair):
        less, more = direction.less.grants.environment, direction.more.grants.environment
        yield from _variables(direction, less or Environment(), more or Environment())
    before, after = old or Environment(), new or Environment()
    values, defaults = dict(before.set), {v.name: v.default for v in before.inherit}
    for name, value in after.set:
        if values.get(name, value) != value:
            yield pair.changed(
                "environment", f"finds another value in the variable {name}", f"grants.environment.set.{name}"
            )
    for number, variable in enumerate(after.inherit):
        if defaults.get(variable.name, variable.default) != variable.default:
            route = f"grants.environment.inherit[{number}]"
            yield pair.changed("environment", f"finds another default of the caller's variable {variable.name}", route)
    if (old is None) != (new is None) and before == after:
        use = "which is no refusal any more" if old is None else "which is a refusal now"
        yield pair.changed("environment", f"finds an empty environment, {use}", "grants.environment")


def _variables(direction: Direction, less: Environment, more: Environment) -> Iterator[Change]:
    """Names alone: a value may be a secret."""
    inherited = {variable.name for variable in less.inherit}
    known = inherited.union(name for name, _ in less.set)
    for name, _ in more.set:
        if name not in known:
            act = "is now given" if direction.gains else "is no longer given"
            yield direction.change("environment", f"{act} the variable {name}", f"grants.environment.set.{name}")
    for number, variable in enumerate(more.inherit):
        name = variable.name
        if name not in inherited:
            fixed = "" if name not in known else ", which was set" if direction.gains else ", which is set now"
            yield direction.change(
                "environment",
                f"{direction.can} read the caller's variable {name}{fixed}",
                f"grants.environment.inherit[{number}]",
            )


def arguments(pair: Pair) -> Iterator[Change]:
    old, new = pair.old.grants.arguments, pair.new.grants.arguments
    for direction in directions(pair):
        less, more = (_given(side.grants.arguments) for side in (direction.less, direction.more))
        if more <= less:
            continue
        if more == _BY_CALLER:
            fixed = "" if less == 0 else ", which were fixed" if direction.gains else ", which are fixed now"
            text = f"{direction.can} be given arguments by its caller{fixed}"
        else:
            text = f"is {'now' if direction.gains else 'no longer'} given arguments that the policy fixes"
        yield direction.change("arguments", text, "grants.arguments")
    if old is not None and new is not None and None not in (old.fixed, new.fixed) and old != new:
        yield pair.changed("arguments", "is given other arguments", "grants.arguments")


_BY_CALLER = 2


def _given(arguments: Arguments | None) -> int:
    return 0 if arguments is None else _BY_CALLER if arguments.fixed is None else 1


def clocks(pair: Pair) -> Iterator[Change]:
    for direction in directions(pair):
        for name, words in _CLOCKS:
            less, more = (_clock(side, name) for side in (direction.less, direction.more))
            if _PRECISION[more] > _PRECISION[less]:
                how = "" if more == "real" and less != "coarse" else " precisely" if more == "real" else " coarsely"
                yield direction.change(f"clocks.{name}", f"{direction.can} read {words}{how}", f"grants.clocks.{name}")
    for name, words in _CLOCKS:
        old, new = _clock(pair.old, name), _clock(pair.new, name)
        if old != new and _PRECISION[old] == _PRECISION[new]:
            use = "which is no refusal any more" if old is None else "which is a refusal now"
            yield pair.changed(f"clocks.{name}", f"finds that {words} stands still, {use}", f"grants.clocks.{name}")


def _clock(component: ComponentPolicy, name: str) -> ClockMode | None:
    return component.grants.clocks.wall if name == "wall" else component.grants.clocks.monotonic


def random(pair: Pair) -> Iterator[Change]:
    old, new = pair.old.grants.random, pair.new.grants.random
    for direction in directions(pair):
        less, more = (_strength(side.grants.random) for side in (direction.less, direction.more))
        if more > less:
            of, name = ("secure random numbers", "secure") if more == 2 else ("seeded random numbers", "insecure")
            yield direction.change(f"random.{name}", f"{direction.can} take {of}", "grants.random")
    if old is not None and new is not None and None not in (old.seed, new.seed) and old != new:
        yield pair.changed("random.insecure", "takes random numbers from another seed", "grants.random")


def _strength(random: Random | None) -> int:
    return 0 if random is None else 2 if random.seed is None else 1


def imports(pair: Pair) -> Iterator[Change]:
    """The functions of other components that it may call, and whether it has their instances for itself."""
    for direction in directions(pair):
        for wire in direction.more.imports:
            held = [
                other
                for other in direction.less.imports
                if other.component == wire.component and other.interface in _wider(wire.interface)
            ]
            what = f"{wire.interface} of the component {wire.component}"
            route = f"imports[{json.dumps(wire.interface)}]"
            functions = _not_held(wire, held)
            if functions is None:
                yield direction.change("imports", f"{direction.can} call every function of {what}", route)
            elif functions:
                yield direction.change("imports", f"{direction.can} call {', '.join(functions)} of {what}", route)
            elif not wire.own and all(other.own for other in held):
                shares = "now shares" if direction.gains else "no longer shares"
                text = f"{shares} its instance of the component {wire.component} with others"
                yield direction.change("imports", text, route)


def _wider(interface: str) -> tuple[str, ...]:
    """Without a version an interface is meant in each version."""
    return interface, interface.partition("@")[0]


def _not_held(wire: Wire, held: Sequence[Wire]) -> tuple[str, ...] | None:
    """The functions that ``wire`` gives and none of ``held``; ``None`` for all that there are."""
    if any(other.only is None for other in held):
        return ()
    if wire.only is None:
        return None
    return tuple(name for name in wire.only if not any(name in (other.only or ()) for other in held))


def limits(pair: Pair) -> Iterator[Change]:
    old, new = pair.old.limits, pair.new.limits
    for key, text in _LIMITS.items():
        before, after = _limit(old, key), _limit(new, key)
        if before == after:
            continue
        said = f"{text.format(_amount(key, after))}, {{}} {_amount(key, before)}"
        if after > before:
            yield pair.gained(f"limits.{key}", said.format("was"), f"limits.{key}")
        else:
            yield pair.lost(f"limits.{key}", said.format("no longer"), f"limits.{key}")
    if old.events != new.events:
        text = f"has {new.events:,} refusals recorded one by one, was {old.events:,}"
        yield pair.changed("limits.events", text, "limits.events")


_LIMITS = {
    "memory": "may use {} of memory",
    "deadline": "may run for {}",
    "fuel": "may use {} of fuel",
    "output": "may write {} of output",
    "handles": "may hold {} handles open",
    "disk": "may write {} to files",
    "sockets": "may hold {} sockets open",
    "sent": "may send {} over sockets",
    "received": "may receive {} over sockets",
    "connect-time": "may take {} to connect or to look up a name",
    "lookups": "may look up {} names a second",
    "lookup-bytes": "may look up {} of names",
}
_SIZES = frozenset({"memory", "output", "disk", "sent", "received", "lookup-bytes"})
_TIMES = frozenset({"deadline", "connect-time"})


def _limit(limits: Limits, key: str) -> float:
    values: dict[str, float | None] = {
        "memory": limits.memory,
        "deadline": limits.deadline,
        "fuel": limits.fuel,
        "output": limits.output,
        "handles": limits.handles,
        "disk": limits.disk,
        "sockets": limits.sockets,
        "sent": limits.sent,
        "received": limits.received,
        "connect-time": limits.connect_time,
        "lookups": limits.lookups,
        "lookup-bytes": limits.lookup_bytes,
    }
    value = values[key]
    return float("inf") if value is None else value


def _amount(key: str, amount: float) -> str:
    if amount == float("inf"):
        return "any amount"
    if key in _TIMES:
        return f"{amount:g} s"
    return _size(int(amount)) if key in _SIZES else f"{int(amount):,}{' units' if key == 'fuel' else ''}"


def _size(size: int) -> str:
    """Bytes, in the largest unit that says them exactly."""
    for bits, unit in ((40, "TiB"), (30, "GiB"), (20, "MiB"), (10, "KiB")):
        if size and size % (1 << bits) == 0:
            return f"{size >> bits:,} {unit}"
    return f"{size:,} bytes"
