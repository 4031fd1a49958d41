"""Components in a worker: compiled behind their guard, instantiated, called."""

from __future__ import annotations

import ctypes
import json
import os
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

from sandbox.runtime.callbacks import MAX_TEXT, Callbacks, UnfitError
from sandbox.runtime.endings import Ended, fault, usage, write_answer
from sandbox.runtime.engines import Engines, Settings

if TYPE_CHECKING:
    from wasmtime import Store, Trap, WasmtimeError
    from wasmtime import component as wasm

    from sandbox.guard.program import Part
    from sandbox.guard.shape import Shape


class Guarded(NamedTuple):
    """A compiled component behind its guard, or several, and the sites that the guard speaks of."""

    code: wasm.Component
    sites: list[list[Any]]
    places: list[list[int]]
    """Where each component began and ended in what was compiled."""


class Components:
    """What a worker does with a job whose ``kind`` is ``component``."""

    lingers = True

    def __init__(self, engines: Engines, callbacks: Callbacks) -> None:
        self.engines, self.callbacks = engines, callbacks
        self.linkers: dict[Settings, wasm.Linker] = {}

    def linker(self, settings: Settings) -> wasm.Linker:
        if settings not in self.linkers:
            from wasmtime import component as wasm

            from sandbox.guard.sites import HOST_INSTANCE
            from sandbox.runtime.binding import bind

            linker = wasm.Linker(self.engines.engine(settings))
            linker.add_wasip2()
            with linker.root() as root, root.add_instance(HOST_INSTANCE) as host:
                for name, function in self.callbacks.functions().items():
                    bind(host, name, function, self.callbacks.fault)
            self.linkers[settings] = linker
        return self.linkers[settings]

    def cached(self, job: dict[str, Any]) -> Guarded | None:
        """What the cache holds, unless it is damaged or was cut short."""
        from wasmtime import WasmtimeError
        from wasmtime import component as wasm

        base = os.path.join(job["cache"], job["key"])
        try:
            with open(f"{base}.sites", "rb") as file:
                data = json.loads(file.read())
            sites, places, size = data["sites"], data["places"], data["size"]
            if os.stat(f"{base}.cwasm").st_size != size or not _are_sites(sites) or not _are_places(places, job):
                return None
            engine = self.engines.engine(Settings.of_job(job))
            return Guarded(wasm.Component.deserialize_file(engine, f"{base}.cwasm"), sites, places)
        except (OSError, ValueError, KeyError, TypeError, WasmtimeError):
            return None

    def compile(self, job: dict[str, Any], data: list[bytes]) -> Guarded:
        from wasmtime import WasmtimeError
        from wasmtime import component as wasm

        from sandbox.component import ComponentError
        from sandbox.guard.build import guard, link
        from sandbox.guard.reflect import Unsupported
        from sandbox.runtime.cache import Cache

        shapes = [_shape(member["shape"]) for member in job["members"]]
        engine = self.engines.engine(Settings.of_job(job))
        try:
            if job["instances"]:
                guarded = link(engine, data, [_part(instance, shapes) for instance in job["instances"]])
            else:
                guarded = guard(engine, data[0], shapes[0])
            component = wasm.Component(engine, guarded.wasm)
        except Unsupported as error:
            raise UnfitError(f"{error}"[:MAX_TEXT], error.instance, error.name) from None
        except ComponentError as error:
            raise UnfitError(f"{error}"[:MAX_TEXT]) from None
        except WasmtimeError as error:
            raise UnfitError(f"Wasmtime refuses the component: {fault(str(error))}") from None
        sites, places = [s.to_data() for s in guarded.sites], [list(place) for place in guarded.places]
        cache, compiled = Cache(job["cache"]), component.serialize()
        # The sites come last: they say how large the other file is once it is whole.
        if cache.write_bytes(f"{job['key']}.cwasm", compiled):
            cache.write(f"{job['key']}.sites", {"size": len(compiled), "sites": sites, "places": places})
            cache.prune()
        return Guarded(component, sites, places)

    def prepare(self, settings: Settings) -> None:
        """Make what a run needs and its guest is not charged with."""
        self.linker(settings)

    def instantiate(self, job: dict[str, Any], store: Store, loaded: Guarded) -> wasm.Instance:
        return self.linker(Settings.of_job(job)).instantiate(store, loaded.code)

    def call(self, job: dict[str, Any], store: Store, instance: wasm.Instance, answer: int) -> Ended:
        """Call ``run``, or a typed export; see ``_typed_call`` for ``answer``."""
        if job["call"] is not None:
            return _typed_call(job["call"], instance, store, answer)
        run = _find(instance, store, job["run"], "run")
        if run is None or not _is_run(run.type(store)):
            return {"how": "refused", "reason": f"its {job['run']} has no function run: func() -> result"}
        result = run(store)
        return {"how": "exited", "status": int(getattr(result, "tag", "ok") != "ok")}

    def where(self, loaded: Guarded, error: WasmtimeError | Trap) -> tuple[int, bool] | None:
        """The innermost component in the trace of a trap; and whether the trap was in it, or in a call that it made.

        By the places of code, not by names, which a component chooses. What Wasmtime puts between components has
        places of its own, and no name; so a module without one cannot be told from that.
        """
        for depth, (named, offset) in enumerate(_trace(error)):
            for number, (start, end) in enumerate(loaded.places):
                if named and start <= offset < end:
                    return number, depth == 0
        return None


