"""A whole ``sandbox run`` with a warm cache, against a bare script that loads the same component and runs it."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from benchmarks.bench import HERE, ROOT, Bench, Cases, Directory, is_module
from benchmarks.measure import Row, interleave, process

AIM = 1.5
ENTRY = "import sys; sys.path.insert(0, {root!r}); from sandbox.cli.main import main; main()"
"""What the installed command ``sandbox`` does."""


def cases(bench: Bench) -> Cases:
    sample = bench.report_directories()
    return {
        "start.c": lambda: _start(bench, "start.c", bench.report, sample, bench.count(31)),
        "start.python": lambda: _start(bench, "start.python", bench.report_python, sample, bench.count(15)),
        "start.nothing": lambda: _start(bench, "start.nothing", bench.operations, [], bench.count(31), ["n", "1"]),
        "start.module.c": lambda: _start(bench, "start.module.c", bench.report_module, sample, bench.count(31)),
        "start.module.python": lambda: _start_python(bench),
        "start.module.nothing": lambda: _start(
            bench, "start.module.nothing", bench.preview1, [], bench.count(31), ["n", "1"]
        ),
    }


WHAT = {
    "start.c": "samples/report.c",
    "start.python": "samples/report-python",
    "start.nothing": "a guest that only prints a number",
    "start.module.c": "samples/report.c as a module",
    "start.module.python": "CPython as a module, one line of arithmetic",
    "start.module.nothing": "a module that only prints a number",
}


def _start_python(bench: Bench) -> Iterator[Row]:
    source, directories, arguments, clocks = bench.python
    return _start(bench, "start.module.python", source, directories, bench.count(15), arguments, clocks=clocks)


def repeated(bench: Bench, policy: Path, arguments: Sequence[str]) -> list[str]:
    """The command that runs a policy, which has been run before."""
    # An installed package has its bytecode; so has this one then.
    subprocess.run([sys.executable, "-m", "compileall", "-q", ROOT / "sandbox"], env=bench.environment, check=True)
    command = [sys.executable, "-c", ENTRY.format(root=str(ROOT)), "run", "--quiet", str(policy), "--", *arguments]
    process(command, bench.environment)
    return command


def _start(
    bench: Bench,
    name: str,
    source: Path,
    directories: list[Directory],
    rounds: int,
    arguments: Sequence[str] = (),
    **more: Any,
) -> Iterator[Row]:
    policy = bench.policy(name, source, directories, stream="inherit", **more)
    script = "bare_module.py" if is_module(source.read_bytes()) else "bare.py"
    bare = [sys.executable, str(HERE / script), str(bench.compiled_file(source))]
    bare += [f"{h}::{g}{'' if w else '::ro'}" for h, g, w in bench.with_root(directories)]
    bare += ["--", *arguments]
    bench.settle(source)
    sandbox = repeated(bench, policy, arguments)
    what = f"{WHAT[name]}, whole process, warm cache"
    ours, plain = interleave(
        lambda: process(sandbox, bench.environment), lambda: process(bare, bench.environment), rounds
    )
    aim = None if is_module(source.read_bytes()) else AIM
    yield Row(name=name, what=what, unit="ms", ours=ours, plain=plain, aim=aim)
    ours, plain = interleave(
        lambda: process(sandbox, bench.environment, processor=True),
        lambda: process(bare, bench.environment, processor=True),
        bench.count(rounds // 3),
    )
    yield Row(
        name=f"{name}.processor",
        what=f"{WHAT[name]}, processor time of supervisor and worker together",
        unit="ms",
        ours=ours,
        plain=plain,
    )
