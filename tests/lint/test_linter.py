"""The linter as a whole: what it makes of any file at all, what comments do to findings, and the command."""

from __future__ import annotations

import errno
import json
import os
import shutil
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sandbox.cli.main import main
from sandbox.host import Machine
from sandbox.lint.finding import SEVERITIES
from sandbox.lint.linter import MAX_FINDINGS, Linter, lint
from sandbox.lint.paths import find_policies
from sandbox.lint.rules import all_rules
from sandbox.policy.file import READ_LIMIT
from tests.lint.specimens import component
from tests.policy.policies import FULL

ROOT = Path(__file__).resolve().parent.parent.parent
MACHINE = Machine(home="/home/ann")

PLAIN = """\
version: 1
components:
  report:
    source: report.wasm
    grants:
      filesystem:
        - {host: /, guest: /host, access: read}
    limits: {memory: 64MiB, deadline: 10s}
"""

NO_COMPONENT = "names no component: a policy grants something to at least one"

FILES = ("wasi:filesystem/types", "wasi:filesystem/preopens")

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    """The command in this process: its exit status and what it printed."""

    def ran(*arguments: str | Path) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as ended:
            main([str(argument) for argument in arguments])
        printed = capsys.readouterr()
        assert isinstance(ended.value.code, int)
        return ended.value.code, printed.out, printed.err

    return ran


def policy(directory: Path, text: str = PLAIN, imports: tuple[str, ...] = FILES) -> Path:
    """A policy and its component."""
    (directory / "report.wasm").write_bytes(component(list(imports)))
    path = directory / "policy.yaml"
    path.write_text(text, encoding="utf-8", newline="")
    return path


def told(path: Path) -> list[tuple[str, int, int, str | None]]:
    """Rule, line, column and reason to ignore it, of each finding at or above medium."""
    findings = Linter(MACHINE).file(str(path))
    return [(f.rule, f.region.line, f.region.column, f.ignored) for f in findings if f.severity != "low"]


# Any file at all.


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=300) | st.text(max_size=300).map(lambda text: text.encode("utf-8", "replace")))
def test_any_bytes_end_in_findings(data: bytes) -> None:
    """Nothing that a file may hold is more than a finding, and its place is in the file."""
    findings = Linter(MACHINE).text(data, file="policy.yaml", directory="/nowhere")
    lines = data.decode("utf-8", "replace").count("\n") + 1
    assert findings
    assert [f for f in findings if not (1 <= f.region.line <= lines and f.region.column >= 1)] == []
    assert {f.rule for f in findings} <= {rule.id for rule in all_rules()}


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.data())
def test_a_policy_that_is_damaged_anywhere_ends_in_findings(data: st.DataObject) -> None:
    """A byte of a real policy is replaced, left out or doubled: there is a result, and never an exception."""
    text = data.draw(st.sampled_from([PLAIN.encode(), json.dumps(FULL, indent=1).encode()]))
    at = data.draw(st.integers(0, len(text) - 1))
    piece = data.draw(st.binary(max_size=3))
    end = data.draw(st.integers(at, min(len(text), at + 3)))
    findings = Linter(MACHINE).text(text[:at] + piece + text[end:], file="policy.yaml", directory="/nowhere")
    assert all(f.region.line >= 1 and f.region.end_line >= f.region.line for f in findings)


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        (b"", 1, "the file is empty: a policy is a mapping with 'version' and 'components'"),
        (b"version: 1\ncomponents:\n\treport: {}\n", 3, "not valid YAML: while scanning for the next token, "),
        (b"version: 1\ncomponents: {a: \xff}\n", 2, "the byte 0xff is not UTF-8; save the file as UTF-8"),
        (b"a: &a [x]\nb: *a\n", 1, "anchors (&a) are not allowed: write the value out where it is needed"),
        (b"<<: {a: b}\n", 1, "merge keys (<<) are not allowed: write the values out"),
        (b"[" * 60, 1, "nested more than 50 levels deep"),
        (b"x" * READ_LIMIT, 1, "the file is larger than 1048576 bytes"),
        (b"a: 1\n---\nb: 2\n", 2, "a second document starts here; a file holds one"),
        (b"\0asm\x0d\0\1\0", 1, "this is WebAssembly; name a policy first (`sandbox init` drafts one)"),
    ],
)
def test_what_is_no_policy_is_a_finding_with_its_place(
    text: bytes, line: int, message: str, tmp_path: Path, run: Run
) -> None:
    """Not YAML, not UTF-8, too large, too deep, anchors, merge keys, two documents: a finding, and the status 2."""
    path = tmp_path / "policy.yaml"
    path.write_bytes(text)
    status, out, err = run("lint", path, "--format", "json")
    found = [(f["rule"], f["line"], f["message"][: len(message)]) for f in json.loads(out)["findings"]]
    assert (status, err) == (2, "")
    assert ("invalid-policy", line, message) in found


