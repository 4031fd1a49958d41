"""``sandbox split``: what was composed here and by other tools runs as before, with grants for each of its parts."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest
from wasmtime import wat2wasm

from tests.e2e.test_composed import POLICIES, ROOT, SAMPLES, Said, compose, plain
from tests.test_split import PROGRAM

COMPOSED = ROOT / "tests" / "guests" / "composed.wasm"
"""Four parts, which wasm-tools composed."""


def sandbox(*arguments: object, directory: Path = ROOT) -> Said:
    line = [sys.executable, "-m", "sandbox", *map(str, arguments)]
    done = subprocess.run(
        line, cwd=directory, env={**os.environ, "PYTHONPATH": str(ROOT)}, check=False, capture_output=True, timeout=120
    )
    return Said(done.returncode, done.stdout.decode(), done.stderr.decode())


def grant(policy: Path, grants: Mapping[str, str]) -> None:
    """Say in a drafted policy what some of its components are granted."""
    text = policy.read_text(encoding="utf-8")
    for name, granted in grants.items():
        drafted = rf"(?ms)(^  {name}:\n(?:    .*?\n)*?)    grants:.*?\n(?:      #.*?\n)*"
        text, count = re.subn(drafted, rf"\1    grants: {granted}\n", text, count=1)
        assert count == 1, name
    policy.write_text(text, encoding="utf-8")


def test_what_wasm_tools_composed(tmp_path: Path) -> None:
    """The parts are written and named, run under their policy, and compose to what they were."""
    out = tmp_path / "out"
    said = sandbox("split", COMPOSED, "-o", out)
    assert said == Said(
        0,
        f"{out}/policy.yaml grants nothing yet, and runs main\n"
        "  main: main.wasm, 1,935 bytes, imports from ledger, book\n"
        "  ledger: ledger.wasm, 1,375 bytes, imports from auth\n"
        "  book: book.wasm, 1,080 bytes, imports from ledger\n"
        "  auth: auth.wasm, 526 bytes\n",
        "",
    )
    names = ["auth.wasm", "book.wasm", "ledger.wasm", "main.wasm", "policy.yaml"]
    assert sorted(path.name for path in out.iterdir()) == names
    before = plain(COMPOSED.read_bytes(), tmp_path)
    assert before == Said("ok", "0\n1\n42\n84\n", "")
    assert sandbox("run", out / "policy.yaml").stdout == ""
    grant(out / "policy.yaml", {"main": "{stdio: {stdout: inherit}}"})
    assert sandbox("run", out / "policy.yaml") == Said(0, "0\n1\n42\n84\n", "")
    assert compose(out / "policy.yaml", "-o", tmp_path / "again.wasm").status == 0
    assert plain((tmp_path / "again.wasm").read_bytes(), tmp_path) == before


GRANTS = {
    "main": "{stdio: {stdout: inherit, stderr: inherit}, arguments: inherit}",
    "auth": "{filesystem: [{host: ./keys, guest: /keys, access: read}]}",
    "ledger": "{filesystem: [{host: ./db, guest: /db, access: write}]}",
    "notify": "{filesystem: [{host: ./outbox, guest: /outbox, access: write}]}",
}


@pytest.fixture
def payments(tmp_path: Path) -> Path:
    """The payments program composed by this project and taken apart again, beside the bank's directories."""
    text = (POLICIES / "payments.yaml").read_text(encoding="utf-8").replace("../samples", str(SAMPLES))
    (tmp_path / "whole.yaml").write_text(re.sub(r"\{component: (\w+), only: .*\}", r"\1", text), encoding="utf-8")
    assert compose("whole.yaml", "-o", "whole.wasm", directory=tmp_path).status == 0
    assert sandbox("split", "whole.wasm", "-o", "out", directory=tmp_path).status == 0
    out = tmp_path / "out"
    shutil.copytree(SAMPLES / "payments" / "keys", out / "keys")
    (out / "db").mkdir()
    (out / "outbox").mkdir()
    return out


def test_payments(payments: Path) -> None:
    """Every part is the file that it was composed of; with its grants the bank pays, and its auth refuses."""
    for name, sample in {"main": "app", "auth": "auth", "ledger": "ledger", "notify": "notify"}.items():
        assert (payments / f"{name}.wasm").read_bytes() == (SAMPLES / "payments" / f"{sample}.wasm").read_bytes()
    grant(payments / "policy.yaml", GRANTS)
    assert sandbox("run", "policy.yaml", "--", "pay", "ann", "bob", "12.50", "4821", directory=payments) == Said(
        0, "receipt 1: ann paid bob 12.50, and has 87.50 left\n", ""
    )
    assert [path.name for path in (payments / "outbox").iterdir()] == ["letters.txt"]
    refused = sandbox("run", "policy.yaml", "--", "pay", "ann", "bob", "1.00", "0000", directory=payments)
    assert (refused.stdout, refused.stderr) == ("", "app: refused: no such user, or another PIN\n")


def test_narrowing_inside(payments: Path) -> None:
    """What one part is not granted is refused to it alone, and the trail names it by its path."""
    grant(payments / "policy.yaml", {**GRANTS, "auth": "{}"})
    sandbox("run", "--audit", "trail", "policy.yaml", "--", "pay", "ann", "bob", "1.00", "4821", directory=payments)
    events = [json.loads(line) for line in (payments / "trail").read_text(encoding="utf-8").splitlines()]
    asked = [(e["component_path"], e["capability"], e["resource"]) for e in events if e["event_name"] == "denied"]
    assert asked == [("main>auth", "filesystem.read", "/keys/users.txt")]


