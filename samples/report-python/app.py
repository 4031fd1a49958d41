"""report-python: reads a directory of CSV invoices and writes a summary, like ../report.c.

    report-python [--title TITLE] [--in DIRECTORY] [--out DIRECTORY]

Reads every ``*.csv`` in DIRECTORY (/in), writes ``summary.md`` and ``totals.csv`` (into /out) and prints one line. Each
file starts with the header below; a row that does not fit it is reported on standard error and left out. The
environment variable CURRENCY names the currency (EUR).
"""

from __future__ import annotations

import csv
import encodings.utf_8_sig  # noqa: F401  (the component holds only what the build sees imported)
import os
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal, InvalidOperation
from pathlib import Path

HEADER = ["invoice", "date", "customer", "item", "quantity", "unit_price"]
CENT = Decimal("0.01")
LIMIT = Decimal(10**12)
USAGE = "usage: report-python [--title TITLE] [--in DIRECTORY] [--out DIRECTORY]"


class RowError(ValueError):
    """Why a row is left out."""


@dataclass
class Sums:
    """Totals and row counts by name."""

    totals: dict[str, Decimal] = field(default_factory=dict)
    rows: Counter[str] = field(default_factory=Counter)

    def add(self, name: str, amount: Decimal) -> None:
        self.totals[name] = self.totals.get(name, Decimal(0)) + amount
        self.rows[name] += 1

    def lines(self) -> Iterator[tuple[str, int, str]]:
        for name in sorted(self.totals):
            yield name, self.rows[name], f"{self.totals[name]:.2f}"


@dataclass
class Ledger:
    customers: Sums = field(default_factory=Sums)
    months: Sums = field(default_factory=Sums)
    total: Decimal = Decimal(0)
    files: int = 0
    rows: int = 0
    skipped: int = 0


def number(text: str, places: int, otherwise: str) -> Decimal:
    """``text`` as a decimal with at most ``places`` digits after the point; RowError ``otherwise``."""
    try:
        value = Decimal(text)
    except InvalidOperation:
        raise RowError(otherwise) from None
    exponent = value.as_tuple().exponent
    if not isinstance(exponent, int) or not -places <= exponent <= 0:
        raise RowError(otherwise)
    return value


def add_row(ledger: Ledger, row: Sequence[str]) -> None:
    if len(row) != len(HEADER):
        raise RowError("not 6 fields")
    invoice, day, customer, _, quantity, price = row
    if not invoice:
        raise RowError("no invoice number")
    try:
        month = date.fromisoformat(day).isoformat()[:7] if len(day) == 10 else ""
    except ValueError:
        month = ""
    if not month:
        raise RowError("date is not YYYY-MM-DD")
    if not customer:
        raise RowError("no customer")
    amount = number(quantity, 0, "quantity is not a whole number") * number(price, 2, "unit_price is no amount")
    if abs(amount) > LIMIT:
        raise RowError("amount is too large")
    amount = amount.quantize(CENT)
    ledger.customers.add(customer, amount)
    ledger.months.add(month, amount)
    ledger.total += amount
    ledger.rows += 1


def skip(ledger: Ledger, place: str, why: str) -> None:
    ledger.skipped += 1
    print(f"report-python: {place}: row left out: {why}", file=sys.stderr)


def read_invoices(ledger: Ledger, name: str, lines: Iterable[str]) -> None:
    reader = csv.reader(lines)
    header = next(reader, [])
    if [column.lower() for column in header] != HEADER:
        skip(ledger, f"{name}:1", f"the header is not {','.join(HEADER)}; file left out")
        return
    ledger.files += 1
    line = reader.line_num + 1
    for row in reader:
        try:
            if row:
                add_row(ledger, row)
        except RowError as error:
            skip(ledger, f"{name}:{line}", str(error))
        line = reader.line_num + 1


def markdown(text: str) -> str:
    """``text`` as the content of a table cell."""
    escaped = "".join("\\" + char if char in "\\|`*_<>[]" else char for char in text)
    return " ".join(escaped.splitlines())


def spreadsheet(text: str) -> str:
    """``text`` as a cell that no spreadsheet takes for a formula."""
    return "'" + text if text.startswith(("=", "+", "-", "@", "\t")) else text


def summary(ledger: Ledger, title: str, currency: str) -> str:
    skipped = f", {ledger.skipped} left out" if ledger.skipped else ""
    parts = [
        f"# {markdown(title)}",
        f"{ledger.rows} rows in {ledger.files} files{skipped}. Total: **{ledger.total:.2f} {markdown(currency)}**",
    ]
    for heading, column, sums in (
        ("By customer", "Customer", ledger.customers),
        ("By month", "Month", ledger.months),
    ):
        rows = [f"| {column} | Rows | Total ({markdown(currency)}) |", "|---|---:|---:|"]
        rows += [f"| {markdown(name)} | {count} | {total} |" for name, count, total in sums.lines()]
        parts += [f"## {heading}", "\n".join(rows)]
    return "\n\n".join(parts) + "\n"


def write_totals(ledger: Ledger, path: Path, currency: str) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["kind", "name", "rows", "total", "currency"])
        for kind, sums in (("customer", ledger.customers), ("month", ledger.months)):
            for name, count, total in sums.lines():
                writer.writerow([kind, spreadsheet(name), count, total, spreadsheet(currency)])


def report(title: str, source: Path, target: Path, currency: str) -> bool:
    """Reads, writes, prints; whether there was something to report."""
    ledger = Ledger()
    for path in sorted(source.iterdir()):
        if path.suffix.lower() == ".csv" and path.stem:
            with path.open(encoding="utf-8-sig", errors="replace", newline="") as file:
                read_invoices(ledger, path.name, file)
    if not ledger.files:
        print(f"report-python: no invoices in {source}", file=sys.stderr)
        return False
    target.joinpath("summary.md").write_text(summary(ledger, title, currency), encoding="utf-8")
    write_totals(ledger, target / "totals.csv", currency)
    print(
        f"report-python: {ledger.files} files, {ledger.rows} rows, {ledger.skipped} left out,"
        f" total {ledger.total:.2f} {currency} -> {target}/summary.md, {target}/totals.csv"
    )
    return True


def main(arguments: Sequence[str]) -> bool:
    options = {"--title": "Invoices", "--in": "/in", "--out": "/out"}
    rest = iter(arguments)
    for name in rest:
        value = next(rest, None)
        if name not in options or value is None:
            print(USAGE, file=sys.stderr)
            return False
        options[name] = value
    try:
        return report(
            options["--title"], Path(options["--in"]), Path(options["--out"]), os.environ.get("CURRENCY") or "EUR"
        )
    except (OSError, csv.Error) as error:
        print(f"report-python: {error}", file=sys.stderr)
        return False


class Run:
    """The exported interface ``wasi:cli/run``; the name is componentize-py's convention."""

    def run(self) -> None:
        succeeded = main(sys.argv[1:])
        sys.stdout.flush()
        if not succeeded:
            sys.exit(1)
