"""What base, shim and worker agree on: where things lie in the base's memory, and the number of each site."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from typing import Any

from sandbox.guard.sites import Site
from sandbox.preview1 import MODULE

PATH_MAX = 4096
"""Bytes of the longest path, its end included, that is passed on; a longer one is ``nametoolong``."""

CONFIG = 64
"""What the worker says of the run: see ``configuration``."""
HANDLES, COUNT, DISK, SEED, WALL, MONOTONIC, RANDOM = (CONFIG + at for at in (0, 4, 8, 16, 24, 28, 32))
ENVIRONMENT, ARGUMENTS, COUNTS_WRITES, GRANTS = (CONFIG + at for at in (36, 40, 44, 48))
MAX_GRANTS = 129
DOT = 16
"""The path of a directory from itself, one byte."""
ONCE = 320
"""One byte for each of what is told only once."""
ONCE_ENVIRONMENT, ONCE_ARGUMENTS, ONCE_WALL, ONCE_MONOTONIC = range(ONCE, ONCE + 4)
OUT = 512
"""Results of what the shim asks on its own account."""
PATH, OTHER_PATH = 1024, 5632
"""Paths as the guest gave them."""
ROUTED, OTHER_ROUTED = 10240, 14848
"""Paths that the host answered, each after its length."""
LINK = 19456
"""The target of a link that is read."""
FIRST_ENTRIES = 512
ENTRIES = 65536 - 8 * FIRST_ENTRIES
"""Where the table of descriptors begins, which ends with the page, and how many it has at first."""

TYPE_DIRECTORY, TYPE_FILE, TYPE_LINK = 3, 4, 7
"""Of preview 1's ``filetype``."""
FOUND, NOTHING, UNKNOWN = 0, 1, 2
"""What the host answers to ``look``; ``UNKNOWN``: Wasmtime is to be asked."""

SLOT_GRANT, SLOT_LENGTH, SLOT_KIND, SLOT_PATH = 0, 4, 8, 12
OPENED, ROOT, FILE = 0, 1, 2
"""Kinds of slots: a directory that was opened (or what cannot be told), one that was granted, anything else."""
SLOT_SIZE = SLOT_PATH + PATH_MAX
SLOTS_PER_PAGE = 65536 // SLOT_SIZE

REAL, COARSE, FROZEN, DENIED = range(4)
"""Modes of a clock; of random numbers, ``REAL`` is secure, ``COARSE`` seeded."""

_CLOCKS = {"real": REAL, "coarse": COARSE, "frozen": FROZEN, "denied": DENIED}
_SOURCES = {"secure": REAL, "seeded": COARSE, "denied": DENIED}

READS = (
    "fd_advise",
    "fd_datasync",
    "fd_fdstat_get",
    "fd_fdstat_set_flags",
    "fd_fdstat_set_rights",
    "fd_filestat_get",
    "fd_pread",
    "fd_read",
    "fd_readdir",
    "fd_seek",
    "fd_sync",
    "fd_tell",
    "path_filestat_get",
    "path_open",
    "path_readlink",
)
WRITES = (
    "fd_allocate",
    "fd_filestat_set_size",
    "fd_filestat_set_times",
    "fd_pwrite",
    "fd_write",
    "path_create_directory",
    "path_filestat_set_times",
    "path_link",
    "path_remove_directory",
    "path_rename",
    "path_symlink",
    "path_unlink_file",
)
"""Functions that need write access; ``path_open`` needs it by its flags."""

_ROWS: tuple[tuple[str, str, str], ...] = (
    *((f"{name}", name, "filesystem.read") for name in READS),
    *((f"{name}", name, "filesystem.write") for name in WRITES),
    *((name, name, "environment") for name in ("environ_get", "environ_sizes_get")),
    *((name, name, "arguments") for name in ("args_get", "args_sizes_get")),
    *(
        (f"{name}.{clock}", name, f"clocks.{clock}")
        for name in ("clock_res_get", "clock_time_get", "poll_oneoff")
        for clock in ("wall", "monotonic")
    ),
    ("random_get", "random_get", "random.secure"),
    *((name, name, "sockets") for name in ("sock_accept", "sock_recv", "sock_send", "sock_shutdown")),
)
SITES = tuple(Site(MODULE, function, capability) for _, function, capability in _ROWS)
"""The functions that may be refused, by number."""
SITE = {key: number for number, (key, _, _) in enumerate(_ROWS)}


def configuration(job: Mapping[str, Any]) -> bytes:
    """What the shim is told of a run, to be written at ``CONFIG`` before it is instantiated."""
    flags: bytes = job["flags"].encode("latin-1")
    if len(flags) > MAX_GRANTS:
        raise ValueError(f"more than {MAX_GRANTS} directories")
    return (
        struct.pack(
            "<IIQQIIIIII",
            min(job["handles"], 0xFFFF_FFFF),
            len(flags),
            min(job["disk"], 0xFFFF_FFFF_FFFF_FFFF),
            job["seed"] & 0xFFFF_FFFF_FFFF_FFFF,
            _CLOCKS[job["wall"]],
            _CLOCKS[job["monotonic"]],
            _SOURCES[job["random"]],
            int(job["environment"] is not None),
            int(job["arguments"] is not None),
            int(job["counts_writes"]),
        )
        + flags
    )
