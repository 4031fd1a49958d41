"""The capability surface of a component: what its imports ask for, and what another version asks for beyond that.

Names come out of hostile files. Here they are spelled in printable ASCII without spaces, so that each can be a word of
a lock file and of a sentence; ``import_of`` and ``export_of`` read the same names back.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, TypeAlias, get_args

from sandbox import preview1, wasi
from sandbox.component import Export, ExternKind, Facts, Import, Kind
from sandbox.policy.interfaces import is_importable, satisfies
from sandbox.wasi import FAMILIES, Family, Refused

MAX_NAMED = 5
"""Names that one sentence has at most."""
MAX_SHOWN = 100
"""Characters of a name in a sentence."""
MAX_VERSIONS = 100
"""Versions of one interface that are compared."""
MAX_APART = 3
"""Functions of one family that are told one by one, also where the whole family is new."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Surface:
    """What a component asks for and offers. The names are in order, each once."""

    kind: Kind
    imports: tuple[str, ...]
    """``wasi:cli/stdin@0.2.3``, for a module ``wasi_snapshot_preview1.fd_read``; with its kind before it
    (``memory env.memory``) where it is no instance, or for a module no function."""
    families: tuple[Family, ...]
    """What a policy would have to grant, in the order of ``FAMILIES``."""
    exports: tuple[str, ...]
    """With their kinds: ``instance cyber:math/operations``."""


def surface_of(facts: Facts) -> Surface:
    verdicts = [_verdict(facts.kind, item) for item in facts.imports]
    families = {family for verdict in verdicts if not isinstance(verdict, Refused) for family in verdict.families}
    return Surface(
        kind=facts.kind,
        imports=tuple(sorted({_import(facts.kind, item) for item in facts.imports})),
        families=tuple(family for family in FAMILIES if family in families),
        exports=tuple(sorted({f"{item.kind} {_spelled(item.name)}" for item in facts.exports})),
    )


def import_of(kind: Kind, text: str) -> Import:
    """The import of a component, or of a module, that ``Surface`` spells as ``text``. Raises ``ValueError``."""
    before, space, name = text.rpartition(" ")
    sort = _extern_kind(before) if space else _USUAL[kind]
    module: str | None = None
    if kind == "module":
        first, dot, name = name.partition(".")
        if not dot:
            raise ValueError("an import of a module has two names")
        module = _read(first)
    item = Import(name=_read(name), kind=sort, module=module)
    if _import(kind, item) != text:
        raise ValueError("an import is spelled otherwise")
    return item


def export_of(text: str) -> Export:
    """The export that ``Surface`` spells as ``text``. Raises ``ValueError``."""
    kind, _, name = text.rpartition(" ")
    item = Export(name=_read(name), kind=_extern_kind(kind))
    if f"{item.kind} {_spelled(item.name)}" != text:
        raise ValueError("an export is spelled otherwise")
    return item


def widened(old: Surface, new: Surface) -> tuple[str, ...]:
    """What ``new`` asks for and ``old`` does not, as sentences without their subject, the component.

    Interfaces of WASI 0.2 are the same whatever their patch version; imports that give no authority of their own, such
    as ``wasi:io/poll``, are none of it. Of what other components serve, compatible versions are the same. What nothing
    serves is compared by its whole name.
    """
    return tuple(_sentences(old, new, "could now", "now imports"))


def narrowed(old: Surface, new: Surface) -> tuple[str, ...]:
    """What ``old`` asks for and ``new`` no longer does."""
    return tuple(_sentences(new, old, "can no longer", "no longer imports"))


def reshaped(old: Surface, new: Surface) -> tuple[str, ...]:
    """What else ``new`` is or offers than ``old``: its kind and its exports."""
    found = [] if old.kind == new.kind else [f"is now a {new.kind} and was a {old.kind}"]
    before = {_without_patch(text): text for text in old.exports}
    after = {_without_patch(text): text for text in new.exports}
    for lead, here, there in (("now exports", after, before), ("no longer exports", before, after)):
        names = [export_of(text).name for key, text in here.items() if key not in there]
        if names:
            found.append(f"{lead} {_named(map(_spelled, names))}")
    return tuple(found)


_Verdict: TypeAlias = "wasi.Classification | preview1.Classification"

_USUAL: Mapping[Kind, ExternKind] = {"component": "instance", "module": "func"}
"""The kind of import that goes without saying."""

_EXTERN_KINDS: tuple[ExternKind, ...] = get_args(ExternKind)

_SPELLED = re.compile(r"(?:[!-\[\]-~]|\\(?:[\\nrt]|x[0-9a-f]{2}|u[0-9a-f]{4}|U00(?:0[0-9a-f]|10)[0-9a-f]{4}))*")


def _spelled(name: str) -> str:
    return name.encode("unicode_escape").decode("ascii").replace(" ", "\\x20")


def _read(text: str) -> str:
    """The name that ``_spelled`` made ``text`` of, or another that it would spell otherwise."""
    if _SPELLED.fullmatch(text) is None:
        raise ValueError("a name is printable ASCII, with everything else escaped")
    return text.encode("ascii").decode("unicode_escape") if "\\" in text else text


