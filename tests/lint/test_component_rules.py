"""What a component is, against what a policy says of it: its digest, its file, the lock, its imports and its grants."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox.component import Export, Facts, Import, facts_of
from sandbox.lint.finding import Finding
from sandbox.lint.fixes import apply
from sandbox.lint.lock import locked_of, write_lock
from sandbox.lint.needs import PARTS, named, needs_of, unserved
from sandbox.preview1 import FUNCTIONS, MODULE
from sandbox.wasi import known_interfaces
from tests.lint.specimens import component, linter, module
from tests.lint.specimens import named as of_policy

OWN = (
    "changed-component",
    "digest-mismatch",
    "malformed-digest",
    "missing-component",
    "ungranted-import",
    "unlocked-component",
    "unreadable-component",
    "unreadable-lock",
    "unserved-import",
    "unused-grant",
    "widened-component",
)
OTHER = "sha256:c8a33888db452440770db89f400f79a7174362b03efc41af1eabfca65ac7f032"
"""A digest that none of these files has."""
FILES = ("wasi:filesystem/types", "wasi:filesystem/preopens")


def digest_of(data: bytes) -> str:
    return "sha256:" + hashlib.sha256(data).hexdigest()


def policy(grants: str = "", digest: str | None = None) -> str:
    """A policy whose ``grants`` are lines that stand four spaces in, from line 6 on, or 5 without a digest."""
    pin = f"    digest: {digest}\n" if digest is not None else ""
    limits = "    limits: {memory: 64MiB, deadline: 10s, disk: 1MiB}\n"
    return f"version: 1\ncomponents:\n  app:\n    source: app.wasm\n{pin}{grants}{limits}"


def lint(text: str, place: Path, binary: bytes | None = None, lock: dict[str, bytes] | None = None) -> list[Finding]:
    """What these rules find in a policy in ``place``, where ``app.wasm`` is ``binary`` and ``lock`` is locked."""
    place.mkdir(exist_ok=True)
    (place / "data").mkdir(exist_ok=True)
    if binary is not None:
        (place / "app.wasm").write_bytes(binary)
    if lock is not None:
        write_lock(str(place), {name: locked_of(facts_of(name, data)) for name, data in lock.items()})
    (place / "policy.yaml").write_text(text, encoding="utf-8")
    return [of_policy(f) for f in linter(place).file(str(place / "policy.yaml")) if f.rule in OWN]


def told(findings: list[Finding], *left_out: str) -> list[tuple[str, str, str]]:
    """What is marked, the rule, and the message, of findings of other rules than those that are left out."""
    return [(f.snippet, f.rule, f.message) for f in findings if f.rule not in left_out]


def mend(text: str, finding: Finding) -> tuple[str, bool]:
    """The policy with a finding's fix, and whether that is safe."""
    assert finding.fix is not None
    return apply(text, finding.fix.edits), finding.fix.safe


PLACEHOLDERS = {
    "0" * 64: "the same digit over and over, a placeholder",
    "f" * 64: "the same digit over and over, a placeholder",
    "ab" * 32: "the same 2 digits over and over, a placeholder",
    "deadbeef" * 8: "the same 8 digits over and over, a placeholder",
    "0123456789abcdef" * 4: "the same 16 digits over and over, a placeholder",
    hashlib.sha256(b"").hexdigest(): "the digest of an empty file",
}


@pytest.mark.parametrize("digits", PLACEHOLDERS)
def test_a_placeholder_is_no_digest(digits: str, tmp_path: Path) -> None:
    """It is found whether there is a file or not, is judged, and is not called a mismatch as well."""
    text = policy(digest=f'"sha256:{digits}"')
    binary = component([])
    (found,) = lint(text, tmp_path / "there", binary)
    message = f"this is {PLACEHOLDERS[digits]}: no component has this digest, so each run is refused"
    assert told([found]) == [(f'"sha256:{digits}"', "malformed-digest", message)]
    assert (found.severity, found.unjudged) == ("high", False)
    assert mend(text, found) == (policy(digest=digest_of(binary)), False)
    absent = lint(text, tmp_path / "absent")
    assert [(f.rule, f.fix) for f in absent] == [("missing-component", None), ("malformed-digest", None)]


@pytest.mark.parametrize(
    "digest", ["sha256:" + "0" * 63 + "1", "sha256:" + "0123456789abcdef" * 3 + "0123456789abcdee"]
)
def test_what_merely_looks_regular_may_be_a_digest(digest: str, tmp_path: Path) -> None:
    """Digits that are nearly the same over and over are taken for what they say."""
    assert [f.rule for f in lint(policy(digest=digest), tmp_path, component([]))] == ["digest-mismatch"]