def test_billion_laughs_are_no_burden(tmp_path: Path) -> None:
    """Nothing is expanded: each anchor and alias is a finding, up to a bound."""
    lines = ["a0: &a0 [x]"] + [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 100)]
    path = tmp_path / "policy.yaml"
    path.write_text("\n".join(lines), encoding="utf-8")
    assert {rule for rule, *_ in told(path)} == {"invalid-policy"}


def test_files_that_cannot_be_read_are_findings(tmp_path: Path, run: Run) -> None:
    """A missing file, a FIFO and a socket of a name: each is said, none is waited for."""
    os.mkfifo(tmp_path / "fifo.yaml")
    status, out, err = run("lint", tmp_path / "missing.yaml", tmp_path / "fifo.yaml", "--format", "json")
    assert (status, err) == (2, "")
    assert [(f["file"], f["message"]) for f in json.loads(out)["findings"]] == [
        (str(tmp_path / "missing.yaml"), "cannot be read: No such file or directory"),
        (str(tmp_path / "fifo.yaml"), "cannot be read: it is not a regular file"),
    ]


@pytest.mark.parametrize("damage", [b"", b"\0as", b"\0asm\x0d\0\1\0\x0a\xff", b"(component)", b"\x7fELF"])
def test_a_component_that_is_none_is_a_finding(damage: bytes, tmp_path: Path, run: Run) -> None:
    """Not WebAssembly, truncated, or its text: said at the policy's `source`, with the status 2."""
    path = policy(tmp_path)
    (tmp_path / "report.wasm").write_bytes(damage)
    status, out, _ = run("lint", path, "--format", "json")
    found = [f for f in json.loads(out)["findings"] if f["unjudged"]]
    assert (status, [(f["rule"], f["line"]) for f in found]) == (2, [("unreadable-component", 4)])


def test_hostile_names_are_shown_as_escapes(tmp_path: Path, run: Run) -> None:
    """What a file is called cannot act on a terminal."""
    path = tmp_path / "\x1b[2Jpolicy.yaml"
    path.write_text("version: 2\n", encoding="utf-8")
    for shape in ("text", "github", "json", "sarif", "junit"):
        _, out, err = run("lint", path, "--format", shape)
        assert "\x1b" not in out + err


def test_findings_have_a_bound(tmp_path: Path) -> None:
    """A policy with more findings than anybody reads has so many, and one that says how many more there are."""
    grants = "".join(f"        - {{host: /, guest: /d{n}, access: read}}\n" for n in range(MAX_FINDINGS + 10))
    path = policy(tmp_path, PLAIN.replace("        - {host: /, guest: /host, access: read}\n", grants))
    findings = Linter(MACHINE).file(str(path))
    assert len(findings) == MAX_FINDINGS + 1
    assert findings[-1].message.endswith("more findings from here on are left out")


# Folders.


