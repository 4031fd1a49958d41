"""The pages of the documentation, and what executes the blocks in them.

A fenced block is one of these, by its first word:

``console``  commands after ``$ `` (continued after ``> ``), each followed by what it prints, standard error included.
             They are run by bash in a copy of the project. Where a block shows no output at all, none is compared, and
             each command must succeed.
``python``   a program, run there too. A ``text`` block right after it is what it prints on standard output.
``yaml``     a policy; ``yaml grants`` the grants of one, ``yaml refused`` grants that are not enforced yet.
             A file of another program's is as the tests of its page say.
``text``     a drawing or an excerpt, where no ``python`` block stands before it.
``c``, ``wit``, ``json``, ``sh``   as their tests say.

A second word that holds a dot is a file: one of the project, then the block is that file without its comment lines;
or a new one, which is written for the commands after it.

A command that ends in ``&`` is a server: the next one waits until it listens, and it ends with its block.

What differs from run to run is not compared: times, durations, sizes of memory and of a server's answers, addresses of
``localhost``, run ids, and the directory of the copy, for which the pages say ``/home/you/wasi-sandbox``. Where they
say port 18080, a free one is used. A line ``...`` stands for any lines.

``python -m tests.docs.pages`` runs all blocks and writes what they print into the pages.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.e2e.network import free_port

ROOT = Path(__file__).resolve().parent.parent.parent
PAGES = ("README.md", "SECURITY.md", "CHANGELOG.md", *sorted(f"docs/{p.name}" for p in (ROOT / "docs").glob("*.md")))
"""The pages that are documentation for users."""
EXECUTED = tuple(p for p in PAGES if re.search(r"^```(console|python)", (ROOT / p).read_text("utf-8"), re.MULTILINE))

SHOWN_ROOT = "/home/you/wasi-sandbox"
SHOWN_PORT = "18080"
JCO_IN_PAGES = "npx --yes @bytecodealliance/jco@1.32.1"
NEEDS_COMPILERS = "docs/guests.md"
"""The page that builds guests, and runs programs that ``make programs`` fetches."""
PROGRAMS = ROOT / ".guest-tools" / "programs"

GIT = {
    "GIT_CONFIG_GLOBAL": os.devnull,
    "GIT_CONFIG_SYSTEM": os.devnull,
    **{f"GIT_{who}_{what}": "ann@example.com" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")},
}
"""Variables with which Git has a name for whoever commits, and none of their settings."""

FENCE = re.compile(r"^```([^\n`]*)\n((?:(?!```).*\n)*)```$", re.MULTILINE)
COMMENT = re.compile(r"^\s*(#|//).*\n", re.MULTILINE)
VARYING = (
    (re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z"), "TIME"),
    (re.compile(r'("run_id":")[0-9a-f]{24}'), r"\1RUN"),
    (re.compile(r"\b[\d.]+ (?:ms|s)\b(?=, )"), "DURATION"),
    (re.compile(r"\b[\d.]+ [KMG]iB of memory"), "MEMORY"),
    (re.compile(r"\b[\d,]+ bytes received"), "RECEIVED"),
    (re.compile(r"(?<=localhost -> )[\d.:, ]+(?=\n)"), "LOOPBACK"),
)


@dataclass(frozen=True)
class Block:
    """A fenced block of a page. ``start`` and ``end`` are where its text is in the page's."""

    kind: str
    argument: str
    text: str
    start: int
    end: int
    line: int
    """Of its first line of text, from 1."""

    @property
    def file(self) -> str | None:
        return self.argument if "." in self.argument else None


def read(page: str) -> str:
    return (ROOT / page).read_text(encoding="utf-8")


def blocks(text: str) -> Iterator[Block]:
    """The fenced blocks of a page's text."""
    for found in FENCE.finditer(text):
        kind, _, argument = found[1].partition(" ")
        yield Block(kind, argument, found[2], found.start(2), found.end(2), text.count("\n", 0, found.start(2)) + 1)


def transcript(text: str) -> list[tuple[str, str]]:
    """The commands of a ``console`` block, each with what it prints."""
    out: list[tuple[str, str]] = []
    for line in text.splitlines(keepends=True):
        if line.startswith("$ "):
            out.append((line[2:], ""))
        elif line.startswith("> ") and out and not out[-1][1]:
            out[-1] = out[-1][0] + line[2:], ""
        else:
            assert out, f"a console block must start with a command, not with {line!r}"
            out[-1] = out[-1][0], out[-1][1] + line
    return out