@pytest.mark.parametrize("digest", ["sha256:abc", f"sha512:{'0' * 64}", OTHER.upper(), "1", "[]", "''"])
def test_a_digest_that_the_language_refuses_is_not_judged(digest: str, tmp_path: Path) -> None:
    """The loader's fault is this rule's finding; nobody looked at the rest of the policy."""
    found = lint(policy(digest=digest), tmp_path, component([]))
    assert [(f.rule, f.severity, f.unjudged, f.fix) for f in found] == [("malformed-digest", "high", True, None)]


def test_another_binary_than_the_pinned_one_is_told(tmp_path: Path) -> None:
    """The new digest is named and can be pinned, unsafely; whether the grants suit that file is not judged."""
    binary = component(["custom:own/thing@1.0.0"])
    text = policy("    grants: {random: secure}\n", OTHER)
    (found,) = lint(text, tmp_path, binary)
    message = (
        f"the file is {digest_of(binary)}, so each run is refused; the new binary must be reviewed before it is pinned"
    )
    assert told([found]) == [(OTHER, "digest-mismatch", message)]
    assert (found.severity, found.confidence) == ("high", "high")
    assert mend(text, found) == (policy("    grants: {random: secure}\n", digest_of(binary)), False)


def test_a_mismatch_says_what_the_new_binary_asks_for_beyond_the_locked_one(tmp_path: Path) -> None:
    """Where the lock has what is pinned, it tells the two apart; it is not called changed or widened as well."""
    old, new = component(["wasi:cli/stdout"]), component(["wasi:cli/stdout", "wasi:random/random"])
    grants = "    grants: {stdio: {stdout: inherit}, random: secure}\n"
    (found,) = lint(policy(grants, digest_of(old)), tmp_path, new, {"app.wasm": old})
    assert (found.rule, found.message) == (
        "digest-mismatch",
        (
            f"the file is {digest_of(new)}, so each run is refused; the new binary must be reviewed before it is"
            " pinned: unlike the one that is pinned, it could now take secure random numbers, for keys among others"
            " (wasi:random/random)"
        ),
    )


def test_a_mismatch_says_nothing_of_a_lock_that_has_another_one_than_is_pinned(tmp_path: Path) -> None:
    """What is locked is not what was pinned: to compare with it would speak of a third binary."""
    old, new = component(["wasi:cli/stdout"]), component(["wasi:cli/stdout", "wasi:random/random"])
    (found,) = lint(policy("    grants: {stdio: {stdout: inherit}}\n", OTHER), tmp_path, new, {"app.wasm": old})
    assert (found.rule, found.message) == (
        "digest-mismatch",
        f"the file is {digest_of(new)}, so each run is refused; the new binary must be reviewed before it is pinned",
    )


def test_a_component_that_is_not_there_is_told(tmp_path: Path) -> None:
    """Where no lock has it, or the lock has another one than is pinned, its grants are not judged."""
    path = tmp_path / "a" / "app.wasm"
    cases: list[tuple[str | None, dict[str, bytes] | None, str]] = [
        (None, None, "no lock says what it imports"),
        (OTHER, None, "no lock says what it imports"),
        (None, {"other.wasm": component([])}, "no lock says what it imports"),
        (OTHER, {"app.wasm": component([])}, "what the lock has is another one than the policy pins"),
    ]
    for number, (digest, lock, instead) in enumerate(cases):
        place = tmp_path / str(number)
        message = f"there is no file at {place / path.name}, and {instead}: whether the grants suit it was not judged"
        (found,) = lint(policy("    grants: {random: secure}\n", digest), place, None, lock)
        assert told([found]) == [("app.wasm", "missing-component", message)]
        assert (found.severity, found.unjudged) == ("medium", False)


def test_a_component_that_is_not_there_is_judged_by_its_lock(tmp_path: Path) -> None:
    """With the pinned digest what the lock says holds, also for a fix."""
    locked = component(["wasi:cli/stdout"])
    text = policy("    grants: {stdio: {stdout: inherit}, random: secure}\n", digest_of(locked))
    (found,) = lint(text, tmp_path, None, {"app.wasm": locked})
    assert (found.rule, found.snippet) == ("unused-grant", "random")
    assert mend(text, found) == (policy("    grants: {stdio: {stdout: inherit}}\n", digest_of(locked)), True)


UNREADABLE = {
    b"": "not WebAssembly: the file is empty",
    b"(component)": "not WebAssembly: looks like its text format; encode it first",
    b"\0asm": "the file ends inside its first eight bytes",
    b"\0asm\x0d\0\x01\0\x0a\xff\xff\xff\xff\x0f": "4294967295 bytes are announced at byte 14, 0 are left",
    b"\0asm\x0d\0\x01\0\x0a\x06\x01\x00\x02\xff\xfe\x05": "a name that is not UTF-8 at byte 13",
    b"\x7fELF\x02\x01\x01\x00": "not WebAssembly: it does not begin with \\0asm",
}


