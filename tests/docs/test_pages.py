"""What the pages show is what happens: their commands, programs, policies, links and tables."""

from __future__ import annotations

import ast
import errno
import os
import re
import shutil
import socket
import subprocess
import sys
from dataclasses import fields
from pathlib import Path
from urllib.parse import unquote

import pytest

import sandbox
from sandbox.audit.events import Event
from sandbox.audit.read import read_trail
from sandbox.broker.resolver import AT_ONCE
from sandbox.cli.main import INTERRUPTED
from sandbox.guard import waits, wire
from sandbox.guard.filesystem import METADATA_COST
from sandbox.lint import linter, paths
from sandbox.lint.rules import all_rules
from sandbox.policy.component import PolicySection
from sandbox.policy.load import _fields
from sandbox.policy.schema import policy_schema
from sandbox.preview1 import _DIALECTS, MODULE, classify
from sandbox.runtime import cache, supervisor, worker
from sandbox.runtime.outcome import Outcome, Status, Usage
from sandbox.wasi import Refused
from tests.compare.pairs import changes
from tests.compare.test_policies import WIDENINGS, stepped
from tests.docs.pages import (
    EXECUTED,
    JCO_IN_PAGES,
    NEEDS_COMPILERS,
    PAGES,
    ROOT,
    SHOWN_PORT,
    Block,
    Clone,
    blocks,
    executed,
    read,
    same,
    transcript,
)
from tests.e2e.harness import PROBE_MODULE, write_policy
from tests.e2e.programs import needs_programs
from tests.policy.policies import FULL, load, load_text
from tests.policy.test_docs import as_policy
from tests.policy.test_fields import sections

LINKED = (
    *PAGES,
    *sorted(
        str(p.relative_to(ROOT))
        for room in ("benchmarks", "samples", "sandbox", "tests")
        for p in ROOT.glob(f"{room}/**/*.md")
    ),
)
"""The pages whose links are checked."""

BLOCKS = [(page, block) for page in PAGES for block in blocks(read(page))]


def of_kind(kind: str) -> list[tuple[str, Block]]:
    return [(page, block) for page, block in BLOCKS if block.kind == kind]


