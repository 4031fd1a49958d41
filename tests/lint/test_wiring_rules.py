"""Components that import from each other: what is found at their wires, and what is no longer found beside them."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from sandbox.host import Machine
from sandbox.lint.finding import Finding
from sandbox.lint.fixes import apply
from sandbox.lint.linter import Linter, lint
from sandbox.lint.locking import Surveyor, compare, folders
from sandbox.lint.locking import lock as settle
from sandbox.lint.paths import find_policies
from sandbox.report.locks import locks_text
from tests.lint.specimens import MACHINE
from tests.lint.specimens import lint as lint_specimen

ROOT = Path(__file__).resolve().parents[2]
LIMITS = "    limits: {memory: 64MiB, deadline: 10s, disk: 1MiB}\n"


def policy(*components: str, run: str | None = None) -> str:
    """A policy of components, each a name and what stands in it; the first has limits."""
    lines = ["version: 1\n", *([f"run: {run}\n"] if run else []), "components:\n"]
    for number, component in enumerate(components):
        name, _, rest = component.partition(" ")
        lines += [f"  {name}:\n", f"    source: {name}.wasm\n", "    digest: sha256:...\n"]
        lines += [f"    {line}\n" for line in rest.split("; ") if line]
        lines += [LIMITS] if number == 0 and "limits:" not in rest else []
    return "".join(lines)


def found(text: str, place: Path, *least: str) -> list[tuple[str, str, str, str]]:
    """Rule, severity, place and message of what is found, notes left out unless ``low`` is asked for."""
    place.mkdir(exist_ok=True)
    return [
        (f.rule, f.severity, f"{f.region.line}:{f.snippet}", f.message)
        for f in lint_specimen(text, place)
        if f.severity in ("medium", "high", *least) and f.ignored is None
    ]


def only(rule: str, text: str, place: Path) -> list[Finding]:
    place.mkdir(exist_ok=True)
    return [finding for finding in lint_specimen(text, place) if finding.rule == rule]


def mended(finding: Finding, place: Path) -> str:
    """The policy in ``place`` with a finding's fix."""
    assert finding.fix is not None
    text = apply((place / "policy.yaml").read_text(), finding.fix.edits)
    return re.sub("sha256:[0-9a-f]{64}", "sha256:...", text)


def test_the_policies_of_this_project_are_clean() -> None:
    """Nothing that matters is found in them, whichever components this machine has built."""
    machine = Machine(home="/home/ann", programs=("/usr/bin",), code=(), cache=None)
    result = lint(find_policies([str(ROOT / "policies")]), machine)
    assert [(f.file, f.rule) for f in result.findings if f.ignored is None and f.severity != "low"] == []


@pytest.mark.parametrize(
    ("app", "rules"),
    [
        ('imports: {"a:b/c": lib}', []),
        ('# app.wasm imports a:b/c@1.0.0, a:b/types@1.0.0; imports: {"a:b/c": lib}', []),
        ('# app.wasm imports a:b/c@1.0.0, a:b/types@7.0.0; imports: {"a:b/c": {component: lib, instance: own}}', []),
        ('# app.wasm imports a:b/c@1.0.0, a:other/types@1.0.0; imports: {"a:b/c": lib}', ["unserved-import"]),
        ('# app.wasm imports a:b/c@1.0.0, wasi:cli/stdin@0.3.0; imports: {"a:b/c": lib}', ["unserved-import"]),
        ("# app.wasm imports a:b/types@1.0.0", ["unserved-import"]),
    ],
)
def test_what_others_serve_is_not_missed(app: str, rules: list[str], tmp_path: Path) -> None:
    """An import that a wire is for is served, and what is of a package of the wires may be types that nobody serves."""
    text = policy(f"app {app}", "lib")
    assert [rule for rule, *_ in found(text, tmp_path)] == rules


def test_grants_of_a_component_with_wires_are_judged(tmp_path: Path) -> None:
    """Since its other imports are served, what it is granted and does not import is of no use."""
    app = 'app # app.wasm imports a:b/c@1.0.0; imports: {"a:b/c": lib}; grants: {random: secure}'
    message = "the component imports nothing that takes random numbers: it has no use for this grant"
    assert found(policy(app, "lib"), tmp_path) == [("unused-grant", "medium", "8:random", message)]


