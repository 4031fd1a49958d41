"""The samples do what their descriptions say, under the policies that are published with them."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from sandbox.audit.read import lines_of, read_trail
from tests.e2e.harness import snapshot

ROOT = Path(__file__).resolve().parent.parent.parent
SUMMED_UP = "report: 3 files, 13 rows, 2 left out, total 2906.20 EUR -> /out/summary.md, /out/totals.csv\n"
LEFT_OUT = (
    "report: 2026-03.csv:3: row left out: date is not YYYY-MM-DD\n"
    "report: 2026-03.csv:4: row left out: quantity is not a whole number\n"
)


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """The samples and their policies, as in a fresh clone: nothing in the output directory."""
    shutil.copytree(ROOT / "policies", tmp_path / "policies")
    shutil.copytree(
        ROOT / "samples",
        tmp_path / "samples",
        ignore=shutil.ignore_patterns("*.md", "totals.csv", "report-python.wasm"),
    )
    return tmp_path


def sandbox(clone: Path, *arguments: str) -> tuple[int, str, str]:
    line = [sys.executable, "-m", "sandbox", *arguments]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(line, cwd=clone, env=environment, check=False, capture_output=True, text=True, timeout=120)
    return done.returncode, done.stdout, done.stderr


def test_report(clone: Path) -> None:
    """The report reads the invoices, writes two files, and needs nothing that it was not granted."""
    before = snapshot(clone / "samples" / "invoices")
    assert sandbox(clone, "run", "policies/report.yaml") == (0, SUMMED_UP, LEFT_OUT)
    out = clone / "samples" / "out"
    assert sorted(path.name for path in out.iterdir() if path.name != ".gitkeep") == ["summary.md", "totals.csv"]
    assert (out / "summary.md").read_text().splitlines()[:3] == [
        "# Invoices",
        "",
        "13 rows in 3 files, 2 left out. Total: **2906.20 EUR**",
    ]
    assert snapshot(clone / "samples" / "invoices") == before


def test_report_with_arguments(clone: Path) -> None:
    """What is behind ``--`` reaches the program."""
    status, _, _ = sandbox(clone, "run", "policies/report.yaml", "--", "--title", "First quarter")
    assert status == 0
    assert (clone / "samples" / "out" / "summary.md").read_text().startswith("# First quarter\n")


def test_calculator(clone: Path) -> None:
    """The calculator's typed exports answer as samples/README.md says."""
    for function, arguments, status, value in (
        ("add", ["2", "3"], 0, "5"),
        ("divide", ["1", "0"], 1, 'err("division by zero")'),
        ("factorial", ["20"], 0, "ok(2432902008176640000)"),
        ("mean", ["[1, 2, 6]"], 0, "ok(3)"),
    ):
        done = sandbox(clone, "call", "policies/calculator.yaml", "calculator", f"operations.{function}", *arguments)
        assert done == (status, f"{value}\n", "")


def test_miner(clone: Path) -> None:
    """The miner prints its report and ends well; each of its attempts is refused, and one event of the trail."""
    audit = clone / "trail.jsonl"
    status, stdout, stderr = sandbox(clone, "run", "--audit", str(audit), "policies/miner.yaml")
    assert status == 0
    assert stdout.splitlines()[0].split() == ["Month", "Income", "Costs", "Result"]
    assert stdout.splitlines()[-1].split() == ["Year", "637,729.65", "505,894.36", "131,835.29"]
    assert len(stdout.splitlines()) == 14
    assert stderr.startswith("sandbox: 8 calls of miner were refused\n")
    with open(audit, "rb") as file:
        events = list(read_trail(lines_of(file)))
    assert [(e.sequence, e.name, e.capability, e.resource, e.exit_status) for e in events] == [
        (1, "denied", "environment", None, None),
        (2, "denied", "filesystem.read", "/root/.ssh/id_rsa", None),
        (3, "denied", "filesystem.read", "/root/.ssh/id_ed25519", None),
        (4, "denied", "filesystem.read", "/home/user/.ssh/id_rsa", None),
        (5, "denied", "filesystem.read", "/home/user/.ssh/id_ed25519", None),
        (6, "denied", "filesystem.read", "/etc/passwd", None),
        (7, "denied", "dns.resolve", "pool.minexmr.example", None),
        (8, "denied", "sockets.tcp.connect", "203.0.113.7:3333", None),
        (9, "ended", "run", None, 0),
    ]
    assert sandbox(clone, "run", "--quiet", "--strict", "policies/miner.yaml")[0] == 119


def test_report_in_python(clone: Path) -> None:
    """The report in Python, CPython and all, writes the same summary as the one in C."""
    tool = shutil.which("componentize-py", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    if tool is None:
        assert not os.environ.get("CI"), "componentize-py belongs to the development dependencies"
        pytest.skip("componentize-py is not installed")
    python = ROOT / "samples" / "report-python"
    target = python / "report-python.wasm"
    if not target.exists() or target.stat().st_mtime < max(p.stat().st_mtime for p in python.glob("*.[pw]*[yt]")):
        make = ["make", "-C", str(ROOT / "samples"), "report-python", f"COMPONENTIZE_PY={tool}"]
        subprocess.run(make, check=True, capture_output=True, timeout=300)
    shutil.copy(target, clone / "samples" / "report-python")
    assert sandbox(clone, "run", "policies/report.yaml")[0] == 0
    expected = (clone / "samples" / "out" / "summary.md").read_text()
    (clone / "samples" / "out" / "summary.md").unlink()
    assert sandbox(clone, "run", "policies/report-python.yaml") == (
        0,
        SUMMED_UP.replace("report:", "report-python:"),
        LEFT_OUT.replace("report:", "report-python:"),
    )
    assert (clone / "samples" / "out" / "summary.md").read_text() == expected