@pytest.mark.parametrize("binary", UNREADABLE)
def test_a_file_that_is_no_component_is_not_judged(binary: bytes, tmp_path: Path) -> None:
    """What is wrong with it is told at its path, and it alone, whatever is pinned and locked."""
    lock = {"app.wasm": component([])}
    (found,) = lint(policy("    grants: {random: secure}\n", OTHER), tmp_path, binary, lock)
    assert told([found]) == [("app.wasm", "unreadable-component", f"this file cannot be judged: {UNREADABLE[binary]}")]
    assert (found.severity, found.unjudged) == ("high", True)


def test_what_is_no_file_is_not_opened(tmp_path: Path) -> None:
    """A directory, a FIFO that nobody writes to, and links that lead nowhere or in a circle are no components."""
    for name in ("directory", "fifo", "nowhere", "circle"):
        (tmp_path / name).mkdir()
    (tmp_path / "directory" / "app.wasm").mkdir()
    os.mkfifo(tmp_path / "fifo" / "app.wasm")
    (tmp_path / "nowhere" / "app.wasm").symlink_to("gone.wasm")
    (tmp_path / "circle" / "app.wasm").symlink_to("app.wasm")
    assert {name: told(lint(policy(), tmp_path / name)) for name in ("directory", "fifo", "nowhere", "circle")} == {
        name: [("app.wasm", "unreadable-component", f"this file cannot be judged: {why}")]
        for name, why in (
            ("directory", "cannot be read: Is a directory"),
            ("fifo", "not a regular file"),
            ("nowhere", "cannot be read: No such file or directory"),
            ("circle", "cannot be read: Too many levels of symbolic links"),
        )
    }


def test_an_unreadable_component_cannot_be_ignored(tmp_path: Path) -> None:
    """A comment does not make it judged."""
    text = policy().replace("app.wasm", "app.wasm # sandbox: ignore[unreadable-component] later")
    assert [(f.rule, f.ignored) for f in lint(text, tmp_path, b"")] == [("unreadable-component", None)]


UNSERVED = {
    "custom:own/thing@1.0.0": "'custom:own/thing@1.0.0': it is not part of WASI;"
    " another component can serve it, by `imports` of the policy",
    "wasi:cli/stdin@0.3.0": "'wasi:cli/stdin@0.3.0': it is of version 0.3.0;"
    " only releases of WASI 0.2 are served (0.2.0, 0.2.1, ...)",
    "wasi:keyvalue/store@0.2.0": "'wasi:keyvalue/store@0.2.0': wasi:keyvalue is not part of WASI 0.2",
}


@pytest.mark.parametrize("name", UNSERVED)
def test_an_import_that_nothing_serves_is_told(name: str, tmp_path: Path) -> None:
    """It is told at the component, once, and its grants are not judged."""
    binary = component(["wasi:cli/stdout", name])
    (found,) = lint(policy("    grants: {random: secure}\n"), tmp_path, binary)
    message = f"each run is refused: the component imports {UNSERVED[name]}"
    assert told([found]) == [("app.wasm", "unserved-import", message)]
    assert (found.severity, found.unjudged, found.fix) == ("medium", False, None)


def test_only_the_first_of_many_is_named(tmp_path: Path) -> None:
    """A component that imports nothing else makes one short finding, its name cut and escaped."""
    facts = Facts(
        path="app.wasm",
        kind="component",
        size=0,
        digest=OTHER,
        imports=tuple(Import(name=f"\x1b[2J{'x' * 5000}{number}", kind="instance") for number in range(10_000)),
        exports=(),
    )
    reason = "it is not the name of an interface, and only interfaces of WASI 0.2 are served"
    shown = f"'\\x1b[2J{'x' * 93}...'"
    assert unserved(facts) == (f"imports {shown} (and 9,999 more that nothing serves): {reason}",)
    assert needs_of(facts) == {}


def test_what_is_no_interface_is_served_by_none() -> None:
    """A function or a value by the name of an interface is none."""
    for kind in ("func", "value", "type", "module", "component"):
        facts = Facts("app.wasm", "component", 0, OTHER, (Import("wasi:cli/stdin@0.2.0", kind),), ())
        assert unserved(facts) == ("imports 'wasi:cli/stdin@0.2.0': it is not an interface",)


def test_modules_import_functions_of_preview_1_alone(tmp_path: Path) -> None:
    """What another host gives, and a memory that preview 1 cannot work on, keep a module from running."""
    (found,) = lint(policy(), tmp_path, module(["fd_write", "wasi_unstable.fd_read", "env.f"]))
    assert (found.rule, found.message) == (
        "unserved-import",
        (
            "each run is refused: the module imports wasi_unstable.fd_read (and 1 more that nothing serves):"
            " wasi_unstable is the snapshot before preview 1; rebuild it for wasm32-wasip1"
        ),
    )


