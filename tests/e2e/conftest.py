"""Fixtures that the end-to-end tests share: a cache of compiled components, a warm worker, policies, and the probe."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.harness import (
    PROBE,
    PROBE_MODULE,
    SOURCE,
    Attempt,
    Ran,
    Runner,
    attempted,
    policy_data,
    probe_arguments,
    write_policy,
)


@pytest.fixture(scope="session", autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The session's cache of compiled components, shared by all processes of a parallel run, in ``SANDBOX_CACHE``."""
    base = tmp_path_factory.getbasetemp()
    shared = base.parent if os.environ.get("PYTEST_XDIST_WORKER") else base
    directory = shared / "sandbox-cache"
    directory.mkdir(mode=0o700, exist_ok=True)
    patch = pytest.MonkeyPatch()
    patch.setenv("SANDBOX_CACHE", str(directory))
    yield directory
    patch.undo()


@pytest.fixture(scope="session")
def runner(cache: Path) -> Iterator[Runner]:
    """Runs policies in a worker that stays warm for the session."""
    runner = Runner(cache)
    yield runner
    runner.close()


@pytest.fixture
def policy(tmp_path: Path) -> Callable[..., Path]:
    """Writes a policy (text or data) to a file of the test's own and returns its path."""

    def write(data: Mapping[str, Any] | str, name: str = "policy.yaml") -> Path:
        return write_policy(tmp_path, data, name)

    return write


@pytest.fixture(params=["component", "module"])
def guest(request: pytest.FixtureRequest) -> Iterator[str]:
    """Runs a test for the probe as a component, and for the same program as a module: which of them it is."""
    token = SOURCE.set(PROBE if request.param == "component" else PROBE_MODULE)
    yield request.param
    SOURCE.reset(token)


@pytest.fixture
def probe(tmp_path: Path, runner: Runner, guest: str) -> Callable[..., Ran]:
    """Runs the probe, as a component and as a module.

    ``probe([directory(...)], "read /in/a", ["write", "/out/b", "two words"], limits={...})``
    """

    def run(filesystem: list[dict[str, object]], *commands: str | list[str], **more: Any) -> Ran:
        folder = tmp_path / "policy"
        folder.mkdir(exist_ok=True)
        path = write_policy(folder, policy_data(filesystem, **more))
        return runner.run(path, *probe_arguments(*commands))

    return run


@pytest.fixture
def attempt(tmp_path: Path, runner: Runner, guest: str) -> Callable[..., list[Attempt]]:
    """Runs the probe, as a component and as a module, once for each expected attempt; returns what was made of each.

    All attempts have the same grants.
    """

    def run(filesystem: list[dict[str, object]], expected: Iterable[Attempt], **more: Any) -> list[Attempt]:
        folder = tmp_path / "policy"
        folder.mkdir(exist_ok=True)
        path = write_policy(folder, policy_data(filesystem, **more))
        return [attempted(runner.run(path, *a.commands.split(" ")), a.commands) for a in expected]

    return run
