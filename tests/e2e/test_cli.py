"""The command line: every command and option, its exit statuses, and what it says."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import yaml
from wasmtime import wat2wasm

from sandbox.audit.events import Event
from sandbox.audit.read import lines_of, read_trail
from sandbox.policy.schema import policy_schema
from tests.e2e.harness import GUESTS, PROBE, directory, policy_data, write_policy

ROOT = Path(__file__).resolve().parent.parent.parent
CALCULATOR = "policies/calculator.yaml"
ALLOW = "To allow this much, {} would have to say this. Grant only what you mean to:"
INHERIT = {"stdin": "discard", "stdout": "inherit", "stderr": "inherit"}


class Done(NamedTuple):
    status: int
    stdout: str
    stderr: str


def sandbox(*arguments: str | Path, **more: Any) -> Done:
    """``sandbox ARGUMENTS``, from the root of the repository."""
    line = [sys.executable, "-m", "sandbox", *map(str, arguments)]
    done = subprocess.run(line, cwd=ROOT, check=False, capture_output=True, timeout=60, **{"input": b"", **more})
    return Done(done.returncode, done.stdout.decode(), done.stderr.decode())


@pytest.fixture
def policy(tmp_path: Path) -> Path:
    """A policy for the probe, with standard grants and this command's own streams."""
    return write_policy(tmp_path, policy_data(stdio=INHERIT))


def trail(path: Path) -> list[Event]:
    with open(path, "rb") as file:
        return list(read_trail(lines_of(file)))


def compiled(folder: Path, guest: str) -> Path:
    path = folder / f"{guest}.wasm"
    path.write_bytes(wat2wasm((GUESTS / f"{guest}.wat").read_text(encoding="utf-8")))
    return path


def test_run(policy: Path) -> None:
    """A run without a denial says nothing of its own; its status is the component's."""
    assert sandbox("run", policy, "--", "stdout", "a", "--", "stderr", "b") == Done(
        0, "astdout a -> ok written=1\nstderr b -> ok written=1\n", "b"
    )
    assert sandbox("run", policy, "--", "exit", "1") == Done(1, "", "")


def test_run_of_a_component_under_a_policy(tmp_path: Path) -> None:
    """``--policy`` names the policy and the argument the component; the policy's own source is not used."""
    policy = write_policy(tmp_path, policy_data(source=tmp_path / "missing.wasm", stdio=INHERIT))
    done = sandbox("run", "--policy", policy, PROBE, "--", "args")
    assert done == Done(0, 'args -> ok 2 "guest" "args"\n', "")
    several = {"version": 1, "components": {n: policy_data(stdio=INHERIT)["components"]["guest"] for n in ("a", "b")}}
    both = write_policy(tmp_path, several, "both.yaml")
    assert sandbox("run", "--component", "b", both, "--", "args") == Done(0, 'args -> ok 2 "b" "args"\n', "")
    said = f"sandbox: {both} has several components (a, b); say which one, or have the policy say `run: a`\n"
    assert sandbox("run", both) == Done(2, "", said)
    chosen = write_policy(tmp_path, several | {"run": "b"}, "chosen.yaml")
    assert sandbox("run", chosen, "--", "args") == Done(0, 'args -> ok 2 "b" "args"\n', "")
    assert sandbox("run", "--component", "a", chosen, "--", "args") == Done(0, 'args -> ok 2 "a" "args"\n', "")
    unknown = sandbox("run", "--component", "c", both)
    assert unknown == Done(2, "", f"sandbox: {both} has no component 'c'; it has a, b\n")


def test_call() -> None:
    """A function's result is printed in WAVE; an error case is status 1; negative numbers are arguments."""
    call = ("call", CALCULATOR, "calculator")
    assert sandbox(*call, "operations.add", "2", "3") == Done(0, "5\n", "")
    assert sandbox(*call, "operations.add", "-5", "-3") == Done(0, "-8\n", "")
    assert sandbox(*call, "operations.add", "--", "-5", "3") == Done(0, "-2\n", "")
    assert sandbox(*call, "cyber:math/operations#add", "1", "1") == Done(0, "2\n", "")
    assert sandbox(*call, "operations.divide", "1", "0") == Done(1, 'err("division by zero")\n', "")
    component = "samples/calculator/calculator.wasm"
    assert sandbox("call", "--policy", CALCULATOR, component, "operations.add", "2", "3") == Done(0, "5\n", "")