USED = [
    (FILES, "filesystem: [{host: ./data, guest: /d, access: write}]"),
    (("wasi:cli/stdin",), "stdio: {stdin: inherit}"),
    (("wasi:cli/terminal-stdin",), "stdio: {stdin: inherit}"),
    (("wasi:cli/stdout", "wasi:cli/terminal-stderr"), "stdio: {stdout: inherit, stderr: capture}"),
    ((), "stdio: {stdin: closed, stdout: discard, stderr: closed}"),
    (("wasi:cli/environment",), "environment: {set: {A: b}}"),
    (("wasi:cli/environment",), "arguments: inherit"),
    ((), "environment: {}"),
    ((), "arguments: []"),
    ((), "filesystem: []"),
    (("wasi:clocks/wall-clock",), "clocks: real"),
    (("wasi:clocks/monotonic-clock",), "clocks: real"),
    (("wasi:clocks/timezone",), "clocks: {wall: real}"),
    (("wasi:random/insecure",), "random: secure"),
    (("wasi:random/insecure-seed",), "random: {seed: 1}"),
    (("wasi:sockets/tcp",), 'sockets: {tcp: {connect: ["1.1.1.1:53"]}}'),
    (("wasi:sockets/tcp-create-socket",), 'sockets: {tcp: {listen: ["127.0.0.1:8080"]}}'),
    (("wasi:sockets/udp",), 'sockets: {udp: {bind: ["127.0.0.1:53"]}}'),
    (("wasi:sockets/udp-create-socket",), 'sockets: {udp: {send: ["1.1.1.1:53"]}}'),
    (("wasi:sockets/ip-name-lookup",), "sockets: {dns: [a.example]}"),
    (("wasi:sockets/tcp", "wasi:sockets/ip-name-lookup"), 'sockets: {tcp: {connect: ["a.example:80"]}}'),
    ((), "sockets: {deny: [a.example], audit: all}"),
    ((), "sockets: {tcp: {connect: []}, dns: []}"),
]


@pytest.mark.parametrize(("imports", "grants"), USED)
def test_what_a_component_can_use_is_not_unused(imports: tuple[str, ...], grants: str, tmp_path: Path) -> None:
    """Any interface that needs a grant makes it used; what grants nothing is no grant."""
    text = policy(f"    grants: {{{grants}}}\n", digest_of(component([*imports])))
    assert told(lint(text, tmp_path, component([*imports])), "ungranted-import") == []


UNUSED: list[tuple[tuple[str, ...], str, str, str, str, bool]] = [
    (
        (FILES[0], "wasi:io/streams"),
        "filesystem: [{host: ./data, guest: /d, access: write}]",
        "filesystem",
        "opens a directory",
        "",
        True,
    ),
    (
        (FILES[1],),
        "filesystem: [{host: ./data, guest: /d, access: write}]",
        "filesystem",
        "opens a directory",
        "",
        False,
    ),
    (("wasi:cli/stdout", "wasi:io/poll"), "stdio: {stdin: inherit}", "stdin", "reads standard input", "", False),
    ((), "stdio: {stdin: {file: in}}", "stdin", "reads standard input", "", True),
    (("wasi:cli/stderr",), "stdio: {stdout: inherit}", "stdout", "writes standard output", "", True),
    (("wasi:cli/stdin",), "stdio: {stdout: capture}", "stdout", "writes standard output", "", False),
    (("wasi:cli/stdin",), "stdio: {stderr: {file: out}}", "stderr", "writes standard error", "", False),
    (("wasi:cli/exit",), "environment: {inherit: [LANG]}", "environment", "reads environment variables", "", True),
    ((), "arguments: inherit", "arguments", "reads arguments", "", False),
    ((), 'arguments: ["-v"]', "arguments", "reads arguments", "", True),
    ((), "clocks: real", "clocks", "reads the date and time or measures time", "", True),
    (
        ("wasi:clocks/wall-clock",),
        "clocks: {wall: real, monotonic: coarse}",
        "monotonic",
        "measures time",
        "clocks: {wall: real}",
        True,
    ),
    (("wasi:clocks/monotonic-clock",), "clocks: {wall: real}", "wall", "reads the date and time", "", True),
    ((), "random: secure", "random", "takes random numbers", "", True),
    ((), 'sockets: {tcp: {connect: ["1.1.1.1:53"]}, deny: [a.example]}', "sockets", "uses TCP", "", True),
    (("wasi:sockets/network",), 'sockets: {udp: {bind: ["127.0.0.1:53"]}}', "sockets", "uses UDP", "", False),
    (
        ("wasi:sockets/udp",),
        'sockets: {tcp: {listen: ["127.0.0.1:80"]}, dns: [a.example]}',
        "sockets",
        "uses TCP or looks up names",
        "",
        False,
    ),
    (
        ("wasi:sockets/tcp",),
        'sockets: {tcp: {listen: ["127.0.0.1:80"]}, dns: [a.example]}',
        "dns",
        "looks up names",
        'sockets: {tcp: {listen: ["127.0.0.1:80"]}}',
        True,
    ),
]


