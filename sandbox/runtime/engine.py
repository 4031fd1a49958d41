"""Wasmtime's engine: settings from a fixed list, components compiled behind their guard, and loaded again."""

from __future__ import annotations

import functools
import hashlib
from importlib.machinery import PathFinder
from pathlib import Path
from typing import Any

from sandbox.guard.shape import Shape
from sandbox.plan import Plan


def shape_of(plan: Plan) -> Shape:
    """The shape of the guard that enforces ``plan``."""
    return Shape(
        environment=plan.environment is not None,
        arguments=plan.arguments is not None,
        wall=plan.wall or "denied",
        monotonic=plan.monotonic or "denied",
        random=plan.random,  # type: ignore[arg-type] # the plan names the same three sources
        counts_writes=plan.counts_writes,
        exports=plan.exports,
    )


@functools.cache
def generator() -> str:
    """A digest of the guard generator's own sources: a guard of another version is another guard."""
    digest = hashlib.sha256()
    root = Path(__file__).resolve().parent.parent
    for path in sorted([*(root / "guard").glob("*.py"), root / "component.py"]):
        digest.update(path.name.encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()


@functools.cache
def library() -> list[object]:
    """The identity of the installed Wasmtime, found without the time that importing it takes."""
    spec = PathFinder.find_spec("wasmtime")
    if spec is None or not spec.submodule_search_locations:
        raise ModuleNotFoundError("the package wasmtime is not installed")
    found: list[object] = []
    for path in sorted(Path(spec.submodule_search_locations[0]).glob("*/_libwasmtime.*")):
        info = path.stat()
        found.append([str(path), info.st_size, info.st_mtime_ns])
    return found


@functools.cache
def engine(fuel: bool) -> Any:
    """An engine. Nothing but fuel differs between them: some settings abort the process, so no policy chooses any."""
    from wasmtime import Config, Engine

    config = Config()
    if fuel:
        config.consume_fuel = True
    return Engine(config)
