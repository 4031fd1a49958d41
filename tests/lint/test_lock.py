"""Lock files: their text, what is refused as one, and what `sandbox lock` and `lock --check` say and write."""

from __future__ import annotations

import argparse
import errno
import hashlib
import json
import os
import stat
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st
from wasmtime import wat2wasm

from sandbox.cli.failure import CommandError
from sandbox.cli.lock import lock as command
from sandbox.component import Export, ExternKind, Facts, Import, Kind, ModuleFacts, facts_of, read_component
from sandbox.host import absolute
from sandbox.lint import locking
from sandbox.lint.lock import (
    MAX_BYTES,
    MAX_COMPONENTS,
    Difference,
    Lock,
    Locked,
    LockError,
    difference,
    key_of,
    locked_facts,
    locked_of,
    parse_lock,
    read_lock,
    render_lock,
    write_lock,
)
from sandbox.preview1 import MODULE
from sandbox.wasi import FAMILIES

DIGEST = "sha256:" + "0123456789abcdef" * 4
ENTRY: dict[str, Any] = {"digest": DIGEST, "kind": "component", "imports": [], "families": [], "exports": []}
AGAIN = "remove it and run `sandbox lock` again"


def wasm(*imports: str) -> bytes:
    """A component that imports these interfaces and exports one."""
    wanted = " ".join(f'(import "{name}" (instance))' for name in imports)
    return bytes(wat2wasm(f'(component {wanted} (instance $i) (export "cyber:math/operations" (instance $i)))'))


def digest_of(data: bytes) -> str:
    return "sha256:" + hashlib.sha256(data).hexdigest()


def short(data: bytes) -> str:
    return digest_of(data)[:19] + "..."


def locked(data: bytes) -> Locked:
    return locked_of(facts_of("app.wasm", data))


QUIET = wasm()
READER = wasm("wasi:cli/stdin@0.2.3")
READER_LATER = wasm("wasi:cli/stdin@0.2.6")
CONNECTS = wasm("wasi:cli/stdin@0.2.3", "wasi:sockets/tcp@0.2.3")


def policy(**components: str | tuple[str, str]) -> str:
    """A policy that names components by their sources, or by their sources and digests."""
    lines = ["version: 1", "components:"]
    for name, what in components.items():
        source, digest = what if isinstance(what, tuple) else (what, None)
        lines += [f"  {name}:", f"    source: {json.dumps(source)}", *([f"    digest: {digest}"] if digest else [])]
    return "\n".join(lines) + "\n"


class Done(NamedTuple):
    status: int
    stdout: str
    stderr: str


Command = Callable[..., Done]


@pytest.fixture
def sandbox_lock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    """``sandbox lock`` in an empty directory."""
    monkeypatch.chdir(tmp_path)

    def run(*paths: str, check: bool = False, form: str = "text") -> Done:
        status = command(argparse.Namespace(paths=list(paths), check=check, format=form))
        return Done(status, *capsys.readouterr())

    return run


# The text of a lock.


def test_the_text_of_a_lock() -> None:
    """Sorted keys, two spaces, ASCII, a newline at the end; entries in the order of their keys."""
    entries = {
        "é.wasm": Locked(digest=DIGEST, kind="module", imports=(), families=(), exports=()),
        "../app.wasm": Locked(
            digest=DIGEST,
            kind="component",
            imports=("wasi:cli/stdin@0.2.3",),
            families=("stdio",),
            exports=("instance cyber:math/operations",),
        ),
    }
    assert (
        render_lock(entries)
        == f"""\
{{
  "components": {{
    "../app.wasm": {{
      "digest": "{DIGEST}",
      "exports": [
        "instance cyber:math/operations"
      ],
      "families": [
        "stdio"
      ],
      "imports": [
        "wasi:cli/stdin@0.2.3"
      ],
      "kind": "component"
    }},
    "\\u00e9.wasm": {{
      "digest": "{DIGEST}",
      "exports": [],
      "families": [],
      "imports": [],
      "kind": "module"
    }}
  }},
  "version": 1
}}
"""
    )
    assert parse_lock(render_lock(entries).encode(), "x") == Lock(path="x", entries=entries)


def test_an_empty_lock() -> None:
    """A lock without components is one."""
    assert parse_lock(render_lock({}).encode(), "x") == Lock(path="x", entries={})


NAMES = st.text(max_size=6) | st.sampled_from(["wasi:cli/stdin@0.2.3", "wasi:sockets/tcp@0.2.0", "a.b", "memory"])
KINDS: tuple[Kind, ...] = ("component", "module")
SORTS: st.SearchStrategy[ExternKind] = st.sampled_from(["instance", "func", "memory"])
DIGESTS = st.text("0123456789abcdef", min_size=64, max_size=64).map(lambda digits: f"sha256:{digits}")


@st.composite
def facts(draw: st.DrawFn) -> Facts:
    kind: Kind = draw(st.sampled_from(KINDS))
    modules = st.none() if kind == "component" else NAMES | st.just(MODULE)
    imports = draw(st.lists(st.builds(Import, name=NAMES, kind=SORTS, module=modules), max_size=4))
    exports = draw(st.lists(st.builds(Export, name=NAMES, kind=SORTS), max_size=4))
    return Facts(
        path="app.wasm",
        kind=kind,
        size=1,
        digest=draw(DIGESTS),
        imports=tuple(imports),
        exports=tuple(exports),
        module=None if kind == "component" else ModuleFacts(memory="plain", start=True),
    )


SOURCES = st.text(
    st.characters(codec="utf-8", exclude_categories=("C", "Z")), min_size=1, max_size=8
) | st.sampled_from(
    ["a.wasm", "./a.wasm", "b/../a.wasm", "~", "~/a.wasm", "~/../a.wasm", "./~/a.wasm", "/a//b", "//a", "../..", "."]
)