@pytest.mark.parametrize(("imports", "grants", "key", "does", "left", "safe"), UNUSED)
def test_what_a_component_cannot_use_is_told_and_removed(
    imports: tuple[str, ...], grants: str, key: str, does: str, left: str, safe: bool, tmp_path: Path
) -> None:
    """The grant's key is marked; it goes safely where the binary is pinned and no run can tell the difference."""
    binary = component([*imports])
    (tmp_path / "in").touch()
    for digest in (digest_of(binary), None):
        text = policy(f"    grants: {{{grants}}}\n", digest)
        (found,) = (f for f in lint(text, tmp_path, binary) if f.rule != "ungranted-import")
        message = f"the component imports nothing that {does}: it has no use for this grant"
        assert told([found]) == [(key, "unused-grant", message)]
        assert found.severity == "medium"
        assert mend(text, found) == (policy(f"    grants: {{{left}}}\n", digest), safe and digest is not None)


@pytest.mark.parametrize("grants", ["clocks: frozen", "clocks: {wall: frozen}", "random: seeded", "random: {seed: 4}"])
def test_unused_grants_that_give_nothing_away_are_only_noted(grants: str, tmp_path: Path) -> None:
    """Frozen time and a seed are the policy's own."""
    found = lint(policy(f"    grants: {{{grants}}}\n"), tmp_path, component([]))
    assert [(f.rule, f.severity) for f in found] == [("unused-grant", "low")]


def test_grants_in_block_style_go_with_their_lines(tmp_path: Path) -> None:
    """Comments beside what is removed are still there."""
    grants = """\
    grants:
      # What it reads.
      filesystem:
        - host: ./data
          guest: /data
          access: read
      stdio:
        stdin: inherit # from the caller
        # The report.
        stdout: inherit
      clocks: real
"""
    binary = component([*FILES, "wasi:cli/stdout"])
    text = policy(grants, digest_of(binary))
    stdin, clocks = lint(text, tmp_path, binary)
    assert mend(text, stdin) == (text.replace("        stdin: inherit # from the caller\n", ""), False)
    assert mend(text, clocks) == (text.replace("      clocks: real\n", ""), True)


NAMES = [
    (["a.example:80"], "a.example:80", "", "grants: {}"),
    (["1.1.1.1:53", "a.example:80"], "a.example:80", "", 'grants: {sockets: {tcp: {connect: ["1.1.1.1:53"]}}}'),
    (["1.1.1.1:53", "*.a.example:80", "b.example:80"], "*.a.example:80", " (and 1 more in this list)", None),
]


@pytest.mark.parametrize(("peers", "first", "others", "left"), NAMES)
def test_peers_by_name_are_out_of_reach_without_look_ups(
    peers: list[str], first: str, others: str, left: str | None, tmp_path: Path
) -> None:
    """An address counts for a name only where the same run looked it up; the first such peer is marked."""
    binary = component(["wasi:sockets/tcp"])
    written = ", ".join(f'"{peer}"' for peer in peers)
    text = policy(f"    grants: {{sockets: {{tcp: {{connect: [{written}]}}}}}}\n", digest_of(binary))
    (found,) = lint(text, tmp_path, binary)
    message = f"the component imports nothing that looks up names: it never gets an address for this one{others}"
    assert told([found]) == [(f'"{first}"', "unused-grant", message)]
    if left is None:
        assert found.fix is None
    else:
        assert mend(text, found) == (policy(f"    {left}\n", digest_of(binary)), True)


MODULES: list[tuple[list[str], str, list[tuple[str, str]]]] = [
    (["fd_read"], "stdio: {stdin: inherit}", []),
    (["fd_write"], "stdio: {stdout: inherit, stderr: inherit}", []),
    (["fd_write"], "stdio: {stdin: inherit}", [("stdin", "reads standard input")]),
    (["poll_oneoff"], "clocks: {wall: real, monotonic: real}", []),
    (["clock_res_get"], "clocks: real", []),
    (["environ_sizes_get"], "environment: {set: {A: b}}", []),
    (["environ_get"], "arguments: inherit", [("arguments", "reads arguments")]),
    (["args_get"], "environment: {set: {A: b}}", [("environment", "reads environment variables")]),
    (["random_get"], "random: secure", []),
    (["path_open"], "filesystem: [{host: ./data, guest: /d, access: write}]", []),
    (["fd_readdir"], "filesystem: [{host: ./data, guest: /d, access: read}]", []),
    (
        ["fd_prestat_get", "fd_prestat_dir_name", "fd_close"],
        "filesystem: [{host: ./data, guest: /d, access: write}]",
        [("filesystem", "opens a directory")],
    ),
]