def _trace(error: WasmtimeError | Trap) -> Iterator[tuple[bool, int]]:
    """Of each call that had not returned, the innermost first: whether its module has a name, and where its code is in
    what was compiled."""
    from wasmtime import WasmtimeError
    from wasmtime import _ffi as ffi

    if not isinstance(error, WasmtimeError) or getattr(error, "_Managed__ptr", None) is None:
        return
    frames = ffi.wasm_frame_vec_t()
    ffi.wasmtime_error_wasm_trace(error.ptr(), ctypes.byref(frames))
    try:
        for number in range(frames.size):
            frame = frames.data[number]
            yield bool(ffi.wasmtime_frame_module_name(frame)), int(ffi.wasm_frame_module_offset(frame))
    finally:
        ffi.wasm_frame_vec_delete(ctypes.byref(frames))


def _shape(data: dict[str, Any]) -> Shape:
    from sandbox.guard.shape import Shape

    return Shape(**{**data, "exports": tuple(data["exports"])})


def _part(instance: dict[str, Any], shapes: list[Shape]) -> Part:
    from sandbox.guard.program import Part, Wire

    member = instance["member"]
    wires = (
        Wire(name=link["name"], instance=link["instance"], export=link["export"], only=link["only"])
        for link in instance["links"]
    )
    name = ">".join(instance["path"])
    return Part(name=name, component=member, shape=shapes[member], wires=tuple(wires))


def _typed_call(call: dict[str, Any], instance: wasm.Instance, store: Store, answer: int) -> Ended:
    """Call a function with WAVE arguments; its result is written to ``answer`` in WAVE, whatever its size."""
    from wasmtime.component import ResultType

    from sandbox import wave

    function = _find(instance, store, call["interface"], call["function"])
    if function is None:
        return usage(f"the component exports no function {call['shown']}")
    type_ = function.type(store)
    try:
        values = wave.parse_arguments(call["arguments"], type_.params)
    except wave.WaveError as error:
        return usage(str(error))
    result = function(store, *values)
    try:
        text = "" if type_.result is None else wave.format(result, type_.result)
    except wave.WaveError as error:
        return usage(str(error))
    write_answer(answer, text)
    # Wasmtime's binding gives some results without their case; WAVE tells it.
    failed = isinstance(type_.result, ResultType) and text.startswith("err")
    return {"how": "exited", "status": int(failed)}


def _is_run(type_: wasm.FuncType) -> bool:
    from wasmtime.component import ResultType

    result = type_.result
    return not type_.params and isinstance(result, ResultType) and result.ok is None and result.err is None


def _find(instance: wasm.Instance, store: Store, interface: str | None, name: str) -> Any:
    if interface is None:
        return instance.get_func(store, name)
    outer = instance.get_export_index(store, interface)
    index = None if outer is None else instance.get_export_index(store, name, outer)
    return None if index is None else instance.get_func(store, index)


def _are_sites(data: object) -> bool:
    """Whether ``data`` is what ``Site.to_data`` gives, for each site of a guard."""
    return isinstance(data, list) and all(
        isinstance(row, list) and [type(x) for x in row] == [str, str, str, bool, int] for row in data
    )


def _are_places(data: object, job: dict[str, Any]) -> bool:
    """Whether ``data`` is where the bytes of each of the job's components are."""
    return (
        isinstance(data, list)
        and len(data) == len(job["members"])
        and all(isinstance(place, list) and [type(x) for x in place] == [int, int] for place in data)
    )
