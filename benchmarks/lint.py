"""``sandbox lint`` with all its rules beside ``yamllint``, which reads the same files as YAML: whole processes."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

from benchmarks.bench import ROOT, Bench, Cases, UnavailableError
from benchmarks.measure import Row, interleave, process
from benchmarks.start import ENTRY

POLICIES = 1000
COMPONENTS = 100
"""Different binaries that the policies name."""
AIM = 2.0

_POLICY = """\
# Report number {number}: reads one directory and writes another.
version: 1
components:
  report-{number}:
    source: {source}
    digest: {digest}
    grants:
      filesystem:
        # What it reads.
        - host: ./in-{number}
          guest: /in
          access: read
        - {{host: ./out-{number}, guest: /out, access: write, except: ["**/.git/**", "*.tmp"]}}
      stdio:
        stdout: inherit
        stderr: inherit
      environment: {{set: {{CURRENCY: EUR, NUMBER: "{number}"}}}}
      arguments: ["--in", "/in", "--title", "Report {number}"]
    limits:
      memory: 64MiB
      deadline: 10s
      output: 1MiB
      handles: 32
      disk: 16MiB
      events: 100
"""


def cases(bench: Bench) -> Cases:
    return {
        "lint.thousand": lambda: _thousand(bench),
        "lint.start": lambda: _start(bench),
        "lint.python": lambda: _python(bench),
    }


def _thousand(bench: Bench) -> Iterator[Row]:
    yamllint = _yamllint()
    policies = bench.count(POLICIES, 10)
    folder = _folder(bench, "thousand", policies, bench.report)
    ours, plain = interleave(
        lambda: process(_lint(folder), bench.environment),
        lambda: process([*yamllint, str(folder)], bench.environment),
        bench.count(7),
    )
    what = f"{policies:,} policies of {COMPONENTS} components in one run, every rule on, beside yamllint"
    yield Row(name="lint.thousand", what=what, unit="ms", ours=ours, plain=plain, aim=AIM)


def _start(bench: Bench) -> Iterator[Row]:
    yamllint = _yamllint()
    folder = _folder(bench, "one", 1, bench.report)
    ours, plain = interleave(
        lambda: process(_lint(folder), bench.environment),
        lambda: process([*yamllint, str(folder)], bench.environment),
        bench.count(31),
    )
    yield Row(name="lint.start", what="one policy, beside yamllint", unit="ms", ours=ours, plain=plain)


def _python(bench: Bench) -> Iterator[Row]:
    """What a component of 18 MB adds: the other side is the policy of a small one."""
    large = _folder(bench, "large", 1, bench.report_python)
    small = _folder(bench, "small", 1, bench.report)
    ours, plain = interleave(
        lambda: process(_lint(large), bench.environment),
        lambda: process(_lint(small), bench.environment),
        bench.count(15),
    )
    what = "a policy of CPython's 18 MB, beside one of 90 kB"
    yield Row(name="lint.python", what=what, unit="ms", ours=ours, plain=plain, kind="added")


def _yamllint() -> list[str]:
    tool = shutil.which("yamllint", path=str(Path(sys.executable).parent)) or shutil.which("yamllint")
    if tool is None:
        raise UnavailableError("yamllint is not installed")
    # Its own rules about style find nothing that ends it with a failure.
    return [tool, "-d", "relaxed"]


def _lint(folder: Path) -> list[str]:
    return [sys.executable, "-c", ENTRY.format(root=str(ROOT)), "lint", "--min-severity", "high", str(folder)]


def _folder(bench: Bench, name: str, policies: int, component: Path) -> Path:
    """A folder of policies, with what they name; made once."""
    # An installed package has its bytecode; so has this one then.
    subprocess.run([sys.executable, "-m", "compileall", "-q", ROOT / "sandbox"], env=bench.environment, check=True)
    folder = bench.directory / f"lint-{name}"
    folder.mkdir(exist_ok=True)
    digests = {}
    for number in range(min(policies, COMPONENTS)):
        digests[number] = _copy(component, folder / f"report-{number}.wasm", number)
    for number in range(policies):
        (folder / f"in-{number}").mkdir(exist_ok=True)
        (folder / f"out-{number}").mkdir(exist_ok=True)
        binary = number % COMPONENTS
        text = _POLICY.format(number=number, source=f"report-{binary}.wasm", digest=digests[binary])
        (folder / f"report-{number}.yaml").write_text(text, encoding="utf-8")
    return folder


def _copy(component: Path, copy: Path, number: int) -> str:
    """A copy that differs from the others in a section that means nothing; its digest."""
    name = f"copy-{number:04}".encode()
    data = component.read_bytes() + bytes([0, 1 + len(name), len(name)]) + name
    copy.write_bytes(data)
    return f"sha256:{sha256(data).hexdigest()}"
