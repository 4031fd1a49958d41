"""The specimens on the rules' pages: the world that they are linted in, and what is found there.

Each page has sections Summary, Avoid, Prefer and Rationale. Each block of YAML under Avoid is followed by a block of
text, which is what linting it prints; those under Prefer print nothing. In a policy ``sha256:...`` stands for the
digest of the component that is named above it. The components are made to import what the policy grants and what their
``imports`` name, and to export what those of others have them serve, unless a comment in the block says otherwise:

    # report.wasm imports wasi:cli/stdout, wasi:sockets/tcp
    # report.wasm exports bank:payments/ledger@2.0.0
    # report.wasm is missing
    # report.wasm is damaged
    # report.wasm is rebuilt
    # report.wasm is a module that imports fd_write, env.abort
    # sandbox.lock has report.wasm with wasi:cli/stdout
    # sandbox.lock is damaged

The policy is ``policy.yaml`` in a directory with ``data``, ``out``, ``link`` (a symbolic link to ``data``), ``project``
(a checkout with ``.git`` and ``Makefile``), ``secrets`` (with ``.env`` and ``id_ed25519``) and ``run`` (with a socket).
The home directory is ``/home/ann``; what is absolute is looked up below ``root`` in that directory.

``python -m tests.lint.specimens`` writes what is found into the pages.
"""

from __future__ import annotations

import re
import socket
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import wasmtime

from sandbox.component import facts_of
from sandbox.host import Machine, Thing, ThingKind, contents, look_at
from sandbox.lint import rules
from sandbox.lint.finding import Finding
from sandbox.lint.linter import Linter
from sandbox.lint.lock import locked_of, write_lock
from sandbox.source import Data, parse

PAGES = Path(rules.__file__).parent
SECTIONS = ("Summary", "Avoid", "Prefer", "Rationale")

MACHINE = Machine(
    home="/home/ann",
    programs=("/usr/local/bin", "/usr/bin", "/bin", "/home/ann/.local/bin"),
    code=("/home/ann/venv",),
    cache="/home/ann/.cache/wasi-sandbox",
)
INTERFACES: dict[str, tuple[str, ...]] = {
    "filesystem": ("wasi:filesystem/types", "wasi:filesystem/preopens"),
    "stdio.stdin": ("wasi:cli/stdin",),
    "stdio.stdout": ("wasi:cli/stdout",),
    "stdio.stderr": ("wasi:cli/stderr",),
    "environment": ("wasi:cli/environment",),
    "arguments": ("wasi:cli/environment",),
    "clocks.wall": ("wasi:clocks/wall-clock",),
    "clocks.monotonic": ("wasi:clocks/monotonic-clock",),
    "random": ("wasi:random/random",),
    "sockets.tcp": ("wasi:sockets/tcp", "wasi:sockets/ip-name-lookup"),
    "sockets.udp": ("wasi:sockets/udp", "wasi:sockets/ip-name-lookup"),
    "sockets.dns": ("wasi:sockets/ip-name-lookup",),
    "sockets.deny": (),
    "sockets.audit": (),
}
"""What a component imports to use a family, or a part of one."""


@dataclass(frozen=True)
class Specimen:
    text: str
    shown: str | None
    """What the page says is found; ``None`` under Prefer."""
    start: int
    """Offset of what is shown in the page."""
    end: int


def specimens(page: str) -> Iterator[Specimen]:
    """The specimens of a page, in order."""
    avoid = page.index("\n## Avoid\n")
    prefer = page.index("\n## Prefer\n")
    for block in re.finditer(r"^```yaml\n(.*?)^```\n(?:\n```text\n(.*?)^```\n)?", page, re.MULTILINE | re.DOTALL):
        assert block.start() > avoid, "a policy under Summary"
        fires = block.start() < prefer
        assert fires is (block[2] is not None), "a policy under Avoid has what is found below it, others have not"
        yield Specimen(block[1], block[2], block.start(2) if fires else -1, block.end(2) if fires else -1)