@given(st.dictionaries(SOURCES.map(key_of), facts(), max_size=4))
def test_every_lock_is_read_back(found: dict[str, Facts]) -> None:
    """What is locked of any component is read back from the text of the lock, and gives the same surface again."""
    entries = {key: locked_of(component) for key, component in found.items()}
    text = render_lock(entries)
    assert text == render_lock(dict(reversed(entries.items())))
    read = parse_lock(text.encode("ascii"), "x")
    assert read == Lock(path="x", entries=entries)
    for key, component in found.items():
        assert difference(read.entries[key], component) == Difference(same_digest=True, same_surface=True)
        assert locked_of(locked_facts(read.entries[key], "y")) == entries[key]


@given(SOURCES)
def test_a_key_is_its_own_key(source: str) -> None:
    """A key is the same however often it is made, and means the file that the source means."""
    assume(source == "~" or source.startswith("~/") or not source.startswith("~"))  # as policies may write it
    key = key_of(source)
    assert key_of(key) == key
    assert absolute(key, "/p/q") == absolute(source, "/p/q").replace("//", "/")


@pytest.mark.parametrize(
    ("source", "key"),
    [
        ("app.wasm", "app.wasm"),
        ("./app.wasm", "app.wasm"),
        ("a/./b//../app.wasm", "a/app.wasm"),
        ("../samples/app.wasm", "../samples/app.wasm"),
        ("/opt//app.wasm", "/opt/app.wasm"),
        ("//opt/app.wasm", "/opt/app.wasm"),
        ("~", "~"),
        ("~/", "~"),
        ("~//app.wasm", "~/app.wasm"),
        ("~/a/../../app.wasm", "~/../app.wasm"),
        ("./~/app.wasm", "./~/app.wasm"),
        ("a/../~app.wasm", "./~app.wasm"),
    ],
)
def test_keys(source: str, key: str) -> None:
    """All spellings of a path have one key, and a home directory is never taken for a name."""
    assert key_of(source) == key


def test_facts_of_what_is_locked() -> None:
    """Imports and exports come back with their kinds; size is 0, a module's memory plain where it exports one."""
    text = """(module
      (import "wasi_snapshot_preview1" "fd_read" (func (param i32 i32 i32 i32) (result i32)))
      (memory (export "memory") 1)
      (func (export "_start")))"""
    data = bytes(wat2wasm(text))
    assert locked_facts(locked(data), "there.wasm") == Facts(
        path="there.wasm",
        kind="module",
        size=0,
        digest=digest_of(data),
        imports=(Import(name="fd_read", kind="func", module=MODULE),),
        exports=(Export(name="_start", kind="func"), Export(name="memory", kind="memory")),
        module=ModuleFacts(memory="plain", start=False),
    )


def test_differences() -> None:
    """Digest and surface are told apart; what is gained, lost and otherwise new each has its sentences."""
    assert difference(locked(READER), facts_of("x", READER_LATER)) == Difference(same_digest=False, same_surface=False)
    assert difference(locked(READER), facts_of("x", CONNECTS)) == Difference(
        same_digest=False,
        same_surface=False,
        widened=("could now connect to hosts and listen, over TCP (wasi:sockets/tcp)",),
    )
    command = bytes(wat2wasm('(component (instance $i) (export "wasi:cli/run@0.2.3" (instance $i)))'))
    assert difference(locked(READER), facts_of("x", command)) == Difference(
        same_digest=False,
        same_surface=False,
        narrowed=("can no longer read standard input (wasi:cli/stdin)",),
        reshaped=("now exports wasi:cli/run@0.2.3", "no longer exports cyber:math/operations"),
    )


# What is no lock.


def refusal(data: bytes) -> str:
    with pytest.raises(LockError) as caught:
        parse_lock(data, "p/sandbox.lock")
    return str(caught.value)


def of(**changes: Any) -> bytes:
    return json.dumps({"version": 1, "components": {"a.wasm": ENTRY | changes}}).encode()


NO_DIGEST = "the digest of the component 'a.wasm' is not 'sha256:' and 64 lower-case hexadecimal digits"
NO_FAMILIES = f"the families of the component 'a.wasm' are not a list of {', '.join(FAMILIES)}, in this order"
NO_NAME = "the component 'a.wasm' has a name that no lock has"


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"[" * 100_000, "it is nested too deep"),
        (b'{"a":' * 100_000, "it is nested too deep"),
        (b'{"version": ' + b"1" * 5000 + b"}", "it has a number of too many digits"),
        (b'{"version": NaN}', "NaN is not JSON"),
        (b"[]", "it is not a JSON object"),
        (b"{}", "a lock has a key version, which is missing"),
        (b'{"version": 1}', "a lock has a key components, which is missing"),
        (b'{"version": true, "components": {}}', "its version is not a number"),
        (b'{"version": 1.0, "components": {}}', "its version is not a number"),
        (b'{"version": 1, "components": []}', "its components are not an object"),
        (b'{"version": 1, "components": {}, "x\\u001b": 1}', "a lock has no key 'x\\x1b'"),
        (b'{"version": 1, "version": 1, "components": {}}', "the key 'version' is there twice"),
        (b'{"version": 1, "components": {"a": 1, "a": 2}}', "the key 'a' is there twice"),
        (b'{"version": 1, "components": {"a": 1}}', "the component 'a' is not an object"),
        (of(size=1), "the component 'a.wasm' has no key 'size'"),
        (of(digest="sha256:0"), NO_DIGEST),
        (of(digest=f"{DIGEST}\n"), NO_DIGEST),
        (of(digest=None), NO_DIGEST),
        (of(kind="core"), "the kind of the component 'a.wasm' is neither component nor module"),
        (of(imports="f"), "the imports of the component 'a.wasm' are not a list of names"),
        (of(imports=[1]), "the imports of the component 'a.wasm' are not a list of names"),
        (of(imports=["b", "a"]), "the imports of the component 'a.wasm' are not in order, each once"),
        (of(exports=["func a", "func a"]), "the exports of the component 'a.wasm' are not in order, each once"),
        (of(imports=["\x1b"]), f"{NO_NAME}: a name is printable ASCII, with everything else escaped"),
        (of(imports=["\\x61"]), f"{NO_NAME}: an import is spelled otherwise"),
        (of(imports=["a"], kind="module"), f"{NO_NAME}: an import of a module has two names"),
        (of(exports=["a"]), f"{NO_NAME}: an unknown kind of import or export"),
        (of(families=["stdio", "filesystem"]), NO_FAMILIES),
        (of(families=["stdio", "stdio"]), NO_FAMILIES),
        (of(families=[[]]), NO_FAMILIES),
        (of(families=None), NO_FAMILIES),
    ],
)
def test_what_is_no_lock(data: bytes, message: str) -> None:
    """Each fault has its sentence, which also says what to do."""
    assert refusal(data) == f"p/sandbox.lock: is no lock: {message}; {AGAIN}"


