"""The bare script that a whole ``sandbox run`` is compared with: load a compiled component, grant directories, run.

python bare.py COMPILED [HOST::GUEST[::ro] ...] [-- ARGUMENT ...]
"""

import sys

from wasmtime import Engine, Store, WasiConfig
from wasmtime.component import Component, Linker

given = sys.argv[2:]
cut = given.index("--") if "--" in given else len(given)
engine = Engine()
component = Component.deserialize_file(engine, sys.argv[1])
linker = Linker(engine)
linker.add_wasip2()
config = WasiConfig()
config.argv = ["guest", *given[cut + 1 :]]
config.env = [("CURRENCY", "EUR")]
config.inherit_stdout()
config.inherit_stderr()
for directory in given[:cut]:
    host, guest, *mode = directory.split("::")
    config.preopen_dir(host, guest, mode != ["ro"])
store = Store(engine)
store.set_wasi(config)
instance = linker.instantiate(store, component)
interface = instance.get_export_index(store, "wasi:cli/run@0.2.0")
index = instance.get_export_index(store, "run", interface)
assert index is not None
function = instance.get_func(store, index)
assert function is not None
sys.exit(getattr(function(store), "tag", "ok") == "error")
