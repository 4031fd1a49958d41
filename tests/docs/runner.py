"""A stand-in for GitHub's runner, as far as one machine can be one.

The ``run`` steps of ``action.yml`` are run as GitHub runs them: by the same shell, from files, with expressions
replaced and the runner's variables set. A step that ``uses`` another action is written down, with what it is given, and
not run. Expressions and conditions that the tables here do not have are errors: none is guessed.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from tests.docs.pages import GIT, ROOT

SECONDS = 120
"""That one step may take."""
SHELL = ("bash", "--noprofile", "--norc", "-eo", "pipefail")
"""What GitHub runs for ``shell: bash``, with the script's file behind it."""
EXPRESSIONS = {
    "github.server_url": "https://github.com",
    "github.action_repository || github.repository": "example/wasi-sandbox",
    "github.action_ref || github.sha": "0123456789abcdef0123456789abcdef01234567",
    "steps.lint.outputs.sarif": "",  # until the step says more
}
"""Those that are not inputs, nor depend on where the action is."""
CONDITIONS: Mapping[str | None, Callable[[Mapping[str, str], bool], bool]] = {
    None: lambda inputs, failed: not failed,
    "inputs.upload == 'true'": lambda inputs, failed: not failed and inputs["upload"] == "true",
    "inputs.compare-with != ''": lambda inputs, failed: not failed and inputs["compare-with"] != "",
    "inputs.lock == 'true'": lambda inputs, failed: not failed and inputs["lock"] == "true",
    "success() || failure()": lambda inputs, failed: True,
}
"""Each condition of a step, of the inputs and of whether a step before failed."""


def action() -> dict[str, Any]:
    """What ``action.yml`` says."""
    said = yaml.safe_load((ROOT / "action.yml").read_text(encoding="utf-8"))
    assert isinstance(said, dict)
    return said


@dataclass(frozen=True, kw_only=True, slots=True)
class Step:
    """What became of a step."""

    name: str
    """Its own; without one, the action that it uses."""
    status: int | None
    """``None`` of one that uses another action."""
    printed: str = ""
    given: Mapping[str, str] | None = None
    """What another action is given."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Ran:
    """What became of a job: its steps, but for those whose conditions did not hold."""

    steps: tuple[Step, ...]
    outputs: Mapping[str, str]
    summary: str

    @property
    def statuses(self) -> list[tuple[str, int | None]]:
        return [(step.name, step.status) for step in self.steps]

    def step(self, name: str) -> Step:
        (found,) = (step for step in self.steps if step.name == name)
        return found


class Runner:
    """Runs the action that is in ``project`` on what is in ``workspace``."""

    def __init__(self, project: Path, workspace: Path, own: Path) -> None:
        """``own`` is a directory for what a runner has beside the workspace."""
        self.project, self.workspace, self.own = project, workspace, own
        self.temporary = own / "temp"
        for directory in (self.temporary, own / "bin", own / "home"):
            directory.mkdir(parents=True, exist_ok=True)
        # In place of the step that sets up Python.
        python = own / "bin" / "python3"
        python.write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n', encoding="utf-8")
        python.chmod(0o700)
        passed = {name: value for name, value in os.environ.items() if name.startswith("PIP_") or name == "TMPDIR"}
        self._environment = {
            **passed,
            **GIT,
            "PATH": f"{own / 'bin'}{os.pathsep}{os.environ.get('PATH', os.defpath)}",
            "HOME": str(own / "home"),
            "LC_ALL": "C.UTF-8",
            "CI": "true",
            "GITHUB_ACTIONS": "true",
            "GITHUB_WORKSPACE": str(workspace),
            "RUNNER_TEMP": str(self.temporary),
        }

    def run(self, inputs: Mapping[str, str], *, done: str | None = None, only: str | None = None) -> Ran:
        """A job that gives the action these inputs, but for a step that is ``done``, or of one step ``only``."""
        said = action()
        given = {name: about["default"] for name, about in said["inputs"].items()}
        assert set(inputs) <= set(given)
        given |= inputs
        known = {**EXPRESSIONS, "github.action_path": str(self.project)}
        known |= {f"inputs.{name}": value for name, value in given.items()}
        summary = self._file("summary")
        steps: list[Step] = []
        for step in said["runs"]["steps"]:
            name = step.get("name") or step["uses"].partition("@")[0]
            failed = any(other.status for other in steps)
            if name == done or only not in (None, name) or not CONDITIONS[step.get("if")](given, failed):
                continue
            if "uses" in step:
                with_ = {key: _replaced(value, known) for key, value in step.get("with", {}).items()}
                steps.append(Step(name=name, status=None, given=with_))
                continue
            assert step["shell"] == "bash"
            output = self._file("output")
            variables = {key: _replaced(value, known) for key, value in step.get("env", {}).items()}
            variables |= {"GITHUB_OUTPUT": str(output), "GITHUB_STEP_SUMMARY": str(summary)}
            steps.append(self._shell(name, _replaced(step["run"], known), variables))
            for line in output.read_text(encoding="utf-8").splitlines():
                key, _, value = line.partition("=")
                known[f"steps.{step['id']}.outputs.{key}"] = value
        return Ran(
            steps=tuple(steps),
            outputs={name: _replaced(about["value"], known) for name, about in said["outputs"].items()},
            summary=summary.read_text(encoding="utf-8"),
        )

    def _shell(self, name: str, script: str, variables: dict[str, str]) -> Step:
        file = self._file("script")
        file.write_text(script, encoding="utf-8")
        ran = subprocess.run(
            [*SHELL, str(file)],
            cwd=self.workspace,
            env=self._environment | variables,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
            timeout=SECONDS,
            check=False,
        )
        return Step(name=name, status=ran.returncode, printed=ran.stdout)

    def _file(self, name: str) -> Path:
        """An empty file beside the workspace."""
        file = self.own / name
        file.write_text("", encoding="utf-8")
        return file


def _replaced(text: str, known: Mapping[str, str]) -> str:
    """``text`` with the values of its expressions, which are not looked at again."""
    return re.sub(r"\$\{\{\s*(.*?)\s*\}\}", lambda found: known[found[1]], text)
