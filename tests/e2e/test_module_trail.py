"""The same program, as a component and as a module, leaves the same behind for the same attempts.

That is what it prints, how it ends, what it did to files, and each event but for the names of interface and function.
"""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from sandbox.audit.events import Event
from sandbox.runtime.outcome import Outcome
from tests.e2e import (
    test_except,
    test_filesystem,
    test_filesystem_files,
    test_filesystem_handles,
    test_filesystem_read_only,
    test_overlap,
    test_reach,
)
from tests.e2e.harness import (
    PROBE,
    PROBE_MODULE,
    Attempt,
    Ran,
    Runner,
    attempted,
    directory,
    policy_data,
    probe_arguments,
    snapshot,
    write_policy,
)

MODULES = (
    test_overlap,
    test_except,
    test_filesystem,
    test_filesystem_files,
    test_filesystem_read_only,
    test_filesystem_handles,
    test_reach,
)
FIXTURES = {"tmp_path", "attempt", "probe"}
REFUSED = test_overlap.test_grant_of_what_is_excepted
"""Its policy is refused: nothing runs."""


def scenarios() -> Iterator[Any]:
    """Each test of ``MODULES`` that runs the probe and takes nothing but a folder to do it in."""
    for module in MODULES:
        for name, test in vars(module).items():
            if name.startswith("test_") and callable(test) and test is not REFUSED:
                takes = set(inspect.signature(test).parameters)
                if takes <= FIXTURES and takes != {"tmp_path"} and "parametrize" not in _marks(test):
                    label = f"{module.__name__.rpartition('.')[2].removeprefix('test_')}.{name.removeprefix('test_')}"
                    yield pytest.param(test, id=label, marks=getattr(test, "pytestmark", ()))


def _marks(test: Any) -> set[str]:
    return {mark.name for mark in getattr(test, "pytestmark", ())}


def told(event: Event) -> dict[str, Any]:
    """All of an event but when and in which run it was, and what only a component or only a module calls so."""
    own = ("time", "run", "interface", "function", "component_digest", "policy_digest")
    return {key: value for key, value in asdict(event).items() if key not in own}


class Recorder:
    """Runs one of the probe's two builds for a test, and keeps what its runs left behind."""

    def __init__(self, source: Path, folder: Path, runner: Runner) -> None:
        self.source, self.folder, self.runner = source, folder, runner
        self.left: list[str] = []
        folder.mkdir()

    def execute(self, filesystem: Iterable[dict[str, object]], arguments: list[str], more: dict[str, Any]) -> Ran:
        policies = self.folder / "policy"
        policies.mkdir(exist_ok=True)
        # A key a line, so that events differ in theirs.
        text = json.dumps(policy_data(filesystem, source=self.source, **more), indent=1)
        ran = self.runner.run(write_policy(policies, text), *arguments)
        self.keep(ran.outcome)
        return ran

    def keep(self, outcome: Outcome) -> None:
        shown = {
            "how": outcome.how,
            "exit_status": outcome.exit_status,
            "reason": outcome.reason,
            "bounds": outcome.bounds,
            "stdout": (outcome.stdout or b"").decode("utf-8", "backslashreplace"),
            "stderr": (outcome.stderr or b"").decode("utf-8", "backslashreplace"),
            "events": [told(event) for event in outcome.events],
        }
        self.left.append(json.dumps(shown, indent=1, ensure_ascii=False).replace(str(self.folder), "FOLDER"))

    def probe(self, filesystem: Iterable[dict[str, object]], *commands: str | list[str], **more: Any) -> Ran:
        return self.execute(filesystem, probe_arguments(*commands), more)

    def attempt(
        self, filesystem: Iterable[dict[str, object]], expected: Iterable[Attempt], **more: Any
    ) -> list[Attempt]:
        granted = list(filesystem)
        return [attempted(self.execute(granted, a.commands.split(" "), more), a.commands) for a in expected]

    def files(self) -> dict[str, tuple[str, int, int, str | None]]:
        """What is there now, but for times and the policy."""
        return {
            name: (node.kind, node.mode, node.links, node.content and node.content.replace(str(self.folder), "FOLDER"))
            for name, node in snapshot(self.folder).items()
            if not name.startswith("policy")
        }


@pytest.fixture
def builds(tmp_path: Path, runner: Runner) -> tuple[Recorder, Recorder]:
    """The probe as a component and as a module, each with a folder of its own."""
    return (
        Recorder(PROBE, tmp_path / "component", runner),
        Recorder(PROBE_MODULE, tmp_path / "module", runner),
    )


def test_the_component_holds_the_module() -> None:
    """Both builds are one program: the component has the module in it, byte for byte."""
    assert PROBE_MODULE.read_bytes() in PROBE.read_bytes()


