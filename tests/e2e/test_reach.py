"""What no grant reaches, however wide it is: the kernel's interfaces, and what decides the next run."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from sandbox.plan import PlanError
from tests.e2e.harness import (
    ABOVE_EXCEPTION,
    EXCEPTED,
    KERNEL,
    PROBE,
    READ_ONLY,
    ROOT,
    Attempt,
    Ran,
    Runner,
    directory,
    policy_data,
    read,
    write,
    write_policy,
)

KERNEL_ATTEMPTS = [
    Attempt(
        "read /etc/passwd/../../proc/self/environ",
        "errno EACCES",
        (read("/etc/passwd/../../proc/self/environ", KERNEL),),
    ),
    *(
        Attempt(f"read {path}", "errno EACCES", (read(path, KERNEL),))
        for path in ("/proc/self/environ", "/proc/self/maps", "/proc/1/environ", "/proc//./self/mem", "/sys/kernel/x")
    ),
    Attempt("list /proc", "errno EACCES", (read("/proc", KERNEL),)),
    Attempt("open-directory /proc/self/", "errno EACCES", (read("/proc/self/", KERNEL),)),
    Attempt("lstat /proc/self/exe", "errno EACCES", (read("/proc/self/exe", KERNEL),)),
    Attempt("readlink /proc/self/exe", "errno EACCES", (read("/proc/self/exe", KERNEL),)),
    Attempt("write-at /proc/self/mem 0 x", "errno EACCES", (write("/proc/self/mem", KERNEL),)),
]


def test_the_whole_machine(attempt: Callable[..., list[Attempt]]) -> None:
    """A grant of `/` shows files and hides the kernel's interfaces: no environment, no memory of the worker."""
    assert attempt([directory("/", "/")], KERNEL_ATTEMPTS) == KERNEL_ATTEMPTS


def test_files_beside_the_interfaces(probe: Callable[..., Ran], tmp_path: Path) -> None:
    """Ordinary files of such a grant are read as ever."""
    (tmp_path / "file").write_text("text")
    ran = probe([directory("/", "/")], f"read {tmp_path}/file", f"write {tmp_path}/file x")
    assert ran.lines == [f'read {tmp_path}/file -> ok 4 "text"', f"write {tmp_path}/file x -> errno EPERM"]
    assert ran.denials == [write(f"{tmp_path}/file", READ_ONLY)]


@pytest.mark.parametrize("host", ["/proc", "/proc/self", "/proc/self/task", "/sys"])
def test_an_interface_of_the_kernel(host: str, probe: Callable[..., Ran], guest: str) -> None:
    """A directory of one is not granted at all."""
    with pytest.raises(PlanError) as caught:
        probe([directory(host, "/p")], "list /p")
    real = os.path.realpath(host).replace(str(os.getpid()), "self")
    kind = "sysfs" if host == "/sys" else "proc"
    (objection,) = caught.value.objections
    assert objection.route == "components.guest.grants.filesystem[0].host"
    assert objection.message.replace(str(os.getpid()), "self") == (
        f"{real} is on {kind}, an interface of the kernel, through which a {guest} could read or change this and"
        " other processes; copy what it needs into a directory of its own"
    )


def test_the_plan_says_so(tmp_path: Path) -> None:
    """A reviewer sees in the plan which interfaces a wide grant goes without."""
    policy = write_policy(tmp_path, policy_data([directory("/", "/")]))
    command = [sys.executable, "-m", "sandbox", "run", "--plan", str(policy)]
    shown = subprocess.run(command, check=True, capture_output=True, text=True, timeout=60, cwd=ROOT).stdout
    assert shown.partition("It gets:\n")[2].splitlines()[0] == "  /            /  read only"
    assert "               except proc, an interface of the kernel\n" in shown