@pytest.fixture
def clone(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Clone:
    """A copy of the project of this test's own; compiled components are shared by all tests of the session."""
    base = tmp_path_factory.getbasetemp()
    shared = (base.parent if os.environ.get("PYTEST_XDIST_WORKER") else base) / "sandbox-cache"
    shared.mkdir(mode=0o700, exist_ok=True)
    return Clone(tmp_path, shared)


def needs_compilers() -> None:
    """Skip where clang or jco is missing, but never in the continuous integration, which installs both."""
    jco = os.environ.get("JCO", "jco")
    missing = [tool for tool in ("clang", jco) if shutil.which(tool) is None]
    if missing and not os.environ.get("CI"):
        pytest.skip(f"no {' and no '.join(missing)}: `make guest-tools` installs them")


@pytest.mark.parametrize("page", EXECUTED)
def test_the_blocks_of_a_page_print_what_it_shows(page: str, clone: Clone) -> None:
    """Each command and program is run in a copy of the project, and the page shows what it prints.

    ``python -m tests.docs.pages`` writes what they print now into the pages.
    """
    if page == NEEDS_COMPILERS:
        needs_compilers()
        needs_programs()
    assert executed(read(page), clone) == read(page)


def test_every_block_of_the_readme_is_executed() -> None:
    """The README holds nothing that a test does not run, load or compare."""
    found = [block for page, block in BLOCKS if page == "README.md"]
    after = [None, *(block.kind for block in found)]
    loose = [b.line for b, before in zip(found, after, strict=False) if b.kind == "text" and before != "python"]
    assert ({block.kind for block in found}, loose) == ({"console", "python", "text", "yaml"}, [])


def test_every_block_has_a_kind() -> None:
    """Nothing is shown that no rule covers."""
    kinds = {"console", "python", "text", "yaml", "c", "wit", "json", "sh"}
    assert [(page, block.line) for page, block in BLOCKS if block.kind not in kinds] == []


OTHERS_FILES = {".github/workflows/sandbox.yml", ".pre-commit-config.yaml"}
"""Files on the pages that other programs read. ``test_ci.py`` tests them."""


@pytest.mark.parametrize(("page", "block"), of_kind("yaml"))
def test_every_policy_on_the_pages_loads(page: str, block: Block) -> None:
    """What a reader copies is a policy. (`refused` examples are tested with the language.)"""
    if block.argument != "refused" and block.file not in OTHERS_FILES:
        kind = "" if block.file else block.argument
        assert load_text(as_policy(kind, block.text)).components


def test_the_events_on_the_pages_are_events() -> None:
    """The example of a trail can be read as one, without a gap."""
    trails = [list(read_trail(block.text.splitlines())) for _, block in of_kind("json")]
    assert [[event.sequence for event in trail] for trail in trails] == [[1, 2, 3, 4]]


def test_the_commands_for_a_trail_work(clone: Clone) -> None:
    """The commands of the page on the trail, on the trail of a real run: what each prints, as a whole."""
    if shutil.which("jq") is None and "CI" not in os.environ:
        pytest.skip("no jq: `make guest-tools` installs it")
    (run,) = (block.text.removeprefix("$ ") for page, block in of_kind("console") if page == "docs/audit.md")
    scripts = [block.text for page, block in of_kind("sh") if page == "docs/audit.md"]
    commands = [line for script in scripts for line in script.splitlines(keepends=True) if line[:1] not in "#\n"]
    ran = clone.console([run, *commands])
    printed = [" ".join(sorted(output.split("\n"))).strip() for output, _ in ran]
    assert (
        printed[1]
        == (
            "      1 dns.resolve\tpool.minexmr.example"
            "       1 environment\t"
            "       1 filesystem.read\t/etc/passwd"
            "       1 filesystem.read\t/home/user/.ssh/id_ed25519"
            "       1 filesystem.read\t/home/user/.ssh/id_rsa"
            "       1 filesystem.read\t/root/.ssh/id_ed25519"
            "       1 filesystem.read\t/root/.ssh/id_rsa"
            "       1 sockets.tcp.connect\t203.0.113.7:3333"
        ).strip()
    )
    assert printed[2] == "8"
    assert [status for _, status in ran] == [0] * len(ran)
    assert printed[4:6] == ["", ""]  # no run failed, none has a hole
    assert [line.count('"event_name":"denied"') for line in ran[-1][0].splitlines()] == [1]


def test_the_commands_that_make_python_components_are_the_samples_own() -> None:
    """The page says what the Makefile of the samples does, which the tests of the samples run."""
    dry = ["make", "--dry-run", "--always-make", "-C", str(ROOT / "samples"), "report-python"]
    environment = {**os.environ, "COMPONENTIZE_PY": "componentize-py"}
    ran = subprocess.run(dry, capture_output=True, encoding="utf-8", check=True, env=environment)
    command = next(line for line in ran.stdout.splitlines() if line.startswith("componentize-py"))
    plain = command.replace("report-python/command.wit", "command.wit").replace(" -p report-python", "")
    shown = [block.text for page, block in of_kind("sh") if page == NEEDS_COMPILERS]
    assert shown == [plain.replace("report-python/report-python.wasm", "app.wasm") + "\n"]
    wit = [block.text for _, block in of_kind("wit")]
    sample = (ROOT / "samples" / "report-python" / "command.wit").read_text(encoding="utf-8")
    assert wit == [re.sub(r"^//.*\n", "", sample, flags=re.MULTILINE)]


def test_the_programs_that_are_not_run_are_programs() -> None:
    """A guest's source on a page parses."""
    found = [(b.file, type(ast.parse(b.text)).__name__) for _, b in of_kind("python") if b.file]
    assert found == [("app.py", "Module")]


def test_the_tools_on_the_pages_are_those_of_the_makefile() -> None:
    """One version of jco, wherever it is named."""
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    version = re.search(r"^JCO_VERSION \?= (.*)$", makefile, re.MULTILINE)
    assert version is not None
    assert f"npx --yes @bytecodealliance/jco@{version[1]}" == JCO_IN_PAGES
    named = {match for page in LINKED if (ROOT / page).exists() for match in re.findall(r"jco@[\d.]+", read(page))}
    assert named == {f"jco@{version[1]}"}


# Links.


def slug(heading: str) -> str:
    """The anchor that GitHub gives a heading."""
    text = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).replace("`", "").lower()
    return re.sub(r"[^\w\- ]", "", text).replace(" ", "-")


