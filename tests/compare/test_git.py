"""Files at a revision: found by path, read whole, and nothing run that the repository names."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from sandbox.compare import git
from sandbox.compare.git import GitError, files_at, read_at
from sandbox.policy.file import READ_LIMIT


def run(folder: Path, *arguments: str) -> str:
    line = ["git", "-c", "user.name=n", "-c", "user.email=e@example.com", "-c", "commit.gpgsign=false", *arguments]
    return subprocess.run(line, cwd=folder, check=True, capture_output=True, text=True).stdout


def commit(folder: Path) -> None:
    run(folder, "add", "-A")
    run(folder, "commit", "-q", "-m", "x")


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    root = tmp_path / "repository"
    (root / "sub" / "deep").mkdir(parents=True)
    run(root, "init", "-q", "-b", "main")
    (root / "a.yaml").write_text("a\n")
    (root / "sub" / "b.yaml").write_text("b\n")
    (root / "sub" / "deep" / "c\nd.yaml").write_text("c\n")
    (root / "sub" / "link.yaml").symlink_to("b.yaml")
    commit(root)
    return root


def found(revision: str, *paths: str | Path) -> list[tuple[str, bool, str]]:
    """Path, whether it was named itself, and text."""
    files = files_at(revision, [str(path) for path in paths])
    return [(file.path, file.below == ".", "link" if file.link else read_at(file).decode()) for file in files]


def test_files_and_folders(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Files below a folder, or the file itself, by the path from where the caller is, however the names are spelled."""
    sub = [
        ("sub/b.yaml", False, "b\n"),
        ("sub/deep/c\nd.yaml", False, "c\n"),
        ("sub/link.yaml", False, "link"),
    ]
    monkeypatch.chdir(repository)
    assert found("main", "sub") == found("HEAD", "sub/", "./sub") == sub
    assert found("main", ".") == [("a.yaml", False, "a\n"), *sub]
    assert found("main", "a.yaml", "nothing.yaml", "no/such/folder") == [("a.yaml", True, "a\n")]
    monkeypatch.chdir(repository / "sub" / "deep")
    assert found("main", "../../a.yaml", "..") == [
        ("../../a.yaml", True, "a\n"),
        *((os.path.join("..", path[4:]), named, text) for path, named, text in sub),
    ]
    assert found("main", repository / "a.yaml") == [(str(repository / "a.yaml"), True, "a\n")]


def test_what_is_gone_now(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder that is no longer there is found at the revision where it was."""
    monkeypatch.chdir(repository)
    run(repository, "rm", "-q", "-r", "sub")
    commit(repository)
    assert found("main", "sub") == []
    assert found("main~1", "sub/deep/") == [("sub/deep/c\nd.yaml", False, "c\n")]


def test_no_more_than_a_policy_may_have_is_read(repository: Path) -> None:
    """Of a large file no more is taken than shows that it is too large."""
    (repository / "large.yaml").write_bytes(b"x" * (READ_LIMIT * 3))
    commit(repository)
    (file,) = files_at("HEAD", [str(repository / "large.yaml")])
    assert read_at(file) == b"x" * READ_LIMIT


@pytest.mark.parametrize(
    "revision", ["nothing", "", "--help", "-h", "main\0", "main\nmain", "HEAD:a.yaml", "main..HEAD"]
)
def test_no_revision(repository: Path, revision: str) -> None:
    """What is no commit is refused in a sentence, and is never an option."""
    with pytest.raises(GitError) as caught:
        files_at(revision, [str(repository)])
    assert str(caught.value) == (
        f"{revision!r} is no revision of the Git repository that holds {repository}; was it fetched?"
    )


def test_no_repository(repository: Path, tmp_path: Path) -> None:
    """A folder that is in no repository, or in the inside of one, is refused in a sentence."""
    for folder in (tmp_path, repository / ".git" / "hooks"):
        with pytest.raises(GitError, match=r"is in no work tree of Git, or in one that Git does not trust here"):
            files_at("main", [str(folder)])


def test_no_git(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without git that is said."""
    monkeypatch.setenv("PATH", "/nonexistent")
    with pytest.raises(GitError, match=r"^git is not installed here, or not found on PATH$"):
        files_at("main", [str(repository)])


def test_git_that_hangs(repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An answer that does not come is not waited for."""
    fake = tmp_path / "bin"
    fake.mkdir()
    (fake / "git").write_text("#!/bin/sh\nexec sleep 60\n")
    (fake / "git").chmod(0o755)
    monkeypatch.setenv("PATH", f"{fake}:{os.environ['PATH']}")
    monkeypatch.setattr(git, "SECONDS", 0.2)
    with pytest.raises(GitError, match=r"^git took longer than 0\.2 s$"):
        files_at("main", [str(repository)])


def test_an_outer_git_does_not_say_where(repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Variables that a hook or another command of Git leaves behind do not lead elsewhere."""
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "elsewhere"))
    monkeypatch.setenv("GIT_INDEX_FILE", "/nonexistent")
    assert found("main", repository / "a.yaml") == [(str(repository / "a.yaml"), True, "a\n")]