def test_an_import_that_another_component_could_serve(tmp_path: Path) -> None:
    """The one that exports it is told, and wired by the fix; not where two could, or where a cycle would come of it."""
    app = "app # app.wasm imports a:b/c@1.1.0"
    text = policy(app, "lib # lib.wasm exports a:b/c@1.2.0", "old # old.wasm exports a:b/c@1.0.0")
    (finding,) = only("unserved-import", text, tmp_path / "1")
    assert [(r.message, r.region.line) for r in finding.related] == [("lib exports it", 9)]
    assert finding.fix is not None
    assert not finding.fix.safe
    after = mended(finding, tmp_path / "1")
    assert after == text.replace(LIMITS, f"{LIMITS}    imports: {{a:b/c: lib}}\n")
    assert only("unserved-import", after, tmp_path / "2") == []
    two = policy(app, "lib # lib.wasm exports a:b/c@1.2.0", "new # new.wasm exports a:b/c@1.1.0")
    (finding,) = only("unserved-import", two, tmp_path / "3")
    assert ([r.message for r in finding.related], finding.fix) == (["lib exports it", "new exports it"], None)
    cycle = policy(app, 'lib # lib.wasm exports a:b/c@1.2.0; # lib.wasm imports d:e/f; imports: {"d:e/f": app}')
    (finding,) = only("unserved-import", cycle, tmp_path / "4")
    assert ([r.message for r in finding.related], finding.fix) == (["lib exports it"], None)


def test_an_import_that_may_be_of_types(tmp_path: Path) -> None:
    """Of a package that is wired, what somebody exports may be missing among the imports, which is less sure."""
    app = '# app.wasm imports a:b/c@1.0.0, a:b/d@1.0.0, a:b/types@1.0.0; imports: {"a:b/c": lib}'
    text = policy(f"app {app}", "lib", "more # more.wasm exports a:b/d@1.0.3")
    (finding,) = only("unserved-import", text, tmp_path)
    assert (finding.confidence, finding.message) == (
        "medium",
        (
            "the component imports 'a:b/d@1.0.0', and `imports` does not say that more serves it:"
            " if it calls a function of it, each run is refused"
        ),
    )
    assert mended(finding, tmp_path) == text.replace('"a:b/c": lib', '"a:b/c": lib, a:b/d: more')


REFUSED = "each run is refused: the component"


@pytest.mark.parametrize(
    ("app", "lib", "expected"),
    [
        ("imports a:b/c@1.0.0", "exports a:b/c@1.0.0", []),
        ("imports a:b/c@1.0.0", "exports a:b/c@1.5.0", []),
        ("imports a:b/c@1.0.0, a:b/c@1.1.0", "exports a:b/c@1.5.0", []),
        ("imports a:b/c@1.0.0, a:b/c@2.0.0", "exports a:b/c@1.5.0, a:b/c@2.0.1", []),
        ("is missing", "exports a:b/c@9.0.0", []),
        ("imports a:b/c@1.0.0", "is missing", []),
        ("imports a:b/c@1.0.0", "is damaged", ["unreadable-component"]),
        (
            "imports a:b/c@1.2.0",
            "exports a:b/c@1.1.0, a:b/c@2.0.0",
            [f"{REFUSED} imports 'a:b/c@1.2.0', and lib exports 'a:b/c@1.1.0' and 'a:b/c@2.0.0'"],
        ),
        (
            "imports a:b/c@1.0.0, a:b/c@2.0.0",
            "exports a:b/c@1.1.0",
            [f"{REFUSED} imports 'a:b/c@2.0.0', and lib exports 'a:b/c@1.1.0'"],
        ),
        (
            "imports a:b/c@0.1.0",
            "exports d:e/f",
            [f"{REFUSED} imports 'a:b/c@0.1.0', and lib exports no such interface"],
        ),
        ("is missing", "exports d:e/f", [f"{REFUSED} imports 'a:b/c', and lib exports no such interface"]),
        (
            "imports a:b/c@0.1.0",
            "is a module that imports fd_write",
            [f"{REFUSED} imports 'a:b/c@0.1.0', and lib is a module, which exports no interface"],
        ),
        (
            "imports wasi:cli/stdout",
            "exports a:b/c@1.0.0",
            [f"{REFUSED} does not import a:b/c; it imports no interface"],
        ),
        ("imports a:b/d@1.0.0", "exports a:b/c@1.0.0", [f"{REFUSED} does not import a:b/c"]),
        (
            "is a module that imports fd_write",
            "exports a:b/c@1.0.0",
            ["each run is refused: the module does not import a:b/c; it imports no interface"],
        ),
    ],
)
def test_what_a_wire_joins(app: str, lib: str, expected: list[str], tmp_path: Path) -> None:
    """Both ends must have the interface, in versions that fit; of what is not known nothing is said."""
    text = policy(f'app # app.wasm {app}; imports: {{"a:b/c": lib}}', f"lib # lib.wasm {lib}")
    told = [(rule, message) for rule, _, _, message in found(text, tmp_path)]
    told = [each for each in told if each[0] != "missing-component"]
    assert [message.replace(" but WASI's", "") if "run" in message else rule for rule, message in told] == expected


