"""totals: sums up a directory of CSV invoices by customer, exactly, and writes the sums as JSON.

    python totals.py SOURCE TARGET

A row whose quantity or price is no number is left out. ``../ruby/totals.rb`` writes the same bytes.
"""

from __future__ import annotations

import csv
import hashlib
import json
import sys
from collections import defaultdict
from decimal import Decimal, InvalidOperation
from pathlib import Path


def main(source: str, target: str) -> None:
    sums: defaultdict[str, Decimal] = defaultdict(Decimal)
    digests: dict[str, str] = {}
    left_out = 0
    for path in sorted(Path(source).glob("*.csv")):
        digests[path.name] = hashlib.sha256(path.read_bytes()).hexdigest()
        with path.open(encoding="utf-8-sig", newline="") as file:
            for row in csv.DictReader(file):
                try:
                    sums[row["customer"]] += Decimal(row["quantity"]) * Decimal(row["unit_price"])
                except InvalidOperation:
                    left_out += 1
    result = {
        "files": digests,
        "left_out": left_out,
        "totals": {name: f"{sums[name]:.2f}" for name in sorted(sums)},
        "total": f"{sum(sums.values()):.2f}",
    }
    text = json.dumps(result, indent=2, ensure_ascii=False)
    Path(target).write_text(f"{text}\n", encoding="utf-8")
    counts = f"{len(digests)} files, {len(sums)} customers, {left_out} left out"
    print(f"totals: {counts}, total {result['total']} -> {target}")


if __name__ == "__main__":
    main(*sys.argv[1:])
