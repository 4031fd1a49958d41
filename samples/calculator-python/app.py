"""calculator-python: what a list of numbers looks like.

    calculator-python NUMBER...

It computes nothing itself: it imports cyber:math/operations (../calculator/calculator.wit), and calls it as if it were
a module of Python. The calculator is in C. A function that answers with an error raises it here.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from componentize_py_types import Err
from wit_world.imports import operations


def lines(numbers: Sequence[float]) -> list[str]:
    found = operations.summarize(numbers)
    spread = operations.subtract(found.maximum, found.minimum)
    return [
        f"count      {found.count}",
        f"minimum    {found.minimum:g}",
        f"maximum    {found.maximum:g}",
        f"mean       {found.mean:g}",
        f"deviation  {found.deviation:g}",
        f"spread     {spread:g}",
        f"relative   {operations.divide(found.deviation, found.mean):g}",
    ]


class Run:
    """The exported interface ``wasi:cli/run``; the name is componentize-py's convention."""

    def run(self) -> None:
        try:
            print("\n".join(lines([float(argument) for argument in sys.argv[1:]])), flush=True)
        except (Err, ValueError) as error:
            print(f"calculator-python: {error.value if isinstance(error, Err) else error}", file=sys.stderr)
            sys.exit(1)