@pytest.mark.parametrize(
    ("data", "line", "message"),
    [
        (b"", 1, "it is not JSON (Expecting value)"),
        (b'{\n"version": 1,\n<<<<<<<', 3, "it is not JSON (Expecting property name enclosed in double quotes)"),
        (b'{"version": 1}\n{}', 2, "it is not JSON (Extra data)"),
        (b'\n"a\x1b"', 2, "it is not JSON (Invalid control character at)"),
        (b'\n\n"\xff"', 3, "the byte 0xff is not UTF-8"),
    ],
)
def test_what_is_not_json(data: bytes, line: int, message: str) -> None:
    """Where the text itself is at fault, its line is named."""
    assert refusal(data) == f"p/sandbox.lock:{line}: is no lock: {message}; {AGAIN}"


def test_another_version() -> None:
    """A lock of another version is none to be removed."""
    assert refusal(b'{"version": 2, "parts": []}') == (
        "p/sandbox.lock: is of another version than 1, the only one that this program knows"
    )


@pytest.mark.parametrize(
    ("key", "shown"),
    [
        ("", ""),
        ("./a.wasm", "./a.wasm"),
        ("a\x1b[2J", "a\\x1b[2J"),
        ("a\u202eb", "a\\u202eb"),
        ("\ud800", "\\ud800"),
        ("a" * 5000, "a" * 97 + "..."),
    ],
)
def test_keys_that_no_lock_has(key: str, shown: str) -> None:
    """A path is spelled in the one way that locks have, and holds nothing that a policy may not write."""
    data = json.dumps({"version": 1, "components": {key: ENTRY}}).encode()
    message = f"p/sandbox.lock: is no lock: '{shown}' is not the path of a component as a lock has it; {AGAIN}"
    assert refusal(data) == message


def test_a_lock_of_too_many_components() -> None:
    """More components than a lock may have are refused, when it is read and before it is written."""
    many = {f"{number}.wasm": ENTRY for number in range(MAX_COMPONENTS + 1)}
    assert refusal(json.dumps({"version": 1, "components": many}).encode()) == (
        f"p/sandbox.lock: is no lock: it has 5001 components, more than 5000; {AGAIN}"
    )


def test_what_is_too_large_to_be_written(tmp_path: Path) -> None:
    """A lock that would not be read again is not written."""
    one = locked(QUIET)
    with pytest.raises(LockError) as caught:
        write_lock(str(tmp_path), {f"{number}.wasm": one for number in range(MAX_COMPONENTS + 1)})
    assert str(caught.value) == f"{tmp_path}/sandbox.lock: would have 5001 components, and a lock has at most 5000"
    wide = Locked(digest=DIGEST, kind="component", imports=("a" * MAX_BYTES,), families=(), exports=())
    with pytest.raises(LockError) as caught:
        write_lock(str(tmp_path), {"a.wasm": wide})
    size = len(render_lock({"a.wasm": wide}))
    assert str(caught.value) == f"{tmp_path}/sandbox.lock: would have {size} bytes, and a lock has at most 4194304"
    assert os.listdir(tmp_path) == []


VALID = render_lock({"a.wasm": locked(CONNECTS), "b.wasm": locked(QUIET)}).encode()
PIECES = st.lists(
    st.sampled_from([b"{", b"}", b"[", b"]", b",", b":", b'"a"', b"1", b"null", VALID, b'"version"', b"\xff", b"\\u"])
    | st.binary(max_size=4),
    max_size=12,
).map(b"".join)


@given(PIECES)
@example(VALID)
def test_any_bytes_are_a_lock_or_refused(data: bytes) -> None:
    """Reading any bytes ends in a lock or in one printable sentence."""
    try:
        said = repr(parse_lock(data, "p\n/sandbox.lock"))
    except LockError as error:
        said = str(error)
    assert said.isprintable()


@given(st.integers(0, len(VALID) - 1), st.integers(0, 255) | st.none())
def test_a_damaged_lock_is_refused_or_says_what_it_says(place: int, byte: int | None) -> None:
    """With one byte changed or gone, a lock is refused or stands for exactly its text."""
    data = VALID[:place] + (b"" if byte is None else bytes([byte])) + VALID[place + 1 :]
    try:
        read = parse_lock(data, "x")
    except LockError:
        return
    assert json.loads(render_lock(read.entries)) == json.loads(data)


# The file.


def test_no_lock(tmp_path: Path) -> None:
    """Where there is no file there is no lock, and that is no error."""
    assert read_lock(str(tmp_path)) is None
    assert read_lock(str(tmp_path / "nothing")) is None


def test_a_lock_is_written_and_read(tmp_path: Path) -> None:
    """Writing says whether it changed anything; a new lock has the mode of new files, a changed one keeps its own."""
    entries = {"a.wasm": locked(READER)}
    mask = os.umask(0o027)
    try:
        assert write_lock(str(tmp_path), entries)
    finally:
        os.umask(mask)
    path = tmp_path / "sandbox.lock"
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    assert read_lock(str(tmp_path)) == Lock(path=str(path), entries=entries)
    path.chmod(0o604)
    before = path.stat()
    assert not write_lock(str(tmp_path), entries)
    assert path.stat() == before
    assert write_lock(str(tmp_path), {})
    assert stat.S_IMODE(path.stat().st_mode) == 0o604
    assert read_lock(str(tmp_path)) == Lock(path=str(path), entries={})
    assert os.listdir(tmp_path) == ["sandbox.lock"]


