"""``sandbox diff``: two files, or a work tree against a revision; exit statuses; and input that is no policy."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

from sandbox.cli.main import main
from tests.compare.test_git import commit, run

OLD = """\
version: 1
components:
  report:
    grants:
      filesystem:
        - {host: in, guest: /in, access: read}
      arguments: inherit
"""
NEW = """\
version: 1
components:
  report: # reordered
    grants:
      arguments: inherit
      sockets: {tcp: {connect: ["*.example.com:443"]}}
      filesystem:
        - {host: ./in, guest: /in, access: read}
"""
CONNECTS = "report: can now connect to *.example.com:443"


class Done(NamedTuple):
    status: int
    stdout: str
    stderr: str


Sandbox = Callable[..., Done]


@pytest.fixture
def sandbox(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Sandbox:
    """``sandbox ARGUMENTS`` in a folder of its own."""
    monkeypatch.chdir(tmp_path)

    def call(*arguments: str) -> Done:
        with pytest.raises(SystemExit) as end:
            main(arguments)
        assert isinstance(end.value.code, int)
        return Done(end.value.code, *capsys.readouterr())

    return call


def write(**files: str) -> None:
    for name, text in files.items():
        Path(f"{name}.yaml").write_text(text, encoding="utf-8")


def test_two_files(sandbox: Sandbox) -> None:
    """A gain is told with its place and is status 1; the way back, and the same twice, are status 0."""
    write(old=OLD, new=NEW)
    assert sandbox("diff", "old.yaml", "new.yaml") == (
        1,
        f"{CONNECTS} (new.yaml:6)\n1 gained, 0 lost, 0 changed in 1 policy\n",
        "",
    )
    assert sandbox("diff", "new.yaml", "old.yaml") == (
        0,
        "report: can no longer connect to *.example.com:443 (new.yaml:6)\n0 gained, 1 lost, 0 changed in 1 policy\n",
        "",
    )
    assert sandbox("diff", "old.yaml", "old.yaml") == (0, "0 gained, 0 lost, 0 changed in 1 policy\n", "")


def test_formats_have_one_status(sandbox: Sandbox) -> None:
    """The status does not depend on the format."""
    write(old=OLD, new=NEW)
    done = sandbox("diff", "--format", "json", "old.yaml", "new.yaml")
    assert (done.status, done.stderr) == (1, "")
    assert json.loads(done.stdout)["changes"] == [
        {
            "kind": "gained",
            "component": "report",
            "capability": "sockets.tcp.connect",
            "text": "can now connect to *.example.com:443",
            "file": "new.yaml",
            "line": 6,
            "column": 33,
        }
    ]
    done = sandbox("diff", "--format", "markdown", "old.yaml", "new.yaml")
    assert (done.status, done.stdout.splitlines()[-1]) == (1, f"- **gained**: `{CONNECTS}` (`new.yaml:6`)")


def test_relative_paths_are_those_of_the_new_file(sandbox: Sandbox) -> None:
    """Two versions of one file are compared, wherever the old one was put."""
    Path("was").mkdir()
    Path("was/old.yaml").write_text(OLD)
    write(old=OLD)
    assert sandbox("diff", "was/old.yaml", "old.yaml") == (0, "0 gained, 0 lost, 0 changed in 1 policy\n", "")


def test_every_fault_of_both_sides_is_told(sandbox: Sandbox) -> None:
    """What is wrong with either file is status 2, and all of it is said; nothing is compared."""
    write(old="version: 1\ncomponents:\n  c: {grant: {}}\n", new="version: 2\ncomponents: {}\n")
    done = sandbox("diff", "old.yaml", "new.yaml")
    assert (done.status, done.stdout) == (2, "")
    assert done.stderr == (
        "sandbox: old.yaml:3:7: components.c.grant: unknown key (did you mean 'grants'?)\n"
        "sandbox: new.yaml:1:1: version: must be 1, the only version of the language, not the number 2\n"
    )


def test_usage(sandbox: Sandbox) -> None:
    """Two policies, or a revision: anything else is told to be no use."""
    write(old=OLD)
    for arguments in ([], ["old.yaml"], ["old.yaml"] * 3, ["old.yaml", "old.yaml", "--format", "xml"]):
        done = sandbox("diff", *arguments)
        assert (done.status, done.stdout, done.stderr.startswith("usage: ")) == (2, "", True)


HOSTILE_NAME = "new\n\x1b[2J@all`.yaml"


def bad(kind: str, path: Path) -> None:
    """Put something that is no policy at ``path``."""
    if kind == "directory":
        path.mkdir()
    elif kind == "fifo":
        os.mkfifo(path)
    elif kind == "huge":
        with open(path, "wb") as file:
            file.truncate(100 * 1024 * 1024)
    elif kind == "loop":
        path.symlink_to(path.name)
    elif kind != "missing":
        path.write_bytes(
            {
                "text": b"components: [",
                "bytes": b"version: 1\ncomponents: \xff\xfe\n",
                "bomb": b"a: &a [x]\nb: &b [*a, *a]\nc: [*b, *b]\n",
                "deep": b"[" * 5000,
                "tab": b"version: 1\n\tcomponents: {}\n",
                "wasm": b"\0asm\1\0\0\0",
                "empty": b"",
                "list": b"- 1\n",
            }[kind]
        )


KINDS = [
    "directory",
    "fifo",
    "huge",
    "loop",
    "missing",
    "text",
    "bytes",
    "bomb",
    "deep",
    "tab",
    "wasm",
    "empty",
    "list",
]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("side", [0, 1])
def test_what_is_no_policy(sandbox: Sandbox, kind: str, side: int) -> None:
    """Whatever is in place of either policy is a sentence about it, never a stack trace, and status 2."""
    write(old=OLD)
    bad(kind, Path(HOSTILE_NAME))
    names = ["old.yaml", "old.yaml"]
    names[side] = HOSTILE_NAME
    done = sandbox("diff", *names)
    assert (done.status, done.stdout) == (2, "")
    assert {line.startswith("sandbox: new\\n\\x1b[2J@all`.yaml:") for line in done.stderr.splitlines()} == {True}


def test_hostile_names_are_shown_escaped(sandbox: Sandbox) -> None:
    """A path that would act on a terminal is escaped where it is the place of a change."""
    Path(HOSTILE_NAME).write_text(NEW)
    write(old=OLD)
    assert sandbox("diff", "old.yaml", HOSTILE_NAME).stdout.splitlines()[0] == (
        f"{CONNECTS} (new\\n\\x1b[2J@all`.yaml:6)"
    )


def test_too_many_directories(sandbox: Sandbox) -> None:
    """What cannot be compared is status 2 too."""
    grants = "".join(f"\n        - {{host: h{n}, guest: /g{n}, access: read}}" for n in range(129))
    write(old=OLD, new=f"version: 1\ncomponents:\n  report:\n    grants:\n      filesystem:{grants}\n")
    assert sandbox("diff", "old.yaml", "new.yaml") == (
        2,
        "",
        "sandbox: report: more than 128 directories are granted, with which nothing runs\n",
    )


@pytest.fixture
def repository(sandbox: Sandbox) -> Sandbox:
    """A repository with the policies ``policies/a.yaml`` and ``policies/b.yaml`` at ``main``, and other YAML."""
    Path("policies").mkdir()
    os.chdir("policies")
    write(a=OLD, b=OLD, other="key: value\n")
    os.chdir("..")
    run(Path(), "init", "-q", "-b", "main")
    commit(Path())
    return sandbox


def test_against_a_revision(repository: Sandbox) -> None:
    """Policies by path: those that changed, that are new, and that are gone; other YAML files are none."""
    assert repository("diff", "--git", "main", "--", "policies") == (
        0,
        "0 gained, 0 lost, 0 changed in 2 policies\n",
        "",
    )
    Path("policies/a.yaml").write_text(NEW)
    Path("policies/b.yaml").unlink()
    Path("policies/c.yml").write_text("version: 1\ncomponents: {new: {}}\n")
    Path("policies/more.yaml").write_text("key: value\n")
    done = repository("diff", "--git", "main", "--", "policies")
    assert (done.status, done.stderr) == (1, "")
    assert done.stdout == (
        f"{CONNECTS} (policies/a.yaml:6)\n"
        "new: is new (policies/c.yml:2)\n"
        "report: is gone, with all that it was granted (main:policies/b.yaml:3)\n"
        "2 gained, 1 lost, 0 changed in 3 policies\n"
    )
    assert repository("diff", "--git", "main", "--", "policies/a.yaml", "policies/b.yaml").stdout.splitlines()[-1] == (
        "1 gained, 1 lost, 0 changed in 2 policies"
    )
    commit(Path())
    assert repository("diff", "--git", "HEAD", "--", "policies").status == 0
    assert repository("diff", "--git", "HEAD~1").status == 1


def test_a_file_that_was_no_policy(repository: Sandbox) -> None:
    """A policy where there was other YAML is new; other YAML where there was a policy leaves that gone."""
    Path("policies/other.yaml").write_text(OLD)
    Path("policies/a.yaml").write_text("key: value\n")
    done = repository("diff", "--git", "main", "--", "policies")
    assert done.stdout.splitlines()[:2] == [
        "report: is new (policies/other.yaml:3)",
        "report: can now read /in, which is in (policies/other.yaml:6)",
    ]
    assert "report: is gone, with all that it was granted (main:policies/a.yaml:3)" in done.stdout.splitlines()


def test_folders_that_policies_are_not_looked_for_in(repository: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    """A hidden folder below the one that is named is left out on both sides; above it, it means nothing."""
    Path("policies/.hidden/in").mkdir(parents=True)
    Path("policies/.hidden/in/d.yaml").write_text(OLD)
    commit(Path())
    Path("policies/.hidden/in/d.yaml").unlink()
    assert repository("diff", "--git", "HEAD", "--", "policies").stdout == "0 gained, 0 lost, 0 changed in 2 policies\n"
    monkeypatch.chdir("policies/.hidden")
    assert repository("diff", "--git", "HEAD", "--", "../.hidden").stdout == (
        "report: is gone, with all that it was granted (HEAD:../.hidden/in/d.yaml:3)\n"
        "0 gained, 1 lost, 0 changed in 1 policy\n"
    )


def test_links_at_a_revision(repository: Sandbox) -> None:
    """A symbolic link is not followed at a revision."""
    Path("policies/link.yaml").symlink_to("a.yaml")
    commit(Path())
    assert repository("diff", "--git", "HEAD", "--", "policies") == (
        2,
        "",
        "sandbox: policies/link.yaml: it was a symbolic link at 'HEAD', which is not followed there\n",
    )


def test_faults_at_a_revision(repository: Sandbox) -> None:
    """What cannot be read at the revision, or now, is told with the side that it is on."""
    Path("policies/a.yaml").write_text("components: {a: 1}\n")
    commit(Path())
    Path("policies/a.yaml").write_text(OLD)
    Path("policies/b.yaml").write_text("components: [\n")
    done = repository("diff", "--git", "HEAD", "--", "policies")
    assert (done.status, done.stdout) == (2, "")
    assert [line.split(": ")[1] for line in done.stderr.splitlines()] == [
        "HEAD:policies/a.yaml:1:1",
        "HEAD:policies/a.yaml:1:14",
        "policies/b.yaml:2:1",
    ]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--git", "nothing"], "'nothing' is no revision of the Git repository that holds .; was it fetched?"),
        (
            ["--git", "main\x1b\n", "--", "."],
            "'main\\x1b\\n' is no revision of the Git repository that holds .; was it fetched?",
        ),
        (
            ["--git", "main", "--", "/dev"],
            "/dev is in no work tree of Git, or in one that Git does not trust here (safe.directory)",
        ),
        (["--git", "main", "--", "x\ny.yaml"], "x\\ny.yaml: there is no such file, neither now nor at 'main'"),
        (["--git", "main", "--", "empty"], "no policy was found in 'empty', neither now nor at 'main'"),
    ],
)
def test_what_git_does_not_have(repository: Sandbox, arguments: list[str], message: str) -> None:
    """Revisions, repositories and files that are not there are a sentence and status 2."""
    Path("empty").mkdir()
    assert repository("diff", *arguments) == (2, "", f"sandbox: {message}\n")


def test_as_a_process(tmp_path: Path) -> None:
    """The command as it is installed: output, status, and a reader that is gone."""
    (tmp_path / "old.yaml").write_text(OLD)
    (tmp_path / "new.yaml").write_text(NEW)
    line = [sys.executable, "-m", "sandbox", "diff", str(tmp_path / "old.yaml"), str(tmp_path / "new.yaml")]
    done = subprocess.run(line, check=False, capture_output=True, text=True, timeout=60)
    place = tmp_path / "new.yaml"
    assert (done.returncode, done.stdout, done.stderr) == (
        1,
        f"{CONNECTS} ({place}:6)\n1 gained, 0 lost, 0 changed in 1 policy\n",
        "",
    )
    reader, writer = os.pipe()
    os.close(reader)
    try:
        done = subprocess.run(line, check=False, stdout=writer, stderr=subprocess.PIPE, text=True, timeout=60)
    finally:
        os.close(writer)
    assert (done.returncode, done.stderr) == (141, "")