# The command


@pytest.fixture
def composed(tmp_path: Path) -> Path:
    """A folder with a composed component, and nothing else."""
    (tmp_path / "whole.wasm").write_bytes(COMPOSED.read_bytes())
    return tmp_path


def listed(directory: Path) -> list[str]:
    return sorted(str(path.relative_to(directory)) for path in directory.rglob("*"))


def test_nothing_is_overwritten_unasked(composed: Path) -> None:
    """A file of the same name stays unless ``--force`` says so, and so does everything else."""
    (composed / "out").mkdir()
    (composed / "out" / "book.wasm").write_text("mine", encoding="utf-8")
    (composed / "out" / "other").write_text("mine", encoding="utf-8")
    before = listed(composed)
    assert sandbox("split", "whole.wasm", "-o", "out", directory=composed) == Said(
        2, "", "sandbox: out/book.wasm exists; --force overwrites it\n"
    )
    assert listed(composed) == before
    assert sandbox("split", "whole.wasm", "-o", "out", "--force", directory=composed).status == 0
    assert (composed / "out" / "book.wasm").read_bytes()[:4] == b"\0asm"
    names = ["auth.wasm", "book.wasm", "ledger.wasm", "main.wasm", "other", "policy.yaml"]
    assert listed(composed / "out") == names


def test_what_is_taken_apart_is_not_overwritten(composed: Path) -> None:
    """Not even by ``--force``."""
    (composed / "whole.wasm").rename(composed / "main.wasm")
    assert sandbox("split", "main.wasm", "-o", ".", "--force", directory=composed) == Said(
        2, "", "sandbox: ./main.wasm is the component that is taken apart\n"
    )
    assert listed(composed) == ["main.wasm"]


@pytest.mark.parametrize(
    ("output", "status", "sentence"),
    [
        ("whole.wasm", 2, "whole.wasm is no directory"),
        ("whole.wasm/out", 2, "whole.wasm/out cannot be written: Not a directory"),
        ("none/out", 125, "none/out cannot be written: No such file or directory"),
        ("out/", 0, ""),
    ],
)
def test_where_it_is_written(composed: Path, output: str, status: int, sentence: str) -> None:
    """A directory is made with all files in it, or not at all."""
    said = sandbox("split", "whole.wasm", "-o", output, directory=composed)
    assert (said.status, said.stderr) == (status, f"sandbox: {sentence}\n" if sentence else "")
    made = ["out"] * (status == 0) + [f"out/{n}.wasm" for n in ("auth", "book", "ledger", "main")] * (status == 0)
    assert listed(composed) == [*made, *["out/policy.yaml"] * (status == 0), "whole.wasm"]


def test_a_link_is_not_followed(composed: Path) -> None:
    """What stands under the name of a part is replaced only where it is a file."""
    (composed / "out").mkdir()
    (composed / "out" / "main.wasm").symlink_to("../whole.wasm")
    assert sandbox("split", "whole.wasm", "-o", "out", "--force", directory=composed) == Said(
        2, "", "sandbox: out/main.wasm is no regular file\n"
    )


BOUND = """
(component
  (type $t (record (field "x" u32)))
  (component $auth
    (alias outer 1 $t (type $o))
    (import "bank:payments/types@1.0.0" (instance (alias outer 1 $o (type $p)) (export "t" (type (eq $p)))))
    (instance $i) (export "bank:payments/auth@1.0.0" (instance $i)))
  (import "bank:payments/types@1.0.0" (instance $types (alias outer 1 $t (type $p)) (export "t" (type (eq $p)))))
  (instance $a (instantiate $auth (with "bank:payments/types@1.0.0" (instance $types))))
  (export "bank:payments/auth@1.0.0" (instance $a "bank:payments/auth@1.0.0")))
"""
ODD = r"""
(component
  (component $a (@name "x\n\1b[31m") (import "f" (func)))
  (import "f" (func $f))
  (instance (instantiate $a (with "f" (func $f)))))
"""
REFUSED = {
    "no composition": (
        (SAMPLES / "payments" / "app.wasm").read_bytes(),
        "whole.wasm cannot be taken apart: it has code of its own, beside that of any parts",
    ),
    "a module": (
        b"\0asm\1\0\0\0",
        "whole.wasm cannot be taken apart: it is a core module, which is not composed of components",
    ),
    "no WebAssembly": (b"MZ", "whole.wasm cannot be taken apart: not WebAssembly: it does not begin with \\0asm"),
    "cut off": (PROGRAM[:-4], "whole.wasm cannot be taken apart: "),
    "what needs what is around it": (
        bytes(wat2wasm(BOUND)),
        "whole.wasm cannot be taken apart: its part auth: Wasmtime refuses its types: ",
    ),
    "a name with a line in it": (
        bytes(wat2wasm(ODD)),
        (
            "whole.wasm cannot be taken apart: 'x\\n\\x1b[31m' is given a single func, f,"
            " and a policy wires whole interfaces\n"
        ),
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused(composed: Path, name: str) -> None:
    """The component is refused, and nothing is written."""
    data, sentence = REFUSED[name]
    (composed / "whole.wasm").write_bytes(data)
    said = sandbox("split", "whole.wasm", "-o", "out", directory=composed)
    assert (said.status, said.stdout) == (121, "")
    assert said.stderr.startswith(f"sandbox: {sentence}")
    assert said.stderr.count("\n") == 1
    assert listed(composed) == ["whole.wasm"]
