"""Core modules in a worker: compiled as they are, instantiated between base and shim, called.

A module that imports nothing of preview 1 is instantiated alone. Any other takes three instances: the base, whose
functions it imports; the module; and the shim, which takes the module's memory and gives the base's functions their
meaning. Only then is anything of the module's called (see ``sandbox.guard.preview1``).
"""

from __future__ import annotations

import ctypes
import json
import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

from wasmtime import Func, Instance, Linker, Module, WasmtimeError
from wasmtime import _ffi as ffi
from wasmtime._func import enter_wasm

from sandbox.guard.preview1.layout import CONFIG, SITES, configuration
from sandbox.guard.sites import HOST_INSTANCE
from sandbox.preview1 import MODULE, SIGNATURES
from sandbox.runtime.callbacks import MAX_TEXT, Callbacks, UnfitError
from sandbox.runtime.core_binding import bind_core
from sandbox.runtime.core_host import CoreHost
from sandbox.runtime.endings import Ended, cause, fault, usage, write_answer
from sandbox.runtime.engines import Engines, Settings

if TYPE_CHECKING:
    from wasmtime import Store, Trap
    from wasmtime._instance_pre import InstancePre

NUMBERS = {
    "i": ("i32", ffi.WASMTIME_I32),
    "I": ("i64", ffi.WASMTIME_I64),
    "f": ("f32", ffi.WASMTIME_F32),
    "F": ("f64", ffi.WASMTIME_F64),
}
"""A value's type by its letter in a signature."""
UNSPEAKABLE = {"v": "a v128", "r": "a reference"}
PROCEDURE = ">"
"""The signature of a function without parameters and results."""
UNLIKE = "incompatible import type for "
"""How Wasmtime begins to say that an import has another type."""
SITE_DATA = [s.to_data() for s in SITES]


class Name(NamedTuple):
    """An export's name as the C API wants it."""

    text: ctypes.Array[ctypes.c_char]
    size: int


class Guest(NamedTuple):
    """A compiled module, and what has to be known of it to instantiate and to call it."""

    code: Module
    imports: list[Name]
    """The functions of preview 1 that it imports, in order; nothing else is imported."""
    start: str | None
    """The export that its start function was given instead of a start section."""
    signatures: dict[str, str]
    """See ``signatures``."""

    @property
    def sites(self) -> list[list[Any]]:
        return SITE_DATA if self.imports else []


class Wanted(NamedTuple):
    """A function that is to be called, with values as the C API has them."""

    function: str
    given: Any
    results: Any
    types: list[str]
    """Of the results."""


class Ready(NamedTuple):
    """A guest that was instantiated, and what is to be called of it."""

    instance: Instance
    wanted: Wanted


class Shims(NamedTuple):
    """Base and shim, of which every guest has instances of its own."""

    base: InstancePre
    shim: Module


EXTERN = ctypes.sizeof(ffi.wasmtime_extern_t)
_Get = ctypes.PYFUNCTYPE(
    ctypes.c_bool, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t, ctypes.c_void_p
)
"""``wasmtime_instance_export_get``, with addresses as plain numbers, and without letting go of the interpreter."""


def export_getter(library: Any) -> Callable[..., bool]:
    """That function of ``library``, a ``wasmtime._ffi``, whose last argument is an address: a guest may import forty
    functions, each of which is looked up in each run. Where it is not as it was, the slower way that wasmtime-py has.
    """
    try:
        entry = library.dll.wasmtime_instance_export_get
        theirs = [ctypes.c_void_p if issubclass(t, ctypes._Pointer) else t for t in (entry.restype, *entry.argtypes)]
        if theirs == [_Get._restype_, *_Get._argtypes_]:
            return _Get(("wasmtime_instance_export_get", library.dll))
    except (AttributeError, TypeError):
        pass

    def get(context: Any, instance: Any, name: Any, size: int, place: int) -> bool:
        item = library.wasmtime_extern_t.from_address(place)
        return bool(library.wasmtime_instance_export_get(context, instance, name, size, ctypes.byref(item)))

    return get


