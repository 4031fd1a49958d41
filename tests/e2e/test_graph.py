"""``sandbox graph``: its formats, and what it says where there is nothing to draw."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from sandbox.cli.main import main
from sandbox.report.graph import graph_data, graph_mermaid
from sandbox.report.graph_svg import graph_svg
from tests.report.graphs import PAYMENTS, payments


@pytest.fixture
def policy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A policy with imports; none of its components exists."""
    monkeypatch.chdir(tmp_path)
    Path("policy.yaml").write_text(PAYMENTS, encoding="utf-8")
    return "policy.yaml"


def graph(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int | str | None, str, str]:
    """The status of ``sandbox graph ARGUMENTS``, and what it writes to both streams."""
    with pytest.raises(SystemExit) as ended:
        main(["graph", *arguments])
    written = capsys.readouterr()
    return ended.value.code, written.out, written.err


def test_a_tree(policy: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Of all programs, or of that of one component."""
    status, out, err = graph(capsys, policy)
    assert (status, out.splitlines()[:2], err) == (0, ["app (runs)", "│  granted: stdout"], "")
    tree = (
        "ledger\n"
        "│  granted: writes /db (./ledger)\n"
        "│  can reach through auth: reads /keys\n"
        "└─ auth (shared instance)\n"
        "      by bank:payments/auth, only validate-user\n"
        "      granted: reads /keys (./keys, except *.pem)\n"
    )
    assert graph(capsys, policy, "--component", "ledger") == (0, tree, "")


def test_other_formats(policy: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Each is what its renderer makes of the same graph."""
    drawn = payments()
    assert graph(capsys, policy, "--format", "mermaid") == (0, graph_mermaid(drawn), "")
    assert graph(capsys, policy, "--format", "svg") == (0, graph_svg(drawn), "")
    assert graph(capsys, policy, "--format", "json") == (0, graph_data(drawn), "")


def test_a_component_that_there_is_not(policy: str, capsys: pytest.CaptureFixture[str]) -> None:
    """The ones that there are, and status 2."""
    told = "sandbox: policy.yaml has no component 'mint'; it has auth, ledger, notify, app\n"
    assert graph(capsys, policy, "--component", "mint") == (2, "", told)


def test_a_policy_that_is_refused(policy: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Every fault with its place, and status 2; nothing is drawn."""
    Path(policy).write_text(
        "version: 1\ncomponents:\n  a: {imports: {'x:y/z': a}}\n  b: {grant: {}}\n", encoding="utf-8"
    )
    told = (
        'sandbox: policy.yaml:3:17: components.a.imports["x:y/z"]: a component cannot serve its own import\n'
        "sandbox: policy.yaml:4:7: components.b.grant: unknown key (did you mean 'grants'?)\n"
    )
    assert graph(capsys, policy) == (2, "", told)
    assert graph(capsys, "no.yaml") == (2, "", "sandbox: no.yaml:1:1: cannot be read: No such file or directory\n")


def test_usage(capsys: pytest.CaptureFixture[str]) -> None:
    """Without a policy, or with a format that there is not: status 2."""
    for arguments in ((), ("p.yaml", "--format", "png")):
        status, out, err = graph(capsys, *arguments)
        assert (status, out) == (2, "")
        assert err.startswith("usage: sandbox graph [-h]")


def test_a_stream_that_cannot_take_every_character(tmp_path: Path) -> None:
    """The tree is drawn in what it can take, and other characters are escaped."""
    policy = tmp_path / "policy.yaml"
    data = {
        "version": 1,
        "components": {"app": {"grants": {"filesystem": [{"host": "./é", "guest": "/é", "access": "read"}]}}},
    }
    policy.write_text(json.dumps(data), encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-m", "sandbox", "graph", str(policy)],
        cwd=Path(__file__).resolve().parent.parent.parent,
        env={**os.environ, "PYTHONIOENCODING": "ascii"},
        capture_output=True,
        check=False,
        timeout=60,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, b"app\n   granted: reads /\\xe9 (./\\xe9)\n", b"")
