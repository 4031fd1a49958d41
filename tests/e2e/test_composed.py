"""``sandbox compose``: the samples' programs run under plain wasmtime-py, and what cannot be composed is refused."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest
from wasmtime import Engine, Store, WasiConfig, WasmtimeError, wat2wasm
from wasmtime import component as wasm

from sandbox.component import Export, facts_of
from tests.guard import parts

ROOT = Path(__file__).resolve().parent.parent.parent
POLICIES, SAMPLES = ROOT / "policies", ROOT / "samples"
NO_GUARD = (
    "sandbox: {name} has no guard: whatever runs it gives its {count} components the same,"
    " and of {policy} no grant, limit or audit holds in it\n"
)
ONLY = "sandbox: what `only` leaves out stays so: a call of it traps\n"


@dataclass(frozen=True)
class Said:
    """What a command or a program said. ``status``: an exit status, or how a program under plain wasmtime ended."""

    status: int | str
    stdout: str | bytes
    stderr: str


def compose(*arguments: object, directory: Path = ROOT) -> Said:
    line = [sys.executable, "-m", "sandbox", "compose", *map(str, arguments)]
    done = subprocess.run(
        line, cwd=directory, env={**os.environ, "PYTHONPATH": str(ROOT)}, check=False, capture_output=True, timeout=120
    )
    return Said(done.returncode, done.stdout, done.stderr.decode())


def composed(policy: str, directory: Path) -> bytes:
    """The program of one of the published policies."""
    program = directory / "program.wasm"
    said = compose(POLICIES / policy, "-o", program)
    assert (said.status, said.stdout) == (0, b""), said.stderr
    return program.read_bytes()


def plain(
    program: bytes,
    directory: Path,
    arguments: Sequence[str] = (),
    *,
    environment: Mapping[str, str] | None = None,
    preopens: Mapping[str, Path] | None = None,
) -> Said:
    """Run a command as any user of wasmtime-py would: nothing of the sandbox has a part in it."""
    engine = Engine()
    linker = wasm.Linker(engine)
    linker.add_wasip2()
    store = Store(engine)
    config = WasiConfig()
    config.argv = ["program", *arguments]
    config.env = list((environment or {}).items())
    config.stdout_file, config.stderr_file = str(directory / "stdout"), str(directory / "stderr")
    for guest, host in (preopens or {}).items():
        config.preopen_dir(str(host), guest)
    store.set_wasi(config)
    (name,) = (e.name for e in facts_of("", program).exports if e.name.startswith("wasi:cli/run@"))
    instance = linker.instantiate(store, wasm.Component(engine, program))
    interface = instance.get_export_index(store, name)
    assert interface is not None
    index = instance.get_export_index(store, "run", interface)
    assert index is not None
    run = instance.get_func(store, index)
    assert run is not None
    try:
        status = run(store).tag
    except WasmtimeError as trap:
        status = "trap" if "wasm `unreachable` instruction executed" in str(trap) else str(trap)
    stdout, stderr = ((directory / name).read_text("utf-8") for name in ("stdout", "stderr"))
    return Said(status, stdout, stderr)


def needs(sample: str, target: str) -> None:
    """Build a sample in Python where it was not; the test is skipped where there is nothing to build it with."""
    if (SAMPLES / sample).exists():
        return
    tool = shutil.which("componentize-py", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    if tool is None:
        assert not os.environ.get("CI"), "componentize-py belongs to the development dependencies"
        pytest.skip("componentize-py is not installed")
    make = ["make", "-C", str(SAMPLES), target, f"COMPONENTIZE_PY={tool}"]
    subprocess.run(make, check=True, capture_output=True, timeout=300)


@pytest.fixture
def bank(tmp_path: Path) -> dict[str, Path]:
    """The bank's directories by what the components call them, with nothing in the books."""
    out = {f"/{name}": tmp_path / name for name in ("keys", "db", "outbox")}
    shutil.copytree(SAMPLES / "payments" / "keys", out["/keys"])
    out["/db"].mkdir()
    out["/outbox"].mkdir()
    return out