def test_call_that_does_not_fit() -> None:
    """What does not fit a function's signature is a usage error that names it."""
    done = sandbox("call", CALCULATOR, "calculator", "operations.add", "2")
    assert (done.status, done.stdout) == (2, "")
    assert done.stderr.startswith("sandbox: 1 argument given, the function takes 2 arguments: (")
    done = sandbox("call", CALCULATOR, "calculator", "operations.sub", "2", "3")
    assert done.stderr.startswith("sandbox: the component exports no function operations.sub\n")
    assert done.status == 2
    done = sandbox("run", CALCULATOR)
    assert done.status == 2
    assert done.stderr.endswith("is no command (it does not export wasi:cli/run); call one of its functions instead\n")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "sandbox: error: the following arguments are required: COMMAND"),
        (("frobnicate",), "sandbox: error: argument COMMAND: invalid choice: 'frobnicate'"),
        (("run",), "sandbox run: error: the following arguments are required: POLICY"),
        (("run", "a", "b"), "sandbox: error: unrecognized arguments: b"),
        (("run", "--pol", "a", "b"), "sandbox: error: unrecognized arguments: --pol b"),
        (("run", "--json", "--quiet", "a"), "sandbox run: error: argument --quiet: not allowed with argument --json"),
        (
            ("run", "--plan", "--strict", "a"),
            "sandbox run: error: --plan runs nothing, so there is nothing to report or to be strict about",
        ),
        (("call", "a"), "sandbox call: error: which function? it follows the component"),
        (("call", "a", "b"), "sandbox call: error: which function? it follows the component"),
        (("call", "a", "b", "--strict", "f"), "sandbox call: error: options come before the policy: --strict"),
        (
            ("call", "--component", "x", "a", "b", "f"),
            "sandbox call: error: --component names the component where --policy names the policy",
        ),
        (("run", "--audit", "fd:x", "a"), "sandbox: --audit fd:x: a descriptor is a number, as in fd:3"),
    ],
)
def test_usage_errors(arguments: tuple[str, ...], message: str) -> None:
    """What makes no sense is status 2, with a sentence on standard error."""
    done = sandbox(*arguments)
    assert (done.status, done.stdout) == (2, "")
    assert done.stderr.splitlines()[-1].startswith(message)


def test_help_names_every_exit_status() -> None:
    """``--help`` of each command is printed with status 0, and lists the statuses."""
    for command in ((), ("run",), ("call",)):
        done = sandbox(*command, "--help")
        assert (done.status, done.stderr) == (0, "")
        statuses = done.stdout.partition("exit status: ")[2]
        assert re.findall(r"\b(\d+) [a-z]", statuses.partition("else")[2]) == [
            "2", "119", "120", "121", "122", "123", "124", "125",
        ]  # fmt: skip
    for command in (("inspect",), ("init",), ("schema",)):
        assert sandbox(*command, "--help").status == 0
    assert sandbox("--version") == Done(0, "wasi-sandbox 0.1.0\n", "")


def test_denials_are_reported(policy: Path) -> None:
    """After a run: what was refused, how often, where the policy would have to change, and what would grant it."""
    done = sandbox("run", policy, "--", "open-read", "/etc/passwd", "--", "open-read", "/etc/passwd")
    assert (done.status, done.stdout) == (0, "open-read /etc/passwd -> errno EACCES\n" * 2)
    told, _, ending = done.stderr.rpartition("\nsandbox: ")
    asked = "\n".join(textwrap.wrap(ALLOW.format(policy), 100, break_long_words=False, break_on_hyphens=False))
    expected = f"""sandbox: 2 calls of guest were refused

  filesystem.read  {policy}:1
    no granted directory covers this path
      2x  /etc/passwd

{asked}

    components:
      guest:
        grants:
          filesystem:
            - {{host: /etc, guest: /etc, access: read}}"""
    assert told == expected
    assert re.fullmatch(r"guest ended: exit status 0, \d+ ms, [\d.]+ [KM]iB of memory, 2 calls refused\n", ending)


