"""What compiled code depends on, so that what was made otherwise is never taken for it."""

from __future__ import annotations

import functools
import hashlib
import os
from dataclasses import asdict
from importlib.machinery import PathFinder

from sandbox.guard.shape import Shape
from sandbox.plan import Instance, Plan
from sandbox.runtime.cache import key
from sandbox.runtime.engines import Settings


def shape_of(plan: Plan) -> Shape:
    """The shape of the guard that enforces ``plan``: of the component that is run, where it is a program's."""
    return shapes_of(plan)[0]


def shapes_of(plan: Plan) -> tuple[Shape, ...]:
    """The shape of each component's facet of the guard. What types are the guard's is the same for all."""
    members = plan.members
    return tuple(
        Shape(
            environment=member.environment is not None,
            arguments=member.arguments is not None,
            wall=member.wall or "denied",
            monotonic=member.monotonic or "denied",
            random=member.random,
            counts_writes=any(each.counts_writes for each in members),
            exports=member.exports if number == 0 else (),
            sockets=any(each.uses_sockets for each in members),
            program=len(members) > 1,
        )
        for number, member in enumerate(members)
    )


def settings_of(plan: Plan) -> Settings:
    """The settings of the engine that runs ``plan``."""
    deterministic = any(member.deterministic for member in plan.members)
    return Settings(fuel=plan.limits.fuel is not None, deterministic=deterministic)


def compiled_key(plan: Plan) -> str:
    """The name, in the cache, of ``plan``'s component compiled behind its guard, or of its module compiled as it is."""
    if plan.kind == "module":
        return _module_key(plan.digest, settings_of(plan))
    if plan.program is not None:
        digests = tuple(member.digest for member in plan.members)
        return _program_key(digests, shapes_of(plan), plan.program.instances, settings_of(plan))
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


@functools.lru_cache(maxsize=256)
def _program_key(
    digests: tuple[str, ...], shapes: tuple[Shape, ...], instances: tuple[Instance, ...], settings: Settings
) -> str:
    shaped = [shape.to_data() for shape in shapes]
    wired = [asdict(instance) for instance in instances]
    return key("program", digests, shaped, wired, settings, library(), generator(), processor())


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