def test_payments(tmp_path: Path, bank: dict[str, Path]) -> None:
    """The bank pays, remembers, writes its letter and refuses a wrong PIN; `only` holds without a guard as well."""
    program = composed("payments.yaml", tmp_path)

    def run(*arguments: str) -> Said:
        return plain(program, tmp_path, arguments, preopens=bank)

    assert run("pay", "ann", "bob", "12.50", "4821") == Said(
        "ok", "receipt 1: ann paid bob 12.50, and has 87.50 left\n", ""
    )
    assert run("balance", "bob", "1077") == Said("ok", "bob has 112.50\n", "")
    assert [path.name for path in bank["/outbox"].iterdir()] == ["letters.txt"]
    refused = run("pay", "ann", "bob", "1.00", "0000")
    assert (refused.stdout, refused.stderr) == ("", "app: refused: no such user, or another PIN\n")
    assert run("users") == Said("trap", "", "")


def test_payments_in_python(tmp_path: Path, bank: dict[str, Path]) -> None:
    """Parts that were built for different releases of WASI 0.2 are one program. Nothing grants it a network here."""
    needs("payments/notify-python.wasm", "payments-python")
    program = composed("payments-python.yaml", tmp_path)
    said = plain(program, tmp_path, ["pay", "ann", "bob", "12.50", "4821"], preopens=bank)
    assert (said.status, said.stdout) == ("ok", "receipt 1: ann paid bob 12.50, and has 87.50 left\n")
    assert said.stderr.startswith("app: bob was not told: ")


@pytest.mark.parametrize("policy", ["supply-chain.yaml", "supply-chain-1.1.yaml"])
def test_supply_chain(tmp_path: Path, policy: str) -> None:
    """Either version of the library serves the report, whose writes go where the caller lets them."""
    program = composed(policy, tmp_path)
    (tmp_path / "out").mkdir()
    said = plain(
        program,
        tmp_path,
        environment={"CURRENCY": "EUR"},
        preopens={"/in": SAMPLES / "invoices", "/out": tmp_path / "out"},
    )
    assert (said.status, said.stdout) == (
        "ok",
        "report: 3 files, 13 rows, 2 left out, total 2906.20 EUR -> /out/summary.md, /out/totals.csv\n",
    )
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["summary.md", "totals.csv"]


def test_calculator_library(tmp_path: Path) -> None:
    """A program in Python calls a library in C."""
    needs("calculator-python/calculator-python.wasm", "calculator-python")
    said = plain(composed("calculator-library.yaml", tmp_path), tmp_path, ["1", "2", "6"])
    assert said == Said(
        "ok",
        "count      3\nminimum    1\nmaximum    6\nmean       3\n"
        "deviation  2.16025\nspread     5\nrelative   0.720082\n",
        "",
    )


# The command

ASKS = parts.command(
    parts.auth_import(), (parts.VALIDATE,), "(call $say (call $validate (i32.const 1024) (i32.const 3)))"
)
POLICY = """\
version: 1
run: app
components:
  app:
    source: app.wasm
    imports: {"bank:payments/auth": auth}
  auth:
    source: auth.wasm
"""


@pytest.fixture
def program(tmp_path: Path) -> Path:
    """A folder with a policy of two components, and these."""
    (tmp_path / "policy.yaml").write_text(POLICY, encoding="utf-8")
    (tmp_path / "app.wasm").write_bytes(ASKS)
    (tmp_path / "auth.wasm").write_bytes(parts.auth())
    return tmp_path


def change(program: Path, old: str, new: str) -> None:
    assert POLICY.count(old) == 1
    (program / "policy.yaml").write_text(POLICY.replace(old, new), encoding="utf-8")


def test_what_is_said(program: Path) -> None:
    """What the program has lost is said; the file is whole, alone, and as readable as any that the user makes."""
    said = compose("policy.yaml", "-o", "out.wasm", directory=program)
    assert said == Said(0, b"", NO_GUARD.format(name="out.wasm", count=2, policy="policy.yaml"))
    assert facts_of("", (program / "out.wasm").read_bytes()).exports == (Export("wasi:cli/run@0.2.0", "instance"),)
    assert sorted(path.name for path in program.iterdir()) == ["app.wasm", "auth.wasm", "out.wasm", "policy.yaml"]
    assert (program / "out.wasm").stat().st_mode == (program / "app.wasm").stat().st_mode