def test_a_wire_that_names_a_version(tmp_path: Path) -> None:
    """It is for that version alone, also of a component that is not there."""
    app = '# app.wasm is missing; imports: {"a:b/c@1.2.0": lib}'
    text = policy(f"app {app}", "lib # lib.wasm exports a:b/c@1.1.0")
    ((rule, severity, place, message),) = [f for f in found(text, tmp_path / "1") if f[0] != "missing-component"]
    assert (rule, severity, place) == ("unserved-wire", "high", "7:lib")
    assert message == f"{REFUSED} imports 'a:b/c@1.2.0', and lib exports 'a:b/c@1.1.0'"
    assert only("unserved-wire", text.replace("1.2.0", "1.0.7"), tmp_path / "2") == []
    app = '# app.wasm imports a:b/c@1.0.0, a:b/c@2.0.0; imports: {"a:b/c@1.0.0": lib, "a:b/c@2.0.0": lib}'
    text = policy(f"app {app}", "lib # lib.wasm exports a:b/c@1.1.0")
    assert [f.snippet for f in only("unserved-wire", text, tmp_path / "3")] == ["lib"]


def test_a_wire_without_a_use_is_removed(tmp_path: Path) -> None:
    """It is safe where the component is pinned, since no run took it; a wire that is used stays."""
    app = 'app # app.wasm imports a:b/c@1.0.0; imports: {"a:b/c": lib, "a:b/d": lib}'
    (finding,) = only("unused-wire", policy(app, "lib"), tmp_path / "1")
    assert (finding.snippet, finding.severity, finding.confidence) == ('"a:b/d"', "medium", "high")
    assert finding.fix is not None
    assert finding.fix.safe
    assert mended(finding, tmp_path / "1") == policy(app, "lib").replace(', "a:b/d": lib', "")
    loose = policy(app, "lib").replace("    digest: sha256:...\n", "", 1)
    (finding,) = only("unused-wire", loose, tmp_path / "2")
    assert finding.fix is not None
    assert not finding.fix.safe


def test_a_component_that_is_not_the_pinned_one_says_nothing_of_wires(tmp_path: Path) -> None:
    """Its imports and exports are another one's."""
    other = "digest: sha256:c8a33888db452440770db89f400f79a7174362b03efc41af1eabfca65ac7f032"
    app = 'app # app.wasm imports x:y/z; imports: {"a:b/c": lib}'
    lib = "lib # lib.wasm exports x:y/z"
    mine, theirs = policy(app, "lib").split("  lib:")
    text = mine.replace("digest: sha256:...", other) + "  lib:" + theirs
    assert {rule for rule, *_ in found(text, tmp_path / "1")} == {"digest-mismatch"}
    mine, theirs = policy('app imports: {"a:b/c": lib}', lib).split("  lib:")
    text = mine + "  lib:" + theirs.replace("digest: sha256:...", other)
    assert {rule for rule, *_ in found(text, tmp_path / "2")} == {"digest-mismatch"}


def test_what_the_lock_has_is_looked_at_where_the_files_are_not(tmp_path: Path) -> None:
    """The exports of a locked component serve, or do not, like those of one that is there."""
    place = tmp_path / "1"
    text = policy('app imports: {"a:b/c": lib}', "lib # lib.wasm exports d:e/f@1.0.0")
    assert [f.message for f in only("unserved-wire", text, place)] != []
    linter = Linter(MACHINE)
    settled = (place / "policy.yaml").read_text()
    settle(Surveyor().survey(folders([str(place)])[0]))
    for name in ("app", "lib"):
        (place / f"{name}.wasm").unlink()
    findings = linter.text(settled.encode(), file="policy.yaml", directory=str(place))
    assert [f.message for f in findings if f.rule == "unserved-wire"] == [
        f"{REFUSED} imports 'a:b/c@1.0.0', and lib exports no such interface"
    ]


