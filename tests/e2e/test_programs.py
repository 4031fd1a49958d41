"""Published programs as preview 1 modules under policies: real work under narrow ones, refusals under narrower ones.

The programs are CPython, Ruby, esbuild and nextpnr with icepack, as npm and PyPI have them (``make programs``). Hostile
scripts in CPython and Ruby get nowhere, and each of their attempts that reaches the host is in the trail.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

from sandbox.plan import PlanError
from tests.e2e.harness import EXCEPTED, READ_ONLY, UNGRANTED, Runner, snapshot
from tests.e2e.hostile import (
    EMPTY,
    FILESYSTEM,
    LIMITS,
    PYTHON,
    PYTHON_STARTS,
    RUBY,
    RUBY_STARTS,
    STILL,
    plant,
    reads,
    writes,
)
from tests.e2e.programs import Came, Programs, Refusal, Tried, clone, needs_programs, printed, recorded

Run = Callable[..., Came]


@pytest.fixture(scope="session")
def programs(tmp_path_factory: pytest.TempPathFactory, runner: Runner) -> Programs:
    """Runs policies for the fetched programs; skips where they cannot be fetched."""
    needs_programs()
    return Programs(tmp_path_factory.mktemp("programs"), runner)


@pytest.fixture
def copy(tmp_path: Path, programs: Programs) -> Path:
    """The policies and what they name, as in a fresh clone with the programs fetched."""
    return clone(tmp_path)


@pytest.fixture
def published(copy: Path, programs: Programs) -> Run:
    """Runs a component of a policy in ``policies/``: ``published("ice40", "icepack")``."""

    def run(policy: str, component: str | None = None) -> Came:
        return programs.run(copy / "policies" / f"{policy}.yaml", component)

    return run


@pytest.fixture
def narrower(copy: Path, programs: Programs) -> Run:
    """Runs a component of a policy in ``tests/e2e/policies``: ``narrower("python", "source", "/totals.py")``."""

    def run(policy: str, component: str, *arguments: str) -> Came:
        return programs.run(copy / "tests" / "e2e" / "policies" / f"{policy}.yaml", component, *arguments)

    return run


# Real work

SUMMED_UP = "totals: 3 files, 5 customers, 1 left out, total 3098.20 -> /out/totals.json\n"
TOTALS = {
    "Atelier Brun": "408.50",
    "Harbour Bakery": "812.90",
    "Nordlicht, Lamp & Co": "292.80",
    "Nordlicht, Lamp & Co\nHamburg office": "128.00",
    'The "Old" Mill': "1456.00",
}
BUNDLE = """(()=>{var t=r=>Object.values(r).reduce((l,m)=>l+m,0);var o={bread:3,milk:2};var e=`In total
`;console.log(`${e.trim()}: ${t(o)}`);})();
//# sourceMappingURL=main.js.map
"""


@pytest.mark.parametrize("language", ["python", "ruby"])
def test_a_script_computes(language: str, published: Run, copy: Path) -> None:
    """CPython and Ruby read one directory, write another, and are refused nothing; both write the same bytes."""
    assert published(language) == Came("exited", 0, SUMMED_UP, "")
    out, invoices = copy / "samples" / "out", copy / "samples" / "invoices"
    assert [path.name for path in out.iterdir()] == ["totals.json"]
    assert (out / "totals.json").read_text(encoding="utf-8") == (
        json.dumps(
            {
                "files": {p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in sorted(invoices.iterdir())},
                "left_out": 1,
                "totals": TOTALS,
                "total": "3098.20",
            },
            indent=2,
        )
        + "\n"
    )


def test_a_directory_is_bundled(published: Run, copy: Path) -> None:
    """esbuild makes one file of a directory of sources, and a map beside it."""
    assert published("esbuild") == Came("exited", 0, "", "")
    out = copy / "samples" / "out"
    assert sorted(path.name for path in out.iterdir()) == ["main.js", "main.js.map"]
    assert (out / "main.js").read_text(encoding="utf-8") == BUNDLE
    assert json.loads((out / "main.js.map").read_bytes())["sources"] == [
        "../src/sum.js",
        "../src/prices.json",
        "../src/text/greeting.txt",
        "../src/main.js",
    ]


BITSTREAM = "e1af6015ef905d2f793cff9cdd443e789a74cb76e98aa67dfa47b16c9c792a25"
"""SHA-256 of what plain Wasmtime makes of the same netlist."""


def test_a_bitstream_is_packed(published: Run, copy: Path) -> None:
    """nextpnr places and routes a netlist, icepack packs what it wrote, and iceunpack tells the same in the end."""
    out = copy / "samples" / "out"
    assert published("ice40", "nextpnr-ice40") == Came("exited", 0, "", "")
    placed = (out / "blinky.asc").read_text(encoding="ascii")
    assert published("ice40", "icepack") == Came("exited", 0, "", "")
    assert hashlib.sha256((out / "blinky.bin").read_bytes()).hexdigest() == BITSTREAM
    unpacked = published("ice40", "iceunpack")
    assert unpacked._replace(stdout="") == Came("exited", 0, "", "")
    assert tiles(unpacked.stdout) == tiles(placed)


def tiles(text: str) -> dict[str, list[str]]:
    """The bits of each tile that has any set, in IceStorm's text form of a configuration."""
    found: dict[str, list[str]] = {}
    for section in text.split("\n.")[1:]:
        head, *rows = section.split("\n")
        bits = [row for row in rows if row and set(row) <= {"0", "1"}]
        if "tile" in head and any("1" in row for row in bits):
            found[head] = bits
    return found