def test_in_folders_policies_are_found(tmp_path: Path) -> None:
    """YAML files that speak of components, misspelt or broken ones too; not what is hidden, nor of other kinds."""
    for name, text in {
        "a.yaml": "version: 1\ncomponents: {}\n",
        "b.yml": "version: 1\ncomponent:\n  x: {}\n",
        "broken.yaml": "version: 1\ncomponents: [\n",
        "flow.yaml": '{"version": 1, "components": {}}',
        "compose.yaml": "version: 3\nservices: {}\n",
        "list.yaml": "- components\n- others\n",
        "nested/deep/c.yaml": "components: {}\n",
        ".hidden/d.yaml": "components: {}\n",
        "node_modules/e.yaml": "components: {}\n",
        "f.json": '{"components": {}}',
    }.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text, encoding="utf-8")
    (tmp_path / "loop").symlink_to(tmp_path)
    found = find_policies([str(tmp_path), str(tmp_path / "list.yaml"), str(tmp_path / "a.yaml")])

    def short(paths: tuple[str, ...]) -> list[str]:
        return [str(Path(path).relative_to(tmp_path)) for path in paths]

    wanted = ["a.yaml", "b.yml", "broken.yaml", "flow.yaml", "nested/deep/c.yaml", "list.yaml"]
    assert (short(found.files), short(found.skipped)) == (wanted, ["compose.yaml"])


@pytest.fixture
def deepest(tmp_path: Path) -> Iterator[Path]:
    """A folder inside more folders than calls may be nested in. What takes folders away by calling itself could not."""
    folder = str(tmp_path)
    for _ in range(sys.getrecursionlimit() + 100):
        folder += "/d"
        os.mkdir(folder)
    yield Path(folder)
    for name in os.listdir(folder):
        os.unlink(f"{folder}/{name}")
    while folder != str(tmp_path):
        os.rmdir(folder)
        folder = os.path.dirname(folder)


def test_folders_may_be_nested_deeper_than_functions(deepest: Path, tmp_path: Path, run: Run) -> None:
    """A policy at the bottom is found, by whichever command looks for policies."""
    path = deepest / "policy.yaml"
    path.write_text("version: 1\ncomponents: {}\n", encoding="utf-8")
    status, out, err = run("lint", tmp_path)
    assert (status, out.splitlines()[0], err) == (2, f"{path}:2:1: high[invalid-policy]: {NO_COMPONENT}", "")
    assert run("lock", tmp_path)[2] == f"sandbox: {path}:2:1: components: {NO_COMPONENT}\n"


