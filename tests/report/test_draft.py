"""What `init` writes: a policy that grants nothing, loads, and whose comments are grants that load as well."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox.component import Export, Facts, Import, ModuleFacts
from sandbox.policy.load import load_policy
from sandbox.policy.model import (
    Arguments,
    Clocks,
    ComponentPolicy,
    DirectoryGrant,
    Environment,
    Grants,
    Limits,
    Peer,
    Policy,
    Random,
    Sockets,
    Stdio,
    Stream,
    Wire,
)
from sandbox.preview1 import FUNCTIONS, MODULE
from sandbox.report.draft import draft_policy, draft_program, suggest_name
from sandbox.wasi import known_interfaces

DIGEST = "sha256:" + "0123456789abcdef" * 4
SERVED = tuple(f"{name}@0.2.3" for name, _ in known_interfaces())


EVERYTHING = """\
# yaml-language-server: $schema=policy.schema.json
# Nothing is granted yet: each attempt to use what is not granted fails for the component and is recorded.
version: 1
components:
  app:
    source: ../app.wasm
    digest: DIGEST # any other binary is refused
    grants: # its imports could use what follows; take the # away to grant it
      # filesystem:                                               # what lies below these directories
      #   - {host: ./data, guest: /data, access: read}            # or access: write, which includes read
      # stdio: {stdin: inherit, stdout: inherit, stderr: inherit} # inherit, discard, capture or {file: path}
      # environment: {set: {TZ: UTC}}                             # these alone; {inherit: [LANG]} passes the caller's
      # arguments: inherit                                        # what the caller writes after --
      # clocks: {wall: real, monotonic: real}                     # the time: real, coarse or frozen
      # random: secure                                            # {seed: 1} gives the same numbers each run
      # sockets:                                                  # SOCKETS
      #   tcp: {connect: ["example.com:443"]}                     # or listen: ["127.0.0.1:8080"]
      #   udp: {send: ["192.0.2.53:53"]}                          # or bind: ["127.0.0.1:5353"]
      #   dns: ["example.com"]                                    # NAMES
      # http: ["GET https://example.com/"]                        # LATER
    # The defaults; lower them to what it needs.
    limits: {deadline: 60s, memory: 512MiB, output: 64MiB, disk: 256MiB, handles: 256}
""".replace("LATER", "not enforced yet: refused")
EVERYTHING = EVERYTHING.replace("SOCKETS", "hosts and ports: names, *.example.com, addresses, 10.2.0.0/16")
EVERYTHING = EVERYTHING.replace("NAMES", "names only to look up; those above may be looked up too")


def facts(*imports: str, **changes: Any) -> Facts:
    values: dict[str, Any] = {
        "path": "app.wasm",
        "kind": "component",
        "size": 21724,
        "digest": DIGEST,
        "imports": tuple(Import(name=name, kind="instance") for name in imports),
        "exports": (Export(name="wasi:cli/run@0.2.3", kind="instance"),),
    }
    return Facts(**(values | changes))


def module(*functions: str, foreign: tuple[Import, ...] = ()) -> Facts:
    """A module that imports functions of preview 1, and what else is ``foreign``."""
    return facts(
        kind="module",
        imports=(*(Import(name=name, kind="func", module=MODULE) for name in functions), *foreign),
        exports=(Export(name="memory", kind="memory"), Export(name="_start", kind="func")),
        module=ModuleFacts(memory="plain", start=False),
    )


def load(directory: Path, text: str) -> ComponentPolicy:
    path = directory / "policy.yaml"
    path.write_text(text, encoding="utf-8")
    (component,) = load_policy(str(path)).components
    return component


def test_the_draft_of_everything() -> None:
    """Every family that the imports ask for stands in a comment with a word on it; nothing is granted."""
    assert draft_policy(facts(*SERVED), "../app.wasm", "app") == EVERYTHING.replace("DIGEST", DIGEST)


def test_the_draft_of_a_component_that_asks_for_nothing() -> None:
    """Without imports there is nothing to offer, and the draft says so."""
    assert (
        draft_policy(facts(), "app.wasm", "app")
        == f"""\
