"""Rules about paths of the host: what fires on which grants and streams, what does not, and what the fixes write."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from sandbox.component import read_component
from sandbox.host import Machine, read_host
from sandbox.lint.finding import Finding
from sandbox.lint.fixes import apply
from sandbox.lint.linter import Linter
from sandbox.lint.mend import mended
from sandbox.plan import PlanError, make_plan
from sandbox.policy.load import load_policy
from tests.lint.specimens import linter, named, prepare

RULES = {
    "grants-root",
    "grants-home",
    "grants-kernel-interface",
    "grants-socket",
    "grants-cache",
    "grants-policy-directory",
    "grants-credentials",
    "holds-credentials",
    "writable-code",
    "overlapping-grants",
    "missing-path",
    "linked-path",
    "hard-links-allowed",
}
HEAD = """\
version: 1
components:
  report:
    source: report.wasm
    digest: sha256:...
    limits: {memory: 64MiB, deadline: 10s, disk: 1MiB}
    grants:
"""


def policy(*directories: str, stdio: str = "") -> str:
    """A policy with these grants, each the inside of a mapping; the first is on line 9, its host from column 18."""
    lines = [f"        - {{{directory}}}\n" for directory in directories]
    return (
        HEAD + ("      filesystem:\n" if lines else "") + "".join(lines) + (f"      stdio: {stdio}\n" if stdio else "")
    )


def findings(text: str, place: Path) -> list[Finding]:
    """What these rules find, ``place`` being the world of the specimens with ``text`` as its policy."""
    file = prepare(text, place)
    return [named(finding) for finding in linter(place).file(str(file)) if finding.rule in RULES]


def said(text: str, place: Path) -> list[str]:
    return [f"{f.severity}[{f.rule}]: {f.message}".replace(str(place), "/policies") for f in findings(text, place)]


def fired(text: str, place: Path) -> list[str]:
    return [f"{finding.severity}[{finding.rule}]" for finding in findings(text, place)]


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("/", ["high[grants-root]"]),
        ("//", ["high[grants-root]"]),
        ("~", ["high[grants-home]"]),
        ("~/", ["high[grants-home]"]),
        ("~/.", ["high[grants-home]"]),
        ("~/documents/..", ["high[grants-home]"]),
        ("/home/ann", ["high[grants-home]"]),
        ("//home/ann", ["high[grants-home]"]),
        ("/home/ann/", ["high[grants-home]"]),
        ("/home/bob", ["high[grants-home]", "low[missing-path]"]),
        ("/home", ["high[grants-home]"]),
        ("/Users/ann", ["high[grants-home]", "low[missing-path]"]),
        ("/root", ["high[grants-home]", "low[missing-path]"]),
        ("/rooted", ["low[missing-path]"]),
        ("~/documents", []),
        ("/home/ann/project", []),
        ("/proc", ["high[grants-kernel-interface]"]),
        ("/proc/self", ["high[grants-kernel-interface]"]),
        ("/sys", ["high[grants-kernel-interface]"]),
        ("/dev/shm", ["high[grants-kernel-interface]"]),
        ("/run/user/1000/app", ["high[grants-kernel-interface]"]),
        ("/var/run/docker.sock", ["high[grants-kernel-interface]"]),
        ("/etc/../run", ["high[grants-kernel-interface]"]),
        ("/devices", ["low[missing-path]"]),
        ("/runs", ["low[missing-path]"]),
        ("/var", ["high[grants-credentials]"]),
        ("~/.ssh", ["high[grants-credentials]"]),
        ("~/.ssh/work", ["high[grants-credentials]", "low[missing-path]"]),
        ("/home/bob/.aws", ["high[grants-credentials]", "low[missing-path]"]),
        ("/srv/backup/.gnupg/private-keys-v1.d", ["high[grants-credentials]", "low[missing-path]"]),
        ("~/.config/gcloud", ["high[grants-credentials]", "low[missing-path]"]),
        ("~/.config", ["high[grants-credentials]", "low[missing-path]"]),
        ("~/.config/app", ["low[missing-path]"]),
        ("~/.sshd", ["low[missing-path]"]),
        ("/etc", ["high[grants-credentials]"]),
        ("/etc/ssl", ["high[grants-credentials]"]),
        ("/etc/ssl/certs", ["low[missing-path]"]),
        ("/usr/share/zoneinfo", []),
        ("/usr/bin", []),
        ("~/.cache/wasi-sandbox", ["medium[grants-cache]"]),
        ("~/.cache", ["medium[grants-cache]", "high[grants-credentials]"]),
        (".", ["low[grants-policy-directory]", "low[grants-socket]", "high[holds-credentials]"]),
        ("./data", []),
        ("project", []),
        ("./secrets", ["high[holds-credentials]"]),
        ("./run", ["low[grants-socket]"]),
        ("./link", ["medium[linked-path]"]),
        ("./missing", ["medium[missing-path]"]),
        ("./secrets/.env", ["medium[missing-path]"]),
        ("./run/service.sock", ["medium[grants-socket]"]),
    ],
)
def test_a_directory_for_reading(host: str, expected: list[str], tmp_path: Path) -> None:
    """A grant fires what is true of its path; the wider rule alone where several know it."""
    assert fired(policy(f'host: "{host}", guest: /g, access: read'), tmp_path) == expected


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("/usr/bin", ["high[writable-code]"]),
        ("/usr/share/zoneinfo", ["high[writable-code]"]),
        ("/etc", ["high[grants-credentials]", "high[writable-code]"]),
        ("/opt", ["low[missing-path]", "high[writable-code]"]),
        ("/opt/tool", ["low[missing-path]", "high[writable-code]"]),
        ("/opt/tool/lib/x", ["low[missing-path]", "high[writable-code]"]),
        ("/opt/tool/data", ["low[missing-path]"]),
        ("/optional", ["low[missing-path]"]),
        ("/var/lib/report", ["low[missing-path]"]),
        ("/srv/report", ["low[missing-path]"]),
        ("~/venv", ["high[writable-code]"]),
        ("~/venv/lib", ["high[writable-code]"]),
        ("~/.local", ["high[grants-credentials]", "high[writable-code]"]),
        ("~/.local/bin", ["high[writable-code]"]),
        ("~/.local/share/report", ["low[missing-path]"]),
        ("~/.ssh", ["high[grants-credentials]"]),
        ("~", ["high[grants-home]"]),
        ("~/.cache", ["high[grants-cache]", "high[grants-credentials]"]),
        ("~/.cache/wasi-sandbox/modules", ["high[grants-cache]"]),
        ("./project", ["medium[writable-code]"]),
        ("./project/.git", ["high[writable-code]"]),
        ("./project/src", []),
        ("./project/node_modules/x", ["medium[missing-path]", "high[writable-code]"]),
        ("./run", ["medium[grants-socket]"]),
        ("./out", []),
    ],
)
def test_a_directory_for_writing(host: str, expected: list[str], tmp_path: Path) -> None:
    """What is code or configuration of the host matters where it can be written; a place for data does not."""
    assert fired(policy(f'host: "{host}", guest: /g, access: write'), tmp_path) == expected


@pytest.mark.parametrize(
    ("grant", "expected"),
    [
        ('host: "~", guest: /g, access: read, except: [.ssh, .aws, .cache]', ["high[grants-home]"]),
        ('host: "~", guest: /g, access: read, except: ["**"]', []),
        ('host: "~", guest: /g, access: write, except: ["*"]', ["high[grants-cache]"]),
        ('host: /, guest: /g, access: read, except: ["**"]', []),
        ("host: /, guest: /g, access: read, except: [proc, sys]", ["high[grants-root]"]),
        ('host: "~/.ssh", guest: /g, access: read, except: ["**"]', []),
        ('host: "/usr/bin", guest: /g, access: write, except: ["**"]', []),
        ('host: "~/.cache", guest: /g, access: read, except: [wasi-sandbox, huggingface]', []),
        ('host: "~/.cache", guest: /g, access: write, except: ["**"]', ["high[grants-cache]"]),
        ("host: /etc/ssl, guest: /g, access: read, except: [PRIVATE]", []),
        ('host: /etc/ssl, guest: /g, access: read, except: ["private/*.key"]', ["high[grants-credentials]"]),
        ('host: /etc/ssl, guest: /g, access: read, except: ["private/**"]', []),
        ('host: ., guest: /g, access: write, except: ["**/*"]', []),
        ('host: ., guest: /g, access: write, except: [run, project, secrets, "*.yaml"]', []),
        ('host: secrets, guest: /g, access: read, except: ["**/.env"]', ["high[holds-credentials]"]),
        ('host: secrets, guest: /g, access: read, except: [".env*", "id_*"]', []),
        ('host: run, guest: /g, access: write, except: ["*.sock"]', []),
        ('host: project, guest: /g, access: write, except: [".git"]', ["medium[writable-code]"]),
        ('host: project, guest: /g, access: write, except: [".git", Makefile]', []),
        ("host: data, guest: /g, access: read, hard-links: refuse", []),
        ("host: data, guest: /g, access: read, hard-links: allow", ["low[hard-links-allowed]"]),
        ("host: data, guest: /g, access: write, hard-links: allow", ["medium[hard-links-allowed]"]),
    ],
)
def test_what_is_excepted_is_not_given(grant: str, expected: list[str], tmp_path: Path) -> None:
    """Exceptions count as a run has them; a home fires whatever is excepted, unless that is everything."""
    assert fired(policy(grant), tmp_path) == expected


@pytest.mark.parametrize("program", ["//usr/bin", "usr/bin", ""])
def test_whatever_is_a_path_of_the_machine_looking_upwards_from_it_ends(program: str, tmp_path: Path) -> None:
    """POSIX leaves two slashes at the start of a path alone, and above a relative one there is no root."""
    text = HEAD.replace("    digest: sha256:...\n", "")
    text += "      filesystem:\n        - {host: data, guest: /g, access: write}\n"
    machine = Machine(home="/home/ann", programs=(program,))
    found = Linter(machine).text(text.encode(), file="policy.yaml", directory=str(tmp_path))
    assert [finding.rule for finding in found if finding.rule in RULES] == ["missing-path"]


STREAMS = {
    "{stdin: {file: secrets/missing}}": """
        medium[missing-path]: /policies/secrets/missing does not exist, so a run is refused""",
    "{stdin: {file: data}}": """
        medium[missing-path]: /policies/data is a directory, not a file, so a run is refused""",
    "{stdin: {file: ~/.netrc}}": """
        high[grants-credentials]: ~/.netrc is granted: keys, passwords or tokens there can be read
        low[missing-path]: ~/.netrc does not exist, so a run is refused""",
    "{stdin: {file: secrets/.env}}": """
        high[holds-credentials]: .env looks like a file of keys, passwords or tokens""",
    "{stdin: {file: policy.yaml}}": "",
    "{stdout: {file: out/report.pem}}": "",
    "{stdin: {file: /proc/version}}": """
        high[grants-kernel-interface]: /proc/version is granted, a part of /proc:
         the memory, the environment and the settings of everything that runs""",
    "{stdin: {file: run/service.sock}}": """
        medium[grants-socket]: /policies/run/service.sock is a socket, so a run is refused""",
    "{stdout: {file: /dev/null}}": """
        medium[grants-kernel-interface]: /dev/null is a device, so a run is refused; `discard` does what is meant""",
    "{stdout: {file: out/new.txt}}": "",
    "{stdout: {file: missing/new.txt}}": """
        medium[missing-path]: /policies/missing/new.txt is in a directory that does not exist, so a run is refused""",
    "{stdout: {file: policy.yaml}}": """
        high[grants-policy-directory]: the output would overwrite the policy, so a run is refused""",
    "{stderr: {file: report.wasm}}": """
        high[grants-policy-directory]: the output would overwrite the component's own file, so a run is refused""",
    "{stdout: {file: ~/.bashrc}}": """
        high[writable-code]: ~/.bashrc is writable: the host runs code, or takes its settings, there""",
    "{stdout: {file: ~/.ssh/authorized_keys}}": """
        high[grants-credentials]: ~/.ssh/authorized_keys is granted, a part of ~/.ssh:
         keys, passwords or tokens there can be overwritten""",
    "{stdout: {file: /usr/bin/tool}}": """
        high[writable-code]: /usr/bin/tool is writable, in /usr: the host runs code, or takes its settings, there""",
    "{stdout: {file: project/Makefile}}": """
        medium[writable-code]: a build, a hook or an editor would run what is written to Makefile""",
    "{stdout: {file: ~/.cache/wasi-sandbox/log}}": """
        high[grants-cache]: ~/.cache/wasi-sandbox/log lies in the sandbox's own cache, ~/.cache/wasi-sandbox:
         what is compiled there is run unchecked, so a run that could write there is refused""",
}
"""What is said of streams, a line each; one that goes on does so behind one more space."""


