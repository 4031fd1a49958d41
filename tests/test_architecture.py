"""The rooms of the package: who may know whom, and who alone speaks to each outside library; read off the source."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

PACKAGE = Path(__file__).resolve().parent.parent / "sandbox"

KNOWS: dict[str, set[str]] = {
    "sandbox.wasi": set(),
    "sandbox.wave": set(),
    "sandbox.source": set(),
    "sandbox.policy": {"sandbox.source"},
    "sandbox.component": {"sandbox.policy"},
    "sandbox.preview1": {"sandbox.component", "sandbox.wasi"},
    "sandbox.host": {"sandbox.policy"},
    "sandbox.audit": set(),
    "sandbox.plan": {"sandbox.policy", "sandbox.component", "sandbox.host", "sandbox.preview1", "sandbox.wasi"},
    "sandbox.program": {"sandbox.policy", "sandbox.component", "sandbox.host", "sandbox.plan"},
    "sandbox.split": {"sandbox.policy", "sandbox.component", "sandbox.program"},
    "sandbox.guard": {
        "sandbox.policy",
        "sandbox.component",
        "sandbox.host",
        "sandbox.plan",
        "sandbox.preview1",
        "sandbox.wasi",
    },
    "sandbox.broker": {"sandbox.policy", "sandbox.host", "sandbox.plan", "sandbox.guard", "sandbox.audit"},
    "sandbox.runtime": {
        "sandbox.policy",
        "sandbox.component",
        "sandbox.host",
        "sandbox.plan",
        "sandbox.program",
        "sandbox.guard",
        "sandbox.broker",
        "sandbox.audit",
        "sandbox.preview1",
        "sandbox.wasi",
        "sandbox.wave",
    },
    "sandbox.lint": {
        "sandbox.source",
        "sandbox.policy",
        "sandbox.component",
        "sandbox.host",
        "sandbox.audit",
        "sandbox.preview1",
        "sandbox.wasi",
    },
    "sandbox.compare": {"sandbox.source", "sandbox.policy", "sandbox.host"},
    "sandbox.report": {
        "sandbox.lint",
        "sandbox.compare",
        "sandbox.policy",
        "sandbox.component",
        "sandbox.plan",
        "sandbox.audit",
        "sandbox.preview1",
        "sandbox.wasi",
    },
}
"""A room and the rooms below it that it may import, besides itself. What is not listed here may import every room:
the facade ``sandbox``, ``sandbox.cli`` and ``sandbox.__main__``; and no room may import those."""

OWNERS: dict[str, set[str]] = {
    "yaml": {"sandbox.source"},
    "pydantic": {"sandbox.policy"},
    "pydantic_core": {"sandbox.policy"},
    "structlog": {"sandbox.audit.sink"},
    "publicsuffixlist": {"sandbox.lint.suffixes"},
    "wasmtime": {"sandbox.guard", "sandbox.runtime", "sandbox.wave"},
}
"""An outside library and the modules, or packages of modules, that alone import it."""

TOP = {"sandbox", "sandbox.cli", "sandbox.__main__"}


def modules() -> dict[str, ast.Module]:
    """Every module of the package by its dotted name, parsed."""
    found = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
        name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        found[name] = ast.parse(path.read_text(encoding="utf-8"), str(path))
    return found


def imported(tree: ast.Module, known: set[str]) -> Iterator[tuple[int, str]]:
    """Line and module of each import, those inside functions and for type checkers included."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = "." * node.level + (node.module or "")
            for alias in node.names:
                nested = f"{base}.{alias.name}"
                yield node.lineno, nested if nested in known else base


def within(module: str, names: set[str]) -> bool:
    return any(module == name or module.startswith(name + ".") for name in names)


def room_of(module: str) -> str:
    """The room that a module of the package belongs to: the first part of its name under ``sandbox``."""
    return ".".join(module.split(".")[:2])


def faults(trees: dict[str, ast.Module]) -> list[str]:
    found = []
    for module, tree in trees.items():
        room = room_of(module)
        if room not in KNOWS and room not in TOP:
            found.append(f"{module}: the room {room} is not in the table")
            continue
        for line, target in imported(tree, set(trees)):
            package = target.split(".", maxsplit=1)[0]
            if target.startswith("."):
                found.append(f"{module}:{line} imports {target}; imports are absolute")
            elif package == "sandbox" and room in KNOWS and room_of(target) not in KNOWS[room] | {room}:
                found.append(f"{module}:{line} imports {target}; {room} may not know {room_of(target)}")
            elif package in OWNERS and not within(module, OWNERS[package]):
                found.append(
                    f"{module}:{line} imports {package}, which belongs to {', '.join(sorted(OWNERS[package]))}"
                )
    return found


def test_imports_point_one_way() -> None:
    """Every import of the package is one that the tables allow."""
    assert faults(modules()) == []


def test_the_tables_have_no_cycle() -> None:
    """No room is below itself, over however many others."""
    below = {room: set(known) for room, known in KNOWS.items()}
    for _ in KNOWS:
        below = {room: known.union(*(below[other] for other in known)) for room, known in below.items()}
    assert [room for room, known in below.items() if room in known] == []


def test_what_the_tables_forbid_is_found() -> None:
    """Imports up, across, out of turn, relative, local and for type checkers are all seen."""
    sources = {
        "sandbox": "from sandbox.runtime import run",
        "sandbox.cli.main": "import sandbox\nfrom sandbox import plan",
        "sandbox.plan": "def f():\n    from sandbox.runtime import run\nimport pydantic.fields",
        "sandbox.report.text": "if TYPE_CHECKING:\n    from sandbox import runtime",
        "sandbox.runtime": "from sandbox.guard import build\nimport wasmtime._ffi\nfrom sandbox.cli import main",
        "sandbox.guard": "from sandbox import thing",
        "sandbox.audit.trail": "from .sink import Sink\nimport structlog",
        "sandbox.audit.sink": "import structlog",
        "sandbox.helpers": "",
    }
    assert faults({name: ast.parse(source) for name, source in sources.items()}) == [
        "sandbox.plan:3 imports pydantic, which belongs to sandbox.policy",
        "sandbox.plan:2 imports sandbox.runtime; sandbox.plan may not know sandbox.runtime",
        "sandbox.report.text:2 imports sandbox.runtime; sandbox.report may not know sandbox.runtime",
        "sandbox.runtime:3 imports sandbox.cli.main; sandbox.runtime may not know sandbox.cli",
        "sandbox.guard:1 imports sandbox; sandbox.guard may not know sandbox",
        "sandbox.audit.trail:1 imports .sink; imports are absolute",
        "sandbox.audit.trail:2 imports structlog, which belongs to sandbox.audit.sink",
        "sandbox.helpers: the room sandbox.helpers is not in the table",
    ]
