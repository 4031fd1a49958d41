"""``python -m benchmarks [ROW ...] [--quick] [--json FILE] [--markdown FILE]``: measure and print, row by row."""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from benchmarks import clock, denials, files, guards, lint, network, programs, start, warm
from benchmarks.bench import Bench, Cases, UnavailableError
from benchmarks.measure import HEADING, TABLE, Row, Skipped, machine


def all_cases(bench: Bench) -> Cases:
    found: Cases = {}
    for module in (start, warm, files, clock, denials, network, guards, lint, programs):
        found.update(module.cases(bench))
    return found


def measure(bench: Bench, wanted: Sequence[str] = ()) -> Iterator[Row | Skipped]:
    """Every row whose name is among ``wanted`` or begins with one of them and a dot; all where it is empty."""
    for name, case in all_cases(bench).items():
        if wanted and not any(name == w or name.startswith(f"{w}.") for w in wanted):
            continue
        try:
            yield from case()
        except UnavailableError as missing:
            yield Skipped(name=name, reason=str(missing))


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description="Measures the sandbox beside plain wasmtime-py on the same components, in the same run.",
    )
    parser.add_argument("rows", metavar="ROW", nargs="*", help="a row or a group of them: start, start.c, files ...")
    parser.add_argument(
        "--quick", action="store_true", help="tiny counts: shows that every row works, measures nothing"
    )
    parser.add_argument("--json", metavar="FILE", type=Path, help="also write every measurement to FILE")
    parser.add_argument("--markdown", metavar="FILE", type=Path, help="also write the rows to FILE as a table")
    options = parser.parse_args(argv)
    with tempfile.TemporaryDirectory(prefix="sandbox-benchmarks-") as directory:
        bench = Bench(Path(directory), quick=options.quick)
        names = list(all_cases(bench))
        for wanted in options.rows:
            if not any(name == wanted or name.startswith(f"{wanted}.") for name in names):
                parser.error(f"no row {wanted!r}; there are: {' '.join(names)}")
        print(machine())
        print(HEADING, flush=True)
        rows = []
        for row in measure(bench, options.rows):
            rows.append(row)
            print(row.text(), flush=True)
    if options.markdown is not None:
        table = "\n".join([TABLE, *(row.markdown() for row in rows)])
        options.markdown.write_text(f"{machine()}\n\n{table}\n", encoding="utf-8")
    if options.json is not None:
        found = {"machine": machine(), "quick": options.quick, "rows": [row.data() for row in rows]}
        options.json.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