@pytest.mark.parametrize(("stdio", "expected"), STREAMS.items())
def test_files_of_streams(stdio: str, expected: str, tmp_path: Path) -> None:
    """The file of a stream is judged like a grant of that file, and by what a run needs of it."""
    lines = expected.replace("\n         ", " ").split("\n        ")[1:]
    assert said(policy(stdio=stdio), tmp_path) == lines


@pytest.mark.parametrize(
    ("grants", "expected"),
    [
        (["host: ., guest: /g, access: write", "host: ., guest: /h, access: write"], 1),
        (["host: project, guest: /w, access: write", "host: project/src, guest: /s, access: read"], 0),
        (["host: project, guest: /w, access: read", "host: project/src, guest: /s, access: read, except: [x]"], 0),
        (["host: data, guest: /a, access: read", "host: out, guest: /a/b, access: read"], 0),
        (["host: data, guest: /a, access: read", "host: data2, guest: /b, access: read"], 0),
    ],
)
def test_grants_that_narrow_are_no_fault(grants: list[str], expected: int, tmp_path: Path) -> None:
    """A grant inside another one that gives less is how a policy is narrowed; so are unrelated ones."""
    overlaps = [f for f in findings(policy(*grants), tmp_path) if f.rule == "overlapping-grants"]
    assert len(overlaps) == expected


