"""The vocabulary of WASI preview 1: its functions, their core signatures, what each is for, what a policy calls it.

Names come out of hostile files: what is quoted of them in a reason is short and plain ASCII (``quoted``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, TypeAlias

if TYPE_CHECKING:  # a worker needs the signatures alone
    from collections.abc import Mapping

    from sandbox.component import ExternKind, Facts, MemoryKind
    from sandbox.wasi import Family, Refused

MODULE = "wasi_snapshot_preview1"
"""The first of the two names of each import."""

SIGNATURES: dict[str, str] = {
    "args_get": "ii",
    "args_sizes_get": "ii",
    "environ_get": "ii",
    "environ_sizes_get": "ii",
    "clock_res_get": "ii",
    "clock_time_get": "iIi",
    "fd_advise": "iIIi",
    "fd_allocate": "iII",
    "fd_close": "i",
    "fd_datasync": "i",
    "fd_fdstat_get": "ii",
    "fd_fdstat_set_flags": "ii",
    "fd_fdstat_set_rights": "iII",
    "fd_filestat_get": "ii",
    "fd_filestat_set_size": "iI",
    "fd_filestat_set_times": "iIIi",
    "fd_pread": "iiiIi",
    "fd_prestat_get": "ii",
    "fd_prestat_dir_name": "iii",
    "fd_pwrite": "iiiIi",
    "fd_read": "iiii",
    "fd_readdir": "iiiIi",
    "fd_renumber": "ii",
    "fd_seek": "iIii",
    "fd_sync": "i",
    "fd_tell": "ii",
    "fd_write": "iiii",
    "path_create_directory": "iii",
    "path_filestat_get": "iiiii",
    "path_filestat_set_times": "iiiiIIi",
    "path_link": "iiiiiii",
    "path_open": "iiiiiIIii",
    "path_readlink": "iiiiii",
    "path_remove_directory": "iii",
    "path_rename": "iiiiii",
    "path_symlink": "iiiii",
    "path_unlink_file": "iii",
    "poll_oneoff": "iiii",
    "proc_exit": "i",
    "proc_raise": "i",
    "sched_yield": "",
    "random_get": "ii",
    "sock_accept": "iii",
    "sock_recv": "iiiiii",
    "sock_send": "iiiii",
    "sock_shutdown": "ii",
}
"""The core parameters of each function (``i``: ``i32``, ``I``: ``i64``). All but ``proc_exit`` return an ``i32``."""


class Function(NamedTuple):
    """A function of preview 1."""

    params: str
    """Its core parameters, ``i`` for an ``i32``, ``I`` for an ``i64``."""
    result: bool
    """Whether it returns an ``errno``, an ``i32``; ``proc_exit`` alone never returns."""
    families: tuple[Family, ...]
    """What a policy grants it under; empty where it gives no authority of its own."""
    meaning: str
    """What a module does with it, as a phrase: ``opens files and directories``."""
    capabilities: tuple[str, ...]
    """What its use may appear as in an audit event: ``filesystem.read``."""


Classification: TypeAlias = "Function | Refused"

_READ, _WRITE = ("filesystem.read",), ("filesystem.write",)
_CLOCKS = ("clocks.wall", "clocks.monotonic")

_USES: dict[Family | None, dict[str, tuple[str, tuple[str, ...]]]] = {
    "filesystem": {
        "fd_prestat_get": ("asks which directories it was given", ()),
        "fd_prestat_dir_name": ("asks where the directories that it was given stand", ()),
        "path_open": ("opens and makes files, opens directories", _READ + _WRITE),
        "path_filestat_get": ("asks what is at a path, how large it is and when it was changed", _READ),
        "path_readlink": ("reads where a symbolic link points", _READ),
        "path_create_directory": ("makes directories", _WRITE),
        "path_filestat_set_times": ("sets the times of what is at a path", _WRITE),
        "path_link": ("gives a file another name", _WRITE),
        "path_remove_directory": ("removes directories", _WRITE),
        "path_rename": ("renames files and directories", _WRITE),
        "path_symlink": ("makes symbolic links", _WRITE),
        "path_unlink_file": ("removes files", _WRITE),
        "fd_readdir": ("lists directories", _READ),
        "fd_pread": ("reads files at an offset", _READ),
        "fd_pwrite": ("writes files at an offset", _WRITE),
        "fd_filestat_get": ("asks how large an open file is and when it was changed", _READ),
        "fd_filestat_set_size": ("cuts open files, or makes them longer", _WRITE),
        "fd_filestat_set_times": ("sets the times of open files", _WRITE),
        "fd_allocate": ("sets room aside for open files", _WRITE),
        "fd_advise": ("says how it will read an open file", _READ),
        "fd_sync": ("waits until what it wrote is on the disk", _READ),
        "fd_datasync": ("waits until what it wrote is on the disk", _READ),
    },
    "stdio": {
        "fd_read": ("reads standard input and open files", ("stdio.stdin",)),
        "fd_write": ("writes standard output, standard error and open files", ("stdio.stdout", "stdio.stderr")),
    },
    "environment": {
        "environ_get": ("reads all environment variables", ("environment",)),
        "environ_sizes_get": ("asks how many environment variables there are", ("environment",)),
    },
    "arguments": {
        "args_get": ("reads its arguments", ("arguments",)),
        "args_sizes_get": ("asks how many arguments there are", ("arguments",)),
    },
    "clocks": {
        "clock_time_get": ("reads the date and time, and measures time", _CLOCKS),
        "clock_res_get": ("asks how finely clocks go", _CLOCKS),
        "poll_oneoff": ("waits for a time, or for what is open", _CLOCKS),
    },
    "random": {
        "random_get": ("takes secure random numbers, for keys among others", ("random.secure",)),
    },
    "sockets": {
        "sock_accept": ("takes connections to a socket that its host opened", ("sockets",)),
        "sock_recv": ("receives from a socket that its host opened", ("sockets",)),
        "sock_send": ("sends over a socket that its host opened", ("sockets",)),
        "sock_shutdown": ("closes a socket that its host opened", ("sockets",)),
    },
    None: {
        "fd_close": ("closes what is open", ()),
        "fd_seek": ("moves within an open file", ()),
        "fd_tell": ("asks where in an open file it is", ()),
        "fd_renumber": ("gives what is open another number", ()),
        "fd_fdstat_get": ("asks what is open, and with which flags", ()),
        "fd_fdstat_set_flags": ("sets the flags of what is open", ()),
        "fd_fdstat_set_rights": ("gives up rights to what is open", ()),
        "proc_exit": ("ends the program with a status", ()),
        "proc_raise": ("sends itself a signal", ()),
        "sched_yield": ("lets others run", ()),
    },
}

FUNCTIONS: Mapping[str, Function] = {
    name: Function(
        params=SIGNATURES[name],
        result=name != "proc_exit",
        families=() if family is None else (family,),
        meaning=meaning,
        capabilities=capabilities,
    )
    for family, uses in _USES.items()
    for name, (meaning, capabilities) in uses.items()
}
"""Every function of preview 1, in the order in which reports list them."""

MAX_QUOTED = 100
"""Characters of an import's name in a sentence."""

