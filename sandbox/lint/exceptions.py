"""Fixes that add to the ``except`` of a granted directory."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence

from sandbox.lint.case import Case, HostUse
from sandbox.lint.finding import Fix
from sandbox.lint.fixes import append_items, insert_key

MOST = 12
"""Globs that one fix adds; where more would be needed, another directory is."""


def excepting(case: Case, use: HostUse, globs: Sequence[str]) -> Fix | None:
    """Add globs to what a grant excepts; ``None`` where that cannot be written.

    Never safe: what was given is given no longer, and in a directory with exceptions no symbolic link is followed.
    """
    if use.grant is None or not 0 < len(globs) <= MOST or not all(map(str.isprintable, globs)):
        return None
    # A fault beside `except`: a hard link is another name for what is excepted.
    if case.component.grants.filesystem[use.grant].hard_links:
        return None
    route = use.route[:-1]
    written = [(json.dumps(glob, ensure_ascii=False), glob) for glob in globs]
    if case.says("grants", "filesystem", use.grant, "except"):
        edits = append_items(case.document, (*route, "except"), written)
    else:
        listed = f"[{', '.join(text for text, _ in written)}]"
        edits = insert_key(case.document, route, "except", listed, [*globs])
    return Fix(message=f"except {', '.join(globs)}", edits=edits, safe=False) if edits else None


def glob_of(path: str) -> str:
    """The glob that matches a path below the granted directory, and hardly another one."""
    # There is no escape: a character that means something stands in a class of its own.
    return re.sub(r"[*?\[]", r"[\g<0>]", path).replace("\\", "?")


def below(use: HostUse, path: str) -> str:
    """An absolute path that a granted directory gives, relative to it."""
    own = next(own for own in (use.thing.real, use.thing.absolute) if path.startswith(own.rstrip("/") + "/"))
    return path[len(own.rstrip("/")) + 1 :]