_export_get = export_getter(ffi)
MEMORY = Name(ctypes.create_string_buffer(b"memory"), 6)
GUEST = Name(ctypes.create_string_buffer(b"guest"), 5)


class Modules:
    """What a worker does with a job whose ``kind`` is ``module``."""

    lingers = False  # in preview 1, a guest waits until what it writes is written

    def __init__(self, engines: Engines, callbacks: Callbacks) -> None:
        self.engines, self.callbacks = engines, callbacks
        self.host = CoreHost(callbacks)
        self.linkers: dict[Settings, Linker] = {}
        self.shims: dict[Settings, Shims] = {}

    def linker(self, settings: Settings) -> Linker:
        """What base and shim import that is not of a run; what is of a run replaces that of the run before."""
        if settings not in self.linkers:
            linker = Linker(self.engines.engine(settings))
            linker.define_wasi()
            for name, (parameters, returns, function) in self.host.functions().items():
                bind_core(linker, HOST_INSTANCE, name, parameters, returns, function, self.callbacks.fault)
            linker.allow_shadowing = True
            self.linkers[settings] = linker
        return self.linkers[settings]

    # Compiled code.

    def cached(self, job: dict[str, Any]) -> Guest | None:
        """What the cache holds, with base and shim where it needs them, unless anything is missing or damaged."""
        guest = self._cached_guest(job)
        if guest is None or (guest.imports and not self._cached_shims(job)):
            return None
        return guest

    def compile(self, job: dict[str, Any], data: list[bytes]) -> Guest:
        """Compile what the cache does not hold. Raises ``UnfitError``."""
        guest = self._cached_guest(job) or self._compile_guest(job, data[0])
        if guest.imports and not self._cached_shims(job):
            self._compile_shims(job)
        return guest

    def _cached_guest(self, job: dict[str, Any]) -> Guest | None:
        path = os.path.join(job["cache"], job["key"])
        try:
            with open(f"{path}.module", "rb") as file:
                data = json.loads(file.read())
            if os.stat(f"{path}.cwasm").st_size != data["size"]:
                return None
            if not SIGNATURES.keys() >= set(data["imports"]):
                return None
            names = [_name(n) for n in data["imports"]]
            code = Module.deserialize_file(self.engines.engine(Settings.of_job(job)), f"{path}.cwasm")
            return Guest(code, names, data["start"], data["signatures"])
        except (OSError, ValueError, KeyError, TypeError, AttributeError, WasmtimeError):
            return None

    def _compile_guest(self, job: dict[str, Any], data: bytes) -> Guest:
        from sandbox.component import ComponentError
        from sandbox.guard.preview1.start import without_start
        from sandbox.runtime.cache import Cache
        from sandbox.runtime.signatures import signatures

        try:
            whole, start = without_start(data)
            code = Module(self.engines.engine(Settings.of_job(job)), whole)
            known = signatures(whole)
        except (ComponentError, ValueError) as error:
            raise UnfitError(f"{error}"[:MAX_TEXT]) from None
        except WasmtimeError as error:
            raise UnfitError(f"Wasmtime refuses the module: {fault(str(error))}") from None
        # That is what Wasmtime would have compared, had there still been a start section.
        if start is not None and known.get(start) != PROCEDURE:
            raise UnfitError("its start function takes or returns something")
        imports = [(i.module, i.name or "") for i in code.imports]
        # Of the base's exports, only the functions of preview 1 are for a guest.
        if any(module != MODULE or name not in SIGNATURES for module, name in imports):
            raise UnfitError(f"the module imports something that is not of {MODULE}")
        names = [name for _, name in imports]
        cache, compiled = Cache(job["cache"]), code.serialize()
        # What is known of it comes last: it says how large the other file is once it is whole.
        if cache.write_bytes(f"{job['key']}.cwasm", compiled):
            facts = {"size": len(compiled), "imports": names, "start": start, "signatures": known}
            cache.write(f"{job['key']}.module", facts)
            cache.prune()
        return Guest(code, [_name(n) for n in names], start, known)

    def _cached_shims(self, job: dict[str, Any]) -> bool:
        """Whether base and shim are at hand, now that the cache was looked at."""
        settings = Settings.of_job(job)
        if settings in self.shims:
            return True
        path = os.path.join(job["cache"], job["shims"])
        try:
            with open(f"{path}.shims", "rb") as file:
                sizes = json.loads(file.read())
            found = []
            for name in ("base", "shim"):
                if os.stat(f"{path}.{name}.cwasm").st_size != sizes[name]:
                    return False
                found.append(Module.deserialize_file(self.engines.engine(settings), f"{path}.{name}.cwasm"))
        except (OSError, ValueError, KeyError, TypeError, WasmtimeError):
            return False
        self._keep_shims(settings, *found)
        return True

    def _compile_shims(self, job: dict[str, Any]) -> None:
        from sandbox.guard.preview1.base import base_text
        from sandbox.guard.preview1.shim import shim_text
        from sandbox.runtime.cache import Cache

        settings, cache, sizes, found = Settings.of_job(job), Cache(job["cache"]), {}, []
        for name, text in (("base", base_text()), ("shim", shim_text())):
            code = Module(self.engines.engine(settings), text)
            compiled = code.serialize()
            found.append(code)
            if cache.write_bytes(f"{job['shims']}.{name}.cwasm", compiled):
                sizes[name] = len(compiled)
        if len(sizes) == len(found):
            cache.write(f"{job['shims']}.shims", sizes)
        self._keep_shims(settings, *found)

    def _keep_shims(self, settings: Settings, base: Module, shim: Module) -> None:
        self.shims[settings] = Shims(self.linker(settings).instantiate_pre(base), shim)

    # A run.

    def prepare(self, settings: Settings) -> None:
        """Make what a run needs and its guest is not charged with."""
        self.linker(settings)

    def instantiate(self, job: dict[str, Any], store: Store, loaded: Guest) -> Ready | Ended:
        """The guest's instance, with its start function run; where the call is none that can be made, how the run ends,
        of which nothing of the guest's was part. Raises ``WasmtimeError``, ``Trap`` or ``UnfitError``.
        """
        wanted = _wanted(job, loaded)
        if not isinstance(wanted, Wanted):
            return wanted
        if loaded.imports:
            instance = self._between(job, store, loaded)
        else:
            instance = _instance(store, loaded.code, None, 0)
        if loaded.start is not None:
            _invoke(store, _function(store, instance, loaded.start))
        return Ready(instance, wanted)

    def _between(self, job: dict[str, Any], store: Store, loaded: Guest) -> Instance:
        """The guest's instance between base and shim."""
        settings = Settings.of_job(job)
        shims, linker = self.shims[settings], self.linker(settings)
        base = shims.base.instantiate(store)
        memory = ffi.wasmtime_extern_t()
        _get(store, base, MEMORY, memory)
        self.host.memory.point(store, memory.of.memory)
        self.host.memory.write(CONFIG, configuration(job))
        count = len(loaded.imports)
        imports = (ffi.wasmtime_extern_t * count)()
        context, found, place = store._context(), ctypes.byref(base._instance), ctypes.addressof(imports)
        for name in loaded.imports:
            if not _export_get(context, found, name.text, name.size, place):
                raise UnfitError(f"{MODULE} has no {name.text.value.decode()!a}")
            place += EXTERN
        try:
            instance = _instance(store, loaded.code, imports, count)
        except WasmtimeError as error:
            text = str(error)
            if not text.startswith(UNLIKE):
                raise
            # It says which import that is: one that the base has, so the name is none of the guest's making.
            raise UnfitError(f"{text.splitlines()[0]}: {cause(text)}"[:MAX_TEXT]) from None
        own = ffi.wasmtime_extern_t()
        _get(store, instance, MEMORY, own)
        linker.define_instance(store, "base", base)
        wrong: Any = ffi.wasmtime_linker_define(
            linker.ptr(), store._context(), GUEST.text, GUEST.size, MEMORY.text, MEMORY.size, ctypes.byref(own)
        )
        if wrong:
            raise WasmtimeError._from_ptr(wrong)
        linker.instantiate(store, shims.shim)
        return instance

    def call(self, job: dict[str, Any], store: Store, instance: Ready | Ended, answer: int) -> Ended:
        """Call ``_start``, or an exported function once the module is initialised; several results are a tuple."""
        if not isinstance(instance, Ready):
            return instance
        made, wanted = instance
        if job["call"] is not None and job["initialize"]:
            _invoke(store, _function(store, made, "_initialize"))
        _invoke(store, _function(store, made, wanted.function), wanted.given, wanted.results)
        if job["call"] is not None:
            from sandbox import wave

            found = [getattr(row.of, name) for row, name in zip(wanted.results, wanted.types, strict=True)]
            write_answer(answer, wave.format_numbers(found, wanted.types))
        return {"how": "exited", "status": 0}

    def where(self, _: object, __: Trap | WasmtimeError) -> tuple[int, bool] | None:
        """A module is alone."""
        return None