def test_to_standard_output(program: Path) -> None:
    """The bytes go to standard output, and what is said does not."""
    change(program, "auth}", "{component: auth, only: [validate-user]}}")
    said = compose("policy.yaml", "-o", "-", directory=program)
    assert (said.status, said.stderr) == (0, NO_GUARD.format(name="the program", count=2, policy="policy.yaml") + ONLY)
    compose("policy.yaml", "-o", "out.wasm", directory=program)
    assert said.stdout == (program / "out.wasm").read_bytes()


def test_not_to_a_terminal(program: Path) -> None:
    """A terminal is no place for a component."""
    controller, terminal = os.openpty()
    line = [sys.executable, "-m", "sandbox", "compose", "policy.yaml", "-o", "-"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        line, cwd=program, env=environment, check=False, stdout=terminal, stderr=subprocess.PIPE, timeout=60
    )
    os.close(terminal)
    os.close(controller)
    assert (done.returncode, done.stderr.decode()) == (
        2,
        "sandbox: a component is not written to a terminal; name a file, or send the output elsewhere\n",
    )


def test_the_program_of_another_component(program: Path) -> None:
    """``--component`` names the component that the program is of, where the policy's own is not meant."""
    policy = POLICY.replace("run: app\n", "").replace("source: auth.wasm", 'source: "no/such/file"')
    policy += (
        "  other:\n    source: app.wasm\n    imports: {'bank:payments/auth': third}\n  third: {source: auth.wasm}\n"
    )
    (program / "policy.yaml").write_text(policy, encoding="utf-8")
    assert compose("policy.yaml", "-o", "out.wasm", directory=program) == Said(
        2,
        b"",
        "sandbox: policy.yaml has several components (app, auth, other, third);"
        " say which one, or have the policy say `run: app`\n",
    )
    assert compose("policy.yaml", "--component", "other", "-o", "out.wasm", directory=program).status == 0


def test_nothing_is_overwritten_unasked(program: Path) -> None:
    """What is there stays, unless ``--force`` says so; a component of the program's own stays in any case."""
    (program / "out.wasm").write_text("mine", encoding="utf-8")
    assert compose("policy.yaml", "-o", "out.wasm", directory=program) == Said(
        2, b"", "sandbox: out.wasm exists; --force overwrites it\n"
    )
    assert (program / "out.wasm").read_text(encoding="utf-8") == "mine"
    assert compose("policy.yaml", "-o", "out.wasm", "--force", directory=program).status == 0
    assert (program / "out.wasm").read_bytes()[:4] == b"\0asm"
    (program / "link.wasm").symlink_to("auth.wasm")
    assert compose("policy.yaml", "-o", "link.wasm", "--force", directory=program) == Said(
        2, b"", "sandbox: link.wasm is one of the components that the program is made of\n"
    )
    assert compose("policy.yaml", "-o", "/dev/null", "--force", directory=program) == Said(
        2, b"", "sandbox: /dev/null is no regular file; '-' is standard output\n"
    )
    assert compose("policy.yaml", "-o", "none/out.wasm", directory=program) == Said(
        125, b"", "sandbox: none/out.wasm cannot be written: No such file or directory\n"
    )