def anchors(path: Path) -> set[str]:
    return {slug(heading) for heading in re.findall(r"^#+ (.*)$", prose(path.read_text("utf-8")), re.MULTILINE)}


@pytest.mark.parametrize("page", LINKED)
def test_every_link_leads_somewhere(page: str) -> None:
    """Links to files of the project and to headings; links to other sites are not followed."""
    path = ROOT / page
    text = re.sub(r"`[^`\n]*`", "", prose(read(page)))
    broken = []
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if re.match(r"https?://", target):
            continue
        name, _, anchor = unquote(target).partition("#")
        file = (path.parent / name).resolve() if name else path
        if not file.exists() or not file.is_relative_to(ROOT) or (anchor and anchor not in anchors(file)):
            broken.append(target)
    assert broken == []


# Tables and numbers.


def rows(text: str, heading: str) -> list[list[str]]:
    """The rows of the first table below a heading, without its head; cells as they are written."""
    below = text.split(f"\n{heading}\n", 1)[1]
    table = re.search(r"^\|.*\n\|[-| ]+\n((?:\|.*\n)+)", below, re.MULTILINE)
    assert table is not None, heading
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in table[1].splitlines()]


def prose(text: str) -> str:
    """A page without its fenced blocks."""
    return re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL)


def code(text: str) -> list[str]:
    return re.findall(r"`([^`\n]+)`", text)


def test_the_exit_statuses_on_the_page_are_the_statuses() -> None:
    """Every status of the sandbox itself, in their order, and what a signal makes of it."""
    shown = [status for status, _ in rows(read("docs/command-line.md"), "## Exit status")]
    assert shown == [*(str(int(status)) for status in sorted(Status)), f"{INTERRUPTED} and the number of a signal"]


def test_the_rules_on_the_page_are_the_rules() -> None:
    """Each in its row, as ``sandbox rules`` has it, with a link to its page."""
    assert rows(read("docs/lint.md"), "## Rules") == [
        [f"[{rule.id}](../sandbox/lint/rules/{rule.id.replace('-', '_')}.md)", rule.severity, rule.summary]
        for rule in all_rules()
    ]


def test_the_capabilities_on_the_page_are_those_that_are_told() -> None:
    """Each word that a difference has, of every step that grants more and of the way back."""
    full = load(FULL)
    steps = [load(stepped(FULL, route, value)) for route, value in WIDENINGS]
    told = {change.capability for step in steps for pair in ((full, step), (step, full)) for change in changes(*pair)}
    page = [name for row in rows(read("docs/lint.md"), "### Words of capabilities") for name in code(row[0])]
    limits = {word for word in told if word.startswith("limits.")}
    assert sorted(told - limits - set(page)) == []
    assert {f"limits.{name}" for name in BOUNDS} - limits == {"limits.events"}


