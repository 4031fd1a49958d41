"""The cache: whose it must be, what is read from it, and what is thrown away."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from sandbox.runtime import cache as module
from sandbox.runtime.cache import Cache, CacheError, default_directory, identity, key

TRUST = (
    "the cache {} must be a directory that you own and nobody else can open (mode 0700), since compiled code is loaded"
    " from it; repair it, or set SANDBOX_CACHE to a directory of your own"
)


def test_it_is_made_for_its_owner_alone(tmp_path: Path) -> None:
    """A cache that is missing is made with mode 0700, whatever the umask; so are the directories above it made."""
    mask = os.umask(0o002)
    try:
        cache = Cache(tmp_path / "a" / "b")
    finally:
        os.umask(mask)
    assert cache.directory == str(tmp_path / "a" / "b")
    assert (tmp_path / "a" / "b").stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize("mode", [0o755, 0o750, 0o701, 0o720, 0o777])
def test_a_cache_that_others_can_open_is_refused(tmp_path: Path, mode: int) -> None:
    """Any right of the group or of others is one too many; nothing is repaired in silence."""
    directory = tmp_path / "cache"
    directory.mkdir()
    directory.chmod(mode)
    with pytest.raises(CacheError) as caught:
        Cache(directory)
    assert str(caught.value) == TRUST.format(directory)
    assert directory.stat().st_mode & 0o777 == mode


def test_what_is_no_directory_of_ones_own_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A link to a directory, a file, and a directory of another user are refused."""
    (tmp_path / "real").mkdir(mode=0o700)
    (tmp_path / "link").symlink_to(tmp_path / "real")
    (tmp_path / "file").write_text("")
    for name in ("link", "file"):
        with pytest.raises(CacheError) as caught:
            Cache(tmp_path / name)
        assert str(caught.value) == TRUST.format(tmp_path / name)
    monkeypatch.setattr(os, "geteuid", lambda: os.getuid() + 1)
    with pytest.raises(CacheError) as caught:
        Cache(tmp_path / "real")
    assert str(caught.value) == TRUST.format(tmp_path / "real")


def test_a_cache_that_cannot_be_made_is_refused(tmp_path: Path) -> None:
    """The reason is the system's, the remedy is named."""
    (tmp_path / "file").write_text("")
    with pytest.raises(CacheError) as caught:
        Cache(tmp_path / "file" / "cache")
    assert str(caught.value) == (
        f"the cache {tmp_path}/file/cache cannot be used (Not a directory);"
        " set SANDBOX_CACHE to a directory of your own"
    )


def test_values_come_back(tmp_path: Path) -> None:
    """What was written is read; what was not, or is damaged, is ``None``."""
    cache = Cache(tmp_path / "cache")
    assert cache.read("a") is None
    assert cache.write("a", {"b": [1, "\udcff"]})
    assert cache.read("a") == {"b": [1, "\udcff"]}
    assert os.stat(cache.path("a")).st_mode & 0o777 == 0o600
    for damage in (b"", b"{", b"\xff", b"[" * 100_000):
        Path(cache.path("a")).write_bytes(damage)
        assert cache.read("a") is None
    assert sorted(os.listdir(cache.directory)) == ["a"]


def test_a_write_that_fails_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A full disk costs the entry and no more: what was there stays, and no half of a file."""
    cache = Cache(tmp_path / "cache")
    cache.write("a", "old")

    def full(*_: object) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "write", full)
    assert not cache.write("a", "new")
    monkeypatch.undo()
    assert cache.read("a") == "old"
    assert os.listdir(cache.directory) == ["a"]


def test_the_oldest_are_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond the bound on bytes or files the oldest go, and what an interrupted write left behind an hour ago."""
    cache = Cache(tmp_path / "cache")
    now = time.time()
    for name, size, age in (("a", 60, 30), ("b", 50, 20), ("c", 40, 10), (".x.1.2", 1, 4000), (".y.1.2", 1, 0)):
        path = Path(cache.path(name))
        path.write_bytes(b"x" * size)
        os.utime(path, (now - age, now - age))
    os.mkdir(cache.path("empty"))
    monkeypatch.setattr(module, "KEEP_BYTES", 100)
    cache.prune()
    assert sorted(os.listdir(cache.directory)) == [".y.1.2", "b", "c", "empty"]
    monkeypatch.setattr(module, "KEEP_FILES", 2)
    cache.prune()
    assert sorted(os.listdir(cache.directory)) == [".y.1.2", "c", "empty"]


def test_where_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    """``SANDBOX_CACHE``, else below an absolute ``XDG_CACHE_HOME``, else below the home directory; else nowhere."""
    monkeypatch.setenv("HOME", "/home/me")
    for named, xdg, expected in (
        ("/c", "/x", "/c"),
        ("", "/x", "/x/wasi-sandbox"),
        ("", "x", "/home/me/.cache/wasi-sandbox"),
        ("", "", "/home/me/.cache/wasi-sandbox"),
    ):
        monkeypatch.setenv("SANDBOX_CACHE", named)
        monkeypatch.setenv("XDG_CACHE_HOME", xdg)
        assert default_directory() == expected
    monkeypatch.setenv("HOME", "")
    with pytest.raises(CacheError) as caught:
        default_directory()
    assert str(caught.value) == "there is no home directory to keep compiled components in; set SANDBOX_CACHE"


def test_identity(tmp_path: Path) -> None:
    """A file is known by what shows each change of it, once it has been left alone for two seconds."""
    path = tmp_path / "f"
    assert identity(str(path)) is None
    path.write_text("x")
    assert identity(str(path)) is None
    assert identity("\0") is None
    settled = "/proc/self/exe"
    info = os.stat(settled)
    assert identity(settled) == [info.st_dev, info.st_ino, info.st_size, info.st_mtime_ns, info.st_ctime_ns]


def test_keys_differ() -> None:
    """Every part of a key matters, and where one part ends and the next begins."""
    found = [key("a", "b"), key("ab"), key("a", ["b"]), key("b", "a"), key("a", "b", None), key("\udcff")]
    assert len(set(found)) == len(found)
    assert all(len(name) == 40 and name.isalnum() for name in found)