# Narrower policies


class Narrowed(NamedTuple):
    """A run under a policy that lacks something, what comes of it, and the files that are in the output directory."""

    policy: str
    component: str
    arguments: tuple[str, ...]
    came: Came
    out: tuple[str, ...] = ()


def said(*lines: str) -> str:
    return "".join(f"{line}\n" for line in lines)


def python(script: str) -> tuple[str, ...]:
    return ("-S", "-s", script, "/in", "/out/totals.json")


def ruby(script: str) -> tuple[str, ...]:
    return ("--disable=gems", script, "/in", "/out/totals.json")


ESBUILD = ("/src/main.js", "--bundle", "--minify", "--sourcemap", "--outdir=/out", "--log-level=warning")
LIBRARY = (
    "-S",
    "-s",
    "/attempts.py",
    "__import__('json')",
    "__import__('hashlib')",
    "__import__('decimal').Decimal(1) / 7",
)
NEXTPNR = ("--quiet", "--lp384", "--package", "qn32", "--json", "/in/blinky.json", "--pcf", "/in/blinky.pcf")
PLACED = (*NEXTPNR, "--asc", "/out/blinky.asc")

TRAPPED = "secure random numbers are not granted; the call trapped"

NARROWER = [
    Narrowed(
        "python",
        "source",
        python("/totals.py"),
        Came(
            "exited",
            1,
            "",
            said(
                "Traceback (most recent call last):",
                '  File "/totals.py", line 44, in <module>',
                "    main(*sys.argv[1:])",
                '  File "/totals.py", line 24, in main',
                "    digests[path.name] = hashlib.sha256(path.read_bytes()).hexdigest()",
                "                                        ^^^^^^^^^^^^^^^^^",
                '  File "/wlr/build-staging/python/v3.11.3-aio/checkout/Lib/pathlib.py", line 1050, in read_bytes',
                '  File "/wlr/build-staging/python/v3.11.3-aio/checkout/Lib/pathlib.py", line 1044, in open',
                "PermissionError: [Errno 2] Permission denied: '/in/2026-02.csv'",
            ),
            (reads("path_open", "/in/2026-02.csv", EXCEPTED, 12),),
        ),
    ),
    Narrowed(
        "python",
        "target",
        python("/totals.py"),
        Came(
            "exited",
            1,
            "",
            said(
                "Traceback (most recent call last):",
                '  File "/totals.py", line 44, in <module>',
                "    main(*sys.argv[1:])",
                '  File "/totals.py", line 38, in main',
                '    Path(target).write_text(f"{text}\\n", encoding="utf-8")',
                '  File "/wlr/build-staging/python/v3.11.3-aio/checkout/Lib/pathlib.py", line 1078, in write_text',
                '  File "/wlr/build-staging/python/v3.11.3-aio/checkout/Lib/pathlib.py", line 1044, in open',
                "PermissionError: [Errno 63] Operation not permitted: '/out/totals.json'",
            ),
            (writes("path_open", "/out/totals.json", READ_ONLY, 26),),
        ),
    ),
    Narrowed(
        "python",
        "seed",
        python("/totals.py"),
        Came(
            "trapped",
            122,
            "",
            "",
            (
                Refusal("environment", "environ_sizes_get", None, EMPTY, 47),
                Refusal("random.secure", "random_get", None, TRAPPED, 47),
            ),
            "secure random numbers are not granted",
        ),
    ),
    Narrowed(
        "python",
        "alone",
        python("/scripts/totals.py"),
        Came(
            "exited",
            1,
            "",
            said(
                "Traceback (most recent call last):",
                '  File "/scripts/totals.py", line 44, in <module>',
                "    main(*sys.argv[1:])",
                '  File "/scripts/totals.py", line 23, in main',
                '    for path in sorted(Path(source).glob("*.csv")):',
                "                ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^",
                '  File "/wlr/build-staging/python/v3.11.3-aio/checkout/Lib/pathlib.py", line 953, in glob',
                '  File "/wlr/build-staging/python/v3.11.3-aio/checkout/Lib/pathlib.py", line 320, in select_from',
                '  File "/wlr/build-staging/python/v3.11.3-aio/checkout/Lib/pathlib.py", line 1250, in is_dir',
                '  File "/wlr/build-staging/python/v3.11.3-aio/checkout/Lib/pathlib.py", line 1013, in stat',
                "PermissionError: [Errno 2] Permission denied: '/in'",
            ),
            (
                Refusal("clocks.monotonic", "clock_time_get", None, STILL.format("monotonic"), 57),
                Refusal("environment", "environ_sizes_get", None, EMPTY, 57),
                reads("path_open", "/pyvenv.cfg", UNGRANTED, 58),
                reads("path_open", "/pyvenv.cfg", UNGRANTED, 58),
                reads("path_open", "/pybuilddir.txt", UNGRANTED, 58),
                reads("path_filestat_get", "/Modules/Setup.local", UNGRANTED, 58),
                reads("path_filestat_get", "/lib/python311.zip", UNGRANTED, 58),
                reads("path_filestat_get", "/lib/python3.11/os.py", UNGRANTED, 58),
                reads("path_filestat_get", "/lib/python3.11/os.pyc", UNGRANTED, 58),
                reads("path_filestat_get", "/lib/python3.11/lib-dynload", UNGRANTED, 58),
                Refusal("clocks.wall", "clock_time_get", None, STILL.format("wall"), 57),
                reads("path_filestat_get", "/in", UNGRANTED, 58),
                reads("path_open", "/wlr/build-staging/python/v3.11.3-aio/checkout/Lib/pathlib.py", UNGRANTED, 58),
                reads("path_open", "/wlr/build-staging/python/v3.11.3-aio/checkout/Lib/pathlib.py", UNGRANTED, 58),
                reads("path_open", "/wlr/build-staging/python/v3.11.3-aio/checkout/Lib/pathlib.py", UNGRANTED, 58),
                reads("path_open", "/wlr/build-staging/python/v3.11.3-aio/checkout/Lib/pathlib.py", UNGRANTED, 58),
            ),
        ),
    ),
    Narrowed(
        "python",
        "library",
        LIBRARY,
        Came(
            "exited",
            0,
            said(
                "__import__('json') -> ModuleNotFoundError: No module named 'json'",
                "__import__('hashlib') -> ModuleNotFoundError: No module named 'hashlib'",
                "__import__('decimal').Decimal(1) / 7 -> Decimal('0.1428571428571428571428571429')",
            ),
            "",
            (
                reads("path_filestat_get", "/library/json/__init__.py", EXCEPTED, 38),
                reads("path_filestat_get", "/library/json/__init__.pyc", EXCEPTED, 38),
                reads("path_filestat_get", "/library/json", EXCEPTED, 38),
                reads("path_filestat_get", "/library/hashlib.pyc", EXCEPTED, 38),
            ),
        ),
    ),
    Narrowed(
        "ruby",
        "source",
        ruby("/totals.rb"),
        Came(
            "exited",
            1,
            "",
            said(
                "/totals.rb:19:in `binread': Permission denied @ rb_sysopen - /in/2026-02.csv (Errno::EACCES)",
                "\tfrom /totals.rb:19:in `block in <main>'",
                "\tfrom /totals.rb:17:in `each'",
                "\tfrom /totals.rb:17:in `<main>'",
            ),
            (reads("path_open", "/in/2026-02.csv", EXCEPTED, 12),),
        ),
    ),
    Narrowed(
        "ruby",
        "target",
        ruby("/totals.rb"),
        Came(
            "exited",
            1,
            "",
            said(
                "/totals.rb:37:in `write': Operation not permitted @ rb_sysopen - /out/totals.json (Errno::EPERM)",
                "\tfrom /totals.rb:37:in `<main>'",
            ),
            (writes("path_open", "/out/totals.json", READ_ONLY, 27),),
        ),
    ),
    Narrowed(
        "ruby",
        "seed",
        ruby("/totals.rb"),
        Came(
            "trapped",
            122,
            "",
            "",
            (Refusal("random.secure", "random_get", None, TRAPPED, 37),),
            "secure random numbers are not granted",
        ),
    ),
    Narrowed(
        "ruby",
        "alone",
        ruby("/scripts/totals.rb"),
        Came(
            "exited",
            1,
            "",
            said(
                "<internal:dir>:98:in `open': Permission denied @ dir_initialize - /in (Errno::EACCES)",
                "\tfrom /scripts/totals.rb:17:in `children'",
                "\tfrom /scripts/totals.rb:17:in `<main>'",
            ),
            (
                Refusal("clocks.monotonic", "clock_time_get", None, STILL.format("monotonic"), 48),
                Refusal("environment", "environ_sizes_get", None, EMPTY, 48),
                reads("path_filestat_get", "/enumerator.so", UNGRANTED, 49),
                reads("path_filestat_get", "/enumerator.so", UNGRANTED, 49),
                reads("path_filestat_get", "/thread.rb", UNGRANTED, 49),
                reads("path_filestat_get", "/enumerator.so", UNGRANTED, 49),
                reads("path_filestat_get", "/thread.rb", UNGRANTED, 49),
                reads("path_filestat_get", "/fiber.so", UNGRANTED, 49),
                reads("path_open", "/in", UNGRANTED, 49),
            ),
        ),
    ),
    Narrowed(
        "esbuild",
        "source",
        ESBUILD,
        Came(
            "exited",
            1,
            "",
            said(
                '✘ [ERROR] Cannot read directory "text": Permission denied',
                "",
                '✘ [ERROR] Could not resolve "./text/greeting.txt"',
                "",
                "    main.js:3:21:",
                '      3 │ import greeting from "./text/greeting.txt";',
                "        ╵                      ~~~~~~~~~~~~~~~~~~~~~",
                "",
            ),
            (
                reads("path_open", "/src/text", EXCEPTED, 11),
                reads("path_filestat_get", "/src/text", EXCEPTED, 11),
                reads("path_open", "/src/text/greeting.txt", EXCEPTED, 11),
            ),
        ),
    ),
    Narrowed(
        "esbuild",
        "target",
        ESBUILD,
        Came(
            "exited",
            1,
            "",
            said(
                "✘ [ERROR] Failed to write to output file: open /out/main.js.map: Operation not permitted",
                "",
                "✘ [ERROR] Failed to write to output file: open /out/main.js: Operation not permitted",
                "",
            ),
            (
                writes("path_open", "/out/main.js.map", READ_ONLY, 25),
                writes("path_open", "/out/main.js", READ_ONLY, 25),
            ),
        ),
    ),
    Narrowed(
        "esbuild",
        "clock",
        ESBUILD,
        Came(
            "exited",
            1,
            "",
            said(
                '✘ [ERROR] Cannot read directory "src": Permission denied',
                "",
                '✘ [ERROR] Could not resolve "/src/main.js"',
                "",
            ),
            (
                Refusal("clocks.monotonic", "clock_time_get", None, STILL.format("monotonic"), 35),
                Refusal("clocks.wall", "clock_time_get", None, STILL.format("wall"), 35),
                reads("path_open", "/src", UNGRANTED, 35),
                reads("path_open", "/src/main.js", UNGRANTED, 35),
            ),
        ),
    ),
    Narrowed(
        "esbuild",
        "seed",
        ESBUILD,
        Came(
            "trapped",
            122,
            "",
            "",
            (Refusal("random.secure", "random_get", None, TRAPPED, 44),),
            "secure random numbers are not granted",
        ),
    ),
    Narrowed(
        "ice40",
        "nextpnr-ice40",
        PLACED,
        Came(
            "exited",
            125,
            "",
            said(
                "ERROR: Failed to open ASC file '/out/blinky.asc' for writing: Permission denied.",
                "0 warnings, 1 error",
            ),
            (
                Refusal("environment", "environ_sizes_get", None, EMPTY, 9),
                Refusal("clocks.monotonic", "clock_time_get", None, STILL.format("monotonic"), 9),
                writes("path_open", "/out/blinky.asc", UNGRANTED, 10),
            ),
        ),
    ),
    Narrowed(
        "ice40",
        "database",
        PLACED,
        Came(
            "trapped",
            122,
            "",
            "",
            (reads("path_filestat_get", "/share/ice40/chipdb-384.bin", EXCEPTED, 21),),
            "thrown Wasm exception",
        ),
    ),
    Narrowed(
        "ice40",
        "icepack",
        ("/out/blinky.asc", "/out/blinky.bin"),
        Came(
            "exited",
            1,
            "",
            said("Error: Failed to open output file."),
            (writes("path_open", "/out/blinky.bin", EXCEPTED, 34),),
        ),
        ("blinky.asc",),
    ),
    Narrowed(
        "ice40",
        "iceunpack",
        ("/in/blinky.bin",),
        Came(
            "exited",
            0,
            "",
            "",
            (
                Refusal(
                    "stdio.stdout",
                    "fd_write",
                    None,
                    "standard output is not granted; what is written is thrown away",
                    44,
                ),
            ),
        ),
        ("blinky.asc", "blinky.bin"),
    ),
]