# yaml-language-server: $schema=policy.schema.json
# Nothing is granted yet: each attempt to use what is not granted fails for the component and is recorded.
version: 1
components:
  app:
    source: app.wasm
    digest: {DIGEST} # any other binary is refused
    grants: {{}} # its imports ask for nothing that a policy grants
    # The defaults; lower them to what it needs.
    limits: {{deadline: 60s, memory: 512MiB, output: 64MiB, disk: 256MiB, handles: 256}}
"""
    )


def test_the_draft_of_a_module() -> None:
    """A module is offered what its functions ask for; sockets, which no grant gives, are told in a comment."""
    assert (
        draft_policy(module(*FUNCTIONS), "app.wasm", "app")
        == f"""\
# yaml-language-server: $schema=policy.schema.json
# Nothing is granted yet: each attempt to use what is not granted fails for the module and is recorded.
# No grant serves sock_accept, sock_recv, sock_send, sock_shutdown: a module cannot open a socket.
# Each call fails for the module and is recorded.
version: 1
components:
  app:
    source: app.wasm
    digest: {DIGEST} # any other binary is refused
    grants: # its imports could use what follows; take the # away to grant it
      # filesystem:                                               # what lies below these directories
      #   - {{host: ./data, guest: /data, access: read}}            # or access: write, which includes read
      # stdio: {{stdin: inherit, stdout: inherit, stderr: inherit}} # inherit, discard, capture or {{file: path}}
      # environment: {{set: {{TZ: UTC}}}}                             # these alone; {{inherit: [LANG]}} passes the \
caller's
      # arguments: inherit                                        # what the caller writes after --
      # clocks: {{wall: real, monotonic: real}}                     # the time: real, coarse or frozen
      # random: secure                                            # {{seed: 1}} gives the same numbers each run
    # The defaults; lower them to what it needs.
    limits: {{deadline: 60s, memory: 512MiB, output: 64MiB, disk: 256MiB, handles: 256}}
"""
    )


@pytest.mark.parametrize(
    ("function", "offered"),
    [
        ("path_open", ["filesystem:", "  - {host: ./data, guest: /data, access: read}"]),
        ("fd_prestat_get", ["filesystem:", "  - {host: ./data, guest: /data, access: read}"]),
        ("fd_read", ["stdio: {stdin: inherit}"]),
        ("fd_write", ["stdio: {stdout: inherit, stderr: inherit}"]),
        ("environ_get", ["environment: {set: {TZ: UTC}}"]),
        ("args_sizes_get", ["arguments: inherit"]),
        ("clock_time_get", ["clocks: {wall: real, monotonic: real}"]),
        ("poll_oneoff", ["clocks: {monotonic: real}"]),
        ("random_get", ["random: secure"]),
        ("fd_close", []),
        ("proc_exit", []),
        ("sock_accept", []),
    ],
)
def test_what_a_function_of_preview_1_is_offered(function: str, offered: list[str]) -> None:
    """Each function brings the grant that it needs into the draft, and no other."""
    lines = draft_policy(module(function), "app.wasm", "app").splitlines()
    comments = [line.removeprefix("      # ") for line in lines if line.startswith("      # ")]
    assert [line.rpartition(" # ")[0].rstrip() for line in comments] == offered
    assert ("    grants: {} # its imports ask for nothing that a policy grants" in lines) == (not offered)


def test_a_module_that_cannot_run_is_told(tmp_path: Path) -> None:
    """Only the first import that nothing serves stands in a comment, which its name cannot leave."""
    foreign = tuple(Import(name="evil\nversion: 2\n#", kind="func", module=name) for name in ("host", "env"))
    text = draft_policy(module("fd_write", foreign=foreign), "app.wasm", "app")
    assert text.splitlines()[2:4] == [
        (
            "# It cannot run here: it imports 'host.evil\\nversion: 2\\n#' (and 1 more that nothing serves): only the"
            " functions of wasi_snapshot_preview1 are served; rebuild it for wasm32-wasip1."
        ),
        "version: 1",
    ]
    assert load(tmp_path, text).grants == Grants()


@pytest.mark.parametrize("imports", [(), SERVED])
def test_the_draft_is_a_policy_that_grants_nothing(tmp_path: Path, imports: tuple[str, ...]) -> None:
    """As written, the draft loads as the component, its digest, no grant and the limits' defaults."""
    assert load(tmp_path, draft_policy(facts(*imports), "app.wasm", "app")) == ComponentPolicy(
        name="app", source="app.wasm", digest=DIGEST, grants=Grants(), limits=Limits()
    )


