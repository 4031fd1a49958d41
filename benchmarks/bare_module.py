"""The same as bare.py for a module of preview 1: load it compiled, grant directories, run.

python bare_module.py COMPILED [HOST::GUEST[::ro] ...] [-- ARGUMENT ...]
"""

import sys

from wasmtime import Engine, ExitTrap, Func, Linker, Module, Store, WasiConfig

given = sys.argv[2:]
cut = given.index("--") if "--" in given else len(given)
engine = Engine()
module = Module.deserialize_file(engine, sys.argv[1])
linker = Linker(engine)
linker.define_wasi()
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
start = linker.instantiate(store, module).exports(store)["_start"]
assert isinstance(start, Func)
try:
    start(store)
except ExitTrap as ended:
    sys.exit(ended.code)