def _directory(path: Path) -> None:
    path.mkdir()


def _fifo(path: Path) -> None:
    os.mkfifo(path)


def _link(path: Path) -> None:
    path.with_name("real").write_text(render_lock({}))
    path.symlink_to("real")


def _dangling(path: Path) -> None:
    path.symlink_to("nothing")


def _endless(path: Path) -> None:
    with open(path, "wb") as file:
        file.truncate(100_000_000)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (_directory, "cannot be read: Is a directory"),
        (_fifo, "is no regular file, as a lock is"),
        (_link, "is a symbolic link, and a lock is a regular file"),
        (_dangling, "is a symbolic link, and a lock is a regular file"),
        (_endless, "is larger than the 4194304 bytes that a lock may have"),
    ],
)
def test_what_stands_in_the_way_of_a_lock(tmp_path: Path, make: Callable[[Path], None], message: str) -> None:
    """What is no regular file is neither read nor replaced; of a file that is too large only a part is read."""
    path = tmp_path / "sandbox.lock"
    make(path)
    before = path.lstat()
    with pytest.raises(LockError) as caught:
        read_lock(str(tmp_path))
    assert str(caught.value) == f"{path}: {message}"
    if make is not _endless:
        with pytest.raises(LockError) as caught:
            write_lock(str(tmp_path), {})
        assert str(caught.value) == f"{path}: {message}"
        assert path.lstat() == before


def test_a_lock_below_a_file_or_of_an_impossible_name(tmp_path: Path) -> None:
    """Where no file can be, the reason is the system's, and hostile names are escaped."""
    (tmp_path / "file").write_text("")
    for directory, message in (
        (f"{tmp_path}/file", f"{tmp_path}/file/sandbox.lock: cannot be read: Not a directory"),
        ("a\0b", "a\\x00b/sandbox.lock: cannot be read: the path holds a NUL character"),
        ("\x1b" * 300, "\\x1b" * 300 + "/sandbox.lock: cannot be read: File name too long"),
    ):
        with pytest.raises(LockError) as caught:
            read_lock(directory)
        assert str(caught.value) == message


@pytest.mark.parametrize("call", ["open", "fsync", "rename"])
def test_a_lock_that_cannot_be_written_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str) -> None:
    """Whichever step fails, the old lock is whole and nothing is left beside it."""
    write_lock(str(tmp_path), {})
    real = getattr(os, call)

    def failing(*arguments: Any) -> Any:
        if call == "open" and not arguments[1] & os.O_CREAT:
            return real(*arguments)
        raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr(os, call, failing)
    with pytest.raises(LockError) as caught:
        write_lock(str(tmp_path), {"a.wasm": locked(READER)})
    monkeypatch.undo()
    assert str(caught.value) == f"{tmp_path}/sandbox.lock: cannot be written: Read-only file system"
    assert os.listdir(tmp_path) == ["sandbox.lock"]
    assert read_lock(str(tmp_path)) == Lock(path=f"{tmp_path}/sandbox.lock", entries={})


def test_a_lock_that_must_not_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A lock that the system refuses to open is an error, not an absent lock."""
    write_lock(str(tmp_path), {})

    def refusing(*_: Any) -> int:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(os, "open", refusing)
    with pytest.raises(LockError) as caught:
        read_lock(str(tmp_path))
    assert str(caught.value) == f"{tmp_path}/sandbox.lock: cannot be read: Permission denied"


# The command.


def test_locking_and_checking(tmp_path: Path, sandbox_lock: Command) -> None:
    """Every component beside the policies is locked, once; then the check is clean, and nothing is written again."""
    policies = tmp_path / "policies"
    policies.mkdir()
    (tmp_path / "report.wasm").write_bytes(READER)
    (tmp_path / "quiet.wasm").write_bytes(QUIET)
    (policies / "a.yaml").write_text(policy(report="../report.wasm", unnamed="../quiet.wasm"))
    (policies / "b.yaml").write_text(policy(report=("./../report.wasm", digest_of(READER)), other="../quiet.wasm"))
    (policies / "c.yaml").write_text("version: 1\ncomponents:\n  bare: {}\n")
    assert sandbox_lock("policies", check=True) == Done(
        1, "policies/sandbox.lock: there is none; `sandbox lock` makes it\n", ""
    )
    assert sorted(os.listdir(policies)) == ["a.yaml", "b.yaml", "c.yaml"]
    first = """\