def lint(text: str, place: Path) -> tuple[Finding, ...]:
    """The findings in a specimen, which is put into the empty directory ``place``, named ``policy.yaml``."""
    policy = prepare(text, place)
    return tuple(named(finding) for finding in linter(place).file(str(policy)))


def linter(place: Path) -> Linter:
    """A linter that sees the world of the specimens in ``place``."""

    def look(path: str) -> Thing:
        if path.startswith(f"{place}/") or path == str(place):
            return look_at(path)
        seen = look_at(f"{place}/root{path}" if path != "/" else f"{place}/root")
        return replace(seen, absolute=path, real=seen.real.removeprefix(f"{place}/root") or "/")

    def listing(directory: str, *, depth: int, most: int) -> tuple[tuple[str, ThingKind], ...]:
        inside = directory if directory.startswith(str(place)) else f"{place}/root{directory}"
        return contents(inside, depth=depth, most=most)

    return Linter(MACHINE, look=look, listing=listing)


def named(finding: Finding) -> Finding:
    """The finding as it is about ``policy.yaml`` in some other directory."""
    related = tuple(replace(other, file=Path(other.file).name) for other in finding.related)
    return replace(finding, file=Path(finding.file).name, related=related)


def printed(findings: tuple[Finding, ...], place: Path) -> str:
    """A line for each finding that is not ignored."""
    return "".join(
        f"{f.file}:{f.region.line}:{f.region.column}: {f.severity}[{f.rule}]: {f.message}\n".replace(
            str(place), "/home/ann/policies"
        )
        for f in findings
        if f.ignored is None
    )


def prepare(text: str, place: Path) -> Path:
    """Make the world of a specimen; the path of its policy."""
    for directory in ("data", "out", "project/.git", "project/src", "secrets/report", "run"):
        (place / directory).mkdir(parents=True)
    (place / "link").symlink_to("data")
    (place / "project" / "Makefile").touch()
    (place / "secrets" / ".env").touch()
    (place / "secrets" / "id_ed25519").touch()
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(f"/proc/self/fd/{_descriptor(place / 'run')}/service.sock")
    for directory in (".ssh", ".aws", "documents", "venv/lib", ".local/bin", ".cache/wasi-sandbox/modules", "project"):
        (place / "root/home/ann" / directory).mkdir(parents=True)
    for directory in ("etc/ssl/private", "usr/share/zoneinfo", "usr/bin", "proc/self", "run/user", "dev", "sys", "var"):
        (place / "root" / directory).mkdir(parents=True)
    policy = place / "policy.yaml"
    policy.write_text(_pinned(text, place), encoding="utf-8")
    return policy


def _descriptor(directory: Path) -> int:
    import os

    return os.open(directory, os.O_PATH | os.O_CLOEXEC)


def _pinned(text: str, place: Path) -> str:
    """Make the components that a specimen names, and write their digests into it."""
    data = parse(text.replace("sha256:...", "sha256:" + "0" * 64).encode()).data
    components = data.get("components") if isinstance(data, dict) else None
    said = dict(re.findall(r"^\s*# (\S+\.wasm) (imports .*|is .*)$", text, re.MULTILINE))
    offered = dict(re.findall(r"^\s*# (\S+\.wasm) exports (.*)$", text, re.MULTILINE))
    locked = dict(re.findall(r"^\s*# sandbox\.lock has (\S+\.wasm) with (.*)$", text, re.MULTILINE))
    needs: dict[str, list[str]] = {}
    for policy in components.values() if isinstance(components, dict) else ():
        if isinstance(policy, dict) and isinstance(policy.get("source"), str):
            imports = [*_imports(policy.get("grants")), *_wires(policy)]
            needs.setdefault(str(policy["source"]), []).extend(imports)
    exports = _exports(components) if isinstance(components, dict) else {}
    digests = {}
    for source, imports in needs.items():
        words = said.get(source, "")
        if words.startswith("imports "):
            imports = [] if words == "imports nothing" else words.removeprefix("imports ").split(", ")
        offers = offered[source].split(", ") if source in offered else exports.get(source, [])
        binary = component(imports, [] if offers == ["nothing"] else offers)
        if words.startswith("is a module that imports "):
            binary = module(words.removeprefix("is a module that imports ").split(", "))
        if words == "is rebuilt":
            binary += b"\0\5\4anew"  # a section that means nothing
        digests[source] = facts_of(source, binary).digest
        if words == "is damaged":
            binary = binary[:20]
        if words != "is missing":
            (place / source).write_bytes(binary)
    if locked:
        entries = {
            source: locked_of(facts_of(source, component([] if i == "nothing" else i.split(", "))))
            for source, i in locked.items()
        }
        write_lock(str(place), entries)
    if re.search(r"^\s*# sandbox\.lock is damaged$", text, re.MULTILINE):
        (place / "sandbox.lock").write_text("<<<<<<< ours\n", encoding="utf-8")
    at = ""
    lines = []
    for line in text.splitlines(keepends=True):
        named_there = re.search(r"source: *([^\s,}]+)", line)
        at = named_there[1] if named_there is not None else at
        lines.append(line.replace("sha256:...", digests.get(at, "sha256:" + "0" * 64)))
    return "".join(lines)