class Clone:
    """A copy of the project's policies, samples and Makefile, with ``sandbox`` and the fetched programs at hand."""

    def __init__(self, directory: Path, cache: Path) -> None:
        self.directory = directory / "wasi-sandbox"
        self.port = str(free_port())
        for name in ("policies", "samples", "tests/guests/programs"):
            ignored = shutil.ignore_patterns("report-python.wasm", "*.md", "totals.csv", "totals.json", "__pycache__")
            shutil.copytree(ROOT / name, self.directory / name, ignore=ignored)
        if PROGRAMS.exists():
            fetched = self.directory / PROGRAMS.relative_to(ROOT)
            fetched.parent.mkdir()
            fetched.symlink_to(PROGRAMS)
        for policy in (self.directory / "policies").glob("*.yaml"):
            policy.write_text(self.real(policy.read_text(encoding="utf-8")), encoding="utf-8")
        for name in ("Makefile", "pyproject.toml"):
            shutil.copy2(ROOT / name, self.directory)
        commands = self.directory / ".venv" / "bin"
        commands.mkdir(parents=True)
        run = f'PYTHONPATH="{ROOT}" exec "{sys.executable}"'
        self._command(commands / "sandbox", f'{run} -m sandbox "$@"')
        self._command(commands / "python", f'{run} "$@"')
        self._command(commands / "npx", f'shift 2; exec "{os.environ.get("JCO", "jco")}" "$@"')
        (self.directory / ".venv" / ".installed").touch()
        kept = {k: os.environ[k] for k in ("PATH", "TMPDIR") if k in os.environ}
        self.environment = {
            **kept,
            **GIT,
            "PATH": f"{commands}{os.pathsep}{kept.get('PATH', os.defpath)}",
            "PYTHONPATH": str(ROOT),
            "HOME": str(directory),
            "SANDBOX_CACHE": str(cache),
            "COLUMNS": "80",
            "LC_ALL": "C.UTF-8",
        }

    @staticmethod
    def _command(path: Path, text: str) -> None:
        path.write_text(f"#!/bin/sh\n{text}\n", encoding="utf-8")
        path.chmod(0o700)

    def console(self, commands: list[str]) -> list[tuple[str, int]]:
        """What each of ``commands`` prints, and its status, in one shell."""
        script = "trap 'kill $(jobs -p) 2>/dev/null; wait' EXIT\n"
        for command in map(self.real, commands):
            listens = f"(exec 3<>/dev/tcp/127.0.0.1/{self.port}) 2>/dev/null"
            waits = f"for _ in {{1..200}}; do {listens} && break; sleep 0.05; done\n" if command.endswith("&\n") else ""
            script += f"{command}status=$?; {waits}\nprintf '\\036%d\\n' $status; (exit $status)\n"
        ran = subprocess.run(
            ["bash", "-c", script],
            cwd=self.directory,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
            timeout=300,
            check=False,
        )
        found = re.findall(r"(.*?)\x1e(\d+)\n", ran.stdout, re.DOTALL)
        assert len(found) == len(commands), ran.stdout
        return [(self.shown(output), int(status)) for output, status in found]

    def python(self, program: str) -> str:
        """What a program prints on standard output. One that fails is an error of the page."""
        ran = subprocess.run(
            [sys.executable, "-c", self.real(program)],
            cwd=self.directory,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            encoding="utf-8",
            timeout=300,
            check=False,
        )
        assert ran.returncode == 0, f"{program}\n{ran.stdout}{ran.stderr}"
        return self.shown(ran.stdout)

    def real(self, text: str) -> str:
        """What is written into files and run in place of a page's ``text``."""
        return re.sub(rf"\b{SHOWN_PORT}\b", self.port, text)

    def shown(self, output: str) -> str:
        return re.sub(rf"\b{self.port}\b", SHOWN_PORT, output.replace(str(self.directory.resolve()), SHOWN_ROOT))


def same(page: str, real: str) -> bool:
    """Whether a page shows what is real, apart from what differs from run to run."""
    for varying, name in VARYING:
        page, real = varying.sub(name, page), varying.sub(name, real)
    pattern = "".join("(?:.*\n)*?" if line == "...\n" else re.escape(line) for line in page.splitlines(keepends=True))
    return re.fullmatch(pattern, real) is not None


def executed(text: str, clone: Clone) -> str:
    """A page's text with what its blocks really print; the same text where it is right."""
    replaced: list[tuple[Block, str]] = []
    program: str | None = None
    for block in blocks(text):
        real = block.text
        if block.file is not None:
            real = _file(block, clone)
        elif block.kind == "console":
            real = _console(block, clone)
        elif block.kind == "text" and program is not None:
            real = program if not same(block.text, program) else block.text
        program = clone.python(block.text) if block.kind == "python" and block.file is None else None
        replaced.append((block, real))
    for block, real in reversed(replaced):
        text = text[: block.start] + real + text[block.end :]
    return text


def _file(block: Block, clone: Clone) -> str:
    assert block.file is not None
    if (ROOT / block.file).exists():
        return COMMENT.sub("", (ROOT / block.file).read_text(encoding="utf-8"))
    path = clone.directory / block.file
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(clone.real(block.text), encoding="utf-8")
    return block.text


def _console(block: Block, clone: Clone) -> str:
    shown = transcript(block.text)
    # The tests that `make test` runs are these.
    ran = clone.console([c.replace("make test", "make --dry-run test") for c, _ in shown])
    silent = not any(output for _, output in shown)
    out = ""
    for number, ((command, output), (real, status)) in enumerate(zip(shown, ran, strict=True)):
        after = shown[number + 1][0] if number + 1 < len(shown) else ""
        assert status == 0 or after.startswith("echo $?"), f"line {block.line}: {command}ended with {status}:\n{real}"
        keep = silent or same(output, real)
        lines = command.splitlines(keepends=True)
        out += "$ " + "> ".join(lines) + (output if keep else real)
    return out


def main() -> None:
    """Write what the blocks of every page print into it."""
    with tempfile.TemporaryDirectory() as scratch:
        cache = Path(scratch) / "cache"
        cache.mkdir(mode=0o700)
        for page in EXECUTED:
            text = read(page)
            place = Path(scratch) / page.replace("/", "-")
            place.mkdir()
            real = executed(text, Clone(place, cache))
            if real != text:
                (ROOT / page).write_text(real, encoding="utf-8")
                sys.stdout.write(f"{page}\n")


if __name__ == "__main__":
    main()
