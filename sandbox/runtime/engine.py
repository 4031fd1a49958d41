"""What a compiled component depends on, so that one made otherwise is never taken for it."""

from __future__ import annotations

import functools
import hashlib
import os
from importlib.machinery import PathFinder

from sandbox.guard.shape import Shape
from sandbox.plan import Plan
from sandbox.runtime.cache import key


def shape_of(plan: Plan) -> Shape:
    """The shape of the guard that enforces ``plan``."""
    return Shape(
        environment=plan.environment is not None,
        arguments=plan.arguments is not None,
        wall=plan.wall or "denied",
        monotonic=plan.monotonic or "denied",
        random=plan.random,
        counts_writes=plan.counts_writes,
        exports=plan.exports,
        sockets=plan.uses_sockets,
    )


def compiled_key(plan: Plan) -> str:
    """The name, in the cache, of ``plan``'s component compiled behind its guard."""
    return _compiled_key(plan.digest, shape_of(plan), plan.limits.fuel is not None)


@functools.lru_cache(maxsize=256)
def _compiled_key(digest: str, shape: Shape, fuel: bool) -> str:
    return key("compiled", digest, shape.to_data(), fuel, library(), generator(), processor())


@functools.cache
def generator() -> str:
    """A digest of the guard generator's own sources: a guard of another version is another guard."""
    digest = hashlib.sha256()
    root = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    guard = os.path.join(root, "guard")
    names = sorted(name for name in os.listdir(guard) if name.endswith(".py"))
    for path in [*(os.path.join(guard, name) for name in names), os.path.join(root, "component.py")]:
        with open(path, "rb") as file:
            source = file.read()
        digest.update(f"{os.path.basename(path)} {len(source)}\n".encode() + source)
    return digest.hexdigest()


@functools.cache
def library() -> list[object]:
    """The identity of the installed Wasmtime, found without the time that importing it takes."""
    spec = PathFinder.find_spec("wasmtime")
    if spec is None or not spec.submodule_search_locations:
        raise ModuleNotFoundError("the package wasmtime is not installed")
    found: list[object] = []
    with os.scandir(spec.submodule_search_locations[0]) as entries:
        platforms = sorted(entry.path for entry in entries if entry.is_dir())
    for platform in platforms:
        for name in sorted(os.listdir(platform)):
            if name.startswith("_libwasmtime."):
                path = os.path.join(platform, name)
                info = os.stat(path)
                found.append([path, info.st_size, info.st_mtime_ns])
    return found


@functools.cache
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
