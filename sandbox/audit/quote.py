"""Hostile text as a YAML scalar, for the grants that events suggest: what a guest named must not write a policy."""

from __future__ import annotations

import re

_PLAIN = re.compile(r"(?:(?:~|\.{1,2})?/|[A-Za-z])[A-Za-z0-9/~._+@=-]*")
_SHORT = {'"': '\\"', "\\": "\\\\"}


def yaml_scalar(text: str) -> str:
    """``text`` as a scalar that YAML reads back as the same string, on one line and in ASCII.

    A lone surrogate, which YAML cannot hold, becomes U+FFFD.
    """
    if _PLAIN.fullmatch(text) and text.lower() not in _WORDS:
        return text
    return '"' + "".join(map(_escaped, text)) + '"'


_WORDS = frozenset({"true", "false", "null", "yes", "no", "on", "off", "y", "n"})
"""Words that some version of YAML takes for something else than a string."""


def _escaped(character: str) -> str:
    code = ord(character)
    if character in _SHORT:
        return _SHORT[character]
    if 0x20 <= code < 0x7F:
        return character
    if 0xD800 <= code <= 0xDFFF:
        return "\\ufffd"
    if code <= 0xFF:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code <= 0xFFFF else f"\\U{code:08x}"
