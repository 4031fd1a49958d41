"""The benchmarks run: each row is measured and printed with tiny counts. No time is asserted."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

import pytest
from wasmtime import Module, Trap, wat2wasm

from benchmarks.__main__ import all_cases, main
from benchmarks.bench import Bench, main_module
from benchmarks.measure import Row, Sample, in_turns, interleave

COMPARED = [
    *("network.connect", "network.send-64k", "network.receive-64k", "network.request-1k"),
    *("network.http", "network.accept", "network.poll", "network.lookup"),
]
"""Rows beside Wasmtime 47, which no test installs; each has another beside a Python client."""

FILES = [
    *("files.read-4k", "files.read-64k", "files.stat"),
    *("files.pread-4k", "files.pread-64k", "files.fstat", "files.open"),
    *("files.write-4k", "files.write-64k", "files.pwrite-4k", "files.pwrite-64k"),
    *("files.writable.read-4k", "files.writable.read-64k", "files.writable.stat"),
    *("files.except.read-4k", "files.except.stat", "files.except.open"),
]
MODULE_FILES = [
    *("files.module.read-4k", "files.module.read-64k", "files.module.stat"),
    *("files.module.pread-4k", "files.module.pread-64k", "files.module.fstat", "files.module.open"),
    "files.module.readdir",
    *("files.module.write-4k", "files.module.write-64k", "files.module.pwrite-4k", "files.module.pwrite-64k"),
    *("files.module.writable.read-4k", "files.module.writable.read-64k", "files.module.writable.stat"),
    *("files.module.except.read-4k", "files.module.except.stat", "files.module.except.open"),
]
DENIALS = [
    *("{}.memory", "{}.memory.processor", "{}.file", "{}.file.processor"),
    *("{}.folded", "{}.folded.processor"),
]

ROWS = [
    *("start.c", "start.c.processor", "start.nothing", "start.nothing.processor"),
    *("start.module.c", "start.module.c.processor", "start.module.nothing", "start.module.nothing.processor"),
    *("warm.c", "warm.c.guard", "warm.nothing", "warm.nothing.guard", "warm.5ms", "warm.5ms.guard"),
    *("warm.module.c", "warm.module.c.guard", "warm.module.nothing", "warm.module.nothing.guard"),
    *("warm.module.5ms", "warm.module.5ms.guard"),
    *FILES,
    *MODULE_FILES,
    *("clock.component", "clock.module"),
    *(row.format("denials") for row in DENIALS),
    *(row.format("denials.module") for row in DENIALS),
    *(row for name in COMPARED for row in (name, f"{name}.python")),
    *("network.allowed", "start.network", "start.network.processor"),
    *("start.network.imported", "start.network.imported.processor"),
    *("guards.instantiate.c", "guards.make.c", "guards.compile.c", "guards.inspect.c"),
    *("lint.thousand", "lint.start"),
    *("programs.call", "programs.call.text", "programs.host-call", "programs.request"),
    *("programs.instantiate.2", "programs.instantiate.5", "programs.instantiate.20", "programs.memory"),
]
"""Every row but those of CPython, component or module, which no test of these builds, fetches or waits to compile."""


def test_every_row_is_measured_and_printed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """``python -m benchmarks`` prints a line a row, in order, and the files hold the same rows."""
    monkeypatch.delenv("PYTHONDONTWRITEBYTECODE", raising=False)
    (tmp_path / "bench").mkdir()
    known = all_cases(Bench(tmp_path / "bench", quick=True))
    wanted = [name for name in known if not name.endswith(".python")]
    files = ["--json", str(tmp_path / "rows.json"), "--markdown", str(tmp_path / "rows.md")]
    assert main([*wanted, "--quick", *files]) == 0
    printed = capsys.readouterr().out.splitlines()
    lines = [line for line in printed[2:] if not line.startswith("  ")]
    assert [line.split()[0] for line in lines] == ROWS
    values = r"(\S+ \(\S+\.\.\S+\) (ms|us|ns|KiB) *){1,2}"
    shape = rf"\S+ +{values}(\S+ (x|%|us|ms|ns))?( +(<=|>=) \d+(\.\d+)?( %)? (reached|MISSED))?"
    missing = r"\S+ +skipped: Wasmtime 47 is not installed, which takes long"
    others = [line for line in lines if not re.fullmatch(shape, line)]
    skipped = [line.split()[0] for line in others if re.fullmatch(missing, line)]
    assert (skipped, len(others)) in (([], 0), (COMPARED, len(COMPARED))), others
    found = json.loads((tmp_path / "rows.json").read_text(encoding="utf-8"))
    assert [row["name"] for row in found["rows"]] == ROWS
    assert [row["name"] for row in found["rows"] if row["name"] not in skipped and not row["ours"]["values"]] == []
    table = (tmp_path / "rows.md").read_text(encoding="utf-8").splitlines()
    assert [line.split("`")[1] for line in table[4:]] == ROWS


def test_an_unknown_row_is_an_error(capsys: pytest.CaptureFixture[str]) -> None:
    """A misspelt row ends the command, which names the rows that there are; nothing is measured."""
    with pytest.raises(SystemExit) as ended:
        main(["files.red-4k"])
    assert ended.value.code == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "no row 'files.red-4k'; there are: start.c start.python start.nothing start.module.c" in captured.err


def test_things_are_measured_in_turns() -> None:
    """The order changes from round to round, after one turn of each that does not count."""
    turns: list[str] = []

    def measured(name: str) -> float:
        turns.append(name)
        return float(len(turns))

    ours, plain = interleave(lambda: measured("ours"), lambda: measured("plain"), 3)
    assert turns == ["ours", "plain", "ours", "plain", "plain", "ours", "ours", "plain"]
    assert (ours, plain) == (Sample((3.0, 6.0, 7.0)), Sample((4.0, 5.0, 8.0)))
    turns.clear()
    samples = in_turns([lambda: measured("a"), lambda: measured("b"), lambda: measured("c")], 2)
    assert "".join(turns) == "abcabccba"
    assert samples == [Sample((4.0, 9.0)), Sample((5.0, 8.0)), Sample((6.0, 7.0))]


@pytest.mark.parametrize(
    ("kind", "aim", "figure", "reached", "text"),
    [
        ("time", 1.5, 1.25, True, "1.25 x  <= 1.5 reached"),
        ("time", 1.2, 1.25, False, "1.25 x  <= 1.2 MISSED"),
        ("share", 80.0, 80.0, True, "80.0 %  >= 80 % reached"),
        ("share", 90.0, 80.0, False, "80.0 %  >= 90 % MISSED"),
        ("added", 30.0, 20.0, True, "+20.0 us  <= 30 reached"),
        ("added", 10.0, 20.0, False, "+20.0 us  <= 10 MISSED"),
        ("time", None, 1.25, None, "1.25 x"),
    ],
)
def test_a_row_compares_round_by_round_and_with_its_aim(
    kind: str, aim: float | None, figure: float, reached: bool | None, text: str
) -> None:
    """The figure is the median of a ratio, a share or a difference over the rounds; and is compared with its aim."""
    row = Row(
        name="row",
        what="what",
        unit="us",
        ours=Sample((90.0, 100.0, 400.0)),
        plain=Sample((72.0, 80.0, 300.0)),
        kind=kind,  # type: ignore[arg-type] # one of its literals, as the parameters above are written
        aim=aim,
    )
    assert (row.figure, row.reached) == (figure, reached)
    assert row.markdown() == "| `row` | 100 us | 80 us | {} | {} |".format(*re.split(" {2,}|$", text)[:2])
    first = " ".join(row.text().splitlines()[0].split())
    assert first == " ".join(f"row 100 (90..400) us 80 (72..300) us {text}".split())


def test_a_component_gives_back_the_module_that_it_was_made_from(tmp_path: Path) -> None:
    """What the rows of modules run is the sample's own module: a command of preview 1 that exports its memory."""
    bench = Bench(tmp_path, quick=True)
    assert bench.report_module.read_bytes() == main_module(bench.report.read_bytes())
    module = Module(bench.engine, bench.report_module.read_bytes())
    assert {i.module for i in module.imports} == {"wasi_snapshot_preview1"}
    assert [e.name for e in module.exports] == ["memory", "_start"]
    with pytest.raises(ValueError, match=r"^a component without a module$"):
        main_module(bytes(wat2wasm("(component)")))


@pytest.mark.parametrize("letter", "nrRwWpPqQsdolfc")
def test_the_module_that_is_measured_does_what_its_letters_say(tmp_path: Path, letter: str) -> None:
    """Each operation of ``preview1.wat`` runs under plain wasmtime-py, and prints a number of nanoseconds."""
    bench = Bench(tmp_path, quick=True)
    printed = tmp_path / "printed"
    bench.plain(bench.preview1).run([letter, "2"], bench.data_directories(True), printed, Path(os.devnull))
    assert re.fullmatch(r"[0-9]+\n", printed.read_text(encoding="ascii"))


def test_a_module_that_does_not_do_as_it_should_fails_the_measurement(tmp_path: Path) -> None:
    """An operation that has no letter traps, under plain wasmtime-py as under the sandbox."""
    bench = Bench(tmp_path, quick=True)
    with pytest.raises(Trap, match="unreachable"):
        bench.plain(bench.preview1).run(["x", "1"], bench.data_directories(), tmp_path / "printed", Path(os.devnull))