policies/sandbox.lock: unnamed, other: locked (asks for nothing)
policies/sandbox.lock: report: locked (stdio)
policies/sandbox.lock: written, with 2 components
"""
    assert sandbox_lock("policies") == Done(0, first, "")
    text = (policies / "sandbox.lock").read_text()
    assert text == render_lock({"../report.wasm": locked(READER), "../quiet.wasm": locked(QUIET)})
    assert sandbox_lock("policies", check=True) == Done(0, "policies/sandbox.lock: agrees with 2 components\n", "")
    before = (policies / "sandbox.lock").stat()
    assert sandbox_lock("policies") == Done(0, "policies/sandbox.lock: unchanged, with 2 components\n", "")
    assert (policies / "sandbox.lock").stat() == before


def test_one_policy_is_locked_with_those_beside_it(tmp_path: Path, sandbox_lock: Command) -> None:
    """A lock is that of its directory, whichever of its policies is named and however; folders below have their own."""
    (tmp_path / "below").mkdir()
    (tmp_path / "one.wasm").write_bytes(READER)
    for name in ("a.yaml", "b.yaml", "below/c.yaml"):
        source = "../one.wasm" if name.startswith("below") else "one.wasm"
        (tmp_path / name).write_text(policy(**{name[-6]: source}))
    both = "sandbox.lock: a, b: locked (stdio)\nsandbox.lock: written, with 1 component\n"
    assert sandbox_lock("b.yaml", "./b.yaml", f"{tmp_path}/b.yaml") == Done(0, both, "")
    assert sandbox_lock("a.yaml", check=True) == Done(0, "sandbox.lock: agrees with 1 component\n", "")
    below = "below/sandbox.lock: there is none; `sandbox lock` makes it\n"
    assert sandbox_lock(check=True) == Done(1, "sandbox.lock: agrees with 1 component\n" + below, "")


@pytest.fixture
def locked_reader(tmp_path: Path, sandbox_lock: Command) -> Path:
    """The file of the one component of ``p.yaml``, locked as a reader of standard input."""
    path = tmp_path / "report.wasm"
    path.write_bytes(READER)
    (tmp_path / "p.yaml").write_text(policy(report="report.wasm"))
    sandbox_lock()
    return path


def test_a_wider_component(locked_reader: Path, sandbox_lock: Command) -> None:
    """What a component could now do is said by the check, which fails, and again when it is locked anew."""
    locked_reader.write_bytes(CONNECTS)
    gained = "sandbox.lock: report could now connect to hosts and listen, over TCP (wasi:sockets/tcp)\n"
    said = f"""\
sandbox.lock: report is {short(CONNECTS)}, and {short(READER)} is locked
{gained}sandbox.lock: differs from what is there; `sandbox lock` writes it anew
"""
    assert sandbox_lock(check=True) == Done(1, said, "")
    anew = f"""\
sandbox.lock: report: locked anew (stdio, sockets)
{gained}sandbox.lock: written, with 1 component
"""
    assert sandbox_lock() == Done(0, anew, "")
    assert sandbox_lock(check=True) == Done(0, "sandbox.lock: agrees with 1 component\n", "")


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (READER_LATER, ["asks for nothing new"]),
        (QUIET, ["can no longer read standard input (wasi:cli/stdin)", "asks for nothing new"]),
        (
            bytes(wat2wasm('(module (func (export "f")))')),
            [
                "can no longer read standard input (wasi:cli/stdin)",
                "is now a module and was a component",
                "now exports f",
                "no longer exports cyber:math/operations",
                "asks for nothing new",
            ],
        ),
    ],
)
def test_another_component_that_is_no_wider(
    locked_reader: Path, sandbox_lock: Command, data: bytes, said: list[str]
) -> None:
    """Another file fails the check also where it asks for nothing new; what changed is said."""
    locked_reader.write_bytes(data)
    lines = [
        f"report is {short(data)}, and {short(READER)} is locked",
        *(f"report {what}" for what in said),
        "differs from what is there; `sandbox lock` writes it anew",
    ]
    assert sandbox_lock(check=True) == Done(1, "".join(f"sandbox.lock: {line}\n" for line in lines), "")


def test_a_lock_that_says_less_than_the_file(tmp_path: Path, locked_reader: Path, sandbox_lock: Command) -> None:
    """Who edits the surface in a lock and leaves the digest is found out, and locking mends it."""
    path = tmp_path / "sandbox.lock"
    text = path.read_text()
    path.write_text(text.replace('        "stdio"\n', "").replace('"families": [\n      ]', '"families": []'))
    less = "sandbox.lock: report: the lock has the digest of this file, and something else than it asks for\n"
    differs = "sandbox.lock: differs from what is there; `sandbox lock` writes it anew\n"
    assert sandbox_lock(check=True) == Done(1, less + differs, "")
    anew = f"sandbox.lock: report: locked anew (stdio)\n{less}sandbox.lock: written, with 1 component\n"
    assert sandbox_lock() == Done(0, anew, "")
    assert path.read_text() == text


def test_components_that_come_and_go(tmp_path: Path, locked_reader: Path, sandbox_lock: Command) -> None:
    """A component that is not locked, and one that no policy names, fail the check; locking settles both."""
    (tmp_path / "other.wasm").write_bytes(QUIET)
    (tmp_path / "p.yaml").write_text(policy(other="other.wasm"))
    said = """\
sandbox.lock: other is not locked
sandbox.lock: report.wasm is locked, and no policy names it
sandbox.lock: differs from what is there; `sandbox lock` writes it anew
"""
    assert sandbox_lock(check=True) == Done(1, said, "")
    told = """\
sandbox.lock: other: locked (asks for nothing)
sandbox.lock: report.wasm: no longer locked: no policy names it
sandbox.lock: written, with 1 component
"""
    assert sandbox_lock() == Done(0, told, "")
    assert read_lock(str(tmp_path)) == Lock(path=f"{tmp_path}/sandbox.lock", entries={"other.wasm": locked(QUIET)})


def test_the_last_component_goes(tmp_path: Path, locked_reader: Path, sandbox_lock: Command) -> None:
    """A lock whose last component goes stays, empty."""
    (tmp_path / "p.yaml").write_text("version: 1\ncomponents:\n  bare: {}\n")
    told = """\