PINNED = "0" * 64
REFUSED: dict[str, tuple[tuple[str, str], int, str]] = {
    "nothing to compose": (
        ('    imports: {"bank:payments/auth": auth}\n', ""),
        2,
        (
            "policy.yaml: app imports from no other component, so there is nothing to compose:"
            " {directory}/app.wasm is all of it"
        ),
    ),
    "an unknown component": (
        ("run: app", "run: none"),
        120,
        "policy.yaml:2:1: run: 'none' is no component of this policy",
    ),
    "a missing file": (
        ("auth.wasm", "none.wasm"),
        121,
        "{directory}/none.wasm: cannot be read: No such file or directory",
    ),
    "a file that is none": (("auth.wasm", "policy.yaml"), 121, "{directory}/policy.yaml: not WebAssembly: "),
    "another binary": (
        ("source: auth.wasm", f"source: auth.wasm\n    digest: sha256:{PINNED}"),
        121,
        (
            "policy.yaml:9: components.auth.digest: the component is another one:"
            f" the policy pins sha256:{PINNED}, the file is sha256:"
        ),
    ),
    "an import that there is not": (
        ("bank:payments/auth", "bank:payments/aut"),
        120,
        (
            'policy.yaml:6: components.app.imports["bank:payments/aut"]: app does not import bank:payments/aut;'
            " it imports bank:payments/auth@1.0.0"
        ),
    ),
    "a component that does not export it": (
        ("source: auth.wasm", "source: app.wasm"),
        121,
        (
            'policy.yaml:6: components.app.imports["bank:payments/auth"]: app imports bank:payments/auth@1.0.0,'
            " and auth (line 7) cannot serve it: it exports no such interface"
        ),
    ),
    "a function that there is not": (
        ('"bank:payments/auth": auth', '"bank:payments/auth": {component: auth, only: [validate-users]}'),
        121,
        (
            'policy.yaml:6: components.app.imports["bank:payments/auth"]: app may call validate-users of'
            " bank:payments/auth@1.0.0, but app>auth exports no such function; it exports validate-user"
            " (auth is in line 7)"
        ),
    ),
}


@pytest.mark.parametrize(("edit", "status", "message"), REFUSED.values(), ids=REFUSED)
def test_what_is_refused(program: Path, edit: tuple[str, str], status: int, message: str) -> None:
    """What cannot be composed is refused as ``run`` refuses it, and no file is made."""
    change(program, *edit)
    said = compose("policy.yaml", "-o", "out.wasm", directory=program)
    assert (said.status, said.stdout) == (status, b"")
    assert said.stderr.startswith("sandbox: " + message.format(directory=program))
    assert not (program / "out.wasm").exists()


def test_types_that_differ(program: Path) -> None:
    """A function of another type is told in WIT's words, whatever stands in its name."""
    (program / "auth.wasm").write_bytes(parts.auth(function='(param "name" string) (result u8)'))
    assert compose("policy.yaml", "-o", "out.wasm", directory=program) == Said(
        121,
        b"",
        'sandbox: policy.yaml:6: components.app.imports["bank:payments/auth"]: app, bank:payments/auth@1.0.0:'
        " validate-user: it imports func(name: string) -> bool, and app>auth exports func(name: string) -> u8"
        " (auth is in line 7)\n",
    )


def test_the_component_that_cannot_be_linked_is_told(program: Path) -> None:
    """By its path in the program, and by its line in the policy."""
    text = f'(component (import "f" (func)) (instance $i) (export "{parts.AUTH}" (instance $i)))'
    (program / "auth.wasm").write_bytes(bytes(wat2wasm(text)))
    said = compose("policy.yaml", "-o", "out.wasm", directory=program)
    place = "policy.yaml:8: components.auth.source"
    assert said == Said(121, b"", f"sandbox: {place}: app>auth: it imports 'f', which is no interface\n")


def test_hostile_names(program: Path) -> None:
    """A name that a component carries cannot speak to the terminal."""
    shared = r"url=<https://\1b]0;\07>"
    for name, rest, width in (("app", f'(import "{parts.AUTH}" (instance))', 32), ("auth", AUTH_OF_NOTHING, 64)):
        text = f'(component (import "{shared}" (instance (export "f" (func (param "x" u{width}))))) {rest})'
        (program / f"{name}.wasm").write_bytes(bytes(wat2wasm(text)))
    assert compose("policy.yaml", "-o", "out.wasm", directory=program) == Said(
        121,
        b"",
        r"sandbox: app>auth imports url=<https://\x1b]0;\x07> and app imports url=<https://\x1b]0;\x07>, with different"
        " types for f\n",
    )


AUTH_OF_NOTHING = f'(instance $i) (export "{parts.AUTH}" (instance $i))'
