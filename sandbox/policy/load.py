"""A policy file as a ``Policy``, or everything that is wrong with it.

Imports pydantic and PyYAML; a run whose policy is cached does not need this module.
"""

from __future__ import annotations

import hashlib
import os
import types
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import ValidationError

from sandbox.policy import environment, filesystem, imports, model, sockets
from sandbox.policy.component import PolicySection
from sandbox.policy.errors import Fault, PolicyError
from sandbox.policy.file import policy_directory, read_policy_file
from sandbox.policy.section import LIST, MAPPING, TEXT, Section, nearest, shown, wanted
from sandbox.source import Data, Document, Route, parse, render_route

MAX_FAULTS = 200
"""Faults reported at most; the last one then says how many more there are."""

_MAX_MEANT = 200
"""Names that an unknown one is compared with, at most."""
_MAX_LINES = 20
"""Other lines that a fault names at most."""

_NOT_ENFORCED = {
    "http": "http is not enforced yet, so this grant is refused rather than ignored: remove it, "
    "and the guest is refused every request",
}


def load_policy(path: str | os.PathLike[str]) -> model.Policy:
    """Read the policy file at ``path``. Raises ``PolicyError`` with every fault, in the order of the file."""
    return parse_policy(read_policy_file(path), file=os.fspath(path), directory=policy_directory(path))


def parse_policy(text: bytes, *, file: str, directory: str) -> model.Policy:
    """Read a policy from its bytes.

    ``file`` names it in messages; ``directory`` (absolute) is where its relative paths start. Raises ``PolicyError``.
    """
    return policy_of(parse(text), digest=digest_of(text), file=file, directory=directory)


def digest_of(text: bytes) -> str:
    """The digest of a policy's bytes, as plans and events name it."""
    return f"sha256:{hashlib.sha256(text).hexdigest()}"


def policy_of(document: Document, *, digest: str, file: str, directory: str) -> model.Policy:
    """The policy that a text says which was read already; ``digest`` is that of its bytes. Raises ``PolicyError``."""
    findings = [_Finding(route=fault.route, message=fault.message) for fault in document.faults]
    places = [(fault.mark.line, fault.mark.column) for fault in document.faults]
    section: PolicySection | None = None
    if document.readable:
        section, later = _validate(document.data)
        # One fault a route: what could not be read, or has the wrong type, need not be told twice.
        told = {finding.route for finding in findings}
        for finding in later:
            if finding.route not in told:
                told.add(finding.route)
                findings.append(_with_lines(finding, document))
                places.append(document.mark(finding.route))
    if findings or section is None:
        raise PolicyError(_faults(findings, places, file))
    return model.Policy(
        file=file,
        directory=directory,
        digest=digest,
        components=section.to_value(),
        run=section.run,
        places=_places(document),
    )


def _places(document: Document) -> dict[str, model.Place]:
    return {
        render_route(route): model.Place(line=mark.line, column=mark.column)
        for route, mark in document.marks()
        if route
    }


@dataclass(frozen=True, kw_only=True, slots=True)
class _Finding:
    route: Route
    message: str
    hint: str | None = None
    unknown_among: tuple[str, ...] = ()
    """For an unknown key: the keys that would be known in its place; for another unknown name: those there are."""
    unknown: str | None = None
    """The name that is unknown, where it is no key."""
    beside: tuple[Route, ...] = ()
    """What else it is about."""


def _with_lines(finding: _Finding, document: Document) -> _Finding:
    """``finding``, with the other lines that it is about in its message."""
    lines = sorted({document.mark(route).line for route in finding.beside} - {document.mark(finding.route).line})
    if not lines:
        return finding
    *others, last = (str(line) for line in lines[:_MAX_LINES])
    told = f"see lines {', '.join(others)} and {last}" if others else f"see line {last}"
    return replace(finding, message=f"{finding.message} ({told})")


def _faults(findings: list[_Finding], places: list[tuple[int, int]], file: str) -> tuple[Fault, ...]:
    ordered = sorted(zip(places, range(len(findings)), findings, strict=True), key=lambda item: item[:2])
    faults = [
        Fault(
            file=file,
            line=line,
            column=column,
            route=render_route(finding.route),
            message=finding.message,
            hint=nearest(finding.unknown or finding.route[-1], finding.unknown_among[:_MAX_MEANT])
            if finding.unknown_among
            else finding.hint,
        )
        for (line, column), _, finding in ordered[:MAX_FAULTS]
    ]
    left = len(ordered) - MAX_FAULTS
    if left > 0:
        (line, column), _, _ = ordered[MAX_FAULTS]
        faults.append(Fault(file=file, line=line, column=column, route="", message=f"{left} more faults from here on"))
    return tuple(faults)