@pytest.mark.parametrize("format_", ["text", "json", "sarif", "github", "junit"])
def test_no_format_shows_a_secret(format_: str, clone: Clone) -> None:
    """One that is found in a policy is in no message, and in no line that is shown of another finding."""
    grants = "environment: {set: {STORE: AKIAQ3EGRVZJ5T7WXYZ2}, inherit: [API_TOKEN]}"
    policy = f"version: 1\ncomponents:\n  report:\n    grants:\n      {grants}\n"
    (clone.directory / "leaky.yaml").write_text(policy, encoding="utf-8")
    ((printed, _),) = clone.console([f"sandbox lint --format {format_} --min-severity low leaky.yaml\n"])
    assert ("AKIAQ3" in printed, "literal-secret" in printed, "inherited-secret" in printed) == (
        False,
        True,
        True,
    )


def test_every_public_name_is_on_the_page_of_the_library() -> None:
    """Each name of the package, each field of its values, and each method of ``Sandbox``."""
    page = prose(read("docs/python.md"))
    named = {name.partition("(")[0] for name in code(page)}
    assert sorted(set(sandbox.__all__) - named - {"Status"}) == []
    assert [name for row in rows(page, "## Outcome") for name in code(row[0])] == [
        *(f.name for f in fields(Outcome)),
        "denied",
    ]
    of_values = {f.name for value in (Usage, Event) for f in fields(value)}
    assert sorted(of_values - named) == []
    methods = {code(row[0])[0].partition("(")[0] for row in rows(page, "## Running many times")}
    assert methods == {name for name in vars(sandbox.Sandbox) if not name.startswith("_")}


ENFORCING = {"plan", "worker", "Wasmtime", "guard", "shim", "supervisor", "broker", "load"}
"""Who holds a field: what the cells of the table of enforcement name."""


def test_every_field_of_the_language_has_a_row_in_the_table_of_enforcement() -> None:
    """Nothing can be granted or bounded without saying by what it is held, for components and for modules."""
    table = rows(read("docs/policy.md"), "## Enforcement")
    named = {name for row in table for name in code(row[0].replace("access: read", "access"))}
    of = sections(PolicySection, {})
    wanted = {
        *_fields(of["GrantsSection"]),
        *_fields(of["LimitsSection"]),
        *(_fields(of["DirectorySection"])),
        *(_fields(of["ComponentSection"])),
    } - {"grants", "limits"}
    assert sorted(wanted - {name.partition(":")[0] for name in named}) == []
    assert {len(row) for row in table} == {3}
    words = [[ENFORCING & set(re.findall(r"\w+", cell)) for cell in row[1:]] for row in table]
    assert [row[0] for row, cells in zip(table, words, strict=True) if not all(cells)] == []
    assert [row[0] for row, cells in zip(table, words, strict=True) if "shim" in cells[0] or "guard" in cells[1]] == []


def test_every_family_says_what_granting_nothing_means() -> None:
    """In the table of empty grants, with what is recorded, and with whatever is otherwise for a module."""
    table = rows(read("docs/policy.md"), "## What an empty grant means")
    assert [name for row in table for name in code(row[0])] == [
        *_fields(sections(PolicySection, {})["GrantsSection"]),
        "imports",
    ]
    assert [row[0] for row in table if len(row) != 4 or not (row[1] and row[2])] == []


REFUSED_GRANTS = {
    "sockets": (
        {"sockets": {"tcp": {"connect": ["192.0.2.1:80"]}}},
        {"sockets": {"tcp": {"listen": ["127.0.0.1:0"]}}},
        {"sockets": {"udp": {"send": ["192.0.2.1:53"]}}},
        {"sockets": {"udp": {"bind": ["127.0.0.1:0"]}}},
        {"sockets": {"dns": ["example.com"]}},
    ),
    "http": ({"http": ["GET https://example.com/"]},),
}
"""What a policy could grant of the families that are refused to a module."""
EVERYTHING: dict[str, object] = {
    "filesystem": [
        {"host": "a", "guest": "/a", "access": "write", "except": ["**/.git"]},
        {"host": "b", "guest": "/b", "access": "read", "hard-links": "allow"},
    ],
    "stdio": {"stdin": "inherit", "stdout": "capture", "stderr": {"file": "log"}},
    "environment": {"set": {"TZ": "UTC"}},
    "arguments": ["x"],
    "clocks": "coarse",
    "random": {"seed": 1},
    "sockets": {},
    "http": [],
}
BOUNDS = {
    "memory": "1GiB",
    "deadline": "1s",
    "fuel": 1,
    "output": 0,
    "handles": 9,
    "disk": 0,
    "sockets": 1,
    "sent": 0,
} | {
    "received": 0,
    "connect-time": "1s",
    "lookups": 1,
    "lookup-bytes": 0,
    "events": 1,
}


