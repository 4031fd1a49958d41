"""Environment, arguments, clocks and random numbers: granted, refused, and told exactly once; and grants that grant."""

from __future__ import annotations

import re
import time
from pathlib import Path
from typing import Any

import pytest
import yaml
from wasmtime import wat2wasm

from tests.e2e.harness import GUESTS, QUIET, Ran, Runner, directory, policy_data, probe_arguments, write_policy

Told = list[tuple[str, str | None, str | None, str]]


def run(folder: Path, runner: Runner, *commands: str, filesystem: Any = (), **grants: Any) -> Ran:
    return runner.run(write_policy(folder, policy_data(filesystem, **grants)), *probe_arguments(*commands))


def told(ran: Ran) -> Told:
    """Capability, function, grant and reason of each event but the last."""
    return [(e.capability, e.function, e.grant, e.reason) for e in ran.outcome.events[:-1]]


@pytest.mark.usefixtures("guest")
def test_environment(tmp_path: Path, runner: Runner, monkeypatch: pytest.MonkeyPatch) -> None:
    """The guest gets the variables that the policy sets and those that it inherits by name, and no others."""
    monkeypatch.setenv("SHOWN", "as it is")
    monkeypatch.setenv("HIDDEN", "secret")
    environment = {"set": {"TZ": "UTC", "EMPTY": ""}, "inherit": ["SHOWN", {"name": "ABSENT", "default": "none"}]}
    ran = run(tmp_path, runner, "env", environment=environment)
    assert ran.lines == ['env -> ok 4 "TZ=UTC" "EMPTY=" "SHOWN=as it is" "ABSENT=none"']
    assert told(ran) == []


def test_environment_that_is_not_granted(tmp_path: Path, runner: Runner, guest: str) -> None:
    """The guest gets an empty environment, and asking is one event, however often it asks; ``{}`` is no denial."""
    ran = run(tmp_path, runner, "env", "env", environment=None)
    assert ran.lines == ["env -> ok 0", "env -> ok 0"]
    reason = "the environment is not granted; the component got an empty one"
    function = "get-environment" if guest == "component" else "environ_sizes_get"
    assert told(ran) == [("environment", function, "environment: {inherit: []}", reason)]
    ran = run(tmp_path, runner, "env", environment={})
    assert (ran.lines, told(ran)) == (["env -> ok 0"], [])


@pytest.mark.usefixtures("guest")
def test_arguments(tmp_path: Path, runner: Runner) -> None:
    """``inherit`` passes the caller's on, a list is fixed; argument 0 is the component's name in the policy."""
    ran = run(tmp_path, runner, "args")
    assert (ran.lines, told(ran)) == (['args -> ok 2 "guest" "args"'], [])
    path = write_policy(tmp_path, policy_data(arguments=["args", "--", "stdout", "a b"]))
    ran = runner.run(path)
    assert ran.stdout == 'args -> ok 5 "guest" "args" "--" "stdout" "a b"\na bstdout a b -> ok written=3\n'


def test_arguments_that_are_not_granted(tmp_path: Path, runner: Runner, guest: str) -> None:
    """The guest gets none, and asking is one event."""
    ran = runner.run(write_policy(tmp_path, policy_data(arguments=None)))
    assert ran.lines[0] == "args -> ok 0"
    found = [t for t in told(ran) if t[0] == "arguments"]
    reason = "arguments are not granted; the component got none"
    function = "get-arguments" if guest == "component" else "args_sizes_get"
    assert found == [("arguments", function, "arguments: inherit", reason)]


CLOCK = re.compile(r"clock -> ok wall=(\d+) monotonic=(\d+)")


def clocks(ran: Ran) -> list[tuple[int, int]]:
    """Wall and monotonic nanoseconds of each ``clock`` line."""
    return [(int(a), int(b)) for a, b in CLOCK.findall(ran.stdout)]