@pytest.mark.parametrize("narrowed", NARROWER, ids=lambda n: f"{n.policy}-{n.component}")
def test_what_is_taken_away_is_refused(narrowed: Narrowed, narrower: Run, published: Run, copy: Path) -> None:
    """A program that lacks what it uses is told so in its own words; the trail holds each refusal, and nothing else."""
    if narrowed.policy == "ice40" and narrowed.component.startswith("ice"):
        assert published("ice40", "nextpnr-ice40").status == 0
        if narrowed.component == "iceunpack":
            assert published("ice40", "icepack").status == 0
    ran = narrower(narrowed.policy, narrowed.component, *narrowed.arguments)
    message, _, _ = ran.stderr.partition("\ngoroutine ")  # what follows is a trace of Go's stack
    assert ran._replace(stderr=message) == narrowed.came
    assert tuple(sorted(path.name for path in (copy / "samples" / "out").iterdir())) == narrowed.out


# Hostile scripts

STARTS = {"python": PYTHON_STARTS, "ruby": RUBY_STARTS}
SCRIPTS = {"python": ("-S", "-s", "/scripts/attempts.py"), "ruby": ("--disable=gems", "/scripts/attempts.rb")}
TABLES = [("python", name) for name in PYTHON] + [("ruby", name) for name in RUBY]