WRITES = "grants: {filesystem: [{host: ./out, guest: /out, access: write}]}"


@pytest.mark.parametrize(
    ("components", "run", "expected"),
    [
        (("app limits: {}",), None, {"app unstated-deadline", "app unstated-memory"}),
        (('app imports: {"a:b/c": lib}', "lib"), None, set()),
        (('app imports: {"a:b/c": lib}', "lib"), "app", set()),
        (
            ('app imports: {"a:b/c": lib}; limits: {}', "lib"),
            "app",
            {"app unstated-deadline", "app unstated-memory"},
        ),
        (
            ('app imports: {"a:b/c": lib}', "lib"),
            "lib",
            {"lib unstated-deadline", "lib unstated-memory", "app unreached-component"},
        ),
        (
            ('app imports: {"a:b/c": lib}', "lib", "more"),
            None,
            {"more unstated-deadline", "more unstated-memory"},
        ),
        (
            ('app imports: {"a:b/c": lib}', "lib", "more limits: {memory: 1MiB, deadline: 1s}"),
            "app",
            {"more unreached-component"},
        ),
        (
            ('app imports: {"a:b/c": lib}; limits: {memory: 1MiB, deadline: 1s}', f"lib {WRITES}"),
            None,
            {"app writes-without-disk-limit"},
        ),
        (
            (
                'app imports: {"a:b/c": lib}; limits: {memory: 1MiB, deadline: 1s}',
                'lib imports: {"a:b/d": deep}',
                f"deep {WRITES}",
            ),
            "app",
            {"app writes-without-disk-limit"},
        ),
        (('app imports: {"a:b/c": lib}', f"lib {WRITES}"), None, set()),
        (
            (f'app imports: {{"a:b/c": lib}}; limits: {{memory: 1MiB, deadline: 1s}}; {WRITES}', f"lib {WRITES}"),
            None,
            {"app writes-without-disk-limit"},
        ),
        (('app imports: {"a:b/c": lib}', "lib limits: {}"), None, {"lib limits-of-a-member"}),
        (('app imports: {"a:b/c": lib}', "lib limits:"), "app", {"lib limits-of-a-member"}),
        (('app imports: {"a:b/c": lib}', "lib grants: {stdio: {stdin: discard}}"), None, set()),
        (('app imports: {"a:b/c": lib}', "lib grants: {stdio: {stdin: inherit}}"), None, {"lib limits-of-a-member"}),
        (('app imports: {"a:b/c": lib}', "lib grants: {stdio: {stdin: {file: x}}}"), None, {"lib limits-of-a-member"}),
        (
            ('app imports: {"a:b/c": lib}', "lib limits: {memory: 1MiB, deadline: 1s}"),
            "lib",
            {"lib limits-of-a-member", "app unreached-component"},
        ),
    ],
)
def test_the_limits_of_a_program_are_those_of_what_is_run(
    components: tuple[str, ...], run: str | None, expected: set[str], tmp_path: Path
) -> None:
    """What is imported is asked for none and may have none; what is run is asked for those that the others need."""
    own = {"unstated-memory", "unstated-deadline", "writes-without-disk-limit", "limits-of-a-member"}
    own.add("unreached-component")
    findings = lint_specimen(policy(*components, run=run), tmp_path)
    assert {f"{f.component} {f.rule}" for f in findings if f.rule in own} == expected


def test_limits_of_a_member_are_removed(tmp_path: Path) -> None:
    """Not safely: by itself the component runs with them. They are not so grave where it is what the policy runs."""
    text = policy(
        'app imports: {"a:b/c": lib}', "lib limits: {memory: 1MiB, deadline: 1s}", 'z imports: {"a:b/c": lib}'
    )
    (finding,) = only("limits-of-a-member", text, tmp_path / "1")
    assert (finding.severity, finding.snippet, finding.message) == (
        "high",
        "limits",
        (
            "each run of a component that imports from lib is refused (app and z):"
            " the limits of a program are those of the component that is run"
        ),
    )
    assert [(r.message, r.region.line) for r in finding.related] == [("app imports from it", 6)]
    assert finding.fix is not None
    assert not finding.fix.safe
    assert mended(finding, tmp_path / "1") == text.replace("    limits: {memory: 1MiB, deadline: 1s}\n", "")
    (finding,) = only("limits-of-a-member", text.replace("version: 1", "version: 1\nrun: lib"), tmp_path / "2")
    assert finding.severity == "medium"


