"""The audit trail of one run: what the runtime saw, numbered, dated, bounded, and written before the call returns."""

from __future__ import annotations

import os
import time
from _thread import allocate_lock
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from sandbox.audit.events import Event, EventName, Happening
from sandbox.audit.fields import (
    LARGEST_DURATION,
    LARGEST_EXIT_STATUS,
    LARGEST_NUMBER,
    NAME_CHARACTERS,
    TEXT_CHARACTERS,
    clean,
    is_digest,
    is_run,
)

if TYPE_CHECKING:
    from sandbox.audit.sink import Sink

FOLD_KEYS = 256
"""Counts that are kept apart when refusals are folded; what is beyond them is counted as one."""
REFUSED_EVENTS = 1000
"""Reasons to refuse a run that are recorded one by one, however low the policy's bound."""

_LAST_SECOND = 253402300799
"""The end of the year 9999: RFC 3339 goes no further."""

_Key = tuple[EventName, str, str | None, str, str | None]
"""The name of what is counted, its component, path, capability and function."""


def new_run() -> str:
    """A run's identifier: 24 hexadecimal digits, of which the first 12 are the time in milliseconds."""
    return f"{time.time_ns() // 1_000_000:012x}{os.urandom(6).hex()}"


class _Fold:
    """How often something happened, what went over it in all, and what is said of it once."""

    __slots__ = ("count", "interface", "line", "received", "sent")

    def __init__(self, happening: Happening) -> None:
        self.count = 0
        self.interface = happening.interface
        self.line = happening.line
        self.sent: int | None = None
        self.received: int | None = None

    def add(self, happening: Happening) -> None:
        self.count += 1
        self.sent = _total(self.sent, _counted(happening.sent))
        self.received = _total(self.received, _counted(happening.received))


_FURTHER: dict[EventName, tuple[str, str]] = {
    "denied": ("1 further call was refused", "{} further calls were refused"),
    "allowed": ("1 further use was allowed", "{} further uses were allowed"),
    "limit": ("the bound was reached once more", "the bound was reached {} more times"),
    "refused": ("there is 1 further reason", "there are {} further reasons"),
}