@pytest.mark.parametrize(
    ("grants", "expected"),
    [
        (
            ["host: data, guest: /a, access: read", "host: link, guest: /b, access: write"],
            "medium: filesystem[0] gives the same directory, so a run is refused: grant it once",
        ),
        (
            ["host: project/src, guest: /w/src, access: read", "host: project, guest: /w, access: read"],
            "medium: filesystem[1] gives the same under the same path, so this grant gives nothing",
        ),
        (
            ["host: project, guest: /, access: read", "host: project/src, guest: /src, access: read"],
            "medium: filesystem[0] gives the same under the same path, so this grant gives nothing",
        ),
        (
            ["host: project, guest: /w, access: read", "host: project/src, guest: /s, access: read"],
            "low: filesystem[0] gives the same under another path",
        ),
        (
            ["host: project, guest: /w, access: read", "host: project/src, guest: /s, access: write"],
            "low: filesystem[0] gives this directory for reading; the narrower grant decides: write",
        ),
        (
            ["host: project, guest: /w, access: read, except: [s*]", "host: project/src, guest: /s, access: read"],
            "medium: filesystem[0] excepts this directory, so a run is refused: remove one of the two",
        ),
        (
            ['host: project, guest: /w, access: read, except: ["**"]', "host: project/src, guest: /s, access: read"],
            "medium: filesystem[0] excepts this directory, so a run is refused: remove one of the two",
        ),
        (
            [
                "host: project, guest: /w, access: write",
                "host: project/src, guest: /s, access: read, hard-links: allow",
            ],
            "medium: filesystem[0] is around this directory, and one of them allows hard links, so a run is refused",
        ),
    ],
)
def test_grants_that_overlap(grants: list[str], expected: str, tmp_path: Path) -> None:
    """By real paths, in either order; at the inner one, with the other one as a related place."""
    overlaps = [f for f in findings(policy(*grants), tmp_path) if f.rule == "overlapping-grants"]
    assert [f"{f.severity}: {f.message}" for f in overlaps] == [expected]