def test_nothing_of_the_repository_is_run(repository: Path, tmp_path: Path) -> None:
    """Whatever a repository configures to be run, for reading, showing or fetching, is not."""
    ran = tmp_path / "ran"
    script = tmp_path / "script"
    script.write_text(f"#!/bin/sh\necho $0 $@ >> {ran}\nexit 1\n")
    script.chmod(0o755)
    (repository / ".gitattributes").write_text("* diff=x filter=x text\n")
    commit(repository)
    hooks = repository / ".git" / "hooks"
    for hook in ("post-index-change", "post-checkout", "reference-transaction", "pre-auto-gc"):
        (hooks / hook).write_text(script.read_text())
        (hooks / hook).chmod(0o755)
    blob = run(repository, "rev-parse", "HEAD:sub/b.yaml").strip()
    for key in (
        *("core.fsmonitor", "core.pager", "pager.ls-tree", "pager.cat-file", "pager.rev-parse", "core.sshCommand"),
        *("diff.x.textconv", "diff.external", "filter.x.smudge", "filter.x.clean", "filter.x.process"),
        *(
            "core.editor",
            "core.askPass",
            "credential.helper",
            "gpg.program",
            "core.gitProxy",
            "uploadpack.packObjectsHook",
        ),
        *("alias.ls-tree", "alias.cat-file", "core.alternateRefsCommand", "remote.origin.uploadpack"),
    ):
        run(repository, "config", key, f"!{script}" if key.startswith("alias") else str(script))
    for key, value in {
        "core.hooksPath": str(hooks),
        "remote.origin.url": f"ext::{script}",
        "remote.origin.promisor": "true",
        "remote.origin.partialclonefilter": "blob:none",
        "extensions.partialClone": "origin",
        "core.repositoryformatversion": "1",
        "protocol.allow": "always",
        "protocol.ext.allow": "always",
    }.items():
        run(repository, "config", key, value)
    ran.unlink(missing_ok=True)
    assert found("main", repository / "a.yaml") == [(str(repository / "a.yaml"), True, "a\n")]
    # The object is not here any more: a partial clone would fetch it.
    (repository / ".git" / "objects" / blob[:2] / blob[2:]).unlink()
    (file,) = files_at("main", [str(repository / "sub" / "b.yaml")])
    with pytest.raises(GitError, match=r"Git does not have this file here; a shallow or partial clone lacks some$"):
        read_at(file)
    assert not ran.exists()


def test_an_object_that_another_one_replaces(repository: Path) -> None:
    """A replacement that the repository asks for is not taken: a revision says what it said."""
    blobs = [run(repository, "rev-parse", f"HEAD:{path}").strip() for path in ("a.yaml", "sub/b.yaml")]
    run(repository, "replace", *blobs)
    assert found("main", repository / "a.yaml") == [(str(repository / "a.yaml"), True, "a\n")]