@pytest.mark.parametrize("folder", [".", "policies"])
def test_a_folder_that_cannot_be_listed_is_a_finding(
    folder: str, tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody knows whether a policy is in it, so it is no success; what else there is is judged."""
    policy(tmp_path)
    closed = tmp_path / "policies" / "closed"
    closed.mkdir(parents=True)
    scan, read = os.scandir, os.open

    def refusing(call: Callable[..., Any]) -> Callable[..., Any]:
        def refuse(path: Any, *rest: Any, **more: Any) -> Any:
            if os.fspath(path) == str(closed):
                raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), path)
            return call(path, *rest, **more)

        return refuse

    monkeypatch.setattr("os.scandir", refusing(scan))
    monkeypatch.setattr("os.open", refusing(read))
    status, out, _ = run("lint", tmp_path / folder)
    assert status == 2
    assert f"{closed}:1:1: high[invalid-policy]: cannot be read: Permission denied" in out.splitlines()
    assert ("high[grants-root]" in out) is (folder == ".")


def test_names_do_nothing_to_a_runner_of_continuous_integration(
    tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it would take for a command is spelled out, on standard error too."""
    monkeypatch.chdir(tmp_path)
    name = "##vso[task.complete]"
    (tmp_path / name).mkdir()
    policy(tmp_path / name, PLAIN.replace("    limits: {memory: 64MiB, deadline: 10s}\n", ""))
    shown = "#\\x23vso[task.complete]"
    assert run("lint", "--fix", name)[2].splitlines()[0].startswith(f"sandbox: {shown}/policy.yaml:3:3: ")
    (tmp_path / name / "policy.yaml").unlink()
    for command in ("lint", "lock"):
        assert run(command, name)[2] == (
            f"sandbox: no policy was found in {shown}: a policy is a YAML file with `components`\n"
        )
    assert run("lock", f"{name}.yaml") == (
        2,
        "sandbox.lock: could not be judged, and is left as it is\n",
        f"sandbox: {shown}.yaml:1:1: cannot be read: No such file or directory\n",
    )


def test_exceptions_without_number_are_no_burden(tmp_path: Path) -> None:
    """What is looked at in a directory shrinks with what a policy excepts, so that both together stay within bounds."""
    (tmp_path / "data").mkdir()
    for number in range(300):
        (tmp_path / "data" / f"{number:03}.key").touch()
    excepted = ", ".join(f"'**/x{number}*y*z*/**'" for number in range(9000))
    grant = f"        - {{host: data, guest: /d, access: read, except: [{excepted}]}}\n"
    path = policy(tmp_path, PLAIN.replace("        - {host: /, guest: /host, access: read}\n", grant))
    before = time.process_time()
    found = Linter(MACHINE).file(str(path))
    assert time.process_time() - before < 8
    assert {finding.rule: finding.severity for finding in found}["holds-credentials"] == "high"


def test_a_folder_without_a_policy_is_no_success(tmp_path: Path, run: Run) -> None:
    """A misspelt folder in a workflow must not pass."""
    assert run("lint", tmp_path) == (
        2,
        "",
        f"sandbox: no policy was found in {tmp_path}: a policy is a YAML file with `components`\n",
    )


def test_a_line_that_holds_a_secret_is_not_shown_though_the_policy_does_not_load(tmp_path: Path, run: Run) -> None:
    """Neither the rule about secrets nor any other has looked at it."""
    key = "AKIA" + "ABCDEFGHIJKLMNOP"
    path = policy(
        tmp_path, f"version: 1\ncomponents: {{a: {{grants: {{environment: {{set: {{K: {key}, 1: 2}}}}}}}}}}\n"
    )
    status, out, err = run("lint", path)
    assert (status, err, key in out, "invalid-policy" in out) == (2, "", False, True)


# Comments.


def test_an_ignored_finding_is_counted_and_does_not_fail(tmp_path: Path, run: Run) -> None:
    """Behind the thing or above it, with a reason: the finding is kept, as ignored."""
    text = PLAIN.replace("access: read}", "access: read} # sandbox: ignore[grants-root] a backup needs all")
    text = text.replace("    source:", "    # sandbox: ignore[unpinned-component] built on demand\n    source:")
    path = policy(tmp_path, text)
    assert told(path) == [
        ("unpinned-component", 5, 5, "built on demand"),
        ("grants-root", 8, 18, "a backup needs all"),
    ]
    status, out, _ = run("lint", path)
    assert (status, out) == (0, "no findings in 1 policy; 2 are ignored\n")


def test_an_ignore_without_a_reason_ignores_nothing(tmp_path: Path) -> None:
    """The finding stays, and there is one more."""
    path = policy(tmp_path, PLAIN.replace("access: read}", "access: read} # sandbox: ignore[grants-root]"))
    assert told(path) == [
        ("unpinned-component", 4, 5, None),
        ("grants-root", 7, 18, None),
        ("ignore-without-reason", 7, 49, None),
    ]


def test_an_invalid_policy_cannot_be_ignored(tmp_path: Path) -> None:
    """What nobody could judge is not ignored by a comment in it."""
    path = policy(tmp_path, "version: 2 # sandbox: ignore[invalid-policy] soon\n")
    assert told(path) == [("invalid-policy", 1, 1, None)]


# The command.


@pytest.mark.parametrize(("severity", "status"), [("low", 1), ("medium", 1), ("high", 0)])
def test_the_threshold_decides_the_status(severity: str, status: int, tmp_path: Path, run: Run) -> None:
    """1 where a finding is at or above it."""
    text = PLAIN.replace("host: /,", "host: ./data,")
    (tmp_path / "data").mkdir()
    assert run("lint", policy(tmp_path, text), "--min-severity", severity)[0] == status


def test_sarif_is_delivered_unless_asked_to_fail(tmp_path: Path, run: Run) -> None:
    """0 once the findings are in the file; with --fail as with any other format."""
    path, out = policy(tmp_path), tmp_path / "out.sarif"
    assert run("lint", path, "--format", "sarif", "--output", out) == (0, "", "")
    results = json.loads(out.read_text(encoding="utf-8"))["runs"][0]["results"]
    assert [result["ruleId"] for result in results] == ["sandbox/unpinned-component", "sandbox/grants-root"]
    assert run("lint", path, "--format", "sarif", "--output", out, "--fail")[0] == 1


def test_output_that_cannot_be_written_is_said(tmp_path: Path, run: Run) -> None:
    """No file, no success."""
    wanted = tmp_path / "missing" / "out"
    expected = f"sandbox: {wanted} cannot be written: No such file or directory\n"
    assert run("lint", policy(tmp_path), "--output", wanted) == (2, "", expected)


def test_fixing_says_what_it_did_and_again_does_nothing(tmp_path: Path, run: Run) -> None:
    """--fix=unsafe pins the component; the file keeps its mode; the second time nothing is done."""
    path = policy(tmp_path, PLAIN.replace("host: /,", "host: ./data,"))
    (tmp_path / "data").mkdir()
    path.chmod(0o640)
    status, out, err = run("lint", "--fix=unsafe", path)
    assert (status, out) == (0, "no findings in 1 policy\n")
    assert err == f"sandbox: {path}:4:5: unpinned-component: pin the digest of the file as it is now\n"
    assert "    limits: {memory: 64MiB, deadline: 10s}\n    digest: sha256:" in path.read_text(encoding="utf-8")
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    assert run("lint", "--fix=unsafe", path) == (0, "no findings in 1 policy\n", "")


def test_rules_and_explain_show_every_rule(run: Run) -> None:
    """The list has each rule once, and each has its page."""
    status, out, _ = run("rules")
    assert (status, [line.split()[0] for line in out.splitlines()]) == (0, [rule.id for rule in all_rules()])
    assert {line.split()[1] for line in out.splitlines()} <= set(SEVERITIES)
    for rule in all_rules():
        assert run("explain", rule.id)[1].startswith(f"# {rule.id}\n")
    expected = "sandbox: there is no rule 'grant-root' (did you mean 'grants-root'?); `sandbox rules` lists them\n"
    assert run("explain", "grant-root") == (2, "", expected)
    assert run("explain", "../../../etc/passwd")[0] == 2


def test_the_project_lints_its_own_policies(tmp_path: Path) -> None:
    """policies/ is clean, whatever is fetched or built here; and so are drafts of policies for the samples."""
    found = find_policies([str(ROOT / "policies"), str(ROOT / "samples")])
    assert len(found.files) >= 10
    findings = lint(found, MACHINE).findings
    assert [str(f) for f in findings if f.ignored is None and f.severity != "low"] == []


def test_the_project_lints_its_policies_where_nothing_was_fetched_or_built(tmp_path: Path) -> None:
    """A fresh clone has neither others' programs nor what is built on demand: then the lock is what is judged."""
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True)
    for name in listed.stdout.split("\n"):
        if name.startswith(("policies/", "samples/", "tests/guests/programs/")) and (ROOT / name).exists():
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, tmp_path / name)
    findings = lint(find_policies([str(tmp_path / "policies")]), MACHINE).findings
    assert [str(f) for f in findings if f.ignored is None and f.severity != "low"] == []


def test_the_command_as_a_process_of_its_own(tmp_path: Path) -> None:
    """`python -m sandbox lint` prints the same, without colours where there is no terminal."""
    path = policy(tmp_path)
    ran = subprocess.run(
        [sys.executable, "-m", "sandbox", "lint", "policy.yaml"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (ran.returncode, ran.stderr, path.exists()) == (1, "", True)
    assert ran.stdout.splitlines()[0].startswith("policy.yaml:4:5: medium[unpinned-component]: ")
    assert "\x1b" not in ran.stdout