def test_the_comments_are_grants(tmp_path: Path) -> None:
    """With the marks taken away, the draft loads and grants what the comments said, each family once."""
    lines = draft_policy(facts(*SERVED), "app.wasm", "app").splitlines()
    granted = [line.replace("      # ", "      ", 1) for line in lines if "not enforced yet" not in line]
    assert load(tmp_path, "\n".join(granted)).grants == Grants(
        filesystem=(DirectoryGrant(host="./data", guest="/data", access="read"),),
        stdio=Stdio(stdin=Stream(mode="inherit"), stdout=Stream(mode="inherit"), stderr=Stream(mode="inherit")),
        environment=Environment(set=(("TZ", "UTC"),)),
        arguments=Arguments(),
        clocks=Clocks(wall="real", monotonic="real"),
        random=Random(),
        sockets=Sockets(
            connect=(Peer(host="example.com", ports=(443, 443)),),
            send=(Peer(host="192.0.2.53", ports=(53, 53)),),
            dns=("example.com",),
        ),
    )


def test_only_what_is_imported_is_offered() -> None:
    """Streams, clocks and sockets are offered one by one, as the imports have them."""
    text = draft_policy(
        facts("wasi:cli/stderr@0.2.0", "wasi:clocks/wall-clock@0.2.0", "wasi:sockets/ip-name-lookup@0.2.0"), "a", "a"
    )
    assert [line for line in text.splitlines() if line.startswith("      #")] == [
        "      # stdio: {stderr: inherit} # inherit, discard, capture or {file: path}",
        "      # clocks: {wall: real}     # the time: real, coarse or frozen",
        "      # sockets:                 # hosts and ports: names, *.example.com, addresses, 10.2.0.0/16",
        '      #   dns: ["example.com"]   # names only to look up; those above may be looked up too',
    ]


PROGRAM = """\
# yaml-language-server: $schema=policy.schema.json
# Nothing is granted yet: each attempt to use what is not granted fails for the component and is recorded.
# By itself it cannot run: other components serve some of its imports, see below.
version: 1
components:
  ledger:
    source: app.wasm
    digest: DIGEST # any other binary is refused
    # imports: # the component of this file that serves each; one of types alone needs none
    #   "bank:payments/auth": auth # or {component: auth, only: [...]} with its functions
    #   "bank:audit/ledger": audit # or {component: audit, only: [...]} with its functions
    #   "bank:ledger/LEDGER": other # or {component: other, only: [...]} with its functions
    grants: # its imports could use what follows; take the # away to grant it
      # stdio: {stdout: inherit} # inherit, discard, capture or {file: path}
    # The defaults; lower them to what it needs.
    limits: {deadline: 60s, memory: 512MiB, output: 64MiB, disk: 256MiB, handles: 256}
    # Other components of this file can call what it exports. Then the limits of the one that is run
    # hold: remove these here, and write there
    #   imports:
    #     "bank:payments/ledger": ledger
    #     "bank:payments/books": ledger
"""