class Trail:
    """The events of one run, in the order in which they were decided. Safe to use from several threads.

    The first ``limit`` refused calls are recorded one by one. The first one beyond them is announced by an event
    (``limit``, ``limits.events``) and it and every later one is counted by component, capability and function; the
    counts are written as ``folded`` events when the run ends. ``limit`` events are recorded whatever the bound, once
    for each bound and component; the same bound reached again counts like a refused call. ``refused`` events have a
    bound of their own, ``REFUSED_EVENTS``. So the trail's size does not depend on what a guest does. Where a component
    is at several places of a composition, each place counts apart.

    ``allowed`` events have the same bound as refused calls, and apart from it: what is allowed, however often, takes
    no refusal's place. Those beyond it are written when the run ends, as one ``allowed`` event for each component,
    capability and function, with their number and the sums of their bytes.

    A sink that fails never stops the run: ``failed`` then holds what went wrong, nothing more is written, since a trail
    with a hole would look whole, and the events go on being kept here.
    """

    def __init__(
        self,
        *,
        run: str,
        policy: str,
        policy_digest: str,
        digests: Mapping[str, str | None],
        limit: int,
        limit_line: int | None = None,
        sink: Sink | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """``digests`` maps each component's name to ``sha256:...``; ``limit_line`` is where the policy sets ``limit``;
        ``clock`` gives seconds since the epoch. Raises ``ValueError`` for a run or digest of another form."""
        if not is_run(run):
            raise ValueError(f"not a run identifier: {run!r}")
        for digest in (policy_digest, *digests.values()):
            if digest and not is_digest(digest):
                raise ValueError(f"not a digest: {digest!r}")
        if limit < 0:
            raise ValueError(f"not a number of events: {limit}")
        self.run = run
        self._policy = clean(policy, "exact")
        self._policy_digest = policy_digest
        self._digests = {name: digest or None for name, digest in digests.items()}
        self._limit = limit
        self._limit_line = limit_line
        self._sink = sink
        self._clock = clock
        self._lock = allocate_lock()
        self._events: list[Event] = []
        self._left = limit
        self._allowed_left = limit
        self._refused_left = REFUSED_EVENTS
        self._bounds_reached: set[tuple[str, str | None, str]] = set()
        self._folds: dict[_Key | None, _Fold] = {}
        self._allowed: dict[_Key | None, _Fold] = {}
        self._second = -1
        self._second_text = ""
        self._failed: str | None = None
        self._closed = False

    @property
    def events(self) -> tuple[Event, ...]:
        """What was recorded so far."""
        with self._lock:
            return tuple(self._events)

    @property
    def failed(self) -> str | None:
        """Why the sink has stopped taking events, else ``None``. A run whose trail failed has failed."""
        return self._failed

    def record(self, happening: Happening) -> Event | None:
        """Record what happened, written to the sink before this returns; ``None`` where it was only counted.

        Raises ``ValueError`` for ``ended`` and ``folded``, which ``close`` writes; ``RuntimeError`` after ``close``.
        """
        if happening.name not in _FURTHER:
            raise ValueError(f"{happening.name} events are written by close()")
        with self._lock:
            if self._closed:
                raise RuntimeError("the trail is closed")
            if self._has_room(happening):
                return self._append(happening)
            self._count(happening)
            return None

    def close(self, ended: Happening) -> tuple[Event, ...]:
        """Write the counts and ``ended``, bring the sink's file to the disk, and return every event of the run.

        The sink stays open: it is its owner's. Raises ``ValueError`` unless ``ended`` is named so, ``RuntimeError``
        when called again.
        """
        if ended.name != "ended":
            raise ValueError(f"a run ends with an ended event, not with {ended.name}")
        with self._lock:
            if self._closed:
                raise RuntimeError("the trail is closed")
            self._closed = True
            for key, fold in self._allowed.items():
                self._append_fold("allowed", key or ("allowed", "*", None, "*", None), fold, whole=key is not None)
            for key, fold in self._folds.items():
                self._append_fold("folded", key or ("denied", "*", None, "*", None), fold, whole=key is not None)
            self._append(ended)
            if self._sink is not None and self._failed is None:
                try:
                    self._sink.sync()
                except Exception as error:  # noqa: BLE001 - a sink of any kind must not stop the run
                    self._failed = _sentence(error)
            return tuple(self._events)

    def _has_room(self, happening: Happening) -> bool:
        if happening.name == "refused" and self._refused_left > 0:
            self._refused_left -= 1
            return True
        if happening.name == "limit":
            path = happening.path
            bound = (
                happening.component[:NAME_CHARACTERS],
                None if path is None else path[:TEXT_CHARACTERS],
                happening.capability[:NAME_CHARACTERS],
            )
            if bound not in self._bounds_reached and len(self._bounds_reached) < FOLD_KEYS:
                self._bounds_reached.add(bound)
                return True
        if happening.name == "allowed":
            self._allowed_left -= 1
            return self._allowed_left >= 0
        if self._left > 0:
            self._left -= 1
            return True
        return False

    def _count(self, happening: Happening) -> None:
        folds = self._allowed if happening.name == "allowed" else self._folds
        # What is allowed reaches no bound: nothing was withheld from the guest.
        if not folds and happening.name != "allowed":
            self._append(
                Happening(
                    name="limit",
                    component=happening.component,
                    path=happening.path,
                    capability="limits.events",
                    reason=f"refused calls beyond the first {self._limit} are counted, not recorded one by one",
                    line=self._limit_line,
                    time=happening.time,
                )
            )
        path, function = happening.path, happening.function
        key: _Key | None = (
            happening.name,
            clean(happening.component, "name"),
            None if path is None else clean(path, "text"),
            clean(happening.capability, "name"),
            None if function is None else clean(function, "name"),
        )
        fold = folds.get(key)
        if fold is None:
            if len(folds) >= FOLD_KEYS:
                key = None
            fold = folds.setdefault(key, _Fold(happening))
        fold.add(happening)

    def _append_fold(self, name: EventName, key: _Key, fold: _Fold, *, whole: bool) -> None:
        """``whole``: the count is of one component, path, capability and function."""
        of, component, path, capability, function = key
        one, many = _FURTHER[of]
        said = one if fold.count == 1 else many.format(fold.count)
        self._append(
            Happening(
                name=name,
                component=component,
                path=path,
                capability=capability,
                function=function,
                interface=fold.interface if whole else None,
                line=fold.line if whole else None,
                reason=f"{said}, beyond what is recorded one by one",
                sent=fold.sent,
                received=fold.received,
            ),
            fold.count,
        )

    def _append(self, happening: Happening, count: int = 1) -> Event:
        component = clean(happening.component, "name")
        path, interface, function = happening.path, happening.interface, happening.function
        resource, resolved, grant = happening.resource, happening.resolved, happening.grant
        line, status = happening.line, happening.exit_status
        allowed = happening.name == "allowed"
        event = Event(
            name=happening.name,
            time=self._time(happening.time),
            run=self.run,
            sequence=len(self._events) + 1,
            component=component,
            path=None if path is None else clean(path, "text"),
            component_digest=self._digests.get(component),
            policy=self._policy,
            policy_digest=self._policy_digest,
            policy_line=line if line is not None and 1 <= line <= LARGEST_NUMBER else None,
            capability=clean(happening.capability, "name"),
            interface=None if interface is None else clean(interface, "name"),
            function=None if function is None else clean(function, "name"),
            resource=None if resource is None else clean(resource, "exact"),
            resolved=None if resolved is None else clean(resolved, "exact"),
            reason=clean(happening.reason, "text"),
            # Half a grant would be another grant.
            grant=None if grant is None or len(grant) > TEXT_CHARACTERS else clean(grant, "text"),
            count=count,
            exit_status=status
            if status is not None and happening.name == "ended" and 0 <= status <= LARGEST_EXIT_STATUS
            else None,
            sent=_counted(happening.sent) if allowed else None,
            received=_counted(happening.received) if allowed else None,
            seconds=_lasted(happening.seconds) if allowed else None,
        )
        self._events.append(event)
        if self._sink is not None and self._failed is None:
            try:
                self._sink.write(event)
            except Exception as error:  # noqa: BLE001 - a sink of any kind must not stop the run
                self._failed = _sentence(error)
        return event

    def _time(self, seconds: float | None) -> str:
        # The worker that dates a happening may be in a guest's hands: what is no date is replaced, not believed.
        if seconds is None or not 0 <= seconds <= _LAST_SECOND:
            seconds = self._clock()
        second, microsecond = divmod(int(seconds * 1_000_000), 1_000_000)
        if second != self._second:
            t = time.gmtime(second)
            self._second = second
            self._second_text = (
                f"{t.tm_year:04}-{t.tm_mon:02}-{t.tm_mday:02}T{t.tm_hour:02}:{t.tm_min:02}:{t.tm_sec:02}"
            )
        return f"{self._second_text}.{microsecond:06}Z"


def _counted(number: int | None) -> int | None:
    """A number of bytes that an event can hold; the worker that counted them may be in a guest's hands."""
    return number if number is not None and 0 <= number <= LARGEST_NUMBER else None


def _total(total: int | None, number: int | None) -> int | None:
    if total is None or number is None:
        return number if total is None else total
    return min(total + number, LARGEST_NUMBER)


def _lasted(seconds: float | None) -> float | None:
    """Seconds in whole microseconds, as the line has them."""
    if seconds is None or not 0 <= seconds <= LARGEST_DURATION / 1_000_000:
        return None
    return round(seconds * 1_000_000) / 1_000_000


def _sentence(error: Exception) -> str:
    return str(error) or type(error).__name__
