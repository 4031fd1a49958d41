"""attempts: evaluates each of its arguments, and prints one line for each: what it got, or what it was told.

    python attempts.py CODE...

CODE is an expression, or else statements, which have no result. All share one namespace. What is no printable ASCII in
a result or an error is escaped, so that a line is a line.
"""

from __future__ import annotations

import os
import socket
import sys
from typing import Any

NAMES: dict[str, Any] = {"os": os, "socket": socket, "sys": sys}


def evaluate(code: str) -> object:
    try:
        expression = compile(code, "<attempt>", "eval")
    except SyntaxError:
        exec(code, NAMES)
        return None
    return eval(expression, NAMES)


def main() -> None:
    for code in sys.argv[1:]:
        try:
            got = ascii(evaluate(code))
        except BaseException as error:
            text = ascii(str(error))[1:-1]
            got = f"{type(error).__name__}: {text}" if text else type(error).__name__
        try:
            print(f"{code} -> {got}", flush=True)
        except OSError:
            pass  # its own output may be what an attempt was after


if __name__ == "__main__":
    main()