def test_quiet_and_strict(policy: Path) -> None:
    """``--quiet`` leaves the report out; ``--strict`` makes any denial status 119, and touches nothing else."""
    denied = ("open-read", "/etc/passwd")
    assert sandbox("run", "--quiet", policy, "--", *denied) == Done(0, "open-read /etc/passwd -> errno EACCES\n", "")
    assert sandbox("run", "--quiet", "--strict", policy, "--", *denied).status == 119
    assert sandbox("run", "--quiet", "--strict", policy, "--", "stdout", "x").status == 0
    assert sandbox("run", "--quiet", "--strict", policy, "--", "exit", "1").status == 1
    assert sandbox("run", "--quiet", "--strict", policy, "--", *denied, "--", "abort").status == 122


def test_json(policy: Path) -> None:
    """``--json`` reports on standard error, as one object on one line, also where the run was refused."""
    done = sandbox("run", "--json", "--strict", policy, "--", "open-read", "/etc/passwd")
    (line,) = done.stderr.splitlines()
    found = json.loads(line)
    assert done.status == found["exit_status"] == 119
    assert (found["component"], found["bound"], found["refused"]) == ("guest", None, 1)
    assert [e["event_name"] for e in found["events"]] == ["denied", "ended"]
    done = sandbox("run", "--json", policy, "--policy", policy / "missing")
    assert done.status == 120
    found = json.loads(done.stderr)
    assert [(e["event_name"], e["reason"]) for e in found["events"]] == [
        ("refused", "cannot be read: Not a directory"),
        ("ended", "the policy was refused"),
    ]


def test_audit_file(tmp_path: Path, policy: Path) -> None:
    """``--audit FILE`` appends each run's events, with mode 0600; nothing of it shows on the streams."""
    audit = tmp_path / "trail.jsonl"
    for _ in range(2):
        done = sandbox("run", "--quiet", "--audit", audit, policy, "--", "open-read", "/etc/passwd")
        assert done == Done(0, "open-read /etc/passwd -> errno EACCES\n", "")
    assert [(e.sequence, e.name, e.resource) for e in trail(audit)] == [
        (1, "denied", "/etc/passwd"),
        (2, "ended", None),
    ] * 2
    assert audit.stat().st_mode & 0o777 == 0o600


def test_audit_descriptor(policy: Path) -> None:
    """``--audit fd:N`` writes to a descriptor that was handed on, and to no other."""
    read, write = os.pipe()
    try:
        done = sandbox("run", "--audit", f"fd:{write}", policy, "--", "stdout", "x", pass_fds=[write])
    finally:
        os.close(write)
    with open(read, "rb") as file:
        assert [(e.name, e.exit_status) for e in read_trail(lines_of(file))] == [("ended", 0)]
    assert (done.status, done.stderr) == (0, "")
    for number in range(3, 9):
        done = sandbox("run", "--audit", f"fd:{number}", policy, "--", "stdout", "x")
        assert (done.status, done.stdout) == (125, "")
        assert re.fullmatch(
            rf"sandbox: cannot write the audit trail to descriptor {number}: (it is not open|Bad file descriptor)\n",
            done.stderr,
        )