@pytest.mark.usefixtures("guest")
def test_real_clocks(tmp_path: Path, runner: Runner) -> None:
    """The wall clock is the host's, the monotonic one goes on."""
    before = time.time_ns()
    ran = run(tmp_path, runner, "clock", "sleep 20", "clock", clocks="real")
    (wall, monotonic), (wall2, monotonic2) = clocks(ran)
    assert before <= wall < wall2 <= time.time_ns()
    assert monotonic2 - monotonic >= 20_000_000
    assert told(ran) == []


@pytest.mark.usefixtures("guest")
def test_coarse_clocks(tmp_path: Path, runner: Runner) -> None:
    """Coarse clocks go on in steps that are too long to time anything by; waits last as long as they say."""
    ran = run(tmp_path, runner, "clock", "clock", "sleep 30", "clock", "clock-resolution", clocks="coarse")
    resolution = re.search(r"clock-resolution -> ok wall=(\d+) monotonic=(\d+)", ran.stdout)
    assert resolution is not None
    steps = [int(x) for x in resolution.groups()]
    assert min(steps) >= 1_000_000
    for wall, monotonic in clocks(ran):
        assert (wall % steps[0], monotonic % steps[1]) == (0, 0)
    assert clocks(ran)[2][1] > clocks(ran)[0][1]
    assert told(ran) == []


@pytest.mark.usefixtures("guest")
def test_frozen_clocks(tmp_path: Path, runner: Runner) -> None:
    """Frozen clocks stand still, alike in every run; a wait ends nevertheless."""
    runs = [run(tmp_path, runner, "clock", "sleep 20", "clock", clocks="frozen") for _ in range(2)]
    assert [told(ran) for ran in runs] == [[], []]
    assert len({at for ran in runs for at in clocks(ran)}) == 1
    assert runs[0].outcome.usage.seconds >= 0.02


@pytest.mark.usefixtures("guest")
def test_clocks_that_are_not_granted(tmp_path: Path, runner: Runner) -> None:
    """Clocks that nobody granted are frozen ones, and each is told once, at its first use."""
    frozen = clocks(run(tmp_path, runner, "clock", clocks="frozen"))
    ran = run(tmp_path, runner, "clock", "clock", "sleep 5", clocks=None)
    assert clocks(ran) == frozen * 2
    assert ran.lines[2] == "sleep 5 -> ok"
    assert sorted((c, g, r) for c, _, g, r in told(ran)) == [
        ("clocks.monotonic", "clocks:\n  monotonic: real", "the monotonic clock is not granted; it stands still"),
        ("clocks.wall", "clocks:\n  wall: real", "the wall clock is not granted; it stands still"),
    ]
    assert told(run(tmp_path, runner, "stdout x", clocks=None)) == []


@pytest.mark.usefixtures("guest")
def test_secure_random(tmp_path: Path, runner: Runner) -> None:
    """Secure numbers are others each time."""
    found = [run(tmp_path, runner, "random", "random", random="secure") for _ in range(2)]
    assert [told(ran) for ran in found] == [[], []]
    assert len({line for ran in found for line in ran.lines}) == 4


@pytest.mark.usefixtures("guest")
def test_seeded_random(tmp_path: Path, runner: Runner) -> None:
    """A seed gives the same numbers in every run, and another seed others."""
    one = [run(tmp_path, runner, "random", "random", random={"seed": 7}).lines for _ in range(2)]
    other = run(tmp_path, runner, "random", "random", random={"seed": 8}).lines
    assert one[0] == one[1]
    assert len({*one[0], *other}) == 4


@pytest.mark.usefixtures("guest")
def test_random_that_is_not_granted(tmp_path: Path, runner: Runner) -> None:
    """Secure numbers trap, with the reason in the outcome; the trap is one event."""
    ran = run(tmp_path, runner, "stdout before", "random", random=None)
    assert ran.stdout.startswith("before")
    outcome = ran.outcome
    assert (outcome.how, outcome.exit_status, outcome.reason) == (
        "trapped",
        122,
        "secure random numbers are not granted",
    )
    reason = "secure random numbers are not granted; the call trapped"
    assert [(c, g, r) for c, _, g, r in told(ran)] == [("random.secure", "random: secure", reason)]