def _name(text: str) -> Name:
    data = text.encode()
    return Name(ctypes.create_string_buffer(data), len(data))


def _get(store: Store, instance: Instance, name: Name, item: ffi.wasmtime_extern_t) -> None:
    """Have ``item`` be an export. Raises ``UnfitError`` where there is none."""
    found = ffi.wasmtime_instance_export_get(
        store._context(), ctypes.byref(instance._instance), name.text, name.size, ctypes.byref(item)
    )
    if not found:
        raise UnfitError(f"there is no {name.text.value.decode()!a}")


def _function(store: Store, instance: Instance, name: str) -> Func:
    """An exported function; none of the other exports is looked at, of which there may be thousands."""
    item = ffi.wasmtime_extern_t()
    _get(store, instance, _name(name), item)
    kind: Any = item.kind
    if kind != ffi.WASMTIME_EXTERN_FUNC.value:
        raise UnfitError(f"its {name!a} is no function")
    return Func._from_raw(item.of.func)


def _instance(store: Store, module: Module, imports: Any, count: int) -> Instance:
    """``wasmtime.Instance``, of imports that are as the C API wants them."""
    made = ffi.wasmtime_instance_t()
    with enter_wasm(store) as trap:
        error: Any = ffi.wasmtime_instance_new(store._context(), module.ptr(), imports, count, ctypes.byref(made), trap)
        if error:
            raise WasmtimeError._from_ptr(error)
    return Instance._from_raw(made)