def test_audit_where_the_component_writes(tmp_path: Path, policy: Path) -> None:
    """A trail may not go where the component's own output goes, under whatever name: it could be forged."""
    refusal = (
        "sandbox: the audit trail and the component's standard {} would go to the same place, where the component"
        " could forge events; give the trail a file or a descriptor of its own\n"
    )
    assert sandbox("run", "--audit", "-", policy, "--", "stdout", "x") == Done(2, "", refusal.format("error"))
    assert sandbox("run", "--audit", "fd:1", policy, "--", "stdout", "x") == Done(2, "", refusal.format("output"))
    log = tmp_path / "log"
    with open(log, "ab") as file:
        line = [sys.executable, "-m", "sandbox", "run", "--audit", str(log), str(policy), "--", "stdout", "x"]
        done = subprocess.run(line, cwd=ROOT, check=False, stdout=file, stderr=subprocess.PIPE)
    assert (done.returncode, done.stderr.decode()) == (2, refusal.format("output"))
    apart = write_policy(tmp_path, policy_data(stdio={"stdout": "inherit", "stderr": "discard"}), "apart.yaml")
    done2 = sandbox("run", "--quiet", "--audit", "-", apart, "--", "stdout", "x")
    assert (done2.status, done2.stdout) == (0, "xstdout x -> ok written=1\n")
    assert [json.loads(x)["event_name"] for x in done2.stderr.splitlines()] == ["ended"]


def test_audit_within_reach_of_the_component(tmp_path: Path) -> None:
    """A trail may not lie in a directory that the component may write, nor be a file of its streams."""
    (tmp_path / "out").mkdir()
    data = policy_data([directory(tmp_path / "out", "/out", "write")], stdio={"stdout": {"file": "log"}})
    policy = write_policy(tmp_path, data)
    done = sandbox("run", "--audit", tmp_path / "out" / "trail", policy)
    route = "components.guest.grants"
    why = "writable, and it holds the audit trail, {}, which the guest could change"
    expected = f"sandbox: {policy}:1: {route}.filesystem[0].access: {why.format(tmp_path / 'out' / 'trail')}\n"
    assert done == Done(120, "", expected)
    done = sandbox("run", "--audit", tmp_path / "log", policy)
    why = f"{tmp_path}/log is the audit trail, which is for nobody else to read or write"
    assert done == Done(120, "", f"sandbox: {policy}:1: {route}.stdio.stdout: {why}\n")


def test_refused_policy(tmp_path: Path) -> None:
    """Everything that is wrong with a policy is told at once, with its place; and it is in the trail."""
    audit = tmp_path / "trail.jsonl"
    policy = tmp_path / "bad.yaml"
    policy.write_text("version: 1\ncomponents:\n  a:\n    grants:\n      stdio: {stdot: inherit}\n    limit: {}\n")
    done = sandbox("run", "--audit", audit, policy)
    assert (done.status, done.stdout) == (120, "")
    lines = done.stderr.splitlines()
    assert len(lines) == 2
    assert lines[0].startswith(f"sandbox: {policy}:5:15: components.a.grants.stdio.stdot: ")
    assert lines[0].endswith("(did you mean 'stdout'?)")
    assert lines[1].startswith(f"sandbox: {policy}:6:5: components.a.limit: ")
    assert [(e.name, e.component, e.policy_line, e.exit_status) for e in trail(audit)] == [
        ("refused", "*", 5, None),
        ("refused", "*", 6, None),
        ("ended", "*", None, 120),
    ]


def test_policy_of_what_is_not_enforced(tmp_path: Path) -> None:
    """A policy that grants what no part enforces yet is refused, and never half obeyed."""
    policy = write_policy(tmp_path, policy_data(http=["GET https://api.example.com/v1/*"]))
    done = sandbox("run", policy)
    assert (done.status, done.stdout) == (120, "")
    assert "components.guest.grants.http: " in done.stderr
    assert "not enforced yet" in done.stderr