sandbox.lock: report.wasm: no longer locked: no policy names it
sandbox.lock: written, with 0 components
"""
    assert sandbox_lock() == Done(0, told, "")
    assert (tmp_path / "sandbox.lock").read_text() == render_lock({})
    assert sandbox_lock(check=True) == Done(0, "sandbox.lock: agrees with 0 components\n", "")


def test_what_a_comment_leaves_unlocked(tmp_path: Path, sandbox_lock: Command) -> None:
    """A component for which the rule is ignored with a reason is neither locked nor missed; without a reason it is."""
    (tmp_path / "built.wasm").write_bytes(wasm("wasi:cli/stdout@0.2.3"))
    text = policy(built="built.wasm")
    asked = "    # sandbox: ignore[unlocked-component]{}\n    source:"
    for reason, outcome in ((" built here", "nothing"), ("", "differs")):
        (tmp_path / "policy.yaml").write_text(text.replace("    source:", asked.format(reason)), encoding="utf-8")
        folder = locking.folders([str(tmp_path)])[0]
        entries = locking.Surveyor().survey(folder).entries
        assert [entry.names for entry in entries] == ([] if outcome == "nothing" else [("built",)])


def test_nothing_to_lock(tmp_path: Path, sandbox_lock: Command) -> None:
    """Where no policy names a file, no lock is written and none is missed."""
    (tmp_path / "p.yaml").write_text("version: 1\ncomponents:\n  bare: {}\n")
    assert sandbox_lock() == Done(0, "sandbox.lock: not written: there is no component to lock\n", "")
    assert sandbox_lock(check=True) == Done(0, "sandbox.lock: there is none, and nothing that it would have\n", "")
    assert os.listdir(tmp_path) == ["p.yaml"]


INTERFACES = ["wasi:cli/stdin@0.2.3", "wasi:cli/stdout@0.2.0", "wasi:sockets/tcp@0.2.3", "wasi:io/poll@0.2.1"]
IMPORTS = st.lists(st.sampled_from([*INTERFACES, "cyber:payments/auth@1.0.0"]), unique=True)


def settled(directory: str, settle: Callable[[locking.Survey], locking.Account]) -> tuple[str, dict[str, Any]]:
    """The outcome in a directory, and the changes that were found there by component."""
    (folder,) = locking.folders([directory])
    account = settle(locking.Surveyor().survey(folder))
    assert account.survey.faults == ()
    return account.outcome, {entry.key: entry.difference for entry in account.survey.entries}


@given(st.dictionaries(st.sampled_from("abcd"), st.tuples(IMPORTS, IMPORTS), min_size=1))
def test_what_was_just_locked_agrees(components: dict[str, tuple[list[str], list[str]]]) -> None:
    """After locking the check is clean and locking changes nothing, in whatever order; after a change it differs."""
    with TemporaryDirectory() as directory:
        root = Path(directory)
        for name, (before, _) in components.items():
            (root / f"{name}.wasm").write_bytes(wasm(*before))
        (root / "p.yaml").write_text(policy(**{name: f"{name}.wasm" for name in components}))
        assert settled(directory, locking.lock)[0] == "written"
        text = (root / "sandbox.lock").read_bytes()
        assert settled(directory, locking.compare)[0] == "agrees"
        (root / "p.yaml").write_text(policy(**{name: f"./{name}.wasm" for name in reversed(components)}))
        assert settled(directory, locking.lock)[0] == "unchanged"
        (root / "sandbox.lock").unlink()
        assert settled(directory, locking.lock)[0] == "written"
        assert (root / "sandbox.lock").read_bytes() == text
        for name, (_, after) in components.items():
            (root / f"{name}.wasm").write_bytes(wasm(*after))
        outcome, changes = settled(directory, locking.compare)
        assert outcome == ("agrees" if all(before == after for before, after in components.values()) else "differs")
        for name, (before, after) in components.items():
            gained = set(after) - set(before) - {"wasi:io/poll@0.2.1"}
            assert bool(changes[f"{name}.wasm"].widened) is bool(gained)


def test_no_policy(tmp_path: Path, sandbox_lock: Command) -> None:
    """A folder without policies is a mistake of the caller, not an agreement."""
    with pytest.raises(CommandError) as caught:
        sandbox_lock(check=True)
    assert (caught.value.status, caught.value.message) == (
        2,
        "no policy was found in this folder: a policy is a YAML file with `components`",
    )


def test_a_component_without_its_file_that_is_pinned(
    tmp_path: Path, locked_reader: Path, sandbox_lock: Command
) -> None:
    """Where every policy pins the digest that is locked, the lock stands without the file."""
    (tmp_path / "p.yaml").write_text(policy(report=("report.wasm", digest_of(READER))))
    locked_reader.unlink()
    agrees = "sandbox.lock: agrees with 1 component, 1 by the digest that a policy pins, without its file\n"
    assert sandbox_lock(check=True) == Done(0, agrees, "")
    kept = """\
sandbox.lock: report: kept: no file at report.wasm, and the policy pins the digest that is locked
sandbox.lock: unchanged, with 1 component
"""
    assert sandbox_lock() == Done(0, kept, "")


def test_a_component_without_its_file_that_is_not_pinned(
    tmp_path: Path, locked_reader: Path, sandbox_lock: Command
) -> None:
    """Nothing shows what such a component is: the check says so and goes on, and locking forgets it."""
    locked_reader.unlink()
    said = """\
sandbox.lock: report: not compared: no file at report.wasm
sandbox.lock: agrees with 0 components, 1 not compared
"""
    assert sandbox_lock(check=True) == Done(0, said, "")
    told = """\
sandbox.lock: report: left out: no file at report.wasm
sandbox.lock: written, with 0 components
"""
    assert sandbox_lock() == Done(0, told, "")


def test_a_component_without_its_file_that_is_pinned_to_another(
    tmp_path: Path, locked_reader: Path, sandbox_lock: Command
) -> None:
    """A pin that contradicts the lock fails the check, also beside one that agrees; locking forgets what was locked."""
    (tmp_path / "p.yaml").write_text(policy(report=("report.wasm", digest_of(READER))))
    (tmp_path / "q.yaml").write_text(policy(report=("report.wasm", DIGEST)))
    locked_reader.unlink()
    said = f"""\
sandbox.lock: report is pinned to another digest than {short(READER)}, which is locked
sandbox.lock: differs from what is there; `sandbox lock` writes it anew
"""
    assert sandbox_lock(check=True) == Done(1, said, "")
    told = """\