@pytest.mark.parametrize(("imports", "grants", "unused"), MODULES)
def test_a_module_uses_what_its_functions_need(
    imports: list[str], grants: str, unused: list[tuple[str, str]], tmp_path: Path
) -> None:
    """The functions of preview 1 are held against grants as interfaces are."""
    text = policy(f"    grants: {{{grants}}}\n")
    assert told(lint(text, tmp_path, module(imports)), "ungranted-import") == [
        (key, "unused-grant", f"the module imports nothing that {does}: it has no use for this grant")
        for key, does in unused
    ]


def test_a_module_that_writes_no_files_needs_no_directory_to_write(tmp_path: Path) -> None:
    """Each grant for writing is told, at the word, and can be narrowed; a module may ask what it has, so not safely."""
    binary = module(["path_filestat_get", "fd_readdir", "fd_write"])
    one, two = "{host: ./data, guest: /d, access: write}", "{host: ./out, guest: /o, access: read}"
    text = policy(f"    grants: {{filesystem: [{one}, {two}]}}\n", digest_of(binary))
    (found,) = (f for f in lint(text, tmp_path, binary) if f.rule != "ungranted-import")
    message = "the module imports nothing that makes, changes or removes files: `read` is enough"
    assert told([found]) == [("write", "unused-grant", message)]
    assert mend(text, found) == (text.replace("write", "read"), False)


def test_a_module_granted_the_network_cannot_run(tmp_path: Path) -> None:
    """Whatever it imports, it is told at `sockets` that each run is refused; lists that are empty grant nothing."""
    text = policy('    grants: {sockets: {tcp: {connect: ["a.example:80"]}}}\n')
    for number, binary in enumerate((module(["fd_write"]), module(["sock_accept", "sock_send"]))):
        found = lint(text, tmp_path / str(number), binary)
        message = "a module has no way to open a socket, so each run is refused: build a component, or remove this"
        assert told(found, "ungranted-import") == [("sockets", "unused-grant", message)]
    assert lint(policy("    grants: {sockets: {deny: [a.example]}}\n"), tmp_path / "empty", module([])) == []


UNGRANTED: list[tuple[bytes, str, list[str]]] = [
    (component([]), "grants: {}", []),
    (
        component([*FILES]),
        "grants: {}",
        [
            (
                "the component imports wasi:filesystem/types and wasi:filesystem/preopens, and `filesystem` is not"
                " granted: it gets an empty root directory, and each path below it is refused and recorded"
            )
        ],
    ),
    (component([FILES[0]]), "grants: {}", []),
    (component([*FILES]), "grants: {filesystem: []}", []),
    (
        component(["wasi:cli/stdin", "wasi:cli/stdout", "wasi:cli/stderr", "wasi:cli/terminal-stdin"]),
        "grants: {stdio: {stdout: closed}}",
        [
            (
                "the component imports wasi:cli/stdin and wasi:cli/stderr, and `stdio.stdin` and `stdio.stderr` are not"
                " granted: input is at its end, error output is thrown away, and the first use of each stream is"
                " recorded"
            )
        ],
    ),
    (
        component(["wasi:cli/terminal-stdout", "wasi:clocks/timezone", "wasi:io/poll", "wasi:cli/exit"]),
        "grants: {}",
        [],
    ),
    (
        component(["wasi:cli/environment"]),
        "grants: {}",
        [
            (
                "the component imports wasi:cli/environment, and `environment` and `arguments` are not granted: it gets"
                " empty lists, and asking for them is recorded"
            )
        ],
    ),
    (component(["wasi:cli/environment"]), "grants: {arguments: inherit}", []),
    (component(["wasi:cli/environment"]), "grants: {environment: {}}", []),
    (
        component(["wasi:clocks/monotonic-clock", "wasi:clocks/timezone"]),
        "grants: {clocks: }",
        [
            (
                "the component imports wasi:clocks/monotonic-clock, and `clocks.monotonic` is not granted: time stands"
                " still, and the first use of each clock is recorded"
            )
        ],
    ),
    (component(["wasi:clocks/monotonic-clock"]), "grants: {clocks: {monotonic: frozen}}", []),
    (
        component(["wasi:random/random", "wasi:random/insecure"]),
        "grants: {}",
        [
            (
                "the component imports wasi:random/random and wasi:random/insecure, and `random` is not granted: asking"
                " for secure numbers ends the run and insecure ones are the same in each run, which is recorded"
            )
        ],
    ),
    (
        component(["wasi:random/insecure-seed"]),
        "grants: {}",
        [
            (
                "the component imports wasi:random/insecure-seed, and `random` is not granted: insecure ones"
                " are the same in each run, which is recorded"
            )
        ],
    ),
    (
        component(["wasi:sockets/tcp", "wasi:sockets/ip-name-lookup", "wasi:sockets/instance-network"]),
        "grants: {sockets: {udp: {}}}",
        [
            (
                "the component imports wasi:sockets/tcp and wasi:sockets/ip-name-lookup, and `sockets.tcp` and"
                " `sockets.dns` are not granted: each use is refused and recorded"
            )
        ],
    ),
    (
        component(["wasi:sockets/tcp", "wasi:sockets/udp", "wasi:sockets/ip-name-lookup"]),
        'grants: {sockets: {tcp: {connect: ["a.example:80"]}}}',
        ["the component imports wasi:sockets/udp, and `sockets.udp` is not granted: each use is refused and recorded"],
    ),
    (
        component(["wasi:http/outgoing-handler"]),
        "grants: {}",
        [
            (
                "the component imports wasi:http/outgoing-handler, and HTTP cannot be granted yet: each request is"
                " refused and recorded"
            )
        ],
    ),
    (
        module(["environ_get", "args_get", "fd_write", "path_open", "clock_time_get"]),
        "grants: {filesystem: [{host: ./data, guest: /d, access: write}], arguments: inherit, clocks: {wall: real}}",
        [
            (
                "the module imports environ_get, and `environment` is not granted: it gets an empty list, and asking"
                " for it is recorded"
            )
        ],
    ),
    (module(["fd_write"]), "grants: {stdio: {stderr: inherit}}", []),
    (
        module(["sock_accept", "sock_recv", "sock_send", "sock_shutdown"]),
        "grants: {}",
        [
            (
                "the module imports sock_accept, sock_recv, sock_send and 1 more, and a module can be granted no"
                " sockets: there is none for it, and each call is recorded"
            )
        ],
    ),
]