_PLAIN = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_$-./:@")
_REBUILD = "rebuild it for wasm32-wasip1"

_DIALECTS = {
    "wasi_unstable": f"wasi_unstable is the snapshot before preview 1; {_REBUILD}",
    "wasix_32v1": f"it is part of WASIX, which goes beyond preview 1; {_REBUILD}",
    "wasix_64v1": f"it is part of WASIX, which goes beyond preview 1; {_REBUILD}",
    "go": "it is for a JavaScript host; build the program with GOOS=wasip1 GOARCH=wasm",
    "gojs": "it is for a JavaScript host; build the program with GOOS=wasip1 GOARCH=wasm",
    "wbg": f"it is made by wasm-bindgen for a JavaScript host; {_REBUILD} without wasm-bindgen",
    "env": "env is what another host gives (a page for Emscripten, say), or what the linker did not find;"
    f" {_REBUILD} with everything linked in",
    "GOT.func": "it belongs to a shared library, which nothing loads here; link it statically",
    "GOT.mem": "it belongs to a shared library, which nothing loads here; link it statically",
}
_MEMORIES: dict[MemoryKind, str] = {
    "none": "exports no memory by the name of `memory`, which WASI preview 1 reads and writes; export its memory",
    "shared": "exports a memory that threads share, and WASI preview 1 knows no threads; rebuild it without them",
    "64-bit": f"exports a memory with 64-bit addresses, and those of WASI preview 1 have 32; {_REBUILD}",
    "custom-page-size": "exports a memory with pages of its own size, which is not served; rebuild it without that",
}