sandbox.lock: report: left out: no file at report.wasm, and the policy pins another digest than was locked
sandbox.lock: written, with 0 components
"""
    assert sandbox_lock() == Done(0, told, "")


def test_no_lock_and_no_file(tmp_path: Path, sandbox_lock: Command) -> None:
    """Where no component's file is there and there is no lock, there is nothing to compare and nothing to lock."""
    (tmp_path / "p.yaml").write_text(policy(report=("report.wasm", DIGEST)))
    left_out = "sandbox.lock: report: left out: no file at report.wasm\n"
    assert sandbox_lock() == Done(0, f"{left_out}sandbox.lock: not written: there is no component to lock\n", "")
    said = """\
sandbox.lock: report: not compared: no file at report.wasm
sandbox.lock: there is none, and nothing that it would have
"""
    assert sandbox_lock(check=True) == Done(0, said, "")


def judged(run: Command, said: str) -> None:
    """Both ways of the command end with 2, say this and write nothing."""
    before = sorted(os.listdir())
    done = Done(2, "sandbox.lock: could not be judged, and is left as it is\n", said)
    assert run() == done
    assert run(check=True) == done
    assert sorted(os.listdir()) == before


def test_a_pin_to_another_file(tmp_path: Path, locked_reader: Path, sandbox_lock: Command) -> None:
    """A policy that pins another digest than its component's file has is at fault, with the place of the pin."""
    (tmp_path / "p.yaml").write_text(policy(report=("report.wasm", DIGEST)))
    judged(
        sandbox_lock,
        f"sandbox: p.yaml:5:5: components.report.digest: report.wasm is {digest_of(READER)},"
        " and the policy pins another digest\n",
    )


def test_a_pinned_file_that_was_exchanged(tmp_path: Path, sandbox_lock: Command) -> None:
    """Of a binary that took the place of the locked and pinned one, the fault also says what it could now do."""
    (tmp_path / "report.wasm").write_bytes(READER)
    (tmp_path / "p.yaml").write_text(policy(report=("report.wasm", digest_of(READER))))
    assert sandbox_lock()[0] == 0
    (tmp_path / "report.wasm").write_bytes(CONNECTS)
    judged(
        sandbox_lock,
        f"sandbox: p.yaml:5:5: components.report.digest: report.wasm is {digest_of(CONNECTS)},"
        " and the policy pins another digest;"
        " it could now connect to hosts and listen, over TCP (wasi:sockets/tcp)\n",
    )


def _text(path: Path) -> None:
    path.write_text("(component)")


def _cut(path: Path) -> None:
    path.write_bytes(CONNECTS[:-3])


def _empty(path: Path) -> None:
    path.write_bytes(b"")


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (_text, "not WebAssembly: looks like its text format; encode it first"),
        (_empty, "not WebAssembly: the file is empty"),
        (_cut, "22 bytes are announced at byte 110, 19 are left"),
        (_directory, "cannot be read: Is a directory"),
        (_fifo, "not a regular file"),
    ],
)
def test_a_component_that_cannot_be_read(
    tmp_path: Path, locked_reader: Path, sandbox_lock: Command, make: Callable[[Path], None], message: str
) -> None:
    """What is no WebAssembly, is cut short or is no file is refused with its place in the policy."""
    locked_reader.unlink()
    make(locked_reader)
    judged(sandbox_lock, f"sandbox: p.yaml:4:5: components.report.source: report.wasm: {message}\n")


def test_a_policy_with_faults(tmp_path: Path, locked_reader: Path, sandbox_lock: Command) -> None:
    """One policy that is no policy leaves its whole directory unjudged; every fault has its place."""
    (tmp_path / "q.yaml").write_text("version: 1\ncomponents:\n  a: {surce: x}\n  b: {digest: 1}\n")
    judged(
        sandbox_lock,
        "sandbox: q.yaml:3:7: components.a.surce: unknown key (did you mean 'source'?)\n"
        "sandbox: q.yaml:4:7: components.b.digest: must be 'sha256:' and 64 lower-case hexadecimal digits,"
        " not the number 1: put it in quotes: '1'\n",
    )


def test_a_lock_that_is_none(tmp_path: Path, locked_reader: Path, sandbox_lock: Command) -> None:
    """A damaged lock is not written over: what it kept would be lost."""
    (tmp_path / "sandbox.lock").write_text("<<<<<<< HEAD\n")
    judged(sandbox_lock, f"sandbox: sandbox.lock:1: is no lock: it is not JSON (Expecting value); {AGAIN}\n")


def test_one_directory_that_cannot_be_judged(tmp_path: Path, sandbox_lock: Command) -> None:
    """The other directories are locked all the same; the status tells of the worst."""
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "p.yaml").write_text(policy(report="report.wasm"))
        (tmp_path / folder / "report.wasm").write_bytes(READER if folder == "b" else b"junk")
    said = """\
a/sandbox.lock: could not be judged, and is left as it is
b/sandbox.lock: report: locked (stdio)
b/sandbox.lock: written, with 1 component
"""
    fault = (
        "sandbox: a/p.yaml:4:5: components.report.source: report.wasm: not WebAssembly: it does not begin with \\0asm\n"
    )
    assert sandbox_lock() == Done(2, said, fault)
    assert sorted(os.listdir(tmp_path / "a")) == ["p.yaml", "report.wasm"]