@pytest.fixture
def hostile(copy: Path, narrower: Run) -> Run:
    """Runs attempts of a hostile script: ``hostile("python", "os.listdir('/')")``."""
    plant(copy / "tree")

    def run(language: str, *attempts: str) -> Came:
        return narrower(f"hostile-{language}", language, *SCRIPTS[language], *attempts)

    return run


@pytest.mark.parametrize(("language", "table"), TABLES)
def test_a_hostile_script_gets_nowhere(language: str, table: str, hostile: Run, copy: Path) -> None:
    """Each attempt that reaches the host is refused and recorded; nothing but what may be written is changed."""
    attempts = (PYTHON if language == "python" else RUBY)[table]
    kept = ("in", "outside", "vault/keys", "vault/app")
    before = {name: snapshot(copy / "tree" / name) for name in kept}
    ran = hostile(language, *(attempt.code for attempt in attempts))
    assert ran.stdout.splitlines() == printed(attempts).splitlines()
    assert ran == Came("exited", 0, printed(attempts), "", (*STARTS[language], *recorded(attempts)))
    assert {name: snapshot(copy / "tree" / name) for name in kept} == before


FLOODS = {
    "python": Tried("for n in range(500): os.path.exists(f'/none/{n}')", "None"),
    "ruby": Tried('500.times { |n| File.exist?("/none/#{n}") }', "500"),
}


