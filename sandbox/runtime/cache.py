"""The user's own cache: validated policies, component facts and compiled components.

Deserializing a compiled component trusts it completely, so the directory must be the user's own and closed to all
others; what is not so is refused, not repaired. Files appear whole, by a rename, under names that hold a digest of all
that they depend on.
"""

from __future__ import annotations

import hashlib
import json
import os
import stat
import time
from typing import Any

FORMAT = 2
KEEP_BYTES = 2 * 1024**3
"""Compiled components beyond this many bytes are removed, least recently made first."""
KEEP_FILES = 4096
ABANDONED = 3600
"""Seconds after which a file that was never renamed is taken for what an interrupted write left behind."""
SETTLED = 2_000_000_000
"""Nanoseconds after a file's last change before its identity is trusted to show every later one."""


class CacheError(Exception):
    """The cache cannot be trusted or used; the message says why and what to do."""


class Cache:
    """``directory`` is made if it is missing (0700). Raises ``CacheError``."""

    def __init__(self, directory: str | os.PathLike[str]) -> None:
        self.directory = os.path.abspath(directory)
        remedy = "set SANDBOX_CACHE to a directory of your own"
        try:
            try:
                info = os.lstat(self.directory)
            except FileNotFoundError:
                os.makedirs(os.path.dirname(self.directory), exist_ok=True)
                try:
                    os.mkdir(self.directory, 0o700)
                except FileExistsError:
                    pass  # another process was faster; what it made is judged below
                info = os.lstat(self.directory)
        except OSError as error:
            raise CacheError(f"the cache {self.directory} cannot be used ({error.strerror}); {remedy}") from None
        except ValueError:
            raise CacheError(f"the cache cannot be used: its name holds a zero byte; {remedy}") from None
        if not stat.S_ISDIR(info.st_mode) or info.st_uid != os.geteuid() or info.st_mode & 0o077:
            raise CacheError(
                f"the cache {self.directory} must be a directory that you own and nobody else can open (mode 0700),"
                f" since compiled code is loaded from it; repair it, or {remedy}"
            )

    def path(self, name: str) -> str:
        return os.path.join(self.directory, name)

    def read(self, name: str) -> Any:
        """The JSON value kept under ``name``; ``None`` where there is none that can be read."""
        try:
            with open(self.path(name), "rb") as file:
                return json.loads(file.read())
        except (OSError, ValueError, RecursionError):
            return None

    def write(self, name: str, value: Any) -> bool:
        """Keep a JSON value; whether it was kept: a cache that cannot be written (a full disk) costs time, no run."""
        return self.write_bytes(name, json.dumps(value, separators=(",", ":")).encode())

    def write_bytes(self, name: str, data: bytes | bytearray) -> bool:
        """Keep ``data`` under ``name``, whole or not at all, also where the machine stops meanwhile."""
        fresh = self.path(f".{name}.{os.getpid()}.{os.urandom(4).hex()}")
        try:
            file = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
            try:
                view = memoryview(data)
                while view:
                    view = view[os.write(file, view) :]
                os.fsync(file)
            finally:
                os.close(file)
            os.rename(fresh, self.path(name))
        except OSError:
            try:
                os.unlink(fresh)
            except OSError:
                pass
            return False
        return True

    def prune(self) -> None:
        """Remove the oldest files beyond what the cache may hold, and what interrupted writes left behind."""
        found = []
        try:
            with os.scandir(self.directory) as entries:
                for entry in entries:
                    if entry.is_file(follow_symlinks=False):
                        info = entry.stat(follow_symlinks=False)
                        found.append((info.st_mtime, info.st_size, entry.name))
        except OSError:
            return
        found.sort(reverse=True)
        total, kept, now = 0, 0, time.time()
        for modified, size, name in found:
            abandoned = name.startswith(".") and now - modified > ABANDONED
            if abandoned or total + size > KEEP_BYTES or kept >= KEEP_FILES:
                try:
                    os.unlink(self.path(name))
                except OSError:
                    pass
            else:
                total, kept = total + size, kept + 1


def default_directory() -> str:
    """``$SANDBOX_CACHE``, or ``wasi-sandbox`` in the user's cache directory. Raises ``CacheError``."""
    named = os.environ.get("SANDBOX_CACHE")
    if named:
        return named
    base = os.environ.get("XDG_CACHE_HOME", "")
    if not os.path.isabs(base):
        home = os.path.expanduser("~") if os.environ.get("HOME") != "" else ""
        base = os.path.join(home, ".cache")
    if not os.path.isabs(base):
        raise CacheError("there is no home directory to keep compiled components in; set SANDBOX_CACHE")
    return os.path.join(base, "wasi-sandbox")


def key(*parts: object) -> str:
    """A name for what depends on ``parts``, and on the form of what is kept."""
    text = json.dumps([FORMAT, *parts], sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:40]


def identity(path: str) -> list[int] | None:
    """What a file's unchanged content can be known by, or ``None`` where its last change is too recent to tell.

    The status-change time is among it: no program can set that one back.
    """
    try:
        info = os.stat(path)
    except (OSError, ValueError):
        return None
    if time.time_ns() - max(info.st_ctime_ns, info.st_mtime_ns) < SETTLED:
        return None
    return [info.st_dev, info.st_ino, info.st_size, info.st_mtime_ns, info.st_ctime_ns]
