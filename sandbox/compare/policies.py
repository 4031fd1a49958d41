"""Two policies, component by component: what was gained, what was lost, and what is merely another now.

Where nothing was gained, no run under the new policy is allowed anything that a run under the old one is not. The
order of lists, comments and style mean nothing; nor does how a path is spelled.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from sandbox.compare import rest
from sandbox.compare.change import KINDS, Change, Pair
from sandbox.compare.filesystem import filesystem
from sandbox.compare.places import Places
from sandbox.compare.sockets import sockets
from sandbox.policy.model import ComponentPolicy, Policy


def compare(
    old: Policy | None, new: Policy | None, places: Places, asks: Mapping[str, Sequence[str]] | None = None
) -> tuple[Change, ...]:
    """What changes from ``old`` to ``new``; ``None``: there is no such policy.

    By component, new ones and those of the new policy first; of each, what was gained, lost and changed. ``places``
    says where the paths of both lead, from one directory: they are two versions of one file. ``asks`` has by component
    what its new binary asks for and the old one did not: ``could now read the date``. Raises ``CompareError``.
    """
    before = {} if old is None else {component.name: component for component in old.components}
    after = {} if new is None else {component.name: component for component in new.components}
    found: list[Change] = []
    for name in dict.fromkeys((*after, *before)):
        changes = list(_component(before.get(name), after.get(name), old or new, new or old, places))
        if name in before and name in after and old is not None and new is not None:
            pair = Pair(old=before[name], new=after[name], before=old, after=new)
            changes += rest.asks(pair, (asks or {}).get(name, ()))
        if name not in before:
            changes = [change for change in changes if change.kind == "gained"]
        found += sorted(changes, key=lambda change: KINDS.index(change.kind))
    if old is not None and new is not None:
        found += _what_runs(old, new)
    return tuple(found)


def _what_runs(old: Policy, new: Policy) -> Iterator[Change]:
    if old.run == new.run:
        return
    if new.run is None:
        name, text = old.run or "", "no longer runs where no component is named"
    else:
        until = "" if old.run is None else f" (until now: {old.run})"
        name, text = new.run, f"runs where no component is named{until}"
    place = new.place("run")
    yield Change(
        kind="changed",
        component=name,
        capability="component",
        text=text,
        file=new.file,
        line=place.line,
        column=place.column,
    )


def _component(
    old: ComponentPolicy | None,
    new: ComponentPolicy | None,
    before: Policy | None,
    after: Policy | None,
    places: Places,
) -> Iterator[Change]:
    assert before is not None
    assert after is not None
    if new is None:
        assert old is not None
        pair = Pair(old=old, new=old, before=before, after=after)
        yield pair.lost("component", "is gone, with all that it was granted", "")
        return
    if old is None:
        # Bounds and binary are the component's own; what it is granted is told as what a policy without grants gains.
        old = replace(ComponentPolicy(name=new.name), limits=new.limits, digest=new.digest, source=new.source)
        old = replace(old, deterministic=new.deterministic)
        pair = Pair(old=old, new=new, before=before, after=after)
        yield pair.gained("component", "is new", "")
    pair = Pair(old=old, new=new, before=before, after=after)
    yield from rest.binary(pair, places)
    yield from filesystem(pair, places)
    yield from rest.stdio(pair, places)
    yield from rest.environment(pair)
    yield from rest.arguments(pair)
    yield from rest.clocks(pair)
    yield from rest.random(pair)
    yield from sockets(pair)
    yield from rest.imports(pair)
    yield from rest.limits(pair)