@pytest.mark.parametrize("language", STARTS)
def test_a_flood_of_refusals_is_counted(language: str, hostile: Run) -> None:
    """The policy's 100 refusals are recorded one by one, the rest as a sum; the script goes on."""
    attempts = (FLOODS[language], Tried("1 + 1", "2"))
    ran = hostile(language, *(attempt.code for attempt in attempts))
    more = 100 - len(STARTS[language])
    bound = "refused calls beyond the first 100 are counted, not recorded one by one"
    rest = f"{500 - more} further calls were refused, beyond what is recorded one by one"
    refusals = (
        *STARTS[language],
        *(reads("path_filestat_get", f"/none/{n}", UNGRANTED, FILESYSTEM) for n in range(more)),
        Refusal("limits.events", None, None, bound, LIMITS, "limit"),
        Refusal("filesystem.read", "path_filestat_get", None, rest, FILESYSTEM, "folded", 500 - more),
    )
    assert ran == Came("exited", 0, printed(attempts), "", refusals)


@pytest.mark.parametrize(
    ("language", "flood"), [("python", "while True: print('flood')"), ("ruby", "loop { puts 'flood' }")]
)
def test_a_flood_of_output_is_cut(language: str, flood: str, hostile: Run) -> None:
    """The run ends where the policy's output does."""
    reason = "more than 65,536 bytes of output"
    refusals = (*STARTS[language], Refusal("limits.output", None, None, reason, LIMITS, "limit"))
    stdout = ("flood\n" * 11_000)[: 64 * 1024]
    assert hostile(language, flood) == Came("limit", 123, stdout, "", refusals, reason)


