"""``http``: requests a guest may send. Read in full, not enforced yet."""

from __future__ import annotations

import re
from typing import Annotated

from sandbox.policy.hosts import read_host, read_ports, split_port
from sandbox.policy.section import Reads, flaw, nearest, shown, text_of

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")

_AN_ENTRY = "a method and a URL, as in 'GET https://api.example.com/v1/*'"
_SEGMENT = re.compile(r"(?:[A-Za-z0-9._~!$&'()+,;=:@-]|%[0-9A-F]{2})*")
_ENCODED = re.compile(r"%(2[EF]|5C|[0189][0-9A-F]|7F)")


def _request(value: object) -> str:
    text = text_of(value, _AN_ENTRY)
    method, space, url = text.partition(" ")
    if not space or not url or " " in url:
        raise flaw(f"must be {_AN_ENTRY}, not {shown(text)}")
    if method not in METHODS:
        raise flaw(f"the method must be one of {', '.join(METHODS)}, not {shown(method)}", _method(method))
    scheme, separator, rest = url.partition("://")
    if not separator or scheme not in ("http", "https"):
        raise flaw(f"{shown(url)}: a URL starts with 'https://' or 'http://'")
    authority, slash, path = rest.partition("/")
    if "?" in rest or "#" in rest:
        raise flaw(f"{shown(url)}: write the URL without '?' and '#'; any query may be sent")
    if "@" in authority:
        raise flaw(f"{shown(url)}: a URL must not hold a user name or password")
    host, port = split_port(authority)
    read_host(host)
    if port is not None:
        read_ports(port)
    if not slash:
        raise flaw(f"{shown(url)} has no path: write '/' after the host, '/**' for everything below it")
    _check_path(path, url)
    return text


def _method(text: str) -> str | None:
    return text.upper() if text.upper() in METHODS else nearest(text, METHODS)


def _check_path(path: str, url: str) -> None:
    segments = path.split("/")
    for position, segment in enumerate(segments):
        last = position == len(segments) - 1
        if segment == "*" or (segment == "**" and last):
            continue
        if "*" in segment:
            raise flaw(f"{shown(url)}: '*' stands for a whole segment, '**' for all that follow, at the end")
        if segment in (".", "..") or (not segment and not last):
            raise flaw(f"{shown(url)}: the path must be normalised: no '.', '..' or empty segment")
        if _SEGMENT.fullmatch(segment) is None:
            raise flaw(f"{shown(url)}: {shown(segment)} has characters that must be percent-encoded, in upper case")
        if _ENCODED.search(segment) is not None:
            raise flaw(f"{shown(url)}: {shown(segment)} encodes a slash, dot, backslash or control character")


_SCHEMA = {
    "type": "string",
    "pattern": f"^({'|'.join(METHODS)}) https?://[^ ]+$",
    "examples": ["GET https://api.example.com/v1/*"],
}

Request = Annotated[str, Reads(_request, _SCHEMA)]