def test_the_draft_of_a_part_of_a_program(tmp_path: Path) -> None:
    """What others serve, and what it serves others, stand in comments, each interface once and for every version."""
    imports = ("bank:payments/auth@1.0.0", "bank:payments/auth@2.0.0", "bank:audit/ledger", "bank:ledger/LEDGER@1.0.0")
    exports = tuple(
        Export(name=name, kind="instance")
        for name in ("bank:payments/ledger@1.0.0", "wasi:cli/run@0.2.3", "bank:payments/books")
    )
    shown = facts(*imports, "wasi:cli/stdout@0.2.3", exports=(*exports, Export(name="a:b/c", kind="func")))
    text = draft_policy(shown, "app.wasm", "ledger")
    assert text == PROGRAM.replace("DIGEST", DIGEST)
    assert load(tmp_path, text).imports == ()


def test_the_comments_of_the_draft_are_imports(tmp_path: Path) -> None:
    """With the # taken away, and the other components added, it is a policy of a program."""
    text = draft_policy(facts("bank:payments/auth@1.0.0", "a:b/c"), "app.wasm", "app")
    text = re.sub(r"^    # ((?:imports:|  \"))", r"    \1", text, flags=re.MULTILINE)
    (tmp_path / "policy.yaml").write_text(f"{text}  auth: {{}}\n  c: {{}}\n", encoding="utf-8")
    assert load_policy(str(tmp_path / "policy.yaml")).components[0].imports == (
        Wire(interface="bank:payments/auth", component="auth"),
        Wire(interface="a:b/c", component="c"),
    )


def test_very_many_interfaces_have_no_line_each() -> None:
    """Fifty have one, and the others are counted."""
    names = tuple(f"a:b/c{number}" for number in range(60))
    exports = tuple(Export(name=name, kind="instance") for name in names)
    lines = draft_policy(facts(*names, exports=exports), "app.wasm", "app").splitlines()
    assert len([line for line in lines if "a:b/c" in line]) == 100
    assert [line for line in lines if "more" in line] == [
        "    #   and 10 more, which `sandbox inspect` shows",
        "    #     and 10 more, which `sandbox inspect` shows",
    ]


def test_imports_that_nothing_serves_are_told(tmp_path: Path) -> None:
    """An import that nothing serves is told in a comment that its name cannot leave."""
    text = draft_policy(facts("evil\nversion: 2\n#", "wasi:cli/stdin@0.3.0"), "app.wasm", "app")
    assert [line.partition(", and ")[::2] for line in text.splitlines()[2:5]] == [
        (
            "# It cannot run here: it imports evil\\nversion: 2\\n#",
            "it is not the name of an interface, and only interfaces of WASI 0.2 are served.",
        ),
        (
            "# It cannot run here: it imports wasi:cli/stdin@0.3.0",
            "it is of version 0.3.0; only releases of WASI 0.2 are served (0.2.0, 0.2.1, ...).",
        ),
        ("version: 1", ""),
    ]
    assert load(tmp_path, text).grants == Grants()


@pytest.mark.parametrize(
    ("changes", "source", "name", "message"),
    [
        (
            {},
            "app.wasm",
            "My App",
            "the component's name consists of 1 to 63 of a-z, 0-9, _ and -, and begins with a-z or 0-9",
        ),
        ({}, "a\udc80", "app", "a policy is UTF-8 and cannot name a file whose name is not"),
        ({}, "a\nb", "app", "a policy cannot name a file whose name holds control or other invisible characters"),
    ],
)
def test_what_has_no_draft(changes: dict[str, Any], source: str, name: str, message: str) -> None:
    """Where no valid policy could be written, none is, and a sentence says why."""
    with pytest.raises(ValueError) as caught:
        draft_policy(facts(**changes), source, name)
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("app.wasm", "app"),
        ("dir/My Report (2).WASM", "my-report-2"),
        ("./x_y-z.component.wasm", "x_y-z-component"),
        ("\u202e.wasm", "component"),
        ("a" * 100 + ".wasm", "a" * 63),
        ("", "component"),
    ],
)
def test_the_suggested_name(path: str, name: str) -> None:
    """A file's name gives a name that a policy accepts."""
    assert suggest_name(path) == name