ENDLESS = {"loop": ("python", "while True: pass"), "block": ("ruby", "loop {}"), "sleep": ("ruby", "sleep")}


@pytest.mark.parametrize("endless", ENDLESS)
def test_a_script_that_never_ends_is_ended(endless: str, narrower: Run) -> None:
    """The deadline ends a loop, and a sleep by a clock that stands still."""
    language, code = ENDLESS[endless]
    *options, script = SCRIPTS[language]
    reason = "the deadline of 1 s passed while the component was running"
    refusals = (Refusal("limits.deadline", None, None, reason, 30, "limit"),)
    ran = narrower(f"hostile-{language}", "hurried", *options, script.removeprefix("/scripts"), "1", code)
    assert ran == Came("deadline", 124, "1 -> 1\n", "", refusals, reason)


@pytest.mark.parametrize(
    ("language", "code", "expected"),
    [
        ("python", "os._exit(7)", Came("exited", 7, "", "", PYTHON_STARTS)),
        (
            "python",
            "os.abort()",
            Came("trapped", 122, "", "", PYTHON_STARTS, "wasm trap: wasm `unreachable` instruction executed"),
        ),
        ("ruby", "exit! 7", Came("exited", 7, "", "", RUBY_STARTS)),
    ],
)
def test_a_script_ends_itself(language: str, code: str, expected: Came, hostile: Run) -> None:
    """Its own status is the run's, and aborting is a trap."""
    assert hostile(language, code, "'never'") == expected


# Dialects


REBUILD = "rebuild it for wasm32-wasip1"
DIALECTS = {
    "sqlite": "wasi_unstable.fd_prestat_get (and 19 more that nothing serves): wasi_unstable is the snapshot before"
    f" preview 1; {REBUILD}",
    "wasmedge_quickjs": "wasi_snapshot_preview1.sock_open (and 7 more that nothing serves): it is no function of WASI"
    f" preview 1 but another runtime's extension; {REBUILD}",
}


@pytest.mark.parametrize("program", DIALECTS)
def test_programs_in_other_dialects_are_refused(program: str, copy: Path, runner: Runner) -> None:
    """SQLite built for the snapshot before preview 1, and QuickJS with another runtime's sockets, never start."""
    path = copy / "policies" / "other.yaml"
    path.write_text(f"version: 1\ncomponents: {{other: {{source: ../.guest-tools/programs/{program}.wasm}}}}\n")
    with pytest.raises(PlanError) as refused:
        runner.run(path)
    assert str(refused.value) == f"{path}:2: components.other.source: the module imports {DIALECTS[program]}"