def _validate(data: Data) -> tuple[PolicySection | None, list[_Finding]]:
    if not isinstance(data, dict):
        said = "the file is empty" if data is None else f"the file holds {shown(data)}"
        return None, [_Finding(route=(), message=f"{said}: a policy is a mapping with 'version' and 'components'")]
    section = None
    findings: list[_Finding] = []
    try:
        section = PolicySection.model_validate(data)
    except ValidationError as error:
        findings.extend(_finding(item) for item in error.errors(include_url=False))
    other = [finding for finding in findings if finding.route == ("version",)]
    if other and "version" in data:
        # Another version has other keys: what else looks wrong may be right there.
        return None, other
    findings.extend(_conflicts(data))
    return section, findings


def _finding(error: Any) -> _Finding:
    kind: str = error["type"]
    value: object = error["input"]
    context: dict[str, Any] = error.get("ctx", {})
    route, keys = _resolve(error["loc"], of_value=kind != "flaw")
    hint: str | None = None
    if kind == "flaw":
        message, hint = context["message"], context["hint"]
    elif kind == "missing":
        message = "required key is missing"
    elif kind == "extra_forbidden":
        return _Finding(route=route, message="unknown key", unknown_among=keys)
    elif kind == "form":
        message = wanted(error["msg"], value)
    elif kind == "too_short":
        message = "names no component: a policy grants something to at least one"
    elif kind in ("model_type", "dict_type"):
        message = wanted("a mapping", value) if value is not None else "is empty: write {} or remove the key"
    elif kind == "list_type":
        message = wanted("a list", value) if value is not None else "is empty: write [] or remove the key"
    else:
        raise AssertionError(f"no message for {kind}: {error['msg']}")
    return _Finding(route=route, message=message, hint=hint)


def _arms(annotation: Any) -> list[Any]:
    """The types that ``annotation`` allows, without what annotates them."""
    if get_origin(annotation) is Annotated:
        return _arms(get_args(annotation)[0])
    if get_origin(annotation) in (Union, types.UnionType):
        return [arm for part in get_args(annotation) for arm in _arms(part) if arm is not types.NoneType]
    return [annotation]


def _fields(section: type[Section]) -> dict[str, Any]:
    return {field.alias or name: field.annotation for name, field in section.model_fields.items()}


def _resolve(location: tuple[int | str, ...], *, of_value: bool) -> tuple[Route, tuple[str, ...]]:
    """The route of pydantic's ``location``, and the keys known beside its last part.

    A location also names the forms of unions, and ends in ``[key]`` where a key is at fault, unless ``of_value``.
    """
    route: list[str | int] = []
    keys: tuple[str, ...] = ()
    arms = _arms(PolicySection)
    in_free_mapping = False
    for part in location:
        if len(arms) > 1 and part in (TEXT, LIST, MAPPING):
            arms = [arm for arm in arms if _is_form(arm, part)]
            continue
        if part == "[key]" and in_free_mapping and not of_value:
            break
        route.append(part)
        keys = ()
        in_free_mapping = False
        below: list[Any] = []
        for arm in arms:
            if isinstance(arm, type) and issubclass(arm, Section):
                keys = tuple(_fields(arm))
                below = _arms(_fields(arm).get(str(part), object))
            elif get_origin(arm) is dict:
                below = _arms(get_args(arm)[1])
                in_free_mapping = True
            elif get_origin(arm) is list:
                below = _arms(get_args(arm)[0])
        arms = below or [object]
    return tuple(route), keys


def _is_form(arm: Any, form: int | str) -> bool:
    if form == LIST:
        return get_origin(arm) is list
    return (isinstance(arm, type) and issubclass(arm, Section)) is (form == MAPPING)


def _conflicts(data: dict[str, Data]) -> Iterator[_Finding]:
    """What no single value shows, on data that may be wrong in any other way too."""
    components = data.get("components")
    if not isinstance(components, dict):
        return
    run, names = data.get("run"), tuple(components)
    if isinstance(run, str) and run not in names:
        message = f"{shown(run)} is no component of this policy"
        yield _Finding(route=("run",), message=message, unknown=run, unknown_among=names)
    for name, component in components.items():
        if not isinstance(component, dict):
            continue
        at: Route = ("components", name)
        grants = component.get("grants")
        if isinstance(grants, dict):
            for family, check in (
                ("filesystem", filesystem.conflicts),
                ("environment", environment.conflicts),
                ("sockets", sockets.conflicts),
            ):
                for route, message, hint in check(grants.get(family)):
                    yield _Finding(route=(*at, "grants", family, *route), message=message, hint=hint)
            if _says_something(grants.get("http")):
                yield _Finding(route=(*at, "grants", "http"), message=_NOT_ENFORCED["http"])
    for misfit in imports.misfits(components):
        yield _Finding(
            route=misfit.route,
            message=misfit.message,
            unknown=misfit.unknown,
            unknown_among=() if misfit.unknown is None else names,
            beside=misfit.beside,
        )


def _says_something(value: Data) -> bool:
    """Whether anything but empty lists and mappings is in ``value``."""
    if isinstance(value, dict):
        return any(_says_something(child) for child in value.values())
    if isinstance(value, list):
        return bool(value)
    return value is not None