def _import(kind: Kind, item: Import) -> str:
    name = _spelled(item.name)
    if kind == "module":
        first = _spelled(item.module or "").replace(".", "\\x2e")  # the first dot ends the first name
        name = f"{first}.{name}"
    return name if item.kind == _USUAL[kind] else f"{item.kind} {name}"


def _extern_kind(text: str) -> ExternKind:
    for kind in _EXTERN_KINDS:
        if kind == text:
            return kind
    raise ValueError("an unknown kind of import or export")


def _verdict(kind: Kind, item: Import) -> _Verdict:
    if kind == "module":
        return preview1.classify(item.module or "", item.name, item.kind)
    return wasi.classify(item.name)


def _without_patch(text: str) -> str:
    return re.sub(r"(wasi:[^@]*@0\.2)\.[0-9]+\Z", r"\1", text)


class _Use(NamedTuple):
    """An import that gives authority."""

    name: str
    families: tuple[Family, ...]
    meaning: str
    capabilities: tuple[str, ...]


def _uses(surface: Surface) -> tuple[dict[str, _Use], dict[str, None]]:
    """The imports that give authority, by what stays the same between versions; and those that nothing serves."""
    uses: dict[str, _Use] = {}
    foreign: dict[str, None] = {}
    for text in surface.imports:
        item = import_of(surface.kind, text)
        verdict = _verdict(surface.kind, item)
        if isinstance(verdict, Refused):
            foreign[text] = None
        elif verdict.families:
            name = item.name if surface.kind == "module" else item.name.partition("@")[0]
            uses[name] = _Use(name, verdict.families, verdict.meaning, verdict.capabilities)
    return uses, foreign


def _sentences(less: Surface, more: Surface, could: str, imports: str) -> Iterator[str]:
    """What ``more`` asks for beyond ``less``."""
    (had, had_foreign), (has, has_foreign) = _uses(less), _uses(more)
    families = {family for use in had.values() for family in use.families}
    if less.kind == more.kind:
        gained = [use for name, use in has.items() if name not in had]
    else:  # the names of one kind say nothing of the other's; families and capabilities are common to both
        held = {capability for use in had.values() for capability in use.capabilities}
        gained = [u for u in has.values() if not (held.issuperset(u.capabilities) and families.issuperset(u.families))]
    for family in FAMILIES:
        of_family = [use for use in gained if use.families[0] == family]
        if more.kind == "module" and len(of_family) > MAX_APART and family not in families:
            yield f"{could} {_TOGETHER[family]} ({_named(use.name for use in of_family)})"
            continue
        meanings: dict[str, list[str]] = {}
        for use in of_family:
            meanings.setdefault(use.meaning, []).append(use.name)
        for meaning, names in meanings.items():
            yield f"{could} {infinitive(meaning)} ({_named(names)})"
    foreign = [text for text in has_foreign if text not in had_foreign]
    callable_ = [text for text in foreign if _callable(more.kind, text)]
    called = _by_interface(had_foreign)
    calls = [text for text in callable_ if not _called_before(text, called)]
    if calls:
        yield f"{could} call {_named(calls)} of another component"
    foreign = [text for text in foreign if text not in set(callable_)]
    if foreign:
        yield f"{imports} {_named(foreign)}, which nothing serves"


def _callable(kind: Kind, text: str) -> bool:
    """Whether another component can serve an import that the sandbox does not."""
    return kind == "component" and is_importable(text)


def _called_before(text: str, had: Mapping[str, Sequence[str]]) -> bool:
    """Whether a compatible version of the interface was imported, higher or lower."""
    versions = had.get(text.partition("@")[0], ())
    return any(satisfies(text, other) or satisfies(other, text) for other in versions)


def _by_interface(names: Iterable[str]) -> dict[str, list[str]]:
    """Names by what they are without their version; of very many versions, some."""
    found: dict[str, list[str]] = {}
    for name in names:
        versions = found.setdefault(name.partition("@")[0], [])
        if len(versions) < MAX_VERSIONS:
            versions.append(name)
    return found


_TOGETHER: Mapping[Family, str] = {
    "filesystem": "open, read, change, list and remove files",
    "sockets": "use sockets that its host opened",
}
"""What a module does with the functions of a family that has more than ``MAX_APART``."""

_VERBS = frozenset(
    {
        *("makes", "measures", "reads", "writes", "lists", "renames", "removes"),
        *("opens", "listens", "receives", "waits"),
    }
)
"""The verbs that follow the first one in what a vocabulary says of an import."""


@functools.lru_cache(maxsize=1024)
def infinitive(meaning: str) -> str:
    """``reads the date and waits`` as ``read the date and wait``: a meaning of the vocabularies, after a ``could``."""
    first, *rest = re.split(r"(?=[ ,])|(?<=[ ,])", meaning)
    return "".join([_bare(first), *(_bare(word) if word in _VERBS else word for word in rest)])


def _bare(verb: str) -> str:
    return "be" if verb == "is" else verb.removesuffix("s")


def _named(names: Iterable[str]) -> str:
    found = list(names)
    shown = [name if len(name) <= MAX_SHOWN else f"{name[: MAX_SHOWN - 3]}..." for name in found[:MAX_NAMED]]
    more = f" and {len(found) - MAX_NAMED:,} more" if len(found) > MAX_NAMED else ""
    return ", ".join(shown) + more
