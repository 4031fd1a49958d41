"""``except`` holds, whichever way a guest or the host goes about it."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from tests.e2e.harness import (
    ABOVE_EXCEPTION,
    ABOVE_GRANT,
    EXCEPTED,
    HARD_LINK,
    LEADS_OUT,
    LINK,
    Attempt,
    directory,
    read,
    snapshot,
    write,
)


def tree(root: Path) -> Path:
    """A directory to grant in which much is excepted, with links that the host planted to what is."""
    granted = root / "g"
    for name, text in {
        ".git/config": "config",
        "sub/.git/hook": "hook",
        "sub/ok": "ok",
        "id.key": "key",
        "ID.KEY": "KEY",
        "plain": "plain",
        "a/x/b": "b",
        "a/x/c": "c",
        "secret/s": "s",
        "v1": "1",
        "vx": "x",
        "d/f": "f",
    }.items():
        (granted / name).parent.mkdir(parents=True, exist_ok=True)
        (granted / name).write_text(text)
    for name, target in {
        "to-git": ".git",
        "to-config": ".git/config",
        "to-key": "id.key",
        "to-sub": "sub",
        "to-plain": "plain",
        "to-parent": "..",
        "to-nothing": "nothing",
        "sub/up": "../secret",
    }.items():
        os.symlink(target, granted / name)
    return granted


GLOBS = ["**/.git/**", "*.key", "a/*/b", "secret", "v[!0-9]"]


NAMED = [
    Attempt("read /g/.git/config", "errno EACCES", (read("/g/.git/config", EXCEPTED),)),
    Attempt("list /g/.git", "errno EACCES", (read("/g/.git", EXCEPTED),)),
    Attempt("stat /g/.git", "errno EACCES", (read("/g/.git", EXCEPTED),)),
    Attempt("stat /g/.git/config", "errno EACCES", (read("/g/.git/config", EXCEPTED),)),
    Attempt("lstat /g/.git/none", "errno EACCES", (read("/g/.git/none", EXCEPTED),)),
    Attempt("readlink /g/.git/config", "errno EACCES", (read("/g/.git/config", EXCEPTED),)),
    Attempt("read /g/sub/.git/hook", "errno EACCES", (read("/g/sub/.git/hook", EXCEPTED),)),
    Attempt("read /g/sub/none/.git/hook", "errno EACCES", (read("/g/sub/none/.git/hook", EXCEPTED),)),
    Attempt("read /g/.GIT/config", "errno EACCES", (read("/g/.GIT/config", EXCEPTED),)),
    Attempt("read /g/id.key", "errno EACCES", (read("/g/id.key", EXCEPTED),)),
    Attempt("read /g/ID.KEY", "errno EACCES", (read("/g/ID.KEY", EXCEPTED),)),
    Attempt("read /g/sub/id.key", "errno ENOENT"),
    Attempt("read /g/a/x/b", "errno EACCES", (read("/g/a/x/b", EXCEPTED),)),
    Attempt("read /g/A/X/B", "errno EACCES", (read("/g/A/X/B", EXCEPTED),)),
    Attempt("read /g/a/x/c", 'ok 1 "c"'),
    Attempt("read /g/a/b", "errno ENOENT"),
    Attempt("read /g/v1", 'ok 1 "1"'),
    Attempt("read /g/vx", "errno EACCES", (read("/g/vx", EXCEPTED),)),
    Attempt("read /g/VX", "errno EACCES", (read("/g/VX", EXCEPTED),)),
    Attempt("read /g/secret", "errno EACCES", (read("/g/secret", EXCEPTED),)),
    Attempt("read /g/secret/s", "errno EACCES", (read("/g/secret/s", EXCEPTED),)),
    Attempt("read /g/secret/none/deeper", "errno EACCES", (read("/g/secret/none/deeper", EXCEPTED),)),
    Attempt("read /g/secret/", "errno EACCES", (read("/g/secret/", EXCEPTED),)),
    Attempt("read /g/secret/.", "errno EACCES", (read("/g/secret/.", EXCEPTED),)),
    Attempt("read /g/plain", 'ok 5 "plain"'),
    Attempt("read /g/sub/ok", 'ok 2 "ok"'),
    Attempt("write /g/.git/config x", "errno EACCES", (write("/g/.git/config", EXCEPTED),)),
    Attempt("write /g/.Git/new x", "errno EACCES", (write("/g/.Git/new", EXCEPTED),)),
    Attempt("append /g/id.key x", "errno EACCES", (write("/g/id.key", EXCEPTED),)),
    Attempt("truncate /g/id.key", "errno EACCES", (write("/g/id.key", EXCEPTED),)),
    Attempt("utimes /g/secret", "errno EACCES", (write("/g/secret", EXCEPTED),)),
    Attempt("utimes /g/id.key", "errno EACCES", (write("/g/id.key", EXCEPTED),)),
    Attempt("create /g/new.key", "errno EACCES", (write("/g/new.key", EXCEPTED),)),
    Attempt("create /g/v_", "errno EACCES", (write("/g/v_", EXCEPTED),)),
    Attempt("mkdir /g/.git/hooks", "errno EACCES", (write("/g/.git/hooks", EXCEPTED),)),
    Attempt("mkdir /g/d/.git", "errno EACCES", (write("/g/d/.git", EXCEPTED),)),
    Attempt("rmdir /g/secret", "errno EACCES", (write("/g/secret", EXCEPTED),)),
    Attempt("unlink /g/id.key", "errno EACCES", (write("/g/id.key", EXCEPTED),)),
    Attempt(
        "hold s /g/sub directory -- read @s@.git/hook -- read @s@ok -- stat @s@.git -- list @s@.git",
        'ok; errno EACCES; ok 2 "ok"; errno EACCES; errno EACCES',
        (
            read("/g/sub/.git/hook", EXCEPTED),
            read("/g/sub/.git", EXCEPTED),
            read("/g/sub/.git", EXCEPTED),
        ),
    ),
    Attempt("many-open /g/.git/config 3", "errno EACCES opened=0", (read("/g/.git/config", EXCEPTED),)),
    Attempt(
        "flood-denied /g/id.key 3",
        "errno EACCES denied=3 opened=0",
        (
            read("/g/id.key", EXCEPTED),
            read("/g/id.key", EXCEPTED),
            read("/g/id.key", EXCEPTED),
        ),
    ),
]


def test_named(tmp_path: Path, attempt: Callable[..., list[Attempt]]) -> None:
    """What a glob matches, and all below it, is refused by name, in upper or lower case, there or not."""
    granted = tree(tmp_path)
    before = snapshot(granted)
    assert attempt([directory(granted, "/g", "write", excepted=GLOBS)], NAMED) == NAMED
    assert snapshot(granted) == before


SPELLED_ROUND = [
    Attempt("read @/g@sub/../plain", 'ok 5 "plain"'),
    Attempt("read @/g@sub/../secret/s", "errno EACCES", (read("/g/sub/../secret/s", EXCEPTED),)),
    Attempt("read @/g@sub/./../secret/./s", "errno EACCES", (read("/g/sub/./../secret/./s", EXCEPTED),)),
    Attempt("read @/g@./secret//s", "errno EACCES", (read("/g/./secret//s", EXCEPTED),)),
    Attempt("read @/g@plain/../secret/s", "errno EACCES", (read("/g/plain/../secret/s", EXCEPTED),)),
    Attempt("read @/g@plain/../plain", "errno ENOTDIR"),
    Attempt("read @/g@plain/.", "errno ENOTDIR"),
    Attempt("read @/g@missing/../plain", "errno ENOENT"),
    Attempt("read @/g@missing/../secret/s", "errno EACCES", (read("/g/missing/../secret/s", EXCEPTED),)),
    Attempt("read @/g@missing/../to-git/config", "errno ENOENT"),
    Attempt("read @/g@d/../to-git/config", "errno EACCES", (read("/g/d/../to-git/config", LINK),)),
    Attempt("read @/g@to-sub/../secret/s", "errno EACCES", (read("/g/to-sub/../secret/s", EXCEPTED),)),
    Attempt("read @/g@to-sub/../plain", "errno EACCES", (read("/g/to-sub/../plain", LINK),)),
    Attempt("read @/g@sub/../../g/plain", "errno EPERM", (read("/g/sub/../../g/plain", LEADS_OUT),)),
    Attempt("read @/g@/g/plain", "errno EPERM", (read("/g/plain", LEADS_OUT),)),
    Attempt("read @/g@", "errno ENOENT"),
    Attempt(
        "list @/g@sub/..",
        'ok 17 ".git"/ "ID.KEY" "a"/ "d"/ "id.key" "plain" "secret"/ "sub"/ "to-config"@ "to-git"@ '
        '"to-key"@ "to-nothing"@ "to-parent"@ "to-plain"@ "to-sub"@ "v1" "vx"',
    ),
    Attempt(
        "hold s /g/sub directory -- read @s@../plain -- read @s@../secret/s -- read @s@./ok -- stat @s@..",
        'ok; errno EPERM; errno EPERM; ok 2 "ok"; errno EPERM',
        (
            read("/g/sub/../plain", LEADS_OUT),
            read("/g/sub/../secret/s", LEADS_OUT),
            read("/g/sub/..", LEADS_OUT),
        ),
    ),
]


def test_spelled_round(tmp_path: Path, attempt: Callable[..., list[Attempt]]) -> None:
    """No detour in a path hides a name: ``.``, ``..``, doubled slashes, absolute paths, names that are not there."""
    granted = tree(tmp_path)
    before = snapshot(granted)
    assert attempt([directory(granted, "/g", "write", excepted=GLOBS)], SPELLED_ROUND) == SPELLED_ROUND
    assert snapshot(granted) == before


PLANTED_LINKS = [
    Attempt("read /g/to-git/config", "errno EACCES", (read("/g/to-git/config", LINK),)),
    Attempt("read /g/to-config", "errno EACCES", (read("/g/to-config", LINK),)),
    Attempt("read /g/to-key", "errno EACCES", (read("/g/to-key", LINK),)),
    Attempt("read /g/to-plain", "errno EACCES", (read("/g/to-plain", LINK),)),
    Attempt("read /g/to-sub/ok", "errno EACCES", (read("/g/to-sub/ok", LINK),)),
    Attempt("list /g/to-parent", "errno EACCES", (read("/g/to-parent", LINK),)),
    Attempt("list /g/to-sub", "errno EACCES", (read("/g/to-sub", LINK),)),
    Attempt("list /g/to-sub/", "errno EACCES", (read("/g/to-sub/", LINK),)),
    Attempt("open-directory /g/to-git", "errno EACCES", (read("/g/to-git", LINK),)),
    Attempt("stat /g/to-key", "errno EACCES", (read("/g/to-key", LINK),)),
    Attempt("write /g/to-key x", "errno EACCES", (write("/g/to-key", LINK),)),
    Attempt("create /g/to-nothing", "errno EACCES", (write("/g/to-nothing", LINK),)),
    Attempt("truncate /g/to-plain", "errno EACCES", (write("/g/to-plain", LINK),)),
    Attempt("utimes /g/to-key", "errno EACCES", (write("/g/to-key", LINK),)),
    Attempt("mkdir /g/to-sub/new", "errno EACCES", (write("/g/to-sub/new", LINK),)),
    Attempt("unlink /g/to-sub/ok", "errno EACCES", (write("/g/to-sub/ok", LINK),)),
    Attempt("rename /g/to-sub/ok /g/ok", "errno EACCES", (write("/g/to-sub/ok -> /g/ok", LINK),)),
    Attempt("rename /g/plain /g/to-git/plain", "errno EACCES", (write("/g/plain -> /g/to-git/plain", LINK),)),
    Attempt("lstat /g/to-git", "ok type=symlink"),
    Attempt("lstat /g/to-sub/ok", "errno EACCES", (read("/g/to-sub/ok", LINK),)),
    Attempt("readlink /g/to-key", 'ok "id.key"'),
    Attempt("readlink /g/to-sub/up", "errno EACCES", (read("/g/to-sub/up", LINK),)),
    Attempt("open-nofollow /g/to-plain", "errno ELOOP"),
    Attempt("rmdir /g/to-git", "errno ENOTDIR"),
    Attempt("create-exclusive /g/to-nothing", "errno EACCES", (write("/g/to-nothing", LINK),)),
]


def test_planted_links(tmp_path: Path, attempt: Callable[..., list[Attempt]]) -> None:
    """No symbolic link that the host planted is followed in a directory with exceptions; it may be looked at."""
    granted = tree(tmp_path)
    before = snapshot(granted)
    assert attempt([directory(granted, "/g", "write", excepted=GLOBS)], PLANTED_LINKS) == PLANTED_LINKS
    assert snapshot(granted) == before


MADE_LINKS = [
    Attempt("symlink plain /g/soft", "errno EACCES", (write("/g/soft -> plain", LINK),)),
    Attempt("symlink .git/config /g/soft", "errno EACCES", (write("/g/soft -> .git/config", LINK),)),
    Attempt("symlink ../g/secret /g/d/soft", "errno EACCES", (write("/g/d/soft -> ../g/secret", LINK),)),
    Attempt("symlink /g/secret /g/soft", "errno EACCES", (write("/g/soft -> /g/secret", LINK),)),
    Attempt("symlink plain /g/secret/soft", "errno EACCES", (write("/g/secret/soft -> plain", LINK),)),
    Attempt("link /g/id.key /g/hard", "errno EACCES", (write("/g/id.key -> /g/hard", HARD_LINK),)),
    Attempt("link /g/plain /g/hard", "errno EACCES", (write("/g/plain -> /g/hard", HARD_LINK),)),
    Attempt("link /g/plain /g/new.key", "errno EACCES", (write("/g/plain -> /g/new.key", HARD_LINK),)),
    Attempt("link-follow /g/to-key /g/hard", "errno EACCES", (write("/g/to-key -> /g/hard", HARD_LINK),)),
]


def test_made_links(tmp_path: Path, attempt: Callable[..., list[Attempt]]) -> None:
    """A guest makes no symbolic link and no hard link in a directory with exceptions."""
    granted = tree(tmp_path)
    before = snapshot(granted)
    assert attempt([directory(granted, "/g", "write", excepted=GLOBS)], MADE_LINKS) == MADE_LINKS
    assert snapshot(granted) == before


PLANTED_HARD_LINK = [
    Attempt("read /g/innocent", "errno EACCES", (read("/g/innocent", HARD_LINK),)),
    Attempt("write /g/innocent x", "errno EACCES", (write("/g/innocent", HARD_LINK),)),
    Attempt("truncate /g/innocent", "errno EACCES", (write("/g/innocent", HARD_LINK),)),
    Attempt("utimes /g/innocent", "errno EACCES", (write("/g/innocent", HARD_LINK),)),
    Attempt("rename /g/innocent /g/moved", "ok"),
    Attempt("read /g/moved", "errno EACCES", (read("/g/moved", HARD_LINK),)),
    Attempt("rename /g/moved /g/innocent", "ok"),
]


def test_planted_hard_link(tmp_path: Path, attempt: Callable[..., list[Attempt]]) -> None:
    """A second name of an excepted file is not opened either."""
    granted = tree(tmp_path)
    before = snapshot(granted)

    os.link(granted / "id.key", granted / "innocent")
    before = snapshot(granted)
    assert attempt([directory(granted, "/g", "write", excepted=GLOBS)], PLANTED_HARD_LINK) == PLANTED_HARD_LINK
    after = snapshot(granted)
    assert {name for name in before if before[name] != after[name]} == {"."}  # its time alone: names came and went


RENAMES = [
    Attempt("rename /g/.git /g/git", "errno EACCES", (write("/g/.git -> /g/git", EXCEPTED),)),
    Attempt("rename /g/.git/config /g/config", "errno EACCES", (write("/g/.git/config -> /g/config", EXCEPTED),)),
    Attempt("rename /g/id.key /g/id", "errno EACCES", (write("/g/id.key -> /g/id", EXCEPTED),)),
    Attempt("rename /g/plain /g/plain.key", "errno EACCES", (write("/g/plain -> /g/plain.key", EXCEPTED),)),
    Attempt("rename /g/plain /g/PLAIN.KEY", "errno EACCES", (write("/g/plain -> /g/PLAIN.KEY", EXCEPTED),)),
    Attempt("rename /g/plain /g/secret/plain", "errno EACCES", (write("/g/plain -> /g/secret/plain", EXCEPTED),)),
    Attempt("rename /g/plain /g/secret", "errno EACCES", (write("/g/plain -> /g/secret", EXCEPTED),)),
    Attempt("rename /g/secret /g/public", "errno EACCES", (write("/g/secret -> /g/public", EXCEPTED),)),
    Attempt("rename /g/a /g/aa", "errno EACCES", (write("/g/a -> /g/aa", ABOVE_EXCEPTION),)),
    Attempt("rename /g/a/x /g/x", "errno EACCES", (write("/g/a/x -> /g/x", ABOVE_EXCEPTION),)),
    Attempt("rename /g/a/x/c /g/c", "ok"),
    Attempt("rename /g/c /g/a/x/b", "errno EACCES", (write("/g/c -> /g/a/x/b", EXCEPTED),)),
    Attempt("rename /g/c /g/a/x/c", "ok"),
    Attempt("rename /g/a/x/b /g/b", "errno EACCES", (write("/g/a/x/b -> /g/b", EXCEPTED),)),
    Attempt("rename /g/sub /g/bus", "ok"),
    Attempt("read /g/bus/.git/hook", "errno EACCES", (read("/g/bus/.git/hook", EXCEPTED),)),
    Attempt("rename /g/bus /g/sub", "ok"),
    Attempt("rename /g/a/x /g/a/y", "ok"),
    Attempt("read /g/a/y/b", "errno EACCES", (read("/g/a/y/b", EXCEPTED),)),
    Attempt("rename /g/a/y /g/a/x", "ok"),
    Attempt("rename /g /g/d/g", "errno EACCES", (write("/g/. -> /g/d/g", ABOVE_GRANT),)),
    Attempt("rename /g/d /g", "errno EACCES", (write("/g/d -> /g/.", ABOVE_GRANT),)),
    Attempt("rename /g/to-plain /g/link", "ok"),
    Attempt("rename /g/link /g/to-plain", "ok"),
    Attempt(
        "hold s /g/sub directory -- rename /g/sub /g/moved -- read @s@ok -- rename /g/moved /g/sub -- "
        "read @s@ok -- read @s@.git/hook",
        'ok; ok; errno ENOENT; ok; ok 2 "ok"; errno EACCES',
        (read("/g/sub/.git/hook", EXCEPTED),),
    ),
]


def test_renames(tmp_path: Path, attempt: Callable[..., list[Attempt]]) -> None:
    """Nothing excepted is renamed, nor to an excepted name, nor out from under a glob with its directory."""
    granted = tree(tmp_path)
    before = snapshot(granted)
    assert attempt([directory(granted, "/g", "write", excepted=GLOBS)], RENAMES) == RENAMES
    names = {name: node.content for name, node in snapshot(granted).items()}
    assert names == {name: node.content for name, node in before.items()}


RENAMES_ABOVE = [
    Attempt("rename /g/sub /g/s2", "errno EACCES", (write("/g/sub -> /g/s2", ABOVE_EXCEPTION),)),
    # A file, but something else may stand there by the time of the rename.
    Attempt("rename /g/sub/ok /g/ok", "errno EACCES", (write("/g/sub/ok -> /g/ok", ABOVE_EXCEPTION),)),
    Attempt("rename /g/none /g/sub/none", "errno ENOENT"),
    Attempt("rename /g/sub/ok /g/sub/.git", "errno EACCES", (write("/g/sub/ok -> /g/sub/.git", EXCEPTED),)),
    Attempt("rename /g/sub/ok /g/sub/fine", "ok"),
    Attempt("rename /g/sub/fine /g/sub/ok", "ok"),
    Attempt("rename /g/a /g/b", "ok"),
    Attempt("read /g/b/x/b", "errno EACCES", (read("/g/b/x/b", EXCEPTED),)),
    Attempt("rename /g/b /g/a", "ok"),
    Attempt("rename /g/a/x /g/x", "errno EACCES", (write("/g/a/x -> /g/x", ABOVE_EXCEPTION),)),
    Attempt("rename /g/a /g/d/a", "errno EACCES", (write("/g/a -> /g/d/a", ABOVE_EXCEPTION),)),
    Attempt("mkdir /g/d/sub", "ok"),
    Attempt("rename /g/d/sub /g/d/sub2", "ok"),
    Attempt("rename /g/d/sub2 /g/d/sub", "ok"),
    Attempt("rmdir /g/d/sub", "ok"),
    Attempt("rename /g/d /g/sub", "errno EACCES", (write("/g/d -> /g/sub", ABOVE_EXCEPTION),)),
    Attempt("rename /g/sub /g/SUB", "ok"),
    Attempt("mkdir /g/e -- write /g/e/.git mine", "ok; ok written=4"),
    Attempt("rename /g/e /g/sub", "errno EACCES", (write("/g/e -> /g/sub", ABOVE_EXCEPTION),)),
    Attempt("unlink /g/e/.git -- rmdir /g/e", "ok; ok"),
    Attempt("rename /g/SUB /g/sub", "ok"),
    Attempt("rmdir /g/sub", "errno ENOTEMPTY"),
]


def test_renames_above(tmp_path: Path, attempt: Callable[..., list[Attempt]]) -> None:
    """A directory is not renamed when something below it would stop being excepted, or begin to be."""
    granted = tree(tmp_path)
    before = snapshot(granted)
    assert attempt([directory(granted, "/g", "write", excepted=["sub/.git", "*/x/b"])], RENAMES_ABOVE) == RENAMES_ABOVE
    names = {name: node.content for name, node in snapshot(granted).items()}
    assert names == {name: node.content for name, node in before.items()}


LISTINGS = [
    Attempt(
        "list /g",
        'ok 17 ".git"/ "ID.KEY" "a"/ "d"/ "id.key" "plain" "secret"/ "sub"/ "to-config"@ "to-git"@ '
        '"to-key"@ "to-nothing"@ "to-parent"@ "to-plain"@ "to-sub"@ "v1" "vx"',
    ),
    Attempt("list /g/sub", 'ok 3 ".git"/ "ok" "up"@'),
    Attempt("list /g/secret", "errno EACCES", (read("/g/secret", EXCEPTED),)),
    Attempt("list /g/sub/.git", "errno EACCES", (read("/g/sub/.git", EXCEPTED),)),
]


def test_listings(tmp_path: Path, attempt: Callable[..., list[Attempt]]) -> None:
    """Listing a directory shows excepted names and records nothing; what is in an excepted directory is not listed."""
    granted = tree(tmp_path)
    before = snapshot(granted)
    assert attempt([directory(granted, "/g", "write", excepted=GLOBS)], LISTINGS) == LISTINGS
    assert snapshot(granted) == before


EVERYTHING = [
    Attempt(
        "list /g",
        'ok 17 ".git"/ "ID.KEY" "a"/ "d"/ "id.key" "plain" "secret"/ "sub"/ "to-config"@ "to-git"@ '
        '"to-key"@ "to-nothing"@ "to-parent"@ "to-plain"@ "to-sub"@ "v1" "vx"',
    ),
    Attempt("stat /g", "ok type=directory"),
    Attempt("read /g/plain", "errno EACCES", (read("/g/plain", EXCEPTED),)),
    Attempt("stat /g/sub", "errno EACCES", (read("/g/sub", EXCEPTED),)),
    Attempt("create /g/new", "errno EACCES", (write("/g/new", EXCEPTED),)),
    Attempt("rename /g/plain /g/new", "errno EACCES", (write("/g/plain -> /g/new", EXCEPTED),)),
]


def test_everything(tmp_path: Path, attempt: Callable[..., list[Attempt]]) -> None:
    """``**`` leaves the names at the top to be listed, and nothing else."""
    granted = tree(tmp_path)
    before = snapshot(granted)
    assert attempt([directory(granted, "/g", "write", excepted=["**"])], EVERYTHING) == EVERYTHING
    assert snapshot(granted) == before
