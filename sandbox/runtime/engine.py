"""What compiled code depends on, so that what was made otherwise is never taken for it."""

from __future__ import annotations

import functools
import hashlib
import os
from importlib.machinery import PathFinder

from sandbox.guard.shape import Shape
from sandbox.plan import Plan
from sandbox.runtime.cache import key
from sandbox.runtime.engines import Settings


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


def settings_of(plan: Plan) -> Settings:
    """The settings of the engine that runs ``plan``."""
    return Settings(fuel=plan.limits.fuel is not None, deterministic=plan.deterministic)


def compiled_key(plan: Plan) -> str:
    """The name, in the cache, of ``plan``'s component compiled behind its guard, or of its module compiled as it is."""
    if plan.kind == "module":
        return _module_key(plan.digest, settings_of(plan))
    return _compiled_key(plan.digest, shape_of(plan), settings_of(plan))


@functools.lru_cache(maxsize=256)
def _module_key(digest: str, settings: Settings) -> str:
    # Neither the policy nor base and shim are in a module's code: it is compiled once for all of them.
    return key("module", digest, settings, library(), _sources(_MODULE_SOURCES), processor())


@functools.lru_cache(maxsize=4)
def shims_key(settings: Settings) -> str:
    """The name, in the cache, of the base and the shim that any module runs between."""
    return key("shims", settings, library(), _sources(shim_sources()), processor())


@functools.lru_cache(maxsize=256)
def _compiled_key(digest: str, shape: Shape, settings: Settings) -> str:
    return key("compiled", digest, shape.to_data(), settings, library(), generator(), processor())


@functools.cache
def generator() -> str:
    """A digest of the guard generator's own sources: a guard of another version is another guard."""
    return _sources((*_python("guard"), "component.py"))


def shim_sources() -> tuple[str, ...]:
    """What base and shim are made from: their own sources, and what these take from others."""
    return (*_python("guard/preview1"), *(f"guard/{name}.py" for name in SHIM_NEEDS), "preview1.py")


SHIM_NEEDS = ("clocks", "filesystem", "random", "sites", "state")


def _python(folder: str) -> list[str]:
    return sorted(f"{folder}/{name}" for name in os.listdir(os.path.join(_ROOT, folder)) if name.endswith(".py"))


_ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
_MODULE_SOURCES = ("component.py", "guard/preview1/start.py", "runtime/modules.py", "runtime/signatures.py")
"""What changes a module before it is compiled, and says what is kept beside its code."""


def _sources(paths: tuple[str, ...]) -> str:
    """A digest of files of this package."""
    digest = hashlib.sha256()
    for path in paths:
        with open(os.path.join(_ROOT, path), "rb") as file:
            source = file.read()
        digest.update(f"{path} {len(source)}\n".encode() + source)
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