def test_what_the_table_calls_refused_for_modules_is_refused(tmp_path: Path) -> None:
    """Those families and no others: with any grant of theirs there is no plan, with all of the others there is one."""
    table = rows(read("docs/policy.md"), "## Enforcement")
    named = [code(row[0])[0] for row in table if row[2].startswith("refused")]
    assert named == [*REFUSED_GRANTS, "imports"]
    for name in "ab":
        (tmp_path / name).mkdir()

    def refusal(grants: dict[str, object], **more: object) -> str | None:
        component = {"source": str(PROBE_MODULE), "grants": grants, "limits": BOUNDS, **more}
        other = {"source": str(PROBE_MODULE)}
        policy = write_policy(tmp_path, {"version": 1, "components": {"m": component, "n": other}})
        try:
            with sandbox.Sandbox(policy, cache=tmp_path / "cache") as box:
                return None if box.plan("m").kind == "module" else "no module"
        except (sandbox.PolicyError, sandbox.PlanError) as error:
            return str(error).partition("components.m.")[2].partition(":")[0]

    families = _fields(sections(PolicySection, {})["GrantsSection"])
    assert sorted(EVERYTHING) == sorted(families)
    assert sorted(BOUNDS) == sorted(_fields(sections(PolicySection, {})["LimitsSection"]))
    assert refusal(EVERYTHING) is None
    assert [[refusal(EVERYTHING | some) for some in found] for found in REFUSED_GRANTS.values()] == [
        ["grants.sockets"] * 5,
        ["grants.http"],
    ]
    assert refusal({}, imports={"a:b/c": "n"}) == "source"


def test_the_modules_that_are_refused_are_on_the_page() -> None:
    """Each dialect that is told apart has a row, and each row is refused."""
    table = rows(read(NEEDS_COMPILERS), "## What is refused, and what to do")
    named = {name for row in table if row[0].startswith("imports `") for name in code(row[0])}
    modules = {name.removesuffix(".*").partition(".thread")[0] for name in named if not name.startswith("sock_")}
    assert modules == {*_DIALECTS, "wasi"}
    assert [m for m in modules if not isinstance(classify(m, "f", "func"), Refused)] == []
    extensions = [name for name in named if name.startswith("sock_")]
    assert [n for n in extensions if not isinstance(classify(MODULE, n, "func"), Refused)] == []


def test_the_numbers_in_the_prose_are_the_numbers() -> None:
    """Constants that a reader may rely on, each in the sentence that gives it."""
    mebibyte = 1 << 20
    sentences = {
        "SECURITY.md": (
            f"and {worker.HOST_MEMORY // mebibyte} MiB beyond it for the worker itself",
            f"Compiling may take {worker.COMPILE_MEMORY // (1024 * mebibyte)} GiB",
            f"and {METADATA_COST:,} for each new name",
            f"{worker.HOST_FILES} beyond it for the worker itself",
        ),
        "docs/policy.md": (
            f"{worker.HOST_MEMORY // mebibyte} MiB",
            f"{METADATA_COST:,} bytes for each new",
            f"{worker.HOST_FILES} more for the worker itself",
        ),
        "docs/lint.md": (
            f"{linter.DEPTH} levels and {linter.ENTRIES:,} entries are looked at",
            f"the findings of one policy end at {linter.MAX_FINDINGS:,}",
            f"the first {paths.MAX_FILES:,} YAML files",
        ),
        "docs/command-line.md": (f"at most {cache.KEEP_BYTES // 1024**3} GiB",),
        "docs/how-it-works.md": (
            f"{supervisor.LAST_WORDS:g} seconds",
            f"{waits.FIRST_SLICE / 1e6:g} ms at first and {waits.LONGEST_SLICE / 1e6:g} ms at most",
            f"at most {wire.PERMIT >> 10} KiB for each socket",
            f"look-ups in threads, {('none', 'one', 'two', 'three', 'four')[AT_ONCE]} at once",
        ),
    }
    flat = {page: re.sub(r"\s+", " ", read(page)) for page in sentences}
    assert [(page, s) for page, wanted in sentences.items() for s in wanted if s not in flat[page]] == []


