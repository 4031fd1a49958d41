"""What of the host's files a component reaches more, path by path as the guest names them.

Each list of grants decides for every guest path which file of the host it means, and what may be done with it: the
deepest grant by guest path is asked, the innermost one by host path decides, and the exceptions of every grant around
hold. That changes at a few paths only, below which all is alike; there the two lists are compared.

Not counted: once nothing is cut out of a grant any more, links in it are followed and names moved about in it. Both
lead to nothing that its guest could not reach by name; it is told as a change.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from sandbox.compare.change import Change, CompareError, Direction, Pair, directions
from sandbox.compare.globs import covers
from sandbox.compare.places import Location, Places
from sandbox.policy.globs import Pattern
from sandbox.policy.model import DirectoryGrant

MAX_GRANTS = 128
"""Directories of one component; with more there is no run."""
MAX_QUESTIONS = 100_000
"""Guest paths at which two lists of grants are compared, times grants that each is asked of."""
MAX_GLOBS = 3_000_000
"""Globs that are looked at, over all the paths, times names that each is held against."""
COVERING = 50
"""Looking whether one glob covers another one counts as much as looking at this many."""

Names = tuple[str, ...]

Exception_ = tuple[int, str]
"""Grant and glob, as the policy writes it."""

Gap = str | Exception_
"""What one side has more at a path: ``read``, ``write``, ``links``, or what a glob excepts on the other side."""


@dataclass(frozen=True, kw_only=True, slots=True)
class _View:
    """What a guest path means."""

    grant: int
    """Which decides."""
    location: Location
    below: Names
    """From the location: together they are the path on the host."""
    write: bool
    links: bool
    globs: Mapping[str, Exception_]
    """What is excepted below: relative to this path, and where that comes from."""
    excepted: tuple[Exception_, ...] = ()
    """Exceptions that the path itself falls under: then nothing is granted."""

    def same_file(self, other: _View) -> bool:
        down = self.location.below(other.location)
        if down is not None:
            return down + self.below == other.below
        up = other.location.below(self.location)
        return up is not None and up + other.below == self.below


class _Work:
    """How much has been looked at: what is hostile enough to take minutes is refused."""

    def __init__(self, component: str) -> None:
        self._component, self._globs = component, 0

    def globs(self, count: int) -> None:
        self._globs += count
        if self._globs > MAX_GLOBS:
            raise CompareError(f"{self._component}: too many exceptions hold in too many places to be compared")

    def questions(self, count: int) -> None:
        if count > MAX_QUESTIONS:
            raise CompareError(f"{self._component}: the directories that are granted cut each other at too many paths")


class _Mounts:
    """The directories of one component, as a run would cut them."""

    def __init__(self, grants: Sequence[DirectoryGrant], places: Places, work: _Work) -> None:
        self.grants, self.work = grants, work
        self.locations = [places.directories[grant.host] for grant in grants]
        self.guests = [_names(grant.guest) for grant in grants]
        numbers = range(len(grants))
        self._inner: list[dict[Names, int]] = [{} for _ in numbers]
        self._masked: list[set[Names]] = [set() for _ in numbers]
        self._globs: list[list[tuple[str, Exception_]]] = [[] for _ in numbers]
        self._blocked: list[list[Exception_]] = [[] for _ in numbers]
        self._around: list[set[int]] = [set() for _ in numbers]
        """The grants whose exceptions hold in each, itself included."""
        self._views: dict[tuple[int, Names], _View | None] = {}
        self._rests: dict[tuple[int, Names], tuple[dict[str, Exception_], tuple[Exception_, ...]]] = {}
        for at in numbers:
            for other in numbers:
                self._relate(at, other)
            self._masked[at] -= set(self._inner[at])

    def _relate(self, at: int, other: int) -> None:
        if at != other and self.locations[at].numbers[0] == self.locations[other].numbers[0]:
            return
        names = self.locations[other].below(self.locations[at])
        if at != other and names is not None:
            # Of one directory that is granted twice, with which there is no run, always the same is taken.
            self._inner[at][names] = min(other, self._inner[at].get(names, other), key=lambda n: self.guests[n])
        guest, guest_at = self.guests[other], self.guests[at]
        if at != other and guest[: len(guest_at)] == guest_at:
            self._masked[at].add(guest[len(guest_at) :])
        outside = self.locations[at].below(self.locations[other])
        if outside is None:
            return
        self._around[at].add(other)
        self.work.globs(len(self.grants[other].excepted) * (1 + len(outside)))
        for glob in self.grants[other].excepted:
            below = _rest(glob, outside)
            if below is None:
                self._blocked[at].append((other, glob))  # there is no run then
            self._globs[at] += [(rest, (other, glob)) for rest in below or ()]

    def cut(self, at: int) -> bool:
        """Whether parts of a grant are left out, or decided by another one."""
        return bool(self._inner[at] or self._masked[at] or self._globs[at] or self._blocked[at])

    def paths(self) -> set[Names]:
        """Each guest path at which what is granted may change."""
        breaks: set[tuple[int, Names]] = {(at, ()) for at in range(len(self.grants))}
        breaks |= {(at, names) for at, masked in enumerate(self._masked) for names in masked}
        found = set(self.guests)
        for mount, guest in enumerate(self.guests):
            for at, names in breaks:
                down = self.locations[at].below(self.locations[mount])
                if down is not None:
                    found.add((*guest, *down, *names))
            self.work.questions(len(found) * len(self.guests))
        return found

    def covering(self, path: Names) -> Iterator[int]:
        return (at for at, guest in enumerate(self.guests) if path[: len(guest)] == guest)

    def view(self, mount: int, path: Names) -> _View | None:
        """What a guest path means if it is asked of one grant; ``None``: another one stands there."""
        if (mount, path) not in self._views:
            self._views[mount, path] = self._view(mount, path)
        return self._views[mount, path]

    def _view(self, mount: int, path: Names) -> _View | None:
        at, names = mount, path[len(self.guests[mount]) :]
        way = []
        while True:
            way.append((at, names))
            inside = [n for n in (*self._inner[at], *self._masked[at]) if names[: len(n)] == n]
            deepest = max(inside, key=len, default=())
            if deepest not in self._inner[at]:
                break
            at, names = self._inner[at][deepest], names[len(deepest) :]
        if inside:
            return None
        globs, excepted = self._excepted(at, names)
        for outer, outer_names in way[:-1]:
            if not self._around[outer] <= self._around[at]:  # a directory that is in two places
                further, here = self._excepted(outer, outer_names)
                globs, excepted = further | globs, here + excepted
        grant = self.grants[at]
        return _View(
            grant=at,
            location=self.locations[at],
            below=names,
            write=grant.access == "write",
            links=grant.hard_links,
            globs=globs,
            excepted=excepted,
        )

    def _excepted(self, at: int, names: Names) -> tuple[dict[str, Exception_], tuple[Exception_, ...]]:
        """What is excepted below a path in a grant, and the exceptions that it falls under itself."""
        known = self._rests.get((at, names))
        if known is not None:
            return known
        self.work.globs(len(self._globs[at]) * (1 + len(names)))
        globs: dict[str, Exception_] = {}
        excepted = dict.fromkeys(self._blocked[at])
        for glob, source in self._globs[at]:
            below = _rest(glob, names)
            if below is None:
                excepted[source] = None
            for rest in below or ():
                globs.setdefault(rest, source)
        self._rests[at, names] = globs, tuple(excepted)
        return globs, tuple(excepted)


def filesystem(pair: Pair, places: Places) -> Iterator[Change]:
    sides = pair.old.grants.filesystem, pair.new.grants.filesystem
    if sides[0] == sides[1]:
        return
    if max(map(len, sides)) > MAX_GRANTS:
        raise CompareError(f"{pair.new.name}: more than {MAX_GRANTS} directories are granted, with which nothing runs")
    work = _Work(pair.new.name)
    old, new = (_Mounts(side, places, work) for side in sides)
    paths = sorted(old.paths() | new.paths())
    work.questions(len(paths) * (len(old.grants) + len(new.grants)))
    found = [
        _Comparison(direction, *mounts, paths)
        for direction, mounts in zip(directions(pair), ((old, new), (new, old)), strict=True)
    ]
    for comparison in found:
        yield from comparison.changes()
    told = {mount for comparison in found for mount in comparison.told}
    yield from _links_followed(pair, old, new, told)


def _links_followed(pair: Pair, old: _Mounts, new: _Mounts, told: set[str]) -> Iterator[Change]:
    """Of grants that are the same on both sides but for being cut; where anything else was told, that says more."""
    for at, grant in enumerate(new.grants):
        before = old.guests.index(new.guests[at]) if new.guests[at] in old.guests else None
        if before is None or grant.guest in told or old.cut(before) == new.cut(at):
            continue
        text = (
            f"follows no symbolic links in {grant.guest} any more: parts are cut out of it"
            if new.cut(at)
            else f"follows symbolic links in {grant.guest}: nothing is cut out of it any more"
        )
        yield pair.changed("filesystem.read", text, f"grants.filesystem[{at}]")


class _Comparison:
    """What one side reaches more than the other."""

    def __init__(self, direction: Direction, less: _Mounts, more: _Mounts, paths: Sequence[Names]) -> None:
        self.direction, self.less, self.more = direction, less, more
        self.told: set[str] = set()
        """Guest paths of the grants that something was said of."""
        self._own: dict[tuple[int, Names], frozenset[Gap]] = {}
        self._all: dict[tuple[int, Names], frozenset[Gap]] = {}
        """The gaps at a path asked of a grant; and with those at the paths above it."""
        above: dict[int, list[Names]] = {}
        for path in paths:
            others = [v for at in less.covering(path) if (v := less.view(at, path)) is not None]
            for mount in more.covering(path):
                stack = above.setdefault(mount, [])
                while stack and path[: len(stack[-1])] != stack[-1]:
                    stack.pop()
                inherited = self._all[mount, stack[-1]] if stack else frozenset()
                own = self._gaps(more.view(mount, path), others)
                self._own[mount, path] = frozenset(own - inherited)
                self._all[mount, path] = frozenset(own | inherited)
                stack.append(path)

    def _gaps(self, view: _View | None, others: Sequence[_View]) -> set[Gap]:
        """What is more at a path, asked of one grant, than by whichever grant on the other side."""
        if view is None or view.excepted:
            return set()
        candidates = [self._missing(view, other) for other in others if other.same_file(view)]
        if candidates:
            return min(candidates, key=len)
        return {"read", *(["write"] if view.write else []), *(["links"] if view.links else [])}

    def _missing(self, view: _View, other: _View) -> set[Gap]:
        """What ``other``, of the same file, lacks of ``view``."""
        if other.excepted:
            return set(other.excepted)
        missing: set[Gap] = set()
        for glob, source in other.globs.items():
            if glob not in view.globs:
                self.less.work.globs(COVERING * len(view.globs))
                if not any(covers(wide, glob) for wide in view.globs):
                    missing.add(source)
        if view.write and not other.write:
            missing.add("write")
        if view.links and not other.links:
            missing.add("links")
        return missing

    def changes(self) -> Iterator[Change]:
        said: set[Exception_] = set()
        for (mount, path), own in sorted(self._own.items()):
            view = self.more.view(mount, path) if own else None
            if view is None:
                continue
            inherited = self._all[mount, path] - own
            # What a grant inside this one decides is told of that one.
            if view.grant != mount and ("read" in inherited or own <= self._all.get(self._decider(view), frozenset())):
                continue
            self.told.add(self.more.grants[mount].guest)
            yield from self._access(mount, path, view, own & {"read", "write", "links"})
            for gap in sorted(gap for gap in own if isinstance(gap, tuple)):
                if gap not in said:
                    said.add(gap)
                    yield self._no_exception(view, gap)

    def _decider(self, view: _View) -> tuple[int, Names]:
        """The same place, asked of the grant that decides it."""
        guest = self.more.guests[view.grant]
        exact = (view.grant, guest + view.below)
        return exact if exact in self._all else (view.grant, guest)

    def _access(self, mount: int, path: Names, view: _View, gaps: frozenset[Gap]) -> Iterator[Change]:
        change, can = self.direction.change, self.direction.can
        route, grant = f"grants.filesystem[{view.grant}]", self.more.grants[view.grant]
        where = "/" + "/".join(path)
        if path == self.more.guests[mount]:
            about = f"{where}{self._which(grant, view, gaps)}"
        else:
            about = f"{where} through {self.more.grants[mount].guest}{self._narrower(mount, path)}"
        if "read" in gaps:
            acts = "read and write" if "write" in gaps else "read"
            more = "; files with several names too" if "links" in gaps else ""
            capability = "filesystem.write" if "write" in gaps else "filesystem.read"
            yield change(capability, f"{can} {acts} {about}{more}", route)
            return
        if "write" in gaps:
            yield change("filesystem.write", f"{can} write {about}", f"{route}.access")
        if "links" in gaps:
            capability = "filesystem.write" if view.write else "filesystem.read"
            yield change(capability, f"{can} open files with several names in {about}", f"{route}.hard-links")

    def _which(self, grant: DirectoryGrant, view: _View, gaps: frozenset[Gap]) -> str:
        """The directory that a guest path stands for, and where the other side shows it."""
        if "read" not in gaps:
            return ""
        if not self.direction.gains:
            return f", which was {grant.host}"
        which = f", which is {grant.host}"
        for at, location in enumerate(self.less.locations):
            down = view.location.below(location)
            path = None if down is None else self.less.guests[at] + down
            shown = None if path is None else self.less.view(at, path)
            if path is not None and shown is not None and shown.same_file(view) and not self._missing(view, shown):
                return f"{which} (as before at /{'/'.join(path)})"
        return which

    def _narrower(self, mount: int, path: Names) -> str:
        """Why the other side has less there, where that is because of a further grant of its."""
        guest = self.more.guests[mount]
        if guest not in self.less.guests:
            return ""
        at = self.less.guests.index(guest)
        view = self.less.view(at, path)
        if view is not None and view.grant == at:
            return ""
        return ": the narrower grant is gone" if self.direction.gains else ": a narrower grant decides there now"

    def _no_exception(self, view: _View, gap: Exception_) -> Change:
        number, glob = gap
        acts = "read and write" if view.write else "read"
        guest = self.less.grants[number].guest
        return self.direction.change(
            "filesystem.write" if view.write else "filesystem.read",
            f"{self.direction.can} {acts} what '{glob}' matches in {guest}",
            f"grants.filesystem[{view.grant}].except",
        )


def _rest(glob: str, names: Names) -> tuple[str, ...] | None:
    """What is left of a glob below a path; ``None`` where it matches that. The directory itself it never matches."""
    return Pattern.parse(glob).below(names) if names else (glob,)


def _names(path: str) -> Names:
    return tuple(name for name in path.split("/") if name)