def _imports(grants: object) -> Iterator[str]:
    """What a component imports that uses all that it is granted."""
    for family, says in grants.items() if isinstance(grants, dict) else ():
        if family in INTERFACES:
            yield from INTERFACES[family]
        elif family == "clocks" and isinstance(says, str):
            yield from (*INTERFACES["clocks.wall"], *INTERFACES["clocks.monotonic"])
        elif isinstance(says, dict):
            for part in says:
                yield from INTERFACES.get(f"{family}.{part}", ())


def _wires(policy: dict[str, Data]) -> dict[str, str]:
    """The interfaces that a component is served, and by which other one."""
    wires = policy.get("imports")
    said = wires.items() if isinstance(wires, dict) else ()
    return {name: str(to["component"] if isinstance(to, dict) else to) for name, to in said}


def _exports(components: dict[str, Data]) -> dict[str, list[str]]:
    """What the file of each component exports, so that the wires to it lead to something."""
    found: dict[str, list[str]] = {}
    for policy in components.values():
        for interface, served_by in _wires(policy).items() if isinstance(policy, dict) else ():
            server = components.get(served_by)
            if isinstance(server, dict) and "source" in server:
                found.setdefault(str(server["source"]), []).append(interface)
    return found


def component(imports: list[str], exports: Sequence[str] = ()) -> bytes:
    """A component with these interfaces; where they name none, of release 0.2.3 of WASI, 1.0.0 of others."""
    body = "".join(f'(import "{name}" (instance))' for name in dict.fromkeys(map(_released, imports)))
    body += "(instance $nothing)" if exports else ""
    body += "".join(f'(export "{name}" (instance $nothing))' for name in dict.fromkeys(map(_released, exports)))
    return bytes(wasmtime.wat2wasm(f"(component {body})"))


def _released(name: str) -> str:
    return name if "@" in name else f"{name}@{'0.2.3' if name.startswith('wasi:') else '1.0.0'}"


def module(imports: list[str]) -> bytes:
    """A core module that imports these functions, of preview 1 where they name no module."""
    names = [name.split(".") if "." in name else ["wasi_snapshot_preview1", name] for name in imports]
    body = "".join(f'(import "{first}" "{second}" (func))' for first, second in names)
    return bytes(wasmtime.wat2wasm(f'(module {body} (memory (export "memory") 1))'))


def main() -> None:
    """Write what is found in each specimen into its page."""
    for path in sorted(PAGES.glob("*.md")):
        page = path.read_text(encoding="utf-8")
        for specimen in reversed([*specimens(page)]):
            if specimen.shown is None:
                continue
            with tempfile.TemporaryDirectory() as directory:
                place = Path(directory).resolve()
                found = printed(lint(specimen.text, place), place)
            page = page[: specimen.start] + found + page[specimen.end :]
        if page != path.read_text(encoding="utf-8"):
            path.write_text(page, encoding="utf-8")
            sys.stdout.write(f"{path.name}\n")


if __name__ == "__main__":
    main()