def test_the_changes_begin_with_this_version() -> None:
    """A release without a word on it is not one."""
    assert re.findall(r"^## (.*)$", read("CHANGELOG.md"), re.MULTILINE)[0] == sandbox.__version__


def test_the_package_has_the_name_on_the_page() -> None:
    """What the README says to install is what is built."""
    project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    assert re.findall(r'^name = "(.*)"$', project, re.MULTILINE) == re.findall(
        r"`pip install (.*?)`", read("README.md")
    )
    assert re.findall(r'^version = "(.*)"$', project, re.MULTILINE) == [sandbox.__version__]


def test_the_schema_in_the_repository_is_the_schema() -> None:
    """``make schema`` writes it; editors read it beside the policies."""
    import json

    path = ROOT / "policies" / "policy.schema.json"
    assert json.loads(path.read_text(encoding="utf-8")) == policy_schema()


def test_every_policy_in_the_repository_says_where_its_schema_is() -> None:
    """And it is there."""
    found = {}
    for path in sorted((ROOT / "policies").glob("*.yaml")):
        first = path.read_text(encoding="utf-8").splitlines()[0]
        found[path.name] = (path.parent / first.removeprefix("# yaml-language-server: $schema=")).exists()
    assert len(found) >= 15
    assert [name for name, there in found.items() if not there] == []


def test_the_sample_module_is_the_component_s() -> None:
    """The component holds the module byte for byte, and both have one policy but for the file and its digest."""
    samples, policies = ROOT / "samples", ROOT / "policies"
    assert (samples / "report.m.wasm").read_bytes() in (samples / "report.wasm").read_bytes()
    own = re.compile(r"^ *(#|source: |digest: ).*\n", re.MULTILINE)
    granted = [own.sub("", (policies / name).read_text("utf-8")) for name in ("report.yaml", "report-module.yaml")]
    assert granted[0] == granted[1]


# Promises.


def promises() -> tuple[list[list[str]], list[list[str]]]:
    """The promises of SECURITY.md: those to any guest; and the others.

    Those are about granted sockets and programs of several components, which no module has, and about reviewing, which
    runs none.
    """
    page = read("SECURITY.md")
    headings = ("### Granted sockets", "### Programs of several components", "### Reviewing policies")
    others = [row for heading in headings for row in rows(page, heading)]
    return rows(page, "## What may be relied on"), others


OF_MODULES = re.compile(
    r"tests/(e2e/test_(module_\w+|programs)|guard/test_preview1|runtime/test_modules|test_preview1)\.py"
)
"""Tests of modules alone."""


def kind_of(test: str, ids: set[str]) -> str:
    """How the table of promises marks a test that runs a module: alone, or both, by the ids of its runs."""
    if OF_MODULES.match(test):
        return "module"
    kinds = {word for name in ids for word in name.split("-") if word in ("component", "module")}
    return "both" if len(kinds) == 2 else ""