def _invoke(store: Store, function: Func, given: Any = (), results: Any = ()) -> None:
    """Call a function whose type is known, with values as the C API has them.

    wasmtime-py asks for the type in each call, and cannot ask for every type.
    """
    with enter_wasm(store) as trap:
        error: Any = ffi.wasmtime_func_call(
            store._context(),
            ctypes.byref(function._func),
            given or None,
            len(given),
            results or None,
            len(results),
            trap,
        )
        if error:
            raise WasmtimeError._from_ptr(error)


def _wanted(job: dict[str, Any], guest: Guest) -> Wanted | Ended:
    """What is to be called, judged before anything of the guest's runs. Raises ``UnfitError``."""
    call = job["call"]
    for name in [job["run"]] if call is None else ["_initialize"] if job["initialize"] else []:
        if guest.signatures.get(name) != PROCEDURE:
            raise UnfitError(f"its {name} is no function without parameters and results")
    if call is None:
        return Wanted(job["run"], (), (), [])
    signature = guest.signatures.get(call["function"])
    if signature is None:
        return usage(f"the module exports no function {call['shown']}")
    for letter, what in UNSPEAKABLE.items():
        if letter in signature:
            return usage(f"{call['shown']} takes or returns {what}, which cannot be passed as text")

    from sandbox import wave

    takes, returns = signature.split(">")
    try:
        values = wave.parse_numbers(call["arguments"], [NUMBERS[p][0] for p in takes])
    except wave.WaveError as error:
        return usage(str(error))
    given, results = (ffi.wasmtime_val_t * len(takes))(), (ffi.wasmtime_val_t * len(returns))()
    for row, letter, value in zip(given, takes, values, strict=True):
        row.kind = NUMBERS[letter][1].value
        setattr(row.of, NUMBERS[letter][0], value)
    return Wanted(call["function"], given, results, [NUMBERS[r][0] for r in returns])
