"""Domains in which anybody can get a name: the public suffix list, with those of registries and of hosters alike."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from sandbox.lint.network import is_private_name


def open_suffix(wildcard: str) -> str | None:
    """A domain in which a wildcard covers names that anybody can get: ``co.uk`` for ``*.co.uk``.

    Of ``**.amazonaws.com`` it is one that lies deeper, such as ``s3.amazonaws.com``. The list is read by the first call
    that needs it.
    """
    star, _, domain = wildcard.partition(".")
    if star not in ("*", "**") or is_private_name(wildcard):
        return None
    suffixes = _list()
    if suffixes.has(domain):
        return domain
    return suffixes.inside(domain) if star == "**" else None


class _Suffixes:
    def __init__(self) -> None:
        from publicsuffixlist import PSLFILE, PublicSuffixList

        text = Path(PSLFILE).read_text(encoding="utf-8")
        # What is not listed is no suffix: a top-level domain of somebody's own need not be open to anybody.
        self._list = PublicSuffixList(text, accept_unknown=False)
        self._inside: dict[str, str] = {}
        for line in text.splitlines():
            rule = line.split(" ")[0]
            if not rule or rule.startswith(("//", "!")):
                continue
            suffix = rule.removeprefix("*.")
            suffix = suffix if suffix.isascii() else suffix.encode("idna").decode("ascii")
            around = suffix.partition(".")[2]
            while "." in around:
                known = self._inside.get(around)
                # One that reads well as an example: the shortest.
                if known is None or len(suffix) < len(known):
                    self._inside[around] = suffix
                around = around.partition(".")[2]

    def has(self, domain: str) -> bool:
        """Whether anybody can get a name right below a domain, or it holds only domains of that kind."""
        return self._list.is_public(domain)

    def inside(self, domain: str) -> str | None:
        """A suffix that lies below a domain."""
        return self._inside.get(domain)


@cache
def _list() -> _Suffixes:
    return _Suffixes()
