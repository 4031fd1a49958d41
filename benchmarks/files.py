"""Files through the guard: each operation timed by the guest itself, so that starting it does not count."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from benchmarks.bench import LISTED, Bench, Cases
from benchmarks.measure import Row, interleave, one_processor

AIM = 95.0

Operations = dict[str, tuple[str, int, str]]

# Name: the guest's letter, operations in one turn, and what it is.
READS = {
    "read-4k": ("r", 600, "input-stream.blocking-read, 4 KiB"),
    "read-64k": ("R", 600, "input-stream.blocking-read, 64 KiB"),
    "stat": ("s", 800, "descriptor.stat-at"),
}
MORE_READS = {
    "pread-4k": ("p", 600, "descriptor.read, 4 KiB"),
    "pread-64k": ("P", 600, "descriptor.read, 64 KiB"),
    "fstat": ("d", 800, "descriptor.stat"),
    "open": ("o", 600, "descriptor.open-at, and drop"),
}
WRITES = {
    "write-4k": ("w", 600, "output-stream.blocking-write-and-flush, 4 KiB"),
    "write-64k": ("W", 600, "output-stream.write and blocking-flush, 64 KiB"),
    "pwrite-4k": ("q", 600, "descriptor.write, 4 KiB"),
    "pwrite-64k": ("Q", 600, "descriptor.write, 64 KiB"),
}
MODULE_READS = {
    "read-4k": ("r", 600, "fd_read, 4 KiB"),
    "read-64k": ("R", 600, "fd_read, 64 KiB"),
    "stat": ("s", 800, "path_filestat_get"),
}
MODULE_MORE_READS = {
    "pread-4k": ("p", 600, "fd_pread, 4 KiB"),
    "pread-64k": ("P", 600, "fd_pread, 64 KiB"),
    "fstat": ("d", 800, "fd_filestat_get"),
    "open": ("o", 600, "path_open, and fd_close"),
    "readdir": ("l", 20, f"fd_readdir of a directory of {LISTED} files"),
}
MODULE_WRITES = {
    "write-4k": ("w", 600, "fd_write, 4 KiB"),
    "write-64k": ("W", 600, "fd_write, 64 KiB"),
    "pwrite-4k": ("q", 600, "fd_pwrite, 4 KiB"),
    "pwrite-64k": ("Q", 600, "fd_pwrite, 64 KiB"),
}
ROUTED = ("read-4k", "stat", "open")
AIMED = {*READS, "write-4k", "write-64k"}
"""What the aim speaks of; the other rows are for information."""


def cases(bench: Bench) -> Cases:
    return {
        **_cases(bench, "files", {**READS, **MORE_READS}, WRITES, READS),
        **_cases(bench, "files.module", {**MODULE_READS, **MODULE_MORE_READS}, MODULE_WRITES, MODULE_READS),
    }


def _cases(bench: Bench, group: str, reads: Operations, writes: Operations, writable: Operations) -> Cases:
    excepted = {name: reads[name] for name in ROUTED}
    found: Cases = {}
    for part, operations, grant in (
        ("", reads, "read"),
        ("", writes, "write"),
        (".writable", writable, "write"),
        (".except", excepted, "except"),
    ):
        for name, operation in operations.items():
            row = f"{group}{part}.{name}"
            found[row] = partial(_files, bench, row, operation, grant, name in AIMED and not part)
    return found


GRANTS = {
    "read": "granted for reading",
    "write": "granted for writing",
    "except": "granted for reading with an exception, so that each path is resolved by the host",
}


def _files(bench: Bench, name: str, operation: tuple[str, int, str], grant: str, aimed: bool) -> Iterator[Row]:
    letter, count, what = operation
    writable = grant == "write"
    excepted = {"excepted": ["**/*.secret"]} if grant == "except" else {}
    directories = bench.data_directories(writable)
    source = bench.preview1 if name.startswith("files.module.") else bench.operations
    policy = bench.policy(f"{source.stem}-{grant}", source, directories, stream="capture", **excepted)
    bench.settle(source)
    count = bench.count(count, 3)
    with one_processor(), bench.sandbox(policy) as sandbox:
        ours, plain = interleave(
            bench.guest_time(sandbox, letter, count),
            bench.plain_time(bench.plain(source), letter, count, directories),
            bench.count(31),
        )
    aim = AIM if aimed else None
    yield Row(name=name, what=f"{what}; {GRANTS[grant]}", unit="us", ours=ours, plain=plain, kind="share", aim=aim)