def mounting(tmp_path: Path, script: str, policy: Path, *commands: str) -> tuple[int, str, str, list[tuple[str, str]]]:
    """Run the probe in a mount namespace of its own, after a shell ``script``: status, stdout, stderr, refusals."""
    try:
        subprocess.run(["unshare", "-rm", "true"], check=True, capture_output=True, timeout=20)
    except (OSError, subprocess.SubprocessError):
        pytest.skip("this machine allows no mount namespaces (unshare -rm)")
    trail = tmp_path / "trail.jsonl"
    whole = f'{script} && exec "$0" -m sandbox run --quiet --audit "$1" "$2" -- $3'
    arguments = [sys.executable, str(trail), str(policy), " -- ".join(commands)]
    done = subprocess.run(
        ["unshare", "-rm", "sh", "-c", whole, *arguments],
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    events = [json.loads(line) for line in trail.read_text().splitlines()] if trail.exists() else []
    return done.returncode, done.stdout, done.stderr, [(e.get("resource"), e.get("reason")) for e in events[:-1]]


def test_procfs_inside_a_writable_grant(tmp_path: Path) -> None:
    """Where procfs is mounted inside, neither its memory files are written nor is its parent moved away."""
    (tmp_path / "data" / "x" / "k").mkdir(parents=True)
    stdio = {"stdout": "inherit"}
    policy = write_policy(tmp_path, policy_data([directory(tmp_path / "data", "/d", "write")], stdio=stdio))
    commands = ("write-at /d/x/k/self/mem 0 x", "rename /d/x /d/y", "mkdir /d/y", "rename /d/y /d/z")
    status, out, err, events = mounting(tmp_path, "mount --rbind /proc data/x/k", policy, *commands)
    assert (status, out.splitlines(), err) == (
        0,
        [
            "write-at /d/x/k/self/mem 0 x -> errno EACCES",
            "rename /d/x /d/y -> errno EACCES",
            "mkdir /d/y -> ok",
            "rename /d/y /d/z -> ok",
        ],
        "",
    )
    assert sorted(os.listdir(tmp_path / "data")) == ["x", "z"]
    assert events == [("/d/x/k/self/mem", KERNEL), ("/d/x -> /d/y", KERNEL)]


def test_a_second_name_for_what_is_excepted(tmp_path: Path) -> None:
    """A mount that shows excepted files by another name is found before the run."""
    for name in ("secret", "open"):
        (tmp_path / "data" / name).mkdir(parents=True)
    grant = directory(tmp_path / "data", "/d", excepted=["secret"])
    policy = write_policy(tmp_path, policy_data([grant], stdio={"stdout": "inherit"}))
    status, out, err, _ = mounting(tmp_path, "mount --bind data/secret data/open", policy, "list /d/open")
    sentence = (
        f"{policy}:1: components.guest.grants.filesystem[0].host: a file system is mounted inside, at"
        f" {tmp_path}/data/open: it may show the same files by other names, so neither `except` nor another grant"
        " inside this one can be enforced; grant what is mounted there apart from the rest"
    )
    assert (status, out) == (120, "")
    assert sentence in err


HELD = [
    Attempt("write /d/policy.yaml x", "errno EACCES", (write("/d/policy.yaml", EXCEPTED),)),
    Attempt("unlink /d/policy.yaml", "errno EACCES", (write("/d/policy.yaml", EXCEPTED),)),
    Attempt("write /d/new x", "ok written=1"),
    Attempt("rename /d/new /d/policy.yaml", "errno EACCES", (write("/d/new -> /d/policy.yaml", EXCEPTED),)),
    Attempt("write /d/lib/guest.wasm x", "errno EACCES", (write("/d/lib/guest.wasm", EXCEPTED),)),
    Attempt("rename /d/lib /d/bil", "errno EACCES", (write("/d/lib -> /d/bil", ABOVE_EXCEPTION),)),
    Attempt("rename /d/lib /d/LIB -- mkdir /d/own -- write /d/own/guest.wasm x", "ok; ok; ok written=1"),
    Attempt("rename /d/own /d/lib", "errno EACCES", (write("/d/own -> /d/lib", ABOVE_EXCEPTION),)),
]


def test_policy_and_component_in_a_writable_grant(tmp_path: Path, runner: Runner) -> None:
    """A run cannot change what the next run will be: such a grant is refused, or excepts them and holds to it."""
    (tmp_path / "lib").mkdir()
    guest = tmp_path / "lib" / "guest.wasm"
    guest.write_bytes(PROBE.read_bytes())

    def policy(*excepted: str) -> Path:
        grant = directory(tmp_path, "/d", "write", **({"excepted": list(excepted)} if excepted else {}))
        return write_policy(tmp_path, policy_data([grant], source=guest))

    with pytest.raises(PlanError) as caught:
        runner.run(policy(), "list", "/d")
    tail = "which the guest could change for the next run; grant a directory without it, or `except` it"
    assert [o.message for o in caught.value.objections] == [
        f"writable, and it holds the policy's own file, {tmp_path}/policy.yaml, {tail}",
        f"writable, and it holds the component's own file, {guest}, {tail}, or pin its `digest`",
    ]
    path = policy("policy.yaml", "lib/guest.wasm")
    before = path.read_bytes()
    loaded = [runner.run(path, *a.commands.split(" "), source=PROBE) for a in HELD]
    assert [
        Attempt(a.commands, "; ".join(x.partition(" -> ")[2] for x in ran.lines), tuple(ran.denials))
        for a, ran in zip(HELD, loaded, strict=True)
    ] == HELD
    assert path.read_bytes() == before
    assert (tmp_path / "LIB" / "guest.wasm").read_bytes() == PROBE.read_bytes()
    assert not guest.exists()
