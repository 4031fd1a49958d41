"""What stands inside a component that other tools composed: which parts are listed, and how far hostile ones get."""

from __future__ import annotations

import hashlib
import json
from contextlib import suppress
from pathlib import Path

import pytest
import wasmtime
from hypothesis import given
from hypothesis import strategies as st

from sandbox.cli.main import main
from sandbox.component import (
    MAX_EXTERNS,
    MAX_INNER,
    MAX_INNER_DEPTH,
    MAX_INNER_SECTIONS,
    ComponentError,
    Export,
    Import,
    Inner,
    Inside,
    inside,
)
from tests.test_component import section

SAMPLES = Path(__file__).resolve().parent.parent / "samples"
HEAD = b"\0asm\x0d\0\1\0"
CODE = HEAD + section(1, b"\0asm\1\0\0\0")
"""A component with a core module in it."""


def digest_of(data: bytes) -> str:
    return "sha256:" + hashlib.sha256(data).hexdigest()


def around(*inner: bytes) -> bytes:
    """A component with others in it."""
    return HEAD + b"".join(section(4, data) for data in inner)


def leaf(data: bytes, **more: object) -> Inner:
    values: dict[str, object] = {"imports": (), "exports": (), "inner": ()}
    return Inner(size=len(data), digest=digest_of(data), **(values | more))  # type: ignore[arg-type]


def test_parts_are_told_with_their_imports_and_exports() -> None:
    """A part is found wherever it stands, with the digest that its file had."""
    auth = bytes(
        wasmtime.wat2wasm(
            '(component (import "wasi:cli/stdin@0.2.3" (instance)) (core module) (instance $i)'
            ' (export "bank:payments/auth@1.0.0" (instance $i)))'
        )
    )
    exported = (Export(name="bank:payments/auth@1.0.0", kind="instance"),)
    inner = leaf(auth, imports=(Import(name="wasi:cli/stdin@0.2.3", kind="instance"),), exports=exported)
    group = around(auth, CODE)
    assert inside(around(group, auth)) == Inside(
        components=(leaf(group, inner=(inner, leaf(CODE))), inner),
        complete=True,
    )


def test_parts_of_the_samples() -> None:
    """Components that are put together as they are keep their digests; what only gives types to exports is no part."""
    parts = [(SAMPLES / "payments" / f"{name}.wasm").read_bytes() for name in ("auth", "ledger", "app")]
    assert [inside(part) for part in parts] == [Inside(components=(), complete=True)] * 3
    found = inside(around(*parts)).components
    assert [part.digest for part in found] == [digest_of(part) for part in parts]
    assert found[1].exports == (Export(name="bank:payments/ledger@1.0.0", kind="instance"),)


def test_a_module_has_nothing_inside() -> None:
    """Only components hold others; what is neither is refused as everywhere."""
    assert inside(b"\0asm\1\0\0\0") == Inside(components=(), complete=True)
    with pytest.raises(ComponentError, match="not WebAssembly"):
        inside(b"what")


@pytest.mark.parametrize(
    ("part", "error"),
    [
        (b"", "not WebAssembly: the file is empty"),
        (b"\0asm\1\0\0\0", "a core module, where a component has to be"),
        (HEAD + b"\x0b\xff", "the file ends too early, or a section does, at byte 10"),
        (CODE + section(10, b"\x01\x00\x01\xff\x05\x00"), "a name that is not UTF-8 at byte 23"),
    ],
)
def test_a_part_that_cannot_be_decoded(part: bytes, error: str) -> None:
    """It is told as that, and the others as if it were not there."""
    found = inside(around(part, CODE))
    assert found.components == (leaf(part, error=error), leaf(CODE))


def test_parts_that_are_nested_deep() -> None:
    """What is deeper than the bound is left out, and that is said."""
    data = CODE
    for _ in range(MAX_INNER_DEPTH - 1):
        data = around(data)
    assert inside(around(data)).complete
    for _ in range(1000):
        data = around(data)
    found = inside(data)
    assert found == Inside(components=(), complete=False)


def test_very_many_parts() -> None:
    """The list has an end, and it is said that there were more."""
    found = inside(around(*[CODE] * (MAX_INNER + 1)))
    assert (len(found.components), found.complete) == (MAX_INNER, False)
    assert inside(around(*[CODE] * MAX_INNER)).complete


def test_very_many_sections() -> None:
    """Sections of all parts together are bounded."""
    part = HEAD + b"\x01\x00" + b"\x00\x00" * 90_000
    found = inside(around(*[part] * 30))
    assert (len(found.components), found.complete) == (MAX_INNER_SECTIONS // 90_000 + 1, False)


def test_very_many_names() -> None:
    """Imports and exports of all parts together are bounded."""
    names = b"".join(b"\x00" + bytes([2]) + number.to_bytes(2, "big") + b"\x05\x00" for number in range(0x2020, 0x2060))
    part = CODE + section(10, bytes([0x40]) + names)
    assert len(inside(around(part)).components[0].imports) == 64
    found = inside(around(*[part] * 200)).components
    assert sum(len(each.imports) for each in found) == MAX_EXTERNS // 64 * 64
    assert {each.error for each in found} == {None, f"more than {MAX_EXTERNS} imports and exports"}


@given(st.lists(st.tuples(st.integers(0, 12), st.binary(max_size=30)), max_size=8), st.binary(max_size=4))
def test_arbitrary_parts_are_told_or_left_out(parts: list[tuple[int, bytes]], tail: bytes) -> None:
    """Nothing that stands in a part raises."""
    part = HEAD + b"".join(section(identity, body) for identity, body in parts) + tail
    assert inside(around(part, CODE)).components[-1] == leaf(CODE)


@given(st.lists(st.tuples(st.integers(0, 2**20), st.integers(0, 255)), min_size=1, max_size=6))
def test_mutations_are_told_or_refused(edits: list[tuple[int, int]]) -> None:
    """A composed file with some bytes changed is read as far as it goes, or refused with a sentence."""
    data = bytearray(around(around(CODE, CODE), (SAMPLES / "calculator" / "calculator.wasm").read_bytes()))
    for place, byte in edits:
        data[place % len(data)] = byte
    with suppress(ComponentError):
        assert isinstance(inside(bytes(data)), Inside)


def test_what_inspect_shows(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The command lists the parts of a file, as text and as data."""
    parts = [(SAMPLES / "payments" / f"{name}.wasm").read_bytes() for name in ("auth", "ledger")]
    file = tmp_path / "bank.wasm"
    file.write_bytes(around(*parts))
    with pytest.raises(SystemExit):
        main(["inspect", str(file)])
    text = capsys.readouterr().out
    assert text.partition("components inside, to all of which a policy grants alike\n")[2] == (
        f"  1  {digest_of(parts[0])}, {len(parts[0])} bytes\n"
        "     asks for filesystem, stdio, environment, arguments, clocks\n"
        "     exports bank:payments/auth@1.0.0\n"
        f"  2  {digest_of(parts[1])}, {len(parts[1])} bytes\n"
        "     asks for filesystem, stdio, clocks\n"
        "     imports bank:payments/auth@1.0.0, bank:payments/types@1.0.0\n"
        "     exports bank:payments/ledger@1.0.0\n"
    )
    with pytest.raises(SystemExit):
        main(["inspect", "--json", str(file)])
    data = json.loads(capsys.readouterr().out)["inside"]
    assert [part["digest"] for part in data["components"]] == [digest_of(part) for part in parts]