def test_the_grant_around_is_a_related_place(tmp_path: Path) -> None:
    """A finding about two grants shows both."""
    text = policy("host: project/src, guest: /w/src, access: read", "host: project, guest: /w, access: read")
    (finding,) = findings(text, tmp_path)
    assert (finding.region.line, finding.region.column, finding.snippet) == (9, 18, "project/src")
    assert [(r.file, r.region.line, r.region.column, r.message) for r in finding.related] == [
        ("policy.yaml", 10, 18, "around it")
    ]


def refused(file: Path) -> bool:
    """Whether a run of the policy's component is refused."""
    rules = load_policy(str(file))
    (component,) = rules.components
    source = str(file.parent / "report.wasm")
    host = read_host(component, rules.directory, policy=str(file), source=source)
    try:
        make_plan(rules, component, read_component(source), host)
    except PlanError:
        return True
    return False


REFUSED = [
    (["host: data, guest: /a, access: read", "host: ./data, guest: /b, access: read"], "", True),
    (["host: data, guest: /a, access: read", "host: link, guest: /b, access: read"], "", True),
    (["host: project, guest: /a, access: read", "host: project/src, guest: /b, access: read"], "", False),
    (["host: project, guest: /a, access: read, except: [s*]", "host: project/src, guest: /b, access: read"], "", True),
    (["host: project, guest: /a, access: read, except: [x]", "host: project/src, guest: /b, access: read"], "", False),
    (
        ["host: project/src, guest: /a, access: read", "host: project, guest: /b, access: read, hard-links: allow"],
        "",
        True,
    ),
    (["host: data, guest: /a, access: read", "host: out, guest: /a/b, access: read, hard-links: allow"], "", False),
    (["host: out, guest: /a, access: write"], "{stdin: {file: out/x}}", True),
    (["host: out, guest: /a, access: write"], "{stderr: {file: out/x}}", True),
    (["host: out, guest: /a, access: read"], "{stdout: {file: out/x}}", False),
    (
        ["host: ., guest: /a, access: write, except: [policy.yaml]", "host: out, guest: /b, access: read"],
        "{stdout: {file: out/x}}",
        True,
    ),
    (["host: ., guest: /a, access: write"], "", True),
    (["host: ., guest: /a, access: read"], "", False),
    (["host: ., guest: /a, access: write, except: [policy.*]"], "", False),
    (["host: ., guest: /a, access: write, except: [policy.*]", "host: data, guest: /b, access: write"], "", False),
    (["host: missing, guest: /a, access: read"], "", True),
    (["host: policy.yaml, guest: /a, access: read"], "", True),
    (["host: run/service.sock, guest: /a, access: read"], "", True),
    (["host: run, guest: /a, access: write"], "", False),
    (["host: link, guest: /a, access: read"], "", False),
    ([], "{stdin: {file: policy.yaml}}", False),
    ([], "{stdin: {file: missing}}", True),
    ([], "{stdin: {file: data}}", True),
    ([], "{stdin: {file: run/service.sock}}", True),
    ([], "{stdout: {file: missing}}", False),
    ([], "{stdout: {file: missing/x}}", True),
    ([], "{stdout: {file: data}}", True),
    ([], "{stdout: {file: link}}", True),
    ([], "{stdout: {file: policy.yaml}}", True),
    ([], "{stdout: {file: report.wasm}}", True),
    ([], "{stdin: {file: report.wasm}}", False),
]