@pytest.mark.parametrize("source", ["~x.wasm", "$HOME.wasm"])
def test_sources_that_a_policy_would_expand(tmp_path: Path, source: str) -> None:
    """A file whose name looks like something to expand is written so that it means itself."""
    assert load(tmp_path, draft_policy(facts(), source, "app")).source == "./" + source


@given(st.text(min_size=1), st.lists(st.text(), max_size=3))
def test_any_names_give_a_policy_or_a_sentence(
    tmp_path_factory: pytest.TempPathFactory, source: str, imports: list[str]
) -> None:
    """Whatever file and imports are called, the draft loads with that very source and no grant, or there is none."""
    try:
        text = draft_policy(facts(*imports), source, suggest_name(source))
    except ValueError:
        return
    component = load(tmp_path_factory.getbasetemp(), text)
    assert (component.source or "").removeprefix("./") == source.removeprefix("./")
    assert (component.name, component.grants) == (suggest_name(source), Grants())


WIRED = """\
# yaml-language-server: $schema=policy.schema.json
# Nothing is granted yet: each attempt to use what is not granted fails for the component and is recorded.
version: 1
run: "no"
components:
  "no":
    # It cannot run here: it imports evil\\nversion: 2, and REASON.
    source: main.wasm
    digest: DIGEST # any other binary is refused
    imports:
      "bank:payments/auth@1.0.0": {component: auth, instance: own}
      "bank:payments/book": book
    #   "bank:payments/types@1.0.0": types # served by none of these; one of types alone needs none
    grants: # its imports could use what follows; take the # away to grant it
      # stdio: {stdin: inherit, stdout: inherit} # inherit, discard, capture or {file: path}
    # The defaults, for the whole program; lower them to what it needs.
    limits: {deadline: 60s, memory: 512MiB, output: 64MiB, disk: 256MiB, handles: 256}
  auth:
    source: auth.wasm
    digest: DIGEST # any other binary is refused
    # imports:
    #   "bank:payments/keys@1.0.0": keys # served by none of these; one of types alone needs none
    grants: # its imports could use what follows; take the # away to grant it
      # stdio: {stdout: inherit} # inherit, discard, capture or {file: path}
  book:
    source: book.wasm
    digest: DIGEST # any other binary is refused
    grants: {} # its imports ask for nothing that a policy grants
"""


def test_a_program(tmp_path: Path) -> None:
    """The components of a program with their wires, and what no other one serves; only one has limits and an input."""
    streams = ("wasi:cli/stdin@0.2.3", "wasi:cli/stdout@0.2.3")
    wires = (
        Wire(interface="bank:payments/auth@1.0.0", component="auth", own=True),
        Wire(interface="bank:payments/book", component="book"),
    )
    served = ("bank:payments/auth@1.0.0", "bank:payments/book@2.0.0", "bank:payments/types@1.0.0")
    components = (
        ComponentPolicy(name="no", source="main.wasm", digest=DIGEST, imports=wires),
        ComponentPolicy(name="auth", source="auth.wasm", digest=DIGEST),
        ComponentPolicy(name="book", source="book.wasm", digest=DIGEST),
    )
    policy = Policy(file="", directory="", digest="", components=components, run="no")
    text = draft_program(
        policy,
        {
            "no": facts(*streams, *served, "evil\nversion: 2"),
            "auth": facts(*streams, "bank:payments/keys@1.0.0"),
            "book": facts(),
        },
    )
    reason = "it is not the name of an interface, and only interfaces of WASI 0.2 are served"
    assert text == WIRED.replace("DIGEST", DIGEST).replace("REASON", reason)
    (tmp_path / "policy.yaml").write_text(text, encoding="utf-8")
    loaded = load_policy(tmp_path / "policy.yaml")
    assert (loaded.components, loaded.run) == (components, "no")