@pytest.mark.parametrize(
    ("guest", "reason"),
    [
        ("imports-custom", "the component imports 'acme:billing/ledger@1.0.0': "),
        ("imports-wasi-0.3", "the component imports 'wasi:random/random@0.3.0': "),
        ("imports-release-candidate", "the component imports 'wasi:random/random@0.2.0-rc-2023-12-05': "),
    ],
)
def test_refused_imports(tmp_path: Path, guest: str, reason: str) -> None:
    """An import that is no interface of WASI 0.2 refuses the component before anything runs, and is named."""
    audit = tmp_path / "trail.jsonl"
    policy = write_policy(tmp_path, policy_data(source=compiled(tmp_path, guest)))
    done = sandbox("run", "--audit", audit, policy)
    assert (done.status, done.stdout) == (121, "")
    assert done.stderr.startswith(f"sandbox: {policy}:1: components.guest.source: {reason}")
    assert [(e.name, e.exit_status) for e in trail(audit)] == [("refused", None), ("ended", 121)]


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "SOURCE: not WebAssembly: the file is empty"),
        (b"#!/bin/sh\n", "SOURCE: not WebAssembly: it does not begin with \\0asm"),
        (PROBE.read_bytes()[:5000], "SOURCE: 33106 bytes are announced at byte 4920, 80 are left"),
        (None, "SOURCE: cannot be read: No such file or directory"),
        (
            bytes(wat2wasm('(module (import "wasi_unstable" "fd_write" (func)))')),
            (
                "POLICY:1: components.guest.source: the module imports wasi_unstable.fd_write:"
                " wasi_unstable is the snapshot before preview 1; rebuild it for wasm32-wasip1"
            ),
        ),
    ],
)
def test_refused_components(tmp_path: Path, data: bytes | None, reason: str) -> None:
    """What is no component is status 121, with a sentence and an event; its name is escaped, whatever it is."""
    audit, source = tmp_path / "trail.jsonl", tmp_path / "x\x1b[31m\n.wasm"
    if data is not None:
        source.write_bytes(data)
    policy = write_policy(tmp_path, policy_data())
    done = sandbox("run", "--audit", audit, "--policy", policy, source)
    shown = reason.replace("SOURCE", ascii(str(source))).replace("POLICY", str(policy))
    assert done == Done(121, "", f"sandbox: {shown}\n")
    assert [(e.name, e.component, e.exit_status) for e in trail(audit)] == [
        ("refused", "guest", None),
        ("ended", "guest", 121),
    ]


def test_component_that_does_not_compile(tmp_path: Path) -> None:
    """What Wasmtime itself refuses is status 121 too, with its reason."""
    audit, source = tmp_path / "trail.jsonl", tmp_path / "broken.wasm"
    source.write_bytes(PROBE.read_bytes()[:40000] + b"\xff" * 1000 + PROBE.read_bytes()[41000:])
    policy = write_policy(tmp_path, policy_data(source=source))
    done = sandbox("run", "--audit", audit, policy)
    refusal = "Wasmtime refuses the component: "
    assert (done.status, done.stdout) == (121, "")
    assert done.stderr.startswith(f"sandbox: guest was not run\n\n  run  {policy}:1\n    {refusal}")
    assert [(e.name, e.reason.startswith(refusal), e.exit_status) for e in trail(audit)] == [
        ("refused", True, None),
        ("ended", False, 121),
    ]


def test_digest(tmp_path: Path) -> None:
    """A pinned digest refuses any other binary."""
    data = policy_data(stdio=INHERIT)
    data["components"]["guest"]["digest"] = "sha256:" + "0" * 64
    policy = write_policy(tmp_path, data)
    done = sandbox("run", policy)
    assert done.status == 121
    pinned = f"the component is another one: the policy pins sha256:{'0' * 64}, the file is sha256:"
    assert done.stderr.startswith(f"sandbox: {policy}:1: components.guest.digest: {pinned}")


def test_hostile_names_are_escaped(tmp_path: Path) -> None:
    """Nothing that a guest or a file is called reaches the terminal as a control sequence, in any report."""
    policy = write_policy(tmp_path, policy_data(stdio={"stdout": "discard", "stderr": "discard"}), "p\x1b[2J.yaml")
    name = "/etc/\x1b[31mred\nsandbox: forged\x9b\u202e"
    for options in ((), ("--json",)):
        done = sandbox("run", *options, policy, "--", "open-read", name)
        assert re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f\u202e]", done.stderr) is None
        assert "\nsandbox: forged" not in done.stderr
        assert "forged" in done.stderr
    assert "\x1b" not in sandbox("run", "--plan", policy).stdout
    source = tmp_path / "guest\x1b[31m.wasm"
    source.write_bytes(PROBE.read_bytes())
    for command in ("inspect", "init"):
        assert "\x1b" not in sandbox(command, source).stdout