@pytest.mark.parametrize("scenario", list(scenarios()))
def test_same_trail(scenario: Callable[..., None], builds: tuple[Recorder, Recorder]) -> None:
    """What holds for the component holds for the module, and each of their events is the same in every field."""
    for build in builds:
        fixtures = {"tmp_path": build.folder, "attempt": build.attempt, "probe": build.probe}
        scenario(**{name: fixtures[name] for name in inspect.signature(scenario).parameters})
    component, module = builds
    assert module.left == component.left
    assert component.left
    assert module.files() == component.files()


COMMANDS = "args -- env -- stdin -- clock -- clock-resolution -- sleep 1 -- stdout x -- stderr y -- list /d -- preopens"
FAMILIES: dict[str, tuple[str, dict[str, Any]]] = {
    "standard grants": (COMMANDS.replace("clock --", "env --"), {}),
    "frozen clocks": (COMMANDS, {"clocks": "frozen"}),
    "no clocks": (COMMANDS, {"clocks": None}),
    "a wait without clocks": ("sleep 1", {"clocks": None}),
    "wall clock": ("clock-resolution -- sleep 1", {"clocks": {"wall": "real"}}),
    "no environment": ("env -- env", {"environment": None}),
    "environment": ("env", {"environment": {"set": {"A": "1", "EMPTY": "", "B": "x=y z"}}}),
    "no random numbers": ("stdout before -- random -- stdout after", {"random": None}),
    "no standard streams": ("stdin -- stdout x -- stderr y", {"stdio": None}),
    "discarded streams": ("stdout x -- stderr y", {"stdio": {"stdout": "discard", "stderr": "discard"}}),
    "output": ("flood 10000", {"limits": {"output": "8KB"}}),
    "events": ("flood-denied /x/y 30 -- open-read /x/z -- open-read /d/../z", {"limits": {"events": 3}}),
    "new names": ("mkdir /d/a -- create /d/b -- symlink a /d/c -- mkdir /d/e", {"limits": {"disk": "12KiB"}}),
    "sizes": ("ftruncate /d/f 9000 -- ftruncate /d/f 8000 -- stat /d/f", {"limits": {"disk": 8500}}),
    "memory": ("grow 100 -- abort", {"limits": {"memory": "32MiB"}}),
    "trap": ("stdout before -- abort", {}),
    "fuel": ("spin", {"limits": {"fuel": 1_000_000}}),
    "deadline": ("stdout before -- sleep 60000", {"limits": {"deadline": "1s"}}),
    "no arguments": ("", {"arguments": None, "clocks": "frozen"}),
    "fixed arguments": ("", {"arguments": ["args", "--", "stdout", "fixed"]}),
    "status": ("exit 1", {}),
    "links of directories": ("mkdir /d/x -- link /d/x /d/y -- link /d/f /d/g -- link-follow /d/f /d/h", {}),
}


@pytest.mark.parametrize("name", FAMILIES)
def test_same_trail_of_families(name: str, builds: tuple[Recorder, Recorder]) -> None:
    """So it is with clocks, environment, streams, limits and ways to end."""
    commands, more = FAMILIES[name]
    for build in builds:
        (build.folder / "d").mkdir()
        (build.folder / "d" / "f").write_text("file")
        build.execute([], ["exit", "0"], {})  # compiling counts against a deadline
        build.execute([directory(build.folder / "d", "/d", "write")], commands.split(" ") if commands else [], more)
    component, module = builds
    assert module.left == component.left
    assert module.files() == component.files()


def test_difference_exit_status(builds: tuple[Recorder, Recorder]) -> None:
    """By design: a module has every status of a byte; the adapter of the component tells success from failure alone."""
    ended = [build.execute([], ["exit", "42"], {}).outcome.exit_status for build in builds]
    assert ended == [1, 42]


def test_difference_of_a_full_disk(builds: tuple[Recorder, Recorder]) -> None:
    """By design: writing beyond the bound closes a component's stream, and is ``ENOSPC`` for a module.

    The event of the stream does not know the file; that of the module's descriptor does.
    """
    full = "the bytes that may be written to files are used up (131,072 bytes)"
    told = []
    for build in builds:
        (build.folder / "d").mkdir()
        ran = build.probe(
            [directory(build.folder / "d", "/d", "write")], "write-loop /d/f 1000000", limits={"disk": "128KiB"}
        )
        assert (build.folder / "d" / "f").stat().st_size <= 131072
        told.append((ran.lines, [(e.name, e.capability, e.resource, e.reason) for e in ran.outcome.events[:-1]]))
    assert told == [
        (["write-loop /d/f 1000000 -> errno EIO written=65536"], [("limit", "limits.disk", None, full)]),
        (["write-loop /d/f 1000000 -> errno ENOSPC written=65536"], [("limit", "limits.disk", "/d/f", full)]),
    ]