def test_stating_a_limit_is_not_safe_where_it_keeps_others_from_running(tmp_path: Path) -> None:
    """What is run and imported as well is asked for its limits, which the program of its importer may not have."""
    text = policy('app imports: {"a:b/c": lib}', "lib", run="lib")
    fixes = [f.fix for f in only("unstated-memory", text, tmp_path)]
    assert [fix is not None and fix.safe for fix in fixes] == [False]


NETWORK = 'sockets: {tcp: {connect: ["a.example:443"]}}'
TOKEN = "environment: {inherit: [API_TOKEN]}"
READS = "filesystem: [{host: ./data, guest: /data, access: read}]"
WRITING = READS.replace("read", "write")


@pytest.mark.parametrize(
    ("app", "lib", "wide", "narrow"),
    [
        ("", "", None, None),
        ("", "clocks: real, random: secure, arguments: inherit", None, None),
        ("", "stdio: {stdout: discard, stdin: closed, stderr: discard}", None, None),
        ("", 'sockets: {deny: ["a.example"]}', None, None),
        ("", "environment: {}", None, None),
        ("", NETWORK, "medium use the network", "low use the network"),
        ("", 'sockets: {dns: ["a.example"]}', "medium use the network", "low use the network"),
        (NETWORK, NETWORK, None, None),
        (READS, NETWORK, "medium use the network", "low use the network"),
        ("", WRITING, "medium write files and read files", "low write files and read files"),
        (READS, WRITING, "low write files", "low write files"),
        (WRITING, READS, None, None),
        ("", READS, "low read files", "low read files"),
        ("", TOKEN, "medium read secrets in its environment", "low read secrets in its environment"),
        ("", "environment: {set: {TZ: UTC}}", "low read its environment", "low read its environment"),
        ("environment: {set: {TZ: UTC}}", TOKEN, *["low read secrets in its environment"] * 2),
        ("", "stdio: {stdout: inherit, stderr: capture}", *["low write standard output and write standard error"] * 2),
        ("", f"{NETWORK}, {TOKEN}, {READS}", *[
            f"{severity} use the network, read secrets in its environment and read files"
            for severity in ("medium", "low")
        ]),
    ],
)  # fmt: skip
def test_what_a_component_gains_over_a_wire(
    app: str, lib: str, wide: str | None, narrow: str | None, tmp_path: Path
) -> None:
    """What the other may do and it may not, by kinds; grave only where it has nothing of that kind, nor `only`."""
    for wire, expected in (("lib", wide), ("{component: lib, only: [f]}", narrow)):
        text = policy(f'app imports: {{"a:b/c": {wire}}}; grants: {{{app}}}', f"lib grants: {{{lib}}}")
        findings = only("gains-through-import", text, tmp_path / str(wire == "lib"))
        lead = "over this import the component can have lib "
        assert [f"{f.severity} {f.message.removeprefix(lead).partition(', which it is not')[0]}" for f in findings] == (
            [expected] if expected is not None else []
        )


def test_a_gain_shows_both_of_its_ends(tmp_path: Path) -> None:
    """It stands at the wire, with the grant as the related place, and says which functions lead there."""
    app = 'app imports: {"a:b/c": {component: lib, only: [f, g, h, i]}}'
    (finding,) = only("gains-through-import", policy(app, f"lib grants: {{{WRITING}}}"), tmp_path / "1")
    assert (finding.snippet, finding.message) == (
        '"a:b/c"',
        (
            "over this import the component can have lib write files and read files, which it is not granted itself;"
            " it may call f, g, h and 1 more alone"
        ),
    )
    assert [(r.message, r.region.line) for r in finding.related] == [("what lib is granted", 11)]
    (finding,) = only("gains-through-import", policy('app imports: {"a:b/c": lib}', f"lib {WRITES}"), tmp_path / "2")
    assert finding.message.endswith(
        ", which it is not granted itself, by every function of the interface: name those that it needs in `only`"
    )