def test_names_are_no_commands_to_a_runner(tmp_path: Path) -> None:
    """What a guest that may print nothing asks for is no command to the runner of the job that it runs in."""
    policy = write_policy(tmp_path, policy_data(stdio={"stdout": "discard", "stderr": "discard"}))
    said = sandbox("run", policy, "--", "open-read", "/##vso[task.prependpath]/tmp").stderr
    assert "\n      /#\\x23vso[task.prependpath]/tmp\n" in said
    assert "##vso" not in said
    missing = sandbox("run", "##vso[task.complete].yaml").stderr
    assert missing.startswith("sandbox: #\\x23vso[task.complete].yaml:1:1: ")
    plan = sandbox("run", "--plan", policy, "--", "##[group]").stdout
    assert "#\\x23[group]" in plan
    assert "##[" not in plan


def test_plan(tmp_path: Path) -> None:
    """``--plan`` prints what the run would get, and runs nothing."""
    (tmp_path / "in").mkdir()
    data = policy_data([directory("in", "/in", excepted=["*.key"])], stdio=INHERIT, environment={"set": {"A": "b"}})
    policy = write_policy(tmp_path, data)
    done = sandbox("run", "--plan", policy, "--", "one", "two\x1b")
    assert (done.status, done.stderr) == (0, "")
    head, _, imports = done.stdout.partition("\nIt imports:\n")
    digest, policy_digest = (re.escape(x) for x in re.findall(r"sha256:[0-9a-f]{64}", head))
    assert (
        re.sub(f"{digest}|{policy_digest}", "DIGEST", head)
        == f"""guest  {PROBE}
  digest       DIGEST ({PROBE.stat().st_size:,} bytes)
  policy       {policy} (DIGEST)

It gets:
  /in          {tmp_path}/in  read only
               except *.key
  stdin        at its end
  stdout       the caller's
  stderr       the caller's
  environment  A (1 character)
  arguments    guest one two\\x1b
  clocks       wall real; monotonic real
  random       secure
  network      none

Bounds:
  memory       512 MiB, over all memories and tables
  deadline     60 s, compiling and waiting included
  fuel         not counted
  output       64 MiB
  handles      256 open at once
  disk         256 MiB written to files
  events       1,000 refusals one by one, further ones counted
"""
    )
    served = {line.split(maxsplit=1)[1] for line in imports.splitlines()}
    assert served == {"served by Wasmtime", "served through the guard"}
    assert sandbox("call", "--plan", CALCULATOR, "calculator", "operations.add").stdout.endswith(
        "It imports:\n  nothing\n"
    )


def test_inspect_init_schema(tmp_path: Path) -> None:
    """``inspect`` shows a component, ``init`` drafts a policy that loads and grants nothing, ``schema`` is JSON."""
    done = sandbox("inspect", "--json", PROBE)
    assert (done.status, done.stderr, json.loads(done.stdout)["kind"]) == (0, "", "component")
    shown = f"{PROBE}: a command (wasi:cli/run@0.2.3), {PROBE.stat().st_size} bytes"
    assert sandbox("inspect", PROBE).stdout.splitlines()[1] == shown
    draft = tmp_path / "draft.yaml"
    draft.write_text(sandbox("init", PROBE).stdout)
    assert yaml.safe_load(draft.read_text())["components"]["probe"].get("grants") in (None, {})
    assert sandbox("run", "--quiet", draft).stdout == ""
    assert sandbox("init", "--name", "other", PROBE).stdout.count("\n  other:") == 1
    assert json.loads(sandbox("schema").stdout) == json.loads(json.dumps(policy_schema()))
    for command in ("inspect", "init"):
        missing = sandbox(command, tmp_path / "missing")
        assert (missing.status, missing.stdout) == (121, "")


