"""Files at a revision of the Git repository that holds them. The one module that starts ``git``.

The repository is as hostile as the policies in it. Only what reads objects is asked of Git: it runs no hook, filter,
text conversion, pager or monitor for that, whatever the repository configures, and what it might run is turned off once
more. A partial clone would fetch what it lacks, over whichever transport it is told: every transport is forbidden. The
configuration of the user and of the system is theirs, and says which repositories of others may be read at all
(``safe.directory``); it stays in force. Variables of an outer ``git`` (``GIT_DIR`` and the like) do not.
"""

from __future__ import annotations

import os
import posixpath
import re
import select
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass

from sandbox.policy.errors import printable
from sandbox.policy.file import READ_LIMIT

SECONDS = 60.0
"""How long one answer of Git may take."""
MAX_LISTING = 64 * 1024 * 1024
"""Bytes of the longest list of files that is taken."""

_SETTINGS = (
    *("-c", "core.fsmonitor=false"),
    *("-c", "core.hooksPath=/dev/null"),
    *("-c", "core.sshCommand=false"),
    *("-c", "protocol.allow=never"),
)
_ENVIRONMENT = {
    "GIT_ALLOW_PROTOCOL": "none",  # overrides what the repository allows for each protocol
    "GIT_LITERAL_PATHSPECS": "1",
    "GIT_NO_LAZY_FETCH": "1",
    "GIT_NO_REPLACE_OBJECTS": "1",
    "GIT_OPTIONAL_LOCKS": "0",
    "GIT_TERMINAL_PROMPT": "0",
    "LC_ALL": "C",
}
_ENTRY = re.compile(rb"([0-7]{6}) ([a-z]+) ([0-9a-f]{40}|[0-9a-f]{64})\t(.+)", re.DOTALL)


class GitError(Exception):
    """Git does not answer; the message says why, on one line."""

    def __init__(self, message: str) -> None:
        super().__init__(printable(message))


@dataclass(frozen=True, kw_only=True, slots=True)
class GitFile:
    """A file at a revision."""

    path: str
    """As it would be found from where the caller is: below the path that was asked for."""
    below: str
    """The same, from the path that was asked for; ``.`` where that is this file."""
    link: bool
    """Whether it is a symbolic link."""
    object: str
    directory: str
    """Any directory of the repository."""


def files_at(revision: str, paths: Sequence[str]) -> tuple[GitFile, ...]:
    """The files that ``paths``, files or folders, had at ``revision``, each once. Raises ``GitError``."""
    found: dict[str, GitFile] = {}
    for path in paths:
        for file in _files_below(revision, path):
            found.setdefault(file.path, file)
    return tuple(found.values())


def read_at(file: GitFile) -> bytes:
    """The first ``READ_LIMIT`` bytes of a file. Raises ``GitError``."""
    text = _git(file.directory, "cat-file", "blob", file.object, most=READ_LIMIT)
    if text is None:
        raise GitError(f"{file.path}: Git does not have this file here; a shallow or partial clone lacks some")
    return text[:READ_LIMIT]


def _files_below(revision: str, path: str) -> list[GitFile]:
    directory, rest = path, ""
    while not os.path.isdir(directory or "."):
        directory, name = os.path.split(directory.rstrip("/"))
        rest = f"{name}/{rest}" if rest else name
    directory = directory or "."
    where_it_is = _git(directory, "rev-parse", "--is-inside-work-tree", "--show-prefix", most=READ_LIMIT) or b""
    is_inside, _, prefix = where_it_is.partition(b"\n")
    if is_inside != b"true":
        raise GitError(
            f"{directory} is in no work tree of Git, or in one that Git does not trust here (safe.directory)"
        )
    commit = _commit(directory, revision)
    inside = posixpath.normpath(os.fsdecode(prefix.removesuffix(b"\n")) + rest)
    if inside.startswith("../"):
        raise GitError(f"{path} leads out of the Git repository")
    where = [] if inside == "." else [inside]
    listing = _git(directory, "ls-tree", "-r", "-z", "--full-tree", commit, "--", *where, most=MAX_LISTING)
    if listing is None or len(listing) > MAX_LISTING:
        raise GitError(f"{path}: Git does not list what was here at {revision}")
    files = []
    for entry in listing.split(b"\0"):
        match = _ENTRY.fullmatch(entry)
        if match is None or match[2] != b"blob":
            continue
        below = posixpath.relpath(os.fsdecode(match[4]), inside)
        files.append(
            GitFile(
                path=path if below == "." else os.path.normpath(os.path.join(path, below)),
                below=below,
                link=match[1] == b"120000",
                object=match[3].decode(),
                directory=directory,
            )
        )
    return files


def _commit(directory: str, revision: str) -> str:
    asked = f"{revision}^{{commit}}"
    found = None
    if revision and "\0" not in revision and not revision.startswith("-"):
        found = _git(directory, "rev-parse", "--verify", "--quiet", "--end-of-options", asked, most=READ_LIMIT)
    commit = (found or b"").decode("ascii", "replace").strip().rpartition("\n")[2]
    if re.fullmatch("[0-9a-f]{40}|[0-9a-f]{64}", commit) is None:
        raise GitError(f"{revision!r} is no revision of the Git repository that holds {directory}; was it fetched?")
    return commit


def _git(directory: str, *arguments: str, most: int) -> bytes | None:
    """What ``git`` says, but for what follows on ``most`` bytes and a rest; ``None`` where it fails."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")} | _ENVIRONMENT
    line = ["git", "--no-pager", "-C", directory, *_SETTINGS, *arguments]
    try:
        process = subprocess.Popen(
            line, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=environment
        )
    except FileNotFoundError:
        raise GitError("git is not installed here, or not found on PATH") from None
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else "a zero byte in a name"
        raise GitError(f"git cannot be started: {why}") from None
    end = time.monotonic() + SECONDS
    said = bytearray()
    with process:
        try:
            assert process.stdout is not None
            descriptor = process.stdout.fileno()
            while len(said) <= most:
                ready, _, _ = select.select([descriptor], [], [], max(0.0, end - time.monotonic()))
                if not ready:
                    raise GitError(f"git took longer than {SECONDS:g} s")
                part = os.read(descriptor, 65536)
                if not part:
                    return bytes(said) if process.wait(max(0.1, end - time.monotonic())) == 0 else None
                said += part
            return bytes(said)
        except subprocess.TimeoutExpired:
            raise GitError(f"git took longer than {SECONDS:g} s") from None
        finally:
            process.kill()
