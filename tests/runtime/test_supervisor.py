"""What the supervisor makes of a worker that is no longer itself."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from sandbox.policy.model import Policy
from sandbox.runtime.cache import Cache
from sandbox.runtime.session import execute, plan_of
from tests.e2e.harness import policy_data, write_policy


class Nonsense:
    """A worker that answers a job with what no worker says, or with what breaks off."""

    def __init__(self, real: Any, message: list[Any]) -> None:
        self.real, self.message = real, message

    def __getattr__(self, name: str) -> Any:
        return getattr(self.real, name)

    def receive(self) -> list[Any] | None:
        found = self.real.receive()
        return None if found is None else self.message


@pytest.mark.parametrize(
    "message",
    [
        ["denied"],
        ["denied", 0.0, ["i", "f", "filesystem.read", False], 999, 0, "", ""],
        ["denied", 0.0, ["i", "f", "filesystem.read", False], 0, 77, "", ""],
        ["pair", 0.0, ["i", "f", "filesystem.write", False], 0, 0, "", "\udfff"],
        ["refused", 0.0, ["i", "f", "no.such", False], "", ""],
        ["ended", {}],
        [],
    ],
)
def test_a_worker_that_talks_nonsense(tmp_path: Path, message: list[Any]) -> None:
    """The run fails with a sentence and a whole trail; the supervisor goes on."""
    from sandbox.runtime.process import WorkerProcess

    own = tmp_path / "cache"
    cache = Cache(own)
    policy = Policy.load(write_policy(tmp_path, policy_data()))
    real = WorkerProcess.spawn()
    try:
        worker: Any = Nonsense(real, message)
        outcome, reusable = execute(plan_of(policy, policy.components[0], cache), worker, cache, stdin=b"")
    finally:
        real.kill()
        real.close()
    assert (outcome.how, outcome.exit_status, reusable) == ("failed", 125, False)
    assert (outcome.reason or "").startswith("the worker said what no worker says (")
    assert [e.name for e in outcome.events][-1] == "ended"