@pytest.mark.parametrize(("grants", "stdio", "expected"), REFUSED)
def test_a_run_is_refused_where_a_finding_says_so(
    grants: list[str], stdio: str, expected: bool, tmp_path: Path
) -> None:
    """What the rules say of runs is what a plan makes of the same policy, in both directions."""
    file = prepare(policy(*grants, stdio=stdio), tmp_path)
    messages = [finding.message for finding in linter(tmp_path).file(str(file))]
    assert any("a run is refused" in message for message in messages) is expected
    assert refused(file) is expected


def test_the_file_of_a_stream_in_a_writable_directory(tmp_path: Path) -> None:
    """It could be changed by the component, also where a narrower grant for reading holds it; a run is refused."""
    text = policy(
        "host: ./project, guest: /p, access: read",
        "host: ./out, guest: /out, access: write",
        stdio="{stdout: {file: out/log}, stderr: {file: project/log}}",
    )
    assert said(text, tmp_path) == [
        "medium[overlapping-grants]: filesystem[1] lets the component write this file, so a run is refused"
    ]


def test_the_narrower_grant_decides(tmp_path: Path) -> None:
    """What a narrower grant decides does not count for the wider one, nor what the wider one excepts for it."""
    text = policy(
        'host: ., guest: /all, access: write, except: ["*.yaml", "**/.env", "**/id_*", "**/*.sock"]',
        "host: ./project, guest: /p, access: read",
        "host: ./secrets, guest: /s, access: read",
    )
    assert said(text, tmp_path) == []


def test_what_an_unpinned_component_may_write(tmp_path: Path) -> None:
    """Its own file and the policy are what a run refuses; the lock is what review looks at."""
    text = policy("host: ., guest: /all, access: write, except: [run, project, secrets, data]")
    text = text.replace("    digest: sha256:...\n", "    # sandbox.lock has report.wasm with nothing\n")
    (finding,) = findings(text, tmp_path)
    assert finding.message == (
        "the component could change the policy, the lock and the component's own file for its next run,"
        " so a run is refused"
    )
    text = text.replace("[run,", "[policy.yaml, report.wasm, run,")
    second = tmp_path / "second"
    second.mkdir()
    assert said(text, second) == ["high[grants-policy-directory]: the component could change the lock for its next run"]