def classify(module: str, name: str, kind: ExternKind) -> Classification:
    """What an import of a core module is: a function of preview 1, or why nothing serves it.

    The reason is one printable line of ASCII, to be read after the import's name and a colon.
    """
    from sandbox.wasi import Refused

    if module == MODULE:
        if kind != "func":
            return Refused(reason=f"it is a {kind}, and WASI preview 1 has functions alone; {_REBUILD}")
        if name not in FUNCTIONS:
            return Refused(reason=f"it is no function of WASI preview 1 but another runtime's extension; {_REBUILD}")
        return FUNCTIONS[name]
    return Refused(reason=_foreign(module, kind))


def _foreign(module: str, kind: ExternKind) -> str:
    if kind == "memory":
        return f"a module has its own memory here; {_REBUILD}, without threads"
    if module in _DIALECTS:
        return _DIALECTS[module]
    if module == "wasi":
        return f"wasi is the proposal for threads, which are not served; {_REBUILD}, without threads"
    if module.startswith(("wasi_ephemeral_", "wasi_experimental_")):
        return f"it is an experiment beside WASI preview 1, which is not served; {_REBUILD} without it"
    if module.startswith(("__wbindgen_", "./")):
        return _DIALECTS["wbg"]
    # The names that a module's imports have until it is made into a component.
    if module == "$root" or module.startswith(("[", "cm32p2")) or ":" in module:
        return "the module is meant to become a component; make it one (wasm-tools component new, or jco new)"
    return f"only the functions of {MODULE} are served; {_REBUILD}"


def quoted(module: str, name: str) -> str:
    """An import's two names as one short piece of a sentence: ``wasi_unstable.fd_write``; hostile ones in quotes."""
    text = f"{module}.{name}"
    shown = text if len(text) <= MAX_QUOTED else text[: MAX_QUOTED - 3] + "..."
    return shown if module and name and _PLAIN.issuperset(text) else ascii(shown)


def imports_preview1(facts: Facts) -> bool:
    """Whether a module imports anything of preview 1."""
    return any(item.module == MODULE for item in facts.imports)


def imported(facts: Facts) -> tuple[str, ...]:
    """The functions of preview 1 that a module imports, each once, in the order of ``FUNCTIONS``."""
    named = {item.name for item in facts.imports if item.module == MODULE and item.kind == "func"}
    return tuple(name for name in FUNCTIONS if name in named)


def objections(facts: Facts) -> tuple[str, ...]:
    """Why a core module cannot run here: a sentence each, without the module itself, as in ``imports env.f: ...``.

    Of the imports that nothing serves, only the first is named.
    """
    found = []
    foreign = []
    for item in facts.imports:
        module = item.module or ""
        verdict = classify(module, item.name, item.kind)
        if not isinstance(verdict, Function):
            foreign.append((quoted(module, item.name), verdict.reason))
    if foreign:
        name, reason = foreign[0]
        others = f" (and {len(foreign) - 1:,} more that nothing serves)" if len(foreign) > 1 else ""
        found.append(f"imports {name}{others}: {reason}")
    memory = facts.module.memory if facts.module is not None else "none"
    if memory != "plain" and imports_preview1(facts):
        found.append(_MEMORIES[memory])
    return tuple(found)
