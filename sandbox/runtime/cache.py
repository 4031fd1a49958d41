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
from pathlib import Path
from typing import Any

FORMAT = 1
KEEP_BYTES = 2 * 1024**3
"""Compiled components beyond this many bytes are removed, least recently made first."""
KEEP_FILES = 4096
SETTLED = 2_000_000_000
"""Nanoseconds after a file's last change before its identity is trusted to show every later one."""


class CacheError(Exception):
    """The cache cannot be trusted or used; the message says why and what to do."""


class Cache:
    """``directory`` is made if it is missing (0700). Raises ``CacheError``."""

    def __init__(self, directory: str | os.PathLike[str]) -> None:
        self.directory = Path(directory)
        try:
            self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            info = os.lstat(self.directory)
        except OSError as error:
            raise CacheError(
                f"the cache {self.directory} cannot be used ({error.strerror}); set SANDBOX_CACHE to a directory of your own"
            ) from None
        if not stat.S_ISDIR(info.st_mode) or info.st_uid != os.geteuid() or info.st_mode & 0o077:
            raise CacheError(
                f"the cache {self.directory} must be a directory that you own and nobody else can open (mode 0700), since"
                " compiled code is loaded from it; repair it, or set SANDBOX_CACHE to a directory of your own"
            )

    def path(self, name: str) -> Path:
        return self.directory / name

    def read(self, name: str) -> Any:
        """The JSON value kept under ``name``; ``None`` where there is none that can be read."""
        try:
            return json.loads(self.path(name).read_bytes())
        except (OSError, ValueError):
            return None

    def write(self, name: str, value: Any) -> None:
        """Keep a JSON value. A cache that cannot be written (a full disk) costs time, not the run."""
        self.write_bytes(name, json.dumps(value, separators=(",", ":")).encode())

    def write_bytes(self, name: str, data: bytes | bytearray) -> bool:
        fresh = self.directory / f".{name}.{os.getpid()}.{os.urandom(4).hex()}"
        try:
            file = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
            try:
                view = memoryview(data)
                while view:
                    view = view[os.write(file, view) :]
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
        """Remove the oldest files beyond what the cache may hold, and what an interrupted write left behind."""
        try:
            found = sorted(
                ((entry.stat().st_mtime, entry.stat().st_size, entry.path) for entry in os.scandir(self.directory)),
                reverse=True,
            )
        except OSError:
            return
        total = 0
        for number, (_, size, path) in enumerate(found):
            total += size
            if total > KEEP_BYTES or number >= KEEP_FILES:
                try:
                    os.unlink(path)
                except OSError:
                    pass


def default_directory() -> Path:
    """``$SANDBOX_CACHE``, or ``wasi-sandbox`` in the user's cache directory."""
    named = os.environ.get("SANDBOX_CACHE")
    if named:
        return Path(named)
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "wasi-sandbox"


def key(*parts: object) -> str:
    """A name for what depends on ``parts``, and on the form of what is kept."""
    text = json.dumps([FORMAT, *parts], sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:40]


def identity(path: str) -> list[int] | None:
    """What a file's unchanged content can be known by, or ``None`` where its last change is too recent to tell.

    The status-change time is among it: no program can set that one back.
    """
    import time  # noqa: PLC0415 - named here to say that the wall clock is compared with the file's

    try:
        info = os.stat(path)
    except OSError:
        return None
    if time.time_ns() - max(info.st_ctime_ns, info.st_mtime_ns) < SETTLED:
        return None
    return [info.st_dev, info.st_ino, info.st_size, info.st_mtime_ns, info.st_ctime_ns]


def processor() -> str:
    """What compiled code depends on of this machine's processor, as far as the system tells."""
    flags = ""
    try:
        with open("/proc/cpuinfo", "rb") as file:
            for line in file.read(8192).splitlines():
                if line.startswith((b"flags", b"Features")):
                    flags = hashlib.sha256(line).hexdigest()
                    break
    except OSError:
        pass
    return f"{os.uname().machine}-{flags}"
