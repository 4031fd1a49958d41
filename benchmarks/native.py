"""Runs a component under plain wasmtime-py with the whole network: python native.py GUEST [ARGUMENT ...]

Wasmtime 47 is the last whose sockets its C interface can enable; wasmtime-py has no method for that.
"""

from __future__ import annotations

import sys

from wasmtime import Engine, Store, WasiConfig, _ffi
from wasmtime.component import Component, Linker

engine = Engine()
with open(sys.argv[1], "rb") as file:
    component = Component(engine, file.read())
linker = Linker(engine)
linker.add_wasip2()
config = WasiConfig()
config.argv = ["guest", *sys.argv[2:]]
config.inherit_stdout()
config.inherit_stderr()
_ffi.dll.wasi_config_inherit_network(config.ptr())
_ffi.dll.wasi_config_allow_ip_name_lookup(config.ptr(), True)
store = Store(engine)
store.set_wasi(config)
instance = linker.instantiate(store, component)
interface = instance.get_export_index(store, "wasi:cli/run@0.2.0")
index = instance.get_export_index(store, "run", interface)
assert index is not None
function = instance.get_func(store, index)
assert function is not None
sys.exit(getattr(function(store), "tag", "ok") == "error")