def test_a_lock_that_cannot_be_written(tmp_path: Path, sandbox_lock: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a directory that is read-only the reason is said, and nothing is left behind."""
    (tmp_path / "report.wasm").write_bytes(READER)
    (tmp_path / "p.yaml").write_text(policy(report="report.wasm"))

    def refusing(*_: Any) -> None:
        raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr(os, "rename", refusing)
    said = "sandbox.lock: could not be judged, and is left as it is\n"
    fault = "sandbox: sandbox.lock: cannot be written: Read-only file system\n"
    assert sandbox_lock() == Done(2, said, fault)
    assert sorted(os.listdir(tmp_path)) == ["p.yaml", "report.wasm"]


def test_hostile_names(tmp_path: Path, sandbox_lock: Command) -> None:
    """Nothing that a component, a path or a folder is called reaches the terminal as it is."""
    folder = tmp_path / "\x1b[2J"
    folder.mkdir()
    (folder / "##[add].wasm").write_bytes(bytes(wat2wasm('(module (import "e\\1b" "\\e2\\80\\aex" (func)))')))
    (folder / "p.yaml").write_text(policy(a="##[add].wasm", b="gone\u00ad.wasm"))
    said = """\
\\x1b[2J/sandbox.lock: a: locked (asks for nothing)
\\x1b[2J/sandbox.lock: b: left out: no file at gone\\xad.wasm
\\x1b[2J/sandbox.lock: written, with 1 component
"""
    assert sandbox_lock() == Done(0, said, "")
    assert json.loads((folder / "sandbox.lock").read_text())["components"]["##[add].wasm"]["imports"] == [
        "e\\x1b.\\u202ex"
    ]
    (folder / "p.yaml").write_text(policy(c="other.wasm"))
    (folder / "other.wasm").write_bytes(QUIET)
    (folder / "sandbox.lock").rename(tmp_path / "sandbox.lock")
    (folder / "p.yaml").rename(tmp_path / "p.yaml")
    gone = """\
sandbox.lock: #\\x23[add].wasm is locked, and no policy names it
sandbox.lock: c: not compared: no file at other.wasm
sandbox.lock: differs from what is there; `sandbox lock` writes it anew
"""
    assert sandbox_lock(check=True) == Done(1, gone, "")


def test_components_of_one_name(tmp_path: Path, sandbox_lock: Command) -> None:
    """Where a name says too little, the path is beside it; of many names for one file three are shown."""
    (tmp_path / "a.wasm").write_bytes(READER)
    (tmp_path / "b.wasm").write_bytes(QUIET)
    (tmp_path / "p.yaml").write_text(policy(report="a.wasm"))
    (tmp_path / "q.yaml").write_text(policy(report="b.wasm"))
    said = """\
sandbox.lock: report (a.wasm): locked (stdio)
sandbox.lock: report (b.wasm): locked (asks for nothing)
sandbox.lock: written, with 2 components
"""
    assert sandbox_lock() == Done(0, said, "")
    (tmp_path / "q.yaml").write_text(policy(one="b.wasm", two="b.wasm", three="b.wasm", four="b.wasm", five="b.wasm"))
    (tmp_path / "b.wasm").write_bytes(READER_LATER)
    said = f"""\
sandbox.lock: one, two, three and 2 more is {short(READER_LATER)}, and {short(QUIET)} is locked
sandbox.lock: one, two, three and 2 more could now read standard input (wasi:cli/stdin)
sandbox.lock: differs from what is there; `sandbox lock` writes it anew
"""
    assert sandbox_lock(check=True) == Done(1, said, "")


def test_as_json(tmp_path: Path, locked_reader: Path, sandbox_lock: Command) -> None:
    """One ASCII line with the whole of it; the status is the same, and standard error stays empty."""
    locked_reader.write_bytes(CONNECTS)
    (tmp_path / "below").mkdir()
    (tmp_path / "below" / "q.yaml").write_text("components: 1\n")
    done = sandbox_lock(check=True, form="json")
    assert (done.status, done.stderr) == (2, "")
    assert done.stdout.isascii()
    assert done.stdout.count("\n") == 1
    assert json.loads(done.stdout) == {
        "version": 1,
        "directories": [
            {
                "directory": ".",
                "lock": "sandbox.lock",
                "outcome": "differs",
                "components": [
                    {
                        "source": "report.wasm",
                        "names": ["report"],
                        "state": "changed",
                        "locked": {
                            "digest": digest_of(READER),
                            "kind": "component",
                            "imports": ["wasi:cli/stdin@0.2.3"],
                            "families": ["stdio"],
                            "exports": ["instance cyber:math/operations"],
                        },
                        "found": {
                            "digest": digest_of(CONNECTS),
                            "kind": "component",
                            "imports": ["wasi:cli/stdin@0.2.3", "wasi:sockets/tcp@0.2.3"],
                            "families": ["stdio", "sockets"],
                            "exports": ["instance cyber:math/operations"],
                        },
                        "widened": ["could now connect to hosts and listen, over TCP (wasi:sockets/tcp)"],
                        "narrowed": [],
                        "reshaped": [],
                    }
                ],
                "faults": [],
            },
            {
                "directory": "below",
                "lock": "below/sandbox.lock",
                "outcome": "refused",
                "components": [],
                "faults": [
                    "below/q.yaml:1:1: version: required key is missing",
                    "below/q.yaml:1:1: components: must be a mapping, not the number 1",
                ],
            },
        ],
    }


def test_a_component_is_read_once(tmp_path: Path, sandbox_lock: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many policies and folders name a component, its file is read once."""
    read: list[str] = []

    def counted(path: str) -> Facts:
        read.append(path)
        return read_component(path)

    monkeypatch.setattr(locking, "read_component", counted)
    (tmp_path / "a.wasm").write_bytes(READER)
    (tmp_path / "below").mkdir()
    for name, source in (("p", "a.wasm"), ("q", "./a.wasm"), ("below/r", "../a.wasm")):
        (tmp_path / f"{name}.yaml").write_text(policy(a=source))
    assert sandbox_lock().status == 0
    assert read == [f"{tmp_path}/a.wasm"]


def test_a_large_component_takes_little_time(tmp_path: Path, sandbox_lock: Command) -> None:
    """Code is hashed and skipped: 18 MB, most of it in one section, take no second of processor time."""
    size = 18_000_000
    large = QUIET + bytes([0, *(0x80 | size >> shift & 0x7F for shift in (0, 7, 14)), size >> 21]) + bytes(size)
    (tmp_path / "a.wasm").write_bytes(large)
    (tmp_path / "p.yaml").write_text(policy(a=("a.wasm", digest_of(large))))
    started = time.process_time()
    assert sandbox_lock().status == 0
    assert time.process_time() - started < 1
    assert sandbox_lock(check=True).status == 0
