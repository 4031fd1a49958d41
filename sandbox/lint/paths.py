"""Which files a command about policies means: the files that it names, and the policies in the folders."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from difflib import get_close_matches

from sandbox.policy.errors import PolicyError
from sandbox.policy.file import read_policy_file

MAX_FILES = 100_000
"""YAML files of one folder; what lies beyond is not looked for."""

_ENDINGS = (".yaml", ".yml")
_LEFT_OUT = frozenset({"node_modules", "__pycache__"})
_TOP_LEVEL = re.compile(r"""^(?:\{\s*)?["']?([A-Za-z_-]{4,20})["']?\s*:""", re.MULTILINE)


@dataclass(frozen=True, kw_only=True, slots=True)
class Found:
    files: tuple[str, ...]
    """Policies, each once: those that were named, and those that were found, in the order of the arguments."""
    skipped: tuple[str, ...] = ()
    """YAML files in the folders that do not speak of components, so that they are no policies."""


def find_policies(paths: Sequence[str]) -> Found:
    """The policies among ``paths``: files as they are named, and below folders the YAML files that are policies.

    Hidden folders, ``node_modules`` and symbolic links to folders are not entered. Raises nothing: a file that cannot
    be read, or a folder that cannot be listed, is for its reader to complain about.
    """
    files: dict[str, None] = {}
    skipped: dict[str, None] = {}
    for path in paths:
        if not os.path.isdir(path):
            files[path] = None
            continue
        for file in _yaml_files(path):
            (files if _may_be_policy(file) else skipped)[file] = None
    return Found(files=tuple(files), skipped=tuple(file for file in skipped if file not in files))


def _yaml_files(folder: str) -> Iterator[str]:
    """The YAML files below a folder, those of each folder before those of the folders in it, all by name.

    A folder that cannot be listed is among them: nobody knows what it holds.
    """
    left = MAX_FILES
    folders = [folder]
    while folders:
        directory = folders.pop()
        try:
            with os.scandir(directory) as listing:
                entries = sorted(listing, key=lambda entry: entry.name)
        except OSError:
            yield os.path.normpath(directory)
            continue
        below = []
        for entry in entries:
            if _is_directory(entry):
                if not (entry.name.startswith(".") or entry.name in _LEFT_OUT or entry.is_symlink()):
                    below.append(entry.path)
            elif entry.name.endswith(_ENDINGS):
                left -= 1
                if left < 0:
                    return
                yield os.path.normpath(entry.path)
        folders += reversed(below)


def _is_directory(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a loop of links, say
        return False


def _may_be_policy(path: str) -> bool:
    """Whether a file has a key ``components``, or one that is nearly spelled so, at its outermost level.

    The text is searched and not parsed, so that a policy with faults is one too.
    """
    try:
        text = read_policy_file(path).decode("utf-8", "replace")
    except PolicyError:
        return True
    keys = {match[1].lower() for match in _TOP_LEVEL.finditer(text.removeprefix("\ufeff"))}
    if "\n" not in text.strip() or text.lstrip().startswith("{"):
        keys.update(word.lower() for word in re.findall(r"[A-Za-z_-]{4,20}", text[:4096]))
    return any(get_close_matches(key, ("components",), n=1, cutoff=0.8) for key in keys)