def test_insecure_random_that_is_not_granted(tmp_path: Path, runner: Runner) -> None:
    """Insecure numbers are always the same, and told once."""
    source = tmp_path / "insecure.wasm"
    source.write_bytes(wat2wasm((GUESTS / "insecure-random.wat").read_text(encoding="utf-8")))
    runs = [run(tmp_path, runner, source=source, random=None) for _ in range(2)]
    assert runs[0].stdout == runs[1].stdout
    assert runs[0].stdout.startswith("insecure -> ok ")
    reason = "random numbers are not granted; these are always the same"
    assert [(c, g, r) for c, _, g, r in told(runs[0])] == [("random.insecure", "random: secure", reason)]
    seeded = run(tmp_path, runner, source=source, random={"seed": 1})
    assert (told(seeded), seeded.stdout == runs[0].stdout) == ([], False)


def merged(grants: dict[str, Any], more: dict[str, Any]) -> dict[str, Any]:
    """``grants`` with what an event suggests, as an author would paste it."""
    out = dict(grants)
    for family, value in more.items():
        held = out.get(family)
        if isinstance(held, dict) and isinstance(value, dict):
            out[family] = {**held, **value}
        elif isinstance(held, list) and isinstance(value, list):
            taken = {entry["guest"] for entry in value}
            out[family] = [entry for entry in held if entry["guest"] not in taken] + value
        else:
            out[family] = value
    return out


@pytest.mark.usefixtures("guest")
@pytest.mark.parametrize(
    ("capability", "commands", "without"),
    [
        ("environment", ["env"], {"environment": None}),
        ("arguments", [], {"arguments": None}),
        ("clocks.wall", ["clock"], {"clocks": {"monotonic": "real"}}),
        ("clocks.monotonic", ["clock"], {"clocks": {"wall": "real"}}),
        ("random.secure", ["random"], {"random": None}),
        ("stdio.stdin", ["stdin"], {"stdio": {"stdout": "capture", "stderr": "capture"}}),
        ("stdio.stdout", ["stdout x"], {"stdio": {"stdin": "discard", "stderr": "capture"}}),
        ("stdio.stderr", ["stderr x"], {"stdio": {"stdin": "discard", "stdout": "capture"}}),
        ("filesystem.read", ["open-read PLACE/secret"], {}),
        ("filesystem.write", ["write PLACE/new x"], {}),
        ("filesystem.write", ["write /in/new x"], {"filesystem": "read only"}),
        ("filesystem.read", ["read /in/twice"], {"filesystem": "hard links"}),
    ],
)
def test_what_an_event_suggests_grants_it(
    tmp_path: Path, runner: Runner, capability: str, commands: list[str], without: dict[str, Any]
) -> None:
    """The YAML of a denial, added to the policy, grants just that: the same run then has no denial of it."""
    place = tmp_path / "place"
    place.mkdir()
    (place / "secret").write_text("s")
    (place / "once").write_text("o")
    (place / "twice").hardlink_to(place / "once")
    filesystem = [directory(place, "/in")] if "filesystem" in without else []
    data = policy_data(filesystem, **{family: value for family, value in without.items() if family != "filesystem"})
    arguments = probe_arguments(*(c.replace("PLACE", str(place)) for c in commands))
    given = arguments if "arguments" not in without else []
    first = runner.run(write_policy(tmp_path, data), *given)
    suggested = [e.grant for e in first.outcome.events if e.capability == capability]
    assert len(suggested) == 1
    assert suggested[0] is not None
    grants = data["components"]["guest"]["grants"]
    data["components"]["guest"]["grants"] = merged(grants, yaml.safe_load(suggested[0]))
    second = runner.run(write_policy(tmp_path, data), *given)
    assert [e for e in second.outcome.events if e.capability == capability] == []
    assert second.outcome.how == "exited"


@pytest.mark.usefixtures("guest")
def test_quiet_grants_are_quiet(tmp_path: Path, runner: Runner) -> None:
    """The grants that the other tests build on leave no event of their own."""
    assert set(QUIET) == {"stdio", "environment", "arguments", "clocks", "random"}
    assert told(run(tmp_path, runner, "args", "env", "stdin", "clock", "random", "stdout x", "stderr x")) == []
