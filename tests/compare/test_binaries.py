"""Binaries that a policy names: what a new one asks for and the old one did not, as far as both are known."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path

import pytest
from wasmtime import wat2wasm

from sandbox.cli.main import main
from sandbox.component import facts_of
from sandbox.lint.lock import locked_of, write_lock
from tests.compare.test_command import Done, Sandbox, sandbox
from tests.compare.test_git import commit, run

__all__ = ["sandbox"]  # a fixture

ROOT = Path(__file__).resolve().parents[2]


def wasm(*imports: str) -> bytes:
    """A component that imports these interfaces."""
    wanted = " ".join(f'(import "{name}" (instance))' for name in imports)
    return bytes(wat2wasm(f"(component {wanted})"))


QUIET = wasm("wasi:io/poll@0.2.3")
CONNECTS = wasm("wasi:io/poll@0.2.3", "wasi:sockets/tcp@0.2.3", "bank:payments/auth@1.0.0")
COULD = (
    "c: has another binary, which could now connect to hosts and listen, over TCP (wasi:sockets/tcp) ({place})\n"
    "c: has another binary, which could now call bank:payments/auth@1.0.0 of another component ({place})\n"
)


def digest_of(data: bytes) -> str:
    return "sha256:" + hashlib.sha256(data).hexdigest()


def policy(name: str, source: str, pinned: bytes | None = None) -> None:
    digest = "" if pinned is None else f"    digest: {digest_of(pinned)}\n"
    Path(name).write_text(f"version: 1\ncomponents:\n  c:\n    source: {source}\n{digest}", encoding="utf-8")


def told(done: Done) -> str:
    """What is said of what binaries ask for."""
    assert done.stderr == ""
    return "".join(line for line in done.stdout.splitlines(keepends=True) if "has another binary" in line)


@pytest.mark.parametrize("pinned", [False, True])
def test_two_files(sandbox: Sandbox, pinned: bool) -> None:
    """Both are read where they are; asking is no gain, and asking for less is not told."""
    Path("old.wasm").write_bytes(QUIET)
    Path("new.wasm").write_bytes(CONNECTS)
    policy("old.yaml", "old.wasm", QUIET if pinned else None)
    policy("new.yaml", "new.wasm", CONNECTS if pinned else None)
    done = sandbox("diff", "old.yaml", "new.yaml")
    assert (done.status, told(done)) == (0, COULD.format(place="new.yaml:5" if pinned else "new.yaml:4"))
    assert told(sandbox("diff", "new.yaml", "old.yaml")) == ""
    change = json.loads(sandbox("diff", "--format", "json", "old.yaml", "new.yaml").stdout)["changes"][-2]
    assert (change["kind"], change["capability"]) == ("changed", "component")


def test_one_file_that_was_replaced(sandbox: Sandbox) -> None:
    """The lock tells of the one that is no longer there, or of the one that is not there yet."""
    policy("old.yaml", "c.wasm", QUIET)
    policy("new.yaml", "./c.wasm", CONNECTS)
    Path("c.wasm").write_bytes(CONNECTS)
    assert told(sandbox("diff", "old.yaml", "new.yaml")) == ""
    write_lock(".", {"c.wasm": locked_of(facts_of("c.wasm", QUIET))})
    assert told(sandbox("diff", "old.yaml", "new.yaml")) == COULD.format(place="new.yaml:5")
    Path("c.wasm").write_bytes(QUIET)
    write_lock(".", {"c.wasm": locked_of(facts_of("c.wasm", CONNECTS))})
    assert told(sandbox("diff", "old.yaml", "new.yaml")) == COULD.format(place="new.yaml:5")
    Path("sandbox.lock").write_text("<<<<<<<")
    assert told(sandbox("diff", "old.yaml", "new.yaml")) == ""
    Path("c.wasm").write_bytes(b"damaged")
    assert told(sandbox("diff", "old.yaml", "new.yaml")) == ""


def test_a_revision(sandbox: Sandbox) -> None:
    """What was at a revision is what the lock had there; a file of today is it only where it was pinned."""
    run(Path(), "init", "--quiet", "--initial-branch", "main")
    Path("p").mkdir()
    Path("p/c.wasm").write_bytes(QUIET)
    policy("p/c.yaml", "c.wasm")
    commit(Path())
    write_lock("p", {"c.wasm": locked_of(facts_of("c.wasm", QUIET))})
    commit(Path())
    Path("p/c.wasm").write_bytes(CONNECTS)
    assert told(sandbox("diff", "--git", "main", "p")) == COULD.format(place="p/c.yaml:4")
    assert told(sandbox("diff", "--git", "main", "p/c.yaml")) == COULD.format(place="p/c.yaml:4")
    assert told(sandbox("diff", "--git", "main~1", "p")) == ""
    write_lock("p", {"c.wasm": locked_of(facts_of("c.wasm", CONNECTS))})
    Path("p/c.wasm").unlink()
    assert told(sandbox("diff", "--git", "main", "p")) == COULD.format(place="p/c.yaml:4")
    commit(Path())
    assert told(sandbox("diff", "--git", "main", "p")) == ""


def test_a_lock_that_was_a_link_is_not_followed(sandbox: Sandbox) -> None:
    """It is as if there had been none."""
    run(Path(), "init", "--quiet", "--initial-branch", "main")
    write_lock(".", {"c.wasm": locked_of(facts_of("c.wasm", QUIET))})
    Path("sandbox.lock").rename("other.lock")
    Path("sandbox.lock").symlink_to("other.lock")
    policy("c.yaml", "c.wasm")
    commit(Path())
    Path("c.wasm").write_bytes(CONNECTS)
    assert told(sandbox("diff", "--git", "main", ".")) == ""


def test_a_component_that_comes_or_goes_has_no_other_binary(sandbox: Sandbox) -> None:
    """Nor has one that names no file on a side."""
    Path("c.wasm").write_bytes(CONNECTS)
    policy("new.yaml", "c.wasm")
    Path("old.yaml").write_text("version: 1\ncomponents: {d: {}}\n")
    assert told(sandbox("diff", "old.yaml", "new.yaml")) == ""
    Path("old.yaml").write_text("version: 1\ncomponents: {c: {}}\n")
    assert told(sandbox("diff", "old.yaml", "new.yaml")) == ""


def test_the_update_of_the_samples(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The library's next version is told by what it asks for, before anything of it runs."""
    shutil.copytree(ROOT / "samples" / "supply-chain", tmp_path / "samples" / "supply-chain")
    for name in ("supply-chain.yaml", "supply-chain-1.1.yaml"):
        (tmp_path / "policies").mkdir(exist_ok=True)
        shutil.copy(ROOT / "policies" / name, tmp_path / "policies" / name)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as end:
        main(["diff", "policies/supply-chain.yaml", "policies/supply-chain-1.1.yaml"])
    lines = capsys.readouterr().out.splitlines()
    could = [line for line in lines if line.startswith("fastfmt: has another binary, which could now ")]
    assert end.value.code == 0
    assert len(could) == 14
    assert any("connect to hosts and listen, over TCP (wasi:sockets/tcp)" in line for line in could)
    assert any("open, read, write, list, rename and remove files (wasi:filesystem/types)" in line for line in could)
    assert [line for line in lines if line.startswith("report: ")] == []