@pytest.mark.parametrize("mode", ["0755", "file", "no home"])
def test_cache_that_cannot_be_trusted(tmp_path: Path, policy: Path, mode: str) -> None:
    """A cache that others can open, that is no directory, or that has no place, stops the run and names a remedy."""
    place = tmp_path / "cache"
    environment = {**os.environ, "SANDBOX_CACHE": str(place)}
    if mode == "0755":
        place.mkdir(mode=0o755)
    elif mode == "file":
        place.write_text("")
    else:
        environment = {"PATH": os.environ["PATH"], "XDG_CACHE_HOME": str(place / "x" / "y")}
        place.write_text("")
    done = sandbox("run", policy, "--", "stdout", "x", env=environment)
    assert (done.status, done.stdout) == (125, "")
    assert done.stderr.startswith(f"sandbox: the cache {place}")
    assert "set SANDBOX_CACHE to a directory of your own" in done.stderr


def test_home_may_be_unset(tmp_path: Path, policy: Path) -> None:
    """Without ``HOME`` the cache is where the system says that the user lives, or where XDG says."""
    environment = {"PATH": os.environ["PATH"], "XDG_CACHE_HOME": str(tmp_path / "xdg")}
    assert sandbox("run", policy, "--", "stdout", "x", env=environment).status == 0
    assert (tmp_path / "xdg" / "wasi-sandbox").stat().st_mode & 0o777 == 0o700


def test_output_whose_reader_is_gone() -> None:
    """A command whose output nobody reads ends with 141, and without a traceback."""
    read, write = os.pipe()
    os.close(read)
    line = [sys.executable, "-m", "sandbox", "schema"]
    done = subprocess.run(line, cwd=ROOT, check=False, stdout=write, stderr=subprocess.PIPE)
    os.close(write)
    assert (done.returncode, done.stderr) == (141, b"")


def test_audit_by_descriptor_within_reach_of_the_component(tmp_path: Path) -> None:
    """A trail that is handed over open may not lie where the component may write either."""
    (tmp_path / "out").mkdir()
    policy = write_policy(tmp_path, policy_data([directory(tmp_path / "out", "/out", "write")]))
    with open(tmp_path / "out" / "trail", "ab") as file:
        line = [sys.executable, "-m", "sandbox", "run", "--audit", f"fd:{file.fileno()}", str(policy)]
        done = subprocess.run(line, cwd=ROOT, check=False, capture_output=True, pass_fds=[file.fileno()])
    assert done.returncode == 120
    assert f"writable, and it holds the audit trail, {tmp_path}/out/trail" in done.stderr.decode()


def test_output_that_cannot_be_written(tmp_path: Path, policy: Path) -> None:
    """What the component printed is not lost in silence, nor what this command itself has to say."""
    for arguments in (["run", policy, "--", "stdout", "x"], ["schema"], ["run", "--plan", policy]):
        with open("/dev/full", "wb") as full:
            line = [sys.executable, "-m", "sandbox", *map(str, arguments)]
            done = subprocess.run(line, cwd=ROOT, check=False, stdout=full, stderr=subprocess.PIPE, timeout=60)
        said = done.stderr.decode()
        assert (done.returncode, "No space left on device" in said, "Traceback" in said) == (125, True, False), (
            arguments
        )


def test_except_under_another_locale(tmp_path: Path) -> None:
    """Names are judged as UTF-8, which is what a guest's are, whatever encoding the caller's locale has."""
    (tmp_path / "g").mkdir()
    (tmp_path / "g" / "geheim-ä").write_text("secret")
    grants = [directory(tmp_path / "g", "/g", excepted=["geheim-ä"])]
    policy = write_policy(tmp_path, policy_data(grants, arguments=["read", "/g/geheim-ä"]))
    environment = {**os.environ, "LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    done = sandbox("run", "--strict", "--json", policy, env=environment)
    report = json.loads(done.stderr.splitlines()[-1])
    assert (done.status, report["how"], [e.get("reason") for e in report["events"]]) == (
        119,
        "exited",
        ["the policy excepts this path", "the component ended"],
    )
    assert "secret" not in done.stdout
