"""What came of locking components, or of comparing them with their lock, as text and as JSON. Values in, text out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict

from sandbox.lint.lock import Locked
from sandbox.lint.locking import Account, Entry
from sandbox.report.findings import lead, sentence
from sandbox.report.findings_json import document

VERSION = 1
MAX_NAMES = 3
"""Names of one component, as several policies call it, that are shown."""
SHORT = len("sha256:") + 12
"""Characters of a digest in the text; JSON has all of them."""


def locks_text(accounts: Sequence[Account]) -> str:
    """A line for everything that changed or differs, each with its lock's path, and a last one for each directory.

    Why a directory could not be judged is not among them.
    """
    return "".join(
        f"{lead(account.survey.lock)}: {sentence(line)}\n" for account in accounts for line in _lines(account)
    )


def locks_json(accounts: Sequence[Account]) -> str:
    """Everything, as one JSON document; its newline included."""
    return document({"version": VERSION, "directories": [_directory(account) for account in accounts]})


def _lines(account: Account) -> Iterator[str]:
    entries = account.survey.entries
    who = _subjects(entries)
    if account.outcome == "refused":
        yield "could not be judged, and is left as it is"
    elif account.outcome == "missing":
        yield "there is none; `sandbox lock` makes it"
    elif account.outcome in ("written", "unchanged"):
        for entry in entries:
            yield from _of_locking(entry, who[entry.key])
        held = sum(entry.found is not None or entry.state == "pinned" for entry in entries)
        if held or account.survey.locked:
            yield f"{account.outcome}, with {_components(held)}"
        else:
            yield "not written: there is no component to lock"
    else:
        for entry in entries:
            yield from _of_comparing(entry, who[entry.key])
        yield _comparison(account)


def _of_locking(entry: Entry, who: str) -> Iterator[str]:
    if entry.state == "new":
        yield f"{who}: locked ({_families(entry)})"
    elif entry.state == "changed":
        yield f"{who}: locked anew ({_families(entry)})"
        yield from _changes(entry, who)
    elif entry.state == "stale":
        yield f"{who}: no longer locked: no policy names it"
    elif entry.state == "pinned":
        yield f"{who}: kept: no file at {entry.key}, and the policy pins the digest that is locked"
    elif entry.state == "contradicted":
        yield f"{who}: left out: no file at {entry.key}, and the policy pins another digest than was locked"
    elif entry.state == "absent":
        yield f"{who}: left out: no file at {entry.key}"


def _of_comparing(entry: Entry, who: str) -> Iterator[str]:
    if entry.state == "new":
        yield f"{who} is not locked"
    elif entry.state == "changed":
        if entry.difference is not None and not entry.difference.same_digest:
            yield f"{who} is {_digest(entry.found)}, and {_digest(entry.locked)} is locked"
        yield from _changes(entry, who)
    elif entry.state == "stale":
        yield f"{who} is locked, and no policy names it"
    elif entry.state == "contradicted":
        yield f"{who} is pinned to another digest than {_digest(entry.locked)}, which is locked"
    elif entry.state == "absent":
        yield f"{who}: not compared: no file at {entry.key}"


def _changes(entry: Entry, who: str) -> Iterator[str]:
    """What a component asks for, beside or less than what is locked."""
    change = entry.difference
    if change is None:
        return
    if change.same_digest:
        yield f"{who}: the lock has the digest of this file, and something else than it asks for"
        return
    said = (*change.widened, *change.narrowed, *change.reshaped)
    yield from (f"{who} {what}" for what in said)
    if not change.widened:
        yield f"{who} asks for nothing new"


def _comparison(account: Account) -> str:
    if account.outcome == "differs":
        return "differs from what is there; `sandbox lock` writes it anew"
    if not account.survey.locked:
        return "there is none, and nothing that it would have"
    states = [entry.state for entry in account.survey.entries]
    pinned, absent = states.count("pinned"), states.count("absent")
    more = []
    if pinned:
        more.append(f"{pinned:,} by the digest that a policy pins, without its file")
    if absent:
        more.append(f"{absent:,} not compared")
    return f"agrees with {_components(states.count('same') + pinned)}{', ' if more else ''}{', '.join(more)}"


def _subjects(entries: Sequence[Entry]) -> dict[str, str]:
    """What each component is called, by its key: as policies call it, and by its path where that is not enough."""
    called = {entry.key: _called(entry) for entry in entries}
    times = Counter(called.values())
    return {key: f"{name} ({key})" if times[name] > 1 else name for key, name in called.items()}


def _called(entry: Entry) -> str:
    if not entry.names:
        return entry.key
    more = f" and {len(entry.names) - MAX_NAMES:,} more" if len(entry.names) > MAX_NAMES else ""
    return ", ".join(entry.names[:MAX_NAMES]) + more


def _families(entry: Entry) -> str:
    return (", ".join(entry.found.families) if entry.found is not None else "") or "asks for nothing"


def _digest(locked: Locked | None) -> str:
    return f"{locked.digest[:SHORT]}..." if locked is not None else "nothing"


def _components(count: int) -> str:
    return f"{count:,} {'component' if count == 1 else 'components'}"


def _directory(account: Account) -> dict[str, object]:
    survey = account.survey
    return {
        "directory": survey.directory,
        "lock": survey.lock,
        "outcome": account.outcome,
        "components": [_entry(entry) for entry in survey.entries],
        "faults": list(survey.faults),
    }


def _entry(entry: Entry) -> dict[str, object]:
    change = entry.difference
    return {
        "source": entry.key,
        "names": list(entry.names),
        "state": entry.state,
        "locked": None if entry.locked is None else asdict(entry.locked),
        "found": None if entry.found is None else asdict(entry.found),
        "widened": [] if change is None else list(change.widened),
        "narrowed": [] if change is None else list(change.narrowed),
        "reshaped": [] if change is None else list(change.reshaped),
    }
