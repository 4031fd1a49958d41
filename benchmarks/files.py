"""Files through the guard: each operation timed by the guest itself, so that starting it does not count."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from benchmarks.bench import Bench, Cases
from benchmarks.measure import Row, interleave, one_processor

AIM = 95.0

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
ROUTED = ("read-4k", "stat", "open")
AIMED = {*READS, "write-4k", "write-64k"}
"""What the aim speaks of; the other rows are for information."""


def cases(bench: Bench) -> Cases:
    found: Cases = {}
    for name, operation in {**READS, **MORE_READS}.items():
        found[f"files.{name}"] = partial(_files, bench, f"files.{name}", operation, "read")
    for name, operation in WRITES.items():
        found[f"files.{name}"] = partial(_files, bench, f"files.{name}", operation, "write")
    for name, operation in READS.items():
        found[f"files.writable.{name}"] = partial(_files, bench, f"files.writable.{name}", operation, "write")
    for name in ROUTED:
        operation = {**READS, **MORE_READS}[name]
        found[f"files.except.{name}"] = partial(_files, bench, f"files.except.{name}", operation, "except")
    return found


GRANTS = {
    "read": "granted for reading",
    "write": "granted for writing",
    "except": "granted for reading with an exception, so that each path is resolved by the host",
}


def _files(bench: Bench, name: str, operation: tuple[str, int, str], grant: str) -> Iterator[Row]:
    letter, count, what = operation
    writable = grant == "write"
    excepted = {"excepted": ["**/*.secret"]} if grant == "except" else {}
    directories = bench.data_directories(writable)
    policy = bench.policy(f"files-{grant}", bench.operations, directories, stream="capture", **excepted)
    bench.settle(bench.operations)
    count = bench.count(count, 3)
    with one_processor(), bench.sandbox(policy) as sandbox:
        ours, plain = interleave(
            bench.guest_time(sandbox, letter, count),
            bench.plain_time(bench.plain(bench.operations), letter, count, directories),
            bench.count(31),
        )
    aim = AIM if name.removeprefix("files.") in AIMED else None
    yield Row(name=name, what=f"{what}; {GRANTS[grant]}", unit="us", ours=ours, plain=plain, kind="share", aim=aim)