def test_places_are_those_of_the_path(tmp_path: Path) -> None:
    """In block style and with comments too, the value of the path is shown; of hard links the word."""
    text = HEAD + (
        "      filesystem:\n"
        "        # the keys\n"
        "        - guest: /g\n"
        "          access: read # only\n"
        "          host:\n"
        '            "~/.ssh" # where they are\n'
        "        - {host: data, guest: /d, access: read, hard-links: allow}\n"
        "      stdio:\n"
        "        stdout:\n"
        "          file: 'project/Makefile'\n"
    )
    assert [(f.rule, f.region.line, f.region.column, f.snippet, f.route) for f in findings(text, tmp_path)] == [
        ("grants-credentials", 13, 13, '"~/.ssh"', "components.report.grants.filesystem[0].host"),
        ("hard-links-allowed", 14, 61, "allow", "components.report.grants.filesystem[1].hard-links"),
        ("writable-code", 17, 17, "'project/Makefile'", "components.report.grants.stdio.stdout.file"),
    ]


NAMES = {
    ".env": True,
    ".ENV": True,
    ".env.local": True,
    ".env.production": True,
    ".env.example": False,
    ".env.local.sample": False,
    "env": False,
    "id_rsa": True,
    "id_rsa.pub": False,
    "id_ed25519_sk": True,
    "server.key": True,
    "server.pem": True,
    "cacert.pem": False,
    "fullchain.pem": False,
    "ca.pem": False,
    "public.key": False,
    "store.p12": True,
    "release.keystore": True,
    "passwords.kdbx": True,
    ".npmrc": True,
    "credentials.json": True,
    "my-credentials.json": False,
    "service-account-prod.json": True,
    "service.json": False,
    "terraform.tfstate": True,
    "keys.txt": False,
    "monkey": False,
}


def test_where_credentials_are_looked_for(tmp_path: Path) -> None:
    """Two levels down; a directory is none for its name, unless it is one of those for keys."""
    file = prepare(policy("host: data, guest: /d, access: read"), tmp_path)
    for directory in ("a/.env", "b/.aws", "c/d/.ssh"):
        (tmp_path / "data" / directory).mkdir(parents=True)
    (tmp_path / "data/a/.netrc").touch()
    assert [finding.message for finding in linter(tmp_path).file(str(file))] == [
        "what looks like keys, passwords or tokens can be read: a/.netrc and b/.aws"
    ]


@pytest.mark.parametrize(("name", "secret"), NAMES.items())
def test_each_name_of_credentials(name: str, secret: bool, tmp_path: Path) -> None:
    """Drafts, certificates and public keys are passed over."""
    file = prepare(policy("host: data, guest: /d, access: read"), tmp_path)
    (tmp_path / "data" / name).touch()
    assert [finding.rule for finding in linter(tmp_path).file(str(file))] == (["holds-credentials"] if secret else [])


@pytest.mark.parametrize(
    ("name", "severity"),
    [
        ("docker.sock", "high"),
        ("containerd.sock", "high"),
        ("podman.sock", "high"),
        ("agent.4711", "high"),
        ("S.gpg-agent.ssh", "high"),
        ("bus", "high"),
        ("app.sock", "low"),
        ("fsmonitor--daemon.ipc", "low"),
    ],
)
def test_names_of_control_sockets(name: str, severity: str, tmp_path: Path) -> None:
    """What commands a service is high, also for reading; another socket that is only seen is a note."""
    file = prepare(policy("host: run, guest: /r, access: read"), tmp_path)
    (tmp_path / "run/service.sock").rename(tmp_path / "run" / name)
    assert [(f.rule, f.severity) for f in linter(tmp_path).file(str(file))] == [("grants-socket", severity)]


def test_a_fifo_in_a_directory_is_nothing_but_as_a_stream_is_refused(tmp_path: Path) -> None:
    """No run opens it, and nobody is commanded through it."""
    text = policy("host: data, guest: /d, access: read", stdio="{stdin: {file: data/pipe}}")
    file = prepare(text, tmp_path)
    os.mkfifo(tmp_path / "data/pipe")
    assert [f.message for f in linter(tmp_path).file(str(file))] == [
        f"{tmp_path}/data/pipe is a FIFO, so a run is refused"
    ]