@pytest.mark.parametrize(("binary", "grants", "messages"), UNGRANTED)
def test_imports_that_the_policy_does_not_speak_of_are_noted(
    binary: bytes, grants: str, messages: list[str], tmp_path: Path
) -> None:
    """Each family once, at ``grants``, with what its use comes to; what is left out on purpose is not told."""
    found = lint(policy(f"    {grants}\n", digest_of(binary)), tmp_path, binary)
    assert told(found) == [("grants", "ungranted-import", message) for message in messages]
    assert [f for f in found if f.severity != "low"] == []


def test_without_grants_the_component_itself_is_marked(tmp_path: Path) -> None:
    """There is no key that says what is granted, so the finding stands at the component's name."""
    (found,) = lint(policy(), tmp_path, component(["wasi:random/random"]))
    assert (found.snippet, found.route, found.region.line) == ("app", "components.app", 3)


STDOUT, MORE, NONE = component(["wasi:cli/stdout"]), component(["wasi:cli/stdout", "wasi:random/random"]), component([])
ANEW = STDOUT + b"\0\5\4anew"
WIDER = (
    "unlike the binary that is locked, the component could now take secure random numbers, for keys among others"
    " (wasi:random/random)"
)
SAME = "the component is another binary than the locked one (it imports and exports the same)"
REVIEW = "; review it and run `sandbox lock`"
LOCKS: list[tuple[str, bytes, dict[str, bytes] | None, str | None, list[tuple[str, str]]]] = [
    ("no lock", STDOUT, None, None, []),
    ("agrees", STDOUT, {"app.wasm": STDOUT}, None, []),
    ("agrees with a pin", STDOUT, {"app.wasm": STDOUT}, digest_of(STDOUT), []),
    ("rebuilt", ANEW, {"app.wasm": STDOUT}, None, [("changed-component", SAME + REVIEW)]),
    ("rebuilt and pinned", ANEW, {"app.wasm": STDOUT}, digest_of(ANEW), [("changed-component", SAME + REVIEW)]),
    (
        "asks for less",
        STDOUT,
        {"app.wasm": MORE},
        None,
        [
            (
                "changed-component",
                (
                    "the component is another binary than the locked one (it can no longer take secure random numbers,"
                    f" for keys among others (wasi:random/random)){REVIEW}"
                ),
            )
        ],
    ),
    ("asks for more", MORE, {"app.wasm": STDOUT}, None, [("widened-component", WIDER)]),
    ("asks for more and is pinned", MORE, {"app.wasm": STDOUT}, digest_of(MORE), [("widened-component", WIDER)]),
    (
        "is not in it",
        STDOUT,
        {"other.wasm": STDOUT},
        None,
        [("unlocked-component", "the lock beside this policy does not")],
    ),
]


@pytest.mark.parametrize(
    ("binary", "lock", "digest", "findings"), [row[1:] for row in LOCKS], ids=[r[0] for r in LOCKS]
)
def test_a_component_is_held_against_the_lock(
    binary: bytes, lock: dict[str, bytes] | None, digest: str | None, findings: list[tuple[str, str]], tmp_path: Path
) -> None:
    """What differs is told at its path, by one rule; what agrees is not told."""
    text = policy("    grants: {stdio: {stdout: inherit}}\n", digest)
    found = told(lint(text, tmp_path, binary, lock), "ungranted-import")
    assert [(at, rule) for at, rule, _ in found] == [("app.wasm", rule) for rule, _ in findings]
    assert [m for _, _, m in found if not any(m.startswith(start) for _, start in findings)] == []