def test_a_gain_is_told_where_it_arises(tmp_path: Path) -> None:
    """What a component gains over two wires is told at the second one alone."""
    text = policy('app imports: {"a:b/c": lib}', 'lib imports: {"a:b/d": deep}', f"deep grants: {{{NETWORK}}}")
    assert [(f.component, f.snippet) for f in only("gains-through-import", text, tmp_path)] == [("lib", '"a:b/d"')]


def test_an_update_is_flagged_before_it_runs(tmp_path: Path) -> None:
    """The library of the samples, its file replaced by the next version: the lock tells in words what it could now."""
    vendor = tmp_path / "vendor"
    vendor.mkdir()
    samples = ROOT / "samples" / "supply-chain"
    shutil.copy(samples / "fastfmt-1.0.wasm", vendor / "fastfmt.wasm")
    shutil.copy(samples / "report.wasm", vendor / "report.wasm")
    (tmp_path / "policy.yaml").write_text(
        "version: 1\nrun: report\ncomponents:\n"
        '  report: {source: vendor/report.wasm, imports: {"vendor:fastfmt/format": fastfmt}}\n'
        "  fastfmt: {source: vendor/fastfmt.wasm}\n"
    )
    (folder,) = folders([str(tmp_path)])
    settle(Surveyor().survey(folder))
    assert compare(Surveyor().survey(folder)).outcome == "agrees"
    shutil.copy(samples / "fastfmt-1.1.wasm", vendor / "fastfmt.wasm")
    account = compare(Surveyor().survey(folder))
    assert account.outcome == "differs"
    told = [line.partition("fastfmt ")[2] for line in locks_text([account]).splitlines() if "fastfmt could" in line]
    assert told == [
        "could now ask which directories it was given (wasi:filesystem/preopens)",
        "could now open, read, write, list, rename and remove files (wasi:filesystem/types)",
        "could now write standard error (wasi:cli/stderr)",
        "could now read standard input (wasi:cli/stdin)",
        "could now write standard output (wasi:cli/stdout)",
        "could now ask whether standard error is a terminal (wasi:cli/terminal-stderr)",
        "could now ask whether standard input is a terminal (wasi:cli/terminal-stdin)",
        "could now ask whether standard output is a terminal (wasi:cli/terminal-stdout)",
        "could now read all environment variables, the arguments and the working directory (wasi:cli/environment)",
        "could now read the date and time (wasi:clocks/wall-clock)",
        "could now take the network that sockets and look-ups need (wasi:sockets/instance-network)",
        "could now look up the addresses of host names (wasi:sockets/ip-name-lookup)",
        "could now make TCP sockets (wasi:sockets/tcp-create-socket)",
        "could now connect to hosts and listen, over TCP (wasi:sockets/tcp)",
    ]
    findings = Linter(MACHINE).file(str(tmp_path / "policy.yaml"))
    (finding,) = [f for f in findings if f.rule == "widened-component"]
    assert (finding.component, finding.severity) == ("fastfmt", "high")
    assert "it could now connect to hosts and listen, over TCP (wasi:sockets/tcp)" in finding.message


def test_many_components_with_many_grants(tmp_path: Path) -> None:
    """Many importers of one component with many grants are judged, up to the bound on findings."""
    grants = ", ".join(f"{{host: ./{n}, guest: /g{n}, access: read}}" for n in range(400))
    lines = [f'  c{n}: {{imports: {{"a:b/c": lib}}}}\n' for n in range(500)]
    text = f"version: 1\nrun: c0\ncomponents:\n{''.join(lines)}  lib: {{grants: {{filesystem: [{grants}]}}}}\n"
    findings = Linter(MACHINE).text(text.encode(), file="policy.yaml", directory=str(tmp_path))
    assert findings[-1].message.endswith("more findings from here on are left out")


def test_a_component_with_very_many_interfaces(tmp_path: Path) -> None:
    """Thousands of versions of one interface on both sides are not compared each with each."""
    names = [f"a:b/c@1.{number}.0" for number in range(2000)]
    lib = f"lib # lib.wasm exports {', '.join(names)}"
    app = f'app # app.wasm imports {", ".join(names)}; imports: {{"a:b/c": lib}}'
    more = f"more # more.wasm imports {', '.join(names)}"
    assert "invalid-policy" not in {rule for rule, *_ in found(policy(app, lib, more), tmp_path)}