def test_links_lead_to_what_they_name(tmp_path: Path) -> None:
    """A link is judged by what it leads to, further up in a path too; one that leads nowhere is missing."""
    text = policy(
        "host: key, guest: /k, access: read",
        "host: up/private, guest: /p, access: read",
        "host: nowhere, guest: /n, access: read",
        stdio="{stdout: {file: log}}",
    )
    file = prepare(text, tmp_path)
    for name, target in (("key", ".ssh"), ("up", "etc/ssl"), ("nowhere", "gone"), ("log", "out/log")):
        (tmp_path / name).symlink_to(tmp_path / target)
    (tmp_path / ".ssh").mkdir()
    (tmp_path / "etc/ssl/private").mkdir(parents=True)
    (tmp_path / "out/log").touch()
    found = [f for f in linter(tmp_path).file(str(file)) if f.rule in RULES]
    assert [f"{f.severity}[{f.rule}]: {f.message}".replace(str(tmp_path), "") for f in found] == [
        "high[grants-credentials]: /key is granted, leading to /.ssh: keys, passwords or tokens there can be read",
        "medium[missing-path]: /nowhere is a symbolic link that leads nowhere, so a run is refused",
        "medium[linked-path]: a symbolic link to /out/log, so a run is refused: name its target",
    ]


def test_a_link_of_a_stream_is_refused_wherever_it_is_and_its_target_is_spelled_as_a_path(tmp_path: Path) -> None:
    """An absolute one is as grave, for a run takes none; a name that begins like a home directory stays a name."""
    file = prepare(policy(stdio=f"{{stdout: {{file: '{tmp_path}/log'}}, stderr: {{file: err}}}}"), tmp_path)
    (tmp_path / "log").symlink_to(tmp_path / "out/log")
    (tmp_path / "err").symlink_to(tmp_path / "~")
    (tmp_path / "out/log").touch()
    (tmp_path / "~").touch()
    found = [f for f in linter(tmp_path).file(str(file)) if f.rule == "linked-path"]
    fixes = [None if f.fix is None else [edit.text for edit in f.fix.edits] for f in found]
    assert [f.severity for f in found] == ["medium", "medium"]
    assert fixes == [None, ['"./~"']]


def test_a_file_that_is_written_among_the_commands_is_code(tmp_path: Path) -> None:
    """What is put into a directory that commands are looked for in is one."""
    text = policy(stdio="{stdout: {file: ~/tools/run}}").replace("    digest: sha256:...\n", "")
    machine = Machine(home="/home/ann", programs=("/home/ann/tools",))
    found = Linter(machine).text(text.encode(), file="policy.yaml", directory=str(tmp_path))
    assert [finding.message for finding in found if finding.rule == "writable-code"] == [
        "~/tools/run is writable, in ~/tools: the host runs code, or takes its settings, there"
    ]


FIXES = [
    (
        'host: ~/.config, guest: /c, access: read, except: [app, "g*"]',
        None,
    ),
    (
        "host: /etc/ssl, guest: /c, access: read",
        'host: /etc/ssl, guest: /c, access: read, except: ["private"]',
    ),
    (
        "host: secrets, guest: /c, access: read, except: [x]",
        'host: secrets, guest: /c, access: read, except: [x, "**/.env", "**/id_ed25519"]',
    ),
    (
        "host: secrets, guest: /c, access: read, except: []",
        'host: secrets, guest: /c, access: read, except: ["**/.env", "**/id_ed25519"]',
    ),
    (
        "host: secrets, guest: /c, access: read, hard-links: allow",
        "host: secrets, guest: /c, access: read",
    ),
    (
        "host: run, guest: /c, access: write",
        'host: run, guest: /c, access: write, except: ["service.sock"]',
    ),
    (
        "host: project, guest: /c, access: write",
        None,
    ),
    (
        "host: project, guest: /c, access: write, except: [Makefile]",
        'host: project, guest: /c, access: write, except: [Makefile, "**/.git"]',
    ),
    (
        "host: ., guest: /c, access: write, except: [run, project, secrets]",
        'host: ., guest: /c, access: write, except: [run, project, secrets, "policy.yaml"]',
    ),
    ("host: ./link, guest: /c, access: read", "host: ./data, guest: /c, access: read"),
    ('host: "link", guest: /c, access: read', "host: data, guest: /c, access: read"),
    ("host: data, guest: /c, access: read, hard-links: allow", "host: data, guest: /c, access: read"),
]