def test_every_promise_names_tests_that_exist() -> None:
    """The tests behind the promises are collected by pytest under the names that SECURITY.md gives.

    It marks those that run a module, and each promise to any guest has one.
    """
    to_any, others = promises()
    table = [*to_any, *others]
    named = [re.findall(r"`(tests/[^`]+)`(?: \*\((both|module)\)\*)?", row[-1]) for row in table]
    assert [row[0] for row, tests in zip(table, named, strict=True) if not tests] == []
    wanted = sorted({test for tests in named for test, _ in tests})
    files = sorted({test.partition("::")[0] for test in wanted})
    assert [file for file in files if not (ROOT / file).is_file()] == []
    ran = subprocess.run(
        [sys.executable, "-m", "pytest", "--collect-only", "-q", "-p", "no:cacheprovider", "-p", "no:xdist", *files],
        cwd=ROOT,
        capture_output=True,
        encoding="utf-8",
        check=False,
    )
    collected: dict[str, set[str]] = {}
    for line in ran.stdout.splitlines():
        if "::" in line:
            name, _, run = line.partition("[")
            collected.setdefault(name, set()).add(run.removesuffix("]"))
    assert (sorted(set(wanted) - set(collected)), ran.returncode) == ([], 0), ran.stdout[-2000:]
    wrong = {t: kind_of(t, collected[t]) for tests in named for t, mark in tests if mark != kind_of(t, collected[t])}
    assert wrong == {}
    without = [row[0] for row, tests in zip(table, named, strict=True) if not any(mark for _, mark in tests)]
    assert without == [row[0] for row in others]


def test_a_trail_that_is_not_whole_fails_the_run(clone: Clone) -> None:
    """The component runs to its end, and the command says that its trail has a hole, with the status for it."""
    run = "sandbox run --quiet --audit fd:9 policies/miner.yaml 9>/dev/full >report.txt\n"
    why = "cannot write the audit trail to descriptor 9: No space left on device"
    assert clone.console([run, "wc -l <report.txt\n"]) == [
        (f"sandbox: the audit trail is not whole: {why}\n", 125),
        ("14\n", 0),
    ]


# The reading of pages itself.


def test_a_transcript_is_commands_and_what_they_print() -> None:
    """Continued commands are one; output may be empty."""
    text = "$ one \\\n> more\nout\n> put\n$ two\n"
    assert transcript(text) == [("one \\\nmore\n", "out\n> put\n"), ("two\n", "")]


def test_only_what_varies_is_not_compared() -> None:
    """Durations, sizes of memory, times, run ids and left-out lines; nothing else, and no letter less."""
    shown = "a\n...\nz: exit status 0, 12 ms, 4.9 MiB of memory, 8 calls refused\n"
    real = "a\nb\nc\nz: exit status 0, 1.20 s, 11.0 MiB of memory, 8 calls refused\n"
    assert [same(shown, real), same(shown, real.replace("8 calls", "9 calls"))] == [True, False]
    assert [same("a\n", "a"), same("a\n", "a\nb\n"), same("", "")] == [False, False, True]


def test_a_server_listens_before_the_next_command_and_ends_with_its_block(clone: Clone) -> None:
    """The port that the pages name is a free one in truth, and shows as the one on the page."""
    server = f"python3 -m http.server --bind 127.0.0.1 --directory samples {SHOWN_PORT} > server.log 2>&1 &\n"
    ask = f"exec 3<>/dev/tcp/127.0.0.1/{SHOWN_PORT} && echo {SHOWN_PORT} listens\n"
    assert clone.console([server, ask]) == [("", 0), (f"{SHOWN_PORT} listens\n", 0)]
    with socket.socket() as asker:
        assert [clone.port == SHOWN_PORT, asker.connect_ex(("127.0.0.1", int(clone.port)))] == [
            False,
            errno.ECONNREFUSED,
        ]


def test_links_are_named_as_on_the_web() -> None:
    """Anchors of headings with code, links and marks."""
    assert [slug(h) for h in ("Exit status", "`except`, twice", "[A](b) & c")] == [
        "exit-status",
        "except-twice",
        "a--c",
    ]