def test_a_lock_with_the_same_digest_and_other_imports_is_not_believed(tmp_path: Path) -> None:
    """No lock that was made of this very binary can differ, so it was changed, and is not called wider."""
    write = lint(policy(), tmp_path, MORE, {"app.wasm": STDOUT})
    assert [f.rule for f in write if f.rule != "ungranted-import"] == ["widened-component"]
    lock = tmp_path / "sandbox.lock"
    lock.write_text(lock.read_text().replace(digest_of(STDOUT), digest_of(MORE)))
    message = (
        "the lock has this very binary with imports or exports that it does not have: somebody changed the lock, or"
        " another version wrote it; lock it again with `sandbox lock`"
    )
    found = told(lint(policy(), tmp_path, MORE), "ungranted-import")
    assert found == [("app.wasm", "changed-component", message)]


def test_a_lock_that_cannot_be_used_is_told_once(tmp_path: Path) -> None:
    """At the first component, whether that has a file or not; and nothing else is said of the lock."""
    (tmp_path / "sandbox.lock").symlink_to("elsewhere")
    text = "version: 1\ncomponents:\n  one: {}\n  two: {source: app.wasm}\n  three: {source: app.wasm}\n"
    (found,) = lint(text, tmp_path, component([]))
    message = (
        "whether the components have changed was not judged, since the lock cannot be used:"
        f" {tmp_path}/sandbox.lock: is a symbolic link, and a lock is a regular file"
    )
    assert (found.snippet, found.rule, found.message) == ("one", "unreadable-lock", message)
    assert (found.severity, found.unjudged, found.region.line) == ("high", True, 3)


def test_a_component_without_a_source_is_not_looked_at(tmp_path: Path) -> None:
    """The caller names its file, so there is nothing to hold the policy against."""
    text = "version: 1\ncomponents:\n  app:\n    grants: {random: secure}\n"
    assert lint(text, tmp_path, None, {"app.wasm": STDOUT}) == []


def test_each_use_that_is_recorded_has_a_part_of_the_grants() -> None:
    """No interface or function that gives authority is forgotten, but the network itself and the host's sockets."""
    alone = {FILES[0]: [Import(f"{FILES[1]}@0.2.0", "instance")], FILES[1]: [Import(f"{FILES[0]}@0.2.0", "instance")]}
    without = []
    for name, known in known_interfaces():
        imports = (Import(f"{name}@0.2.0", "instance"), *alone.get(name, ()))
        if known.families and not needs_of(Facts("a", "component", 0, OTHER, imports, ())):
            without.append(name)
    for name, function in FUNCTIONS.items():
        facts = Facts("a", "module", 0, OTHER, (Import(name, "func", MODULE),), ())
        if function.capabilities and not needs_of(facts):
            without.append(name)
    assert without == ["wasi:sockets/instance-network", "sock_accept", "sock_recv", "sock_send", "sock_shutdown"]


@given(st.lists(st.tuples(st.text(max_size=20), st.text(max_size=20))), st.sampled_from(["component", "module"]))
def test_whatever_is_imported_asks_for_parts_of_the_grants_or_nothing(names: list[tuple[str, str]], kind: str) -> None:
    """Names that are no interfaces or functions ask for nothing; the sentence on them is one printable line."""
    imports = tuple(Import(name, "func", first if kind == "module" else None) for first, name in names)
    facts = Facts("a", kind, 0, OTHER, imports, (Export("run", "func"),))  # type: ignore[arg-type]
    assert set(needs_of(facts)) <= set(PARTS)
    sentences = unserved(facts)
    assert len(sentences) == (1 if names else 0)
    assert [s for s in sentences if not s.isascii() or not s.isprintable()] == []


def test_names_are_listed_up_to_three() -> None:
    """More are counted."""
    assert [named("abcdef"[:n]) for n in (1, 2, 3, 4, 6)] == [
        "a",
        "a and b",
        "a, b and c",
        "a, b, c and 1 more",
        "a, b, c and 3 more",
    ]


def test_large_policies_and_components(tmp_path: Path) -> None:
    """Thousands of imports against thousands of peers and many components are held against each other at once."""
    imports = ["wasi:sockets/tcp", *(f"wasi:cli/stdout@0.2.{number}" for number in range(5000))]
    peers = ", ".join([*(f'"1.1.{number // 250}.{number % 250}:443"' for number in range(999)), '"a.example:443"'])
    grants = f"grants: {{stdio: {{stdout: inherit}}, sockets: {{tcp: {{connect: [{peers}]}}}}}}"
    components = "".join(f"  c{number}: {{source: app.wasm, {grants}}}\n" for number in range(9))
    text = f"version: 1\ncomponents:\n{components}"
    found = lint(text, tmp_path, component(imports))
    assert [f.rule for f in found] == ["unused-grant"] * 9