@pytest.mark.parametrize(("before", "after"), FIXES)
def test_what_a_fix_writes(before: str, after: str | None, tmp_path: Path) -> None:
    """A first fix changes its own grant and nothing else, and is not safe; without one nothing is plain."""
    text = policy(before)
    file = prepare(text, tmp_path)
    written = file.read_text()
    fixes = [f.fix for f in linter(tmp_path).file(str(file)) if f.rule in RULES and f.fix is not None]
    assert [fix.safe for fix in fixes] == [False] * len(fixes)
    changed = apply(written, fixes[0].edits) if fixes else None
    assert changed == (None if after is None else written.replace(before, after))


def test_fixes_in_block_style(tmp_path: Path) -> None:
    """Exceptions are added in the style of the text, comments stay where they are, a grant that gives nothing goes."""
    text = HEAD + (
        "      filesystem:\n"
        "        - host: secrets # what is read\n"
        "          guest: /s\n"
        "          access: read\n"
        "          except:\n"
        "            - old # gone\n"
        "        # the sources\n"
        "        - host: project\n"
        "          guest: /w\n"
        "          access: read\n"
        "        - host: project/src\n"
        "          guest: /w/src\n"
        "          access: read\n"
        "      stdio:\n"
        "        stdin: {file: /dev/null} # nothing\n"
    )
    file = prepare(text, tmp_path)
    before = file.read_bytes()
    after, _ = mended(linter(tmp_path), before, file=str(file), unsafe=True)
    assert after.decode() == before.decode().replace(
        "            - old # gone\n",
        '            - old # gone\n            - "**/.env"\n            - "**/id_ed25519"\n',
    ).replace("        - host: project/src\n          guest: /w/src\n          access: read\n", "").replace(
        "{file: /dev/null} # nothing", "discard # nothing"
    )
    assert mended(linter(tmp_path), before, file=str(file), unsafe=False) == (before, ())


def test_names_that_mean_something_in_a_glob(tmp_path: Path) -> None:
    """A fix excepts the file that is there, however it is called; one that cannot be written as text has no fix."""
    names = [".env.[a]*?", ".env.a\\b", ".env.line\nbreak", ".env.bad\udcff"]
    for number, name in enumerate(names):
        place = tmp_path / str(number)
        place.mkdir()
        file = prepare(policy("host: data, guest: /d, access: read"), place)
        (place / "data" / name).touch()
        (finding,) = linter(place).file(str(file))
        assert finding.message == f"what looks like keys, passwords or tokens can be read: {name}"
        after, applied = mended(linter(place), file.read_bytes(), file=str(file), unsafe=True)
        assert [a.rule for a in applied] == (["holds-credentials"] if number < 2 else [])
        assert bool(linter(place).text(after, file=str(file), directory=str(place))) is (number >= 2)


@pytest.mark.parametrize("home", ["/", "/srv/ann", "/root"])
def test_a_home_that_is_elsewhere(home: str, tmp_path: Path) -> None:
    """The home of whoever lints counts wherever it is, and around it what does not except it."""
    text = policy(
        'host: "~", guest: /a, access: read',
        "host: /srv, guest: /b, access: read",
        "host: /srv2, guest: /c, access: read",
        "host: /srv/../srv/, guest: /d, access: read, except: [ann]",
    )
    looks = Linter(Machine(home=home))
    found = looks.text(prepare(text, tmp_path).read_bytes(), file="policy.yaml", directory=str(tmp_path))
    homes = [(f.region.line, f.rule) for f in found if f.rule in ("grants-home", "grants-root")]
    assert (
        homes
        == {
            "/": [(9, "grants-root")],
            "/srv/ann": [(9, "grants-home"), (10, "grants-home")],
            "/root": [(9, "grants-home")],
        }[home]
    )


@pytest.mark.parametrize(
    "host",
    [
        "./data",
        "/etc",
        "./project",
        ".",
        "/a" + "/b" * 20,
    ],
)
def test_many_grants_take_no_longer_each(host: str, tmp_path: Path) -> None:
    """Thousands of grants, of one directory or one inside another, are judged in a moment."""
    grants = (f'host: "{host}{"/x" * (number % 40)}", guest: /g{number}, access: write' for number in range(2500))
    file = prepare(policy(*grants), tmp_path)
    started = time.process_time()
    found = linter(tmp_path).file(str(file))
    assert len(found) == 1001
    assert time.process_time() - started < 20
