"""WAVE: texts and the values that wasmtime-py passes, both ways, and against wasmtime-py itself."""

from __future__ import annotations

import math
import struct
from collections.abc import Iterator
from functools import cache
from typing import Any

import pytest
import wasmtime
from hypothesis import given
from hypothesis import strategies as st
from wasmtime import component as wt

from sandbox.wave import (
    WaveError,
    describe,
    format,  # noqa: A004
    format_numbers,
    parse,
    parse_argument,
    parse_arguments,
    parse_numbers,
)


@cache
def engine() -> wasmtime.Engine:
    return wasmtime.Engine()


NAMED = {
    "point": '(record (field "x" s32) (field "y-axis" (option f64)))',
    "loose": '(record (field "a" (option u8)) (field "b" (option (option string))))',
    "nothing-ever": '(variant (case "off") (case "level" u8) (case "err" string))',
    "bool-or-int": '(variant (case "flag" bool) (case "number" u8))',
    "int-or-bool": '(variant (case "number" u8) (case "flag" bool))',
    "maybe-or-text": '(variant (case "maybe" (option u8)) (case "text" string))',
    "colour": '(enum "red" "green" "ok")',
    "rights": '(flags "read" "write" "run-it")',
}
"""Types that a component must name to use."""


@pytest.fixture(scope="module", autouse=True)
def no_types_left() -> Iterator[None]:
    """What wasmtime-py owns must be gone before the interpreter takes its library away."""
    yield
    params.cache_clear()
    engine.cache_clear()


@cache
def params(*types: str) -> tuple[tuple[str, wt.ValType], ...]:
    """Component types from their text form; a word of ``NAMED`` is that type."""
    declared = "".join(
        f'(type $d-{name} {body}) (import "t-{name}" (type ${name} (eq $d-{name})))' for name, body in NAMED.items()
    )
    listed = " ".join(f'(param "p{index}" {text})' for index, text in enumerate(types))
    data = wasmtime.wat2wasm(f'(component {declared} (import "f" (func {listed})))')
    function = wt.Component(engine(), bytes(data)).type.imports(engine())["f"].ty
    assert isinstance(function, wt.FuncType)
    return tuple(function.params)


def val(text: str) -> wt.ValType:
    return params(text)[0][1]


def record(**fields: Any) -> wt.Record:
    value = wt.Record()
    for name, field in fields.items():
        setattr(value, name.replace("_", "-"), field)
    return value


@pytest.mark.parametrize(
    ("ty", "text", "value", "canonical"),
    [
        ("bool", "true", True, "true"),
        ("u8", " 255 // all of it", 255, "255"),
        ("s8", "-128", -128, "-128"),
        ("s64", "-9223372036854775808", -(2**63), "-9223372036854775808"),
        ("u64", "18446744073709551615", 2**64 - 1, "18446744073709551615"),
        ("u32", "-0", 0, "0"),
        ("f64", "6.022e+23", 6.022e23, "6.022e+23"),
        ("f64", "5", 5.0, "5"),
        ("f64", "1e-7", 1e-7, "1e-7"),
        ("f64", "inf", math.inf, "inf"),
        ("f32", "-inf", -math.inf, "-inf"),
        ("f32", "0.1", 0.10000000149011612, "0.1"),
        ("f32", "340282350000000000000000000000000000000", 3.4028234663852886e38, "3.4028235e+38"),
        ("f32", "1e-46", 0.0, "0"),
        ("char", "'\\''", "'", "'\\''"),
        ("char", "'\"'", '"', "'\"'"),
        ("char", "'\\u{1F600}'", "\U0001f600", "'\U0001f600'"),
        ("string", '""', "", '""'),
        ("string", '"it\'s \\"so\\"\\t\\u{1b}[2J"', 'it\'s "so"\t\x1b[2J', '"it\'s \\"so\\"\\t\\u{1b}[2J"'),
        ("string", '"\u202e"', "\u202e", '"\\u{202e}"'),
        (
            "string",
            '"""\n    Indented\n      by the end\n  """',
            "  Indented\n    by the end",
            '"  Indented\\n    by the end"',
        ),
        ("string", '"""\r\na\\\\\r\n""\\""\r\n"""', 'a\\\n""""', '"a\\\\\\n\\"\\"\\"\\""'),
        ("string", '"""\n"""', "", '""'),
        ("(list u8)", "[1, 2, 255,]", b"\x01\x02\xff", "[1, 2, 255]"),
        ("(list u8)", "[]", b"", "[]"),
        ("(list string)", '["a", // one\n "b"]', ["a", "b"], '["a", "b"]'),
        ("(tuple u8 string)", '(1, "a")', (1, "a"), '(1, "a")'),
        ("(option u8)", "none", None, "none"),
        ("(option u8)", "7", 7, "some(7)"),
        ("(option u8)", "some( 7 )", 7, "some(7)"),
        ("(option (option u8))", "none", wt.Variant("none"), "none"),
        ("(option (option u8))", "some(none)", wt.Variant("some", None), "some(none)"),
        ("(option (option u8))", "some(7)", wt.Variant("some", 7), "some(some(7))"),
        ("(result u8 (error string))", "7", 7, "ok(7)"),
        ("(result u8 (error string))", 'err("no")', "no", 'err("no")'),
        ("(result u8 (error u8))", "err(7)", wt.Variant("err", 7), "err(7)"),
        ("(result)", "ok", wt.Variant("ok"), "ok"),
        ("(result (error string))", "ok", None, "ok"),
        ("$point", "{x: 1}", record(x=1, y_axis=None), "{x: 1}"),
        ("$point", "{ y-axis: 2, %x: -1, }", record(x=-1, y_axis=2.0), "{x: -1, y-axis: some(2)}"),
        ("$loose", "{:}", record(a=None, b=wt.Variant("none")), "{:}"),
        ("$loose", "{b: some(none)}", record(a=None, b=wt.Variant("some", None)), "{b: some(none)}"),
        ("$nothing-ever", "off", None, "off"),
        ("$nothing-ever", "level(3)", 3, "level(3)"),
        ("$nothing-ever", '%err("x")', "x", '%err("x")'),
        ("$bool-or-int", "flag(true)", True, "flag(true)"),
        ("$bool-or-int", "number(1)", 1, "number(1)"),
        ("$maybe-or-text", "maybe(none)", None, "maybe(none)"),
        ("$colour", "green", "green", "green"),
        ("$colour", "%ok", "ok", "%ok"),
        ("$rights", "{run-it, read,}", {"read", "run-it"}, "{read, run-it}"),
        ("$rights", "{}", set(), "{}"),
    ],
)
def test_a_text_and_its_value(ty: str, text: str, value: object, canonical: str) -> None:
    """A text gives wasmtime-py's value, the value gives its canonical text, and that gives the same value."""
    parsed = parse(text, val(ty))
    assert (parsed, type(parsed)) == (value, type(value))
    assert format(value, val(ty)) == canonical
    assert parse(canonical, val(ty)) == value


def test_not_a_number() -> None:
    """nan is read and written; it equals nothing, so that it has a test of its own."""
    assert math.isnan(parse("nan", val("f32")))
    assert format(math.nan, val("f64")) == "nan"


@pytest.mark.parametrize(
    ("ty", "text", "message"),
    [
        ("bool", "yes", "expected true or false, found yes\n  yes\n  ^"),
        ("u8", "256", "out of range: expected a u8 from 0 to 255, found 256\n  256\n  ^"),
        ("u8", "-1", "out of range: expected a u8 from 0 to 255, found -1\n  -1\n  ^"),
        ("u8", "1.0", "expected a u8 from 0 to 255, found 1.0\n  1.0\n  ^"),
        ("u8", "01", "expected a u8 from 0 to 255, found 01\n  01\n  ^"),
        ("u8", "\u0661", "expected a u8 from 0 to 255, found \u0661\n  \u0661\n  ^"),
        ("u8", "1 2", "unexpected text after the value\n  1 2\n    ^"),
        ("u8", "", "expected a u8 from 0 to 255, found the end\n  \n  ^"),
        ("f32", "1e39", "out of range: no f32 is as large as 1e39\n  1e39\n  ^"),
        ("f64", "-1e309", "out of range: no f64 is as large as -1e309\n  -1e309\n  ^"),
        ("f64", "Infinity", "expected a number, inf, -inf or nan for f64, found Infinity\n  Infinity\n  ^"),
        ("char", "'ab'", "expected ' after the character\n  'ab'\n    ^"),
        ("char", "''", "expected a character; a quote and a line feed are written \\' and \\n\n  ''\n   ^"),
        ("char", "'", "expected a character, found the end\n  '\n   ^"),
        ("char", '"a"', 'expected a character in single quotes, found "\n  "a"\n  ^'),
        ("char", "'\\u{d800}'", "an escape that stands for no Unicode character\n  '\\u{d800}'\n   ^"),
        ("char", "'\\u{110000}'", "an escape that stands for no Unicode character\n  '\\u{110000}'\n   ^"),
        (
            "string",
            '"\\x41"',
            'an unknown escape; there are \\t \\n \\r \\\' \\" \\\\ and \\u{hexadecimal}\n  "\\x41"\n   ^',
        ),
        ("string", '"abc', 'the string that begins here does not end on its line\n  "abc\n  ^'),
        ("string", '"a\nb"', 'the string that begins here does not end on its line\n  "a\\nb"\n  ^'),
        (
            "string",
            '"a\udc80"',
            'not Unicode: a byte that is no part of a UTF-8 character\n  "a\\udc80"\n    ^',
        ),
        ("string", '"""a"""', 'the closing """ stands on a line of its own, after spaces only\n  """a"""\n      ^'),
        ("string", '"""a\n"""', 'a line break follows the opening """\n  """a\\n"""\n  ^'),
        ("string", '"""\na', 'the string that begins here has no closing """\n  """\\na\n  ^'),
        (
            "string",
            '"""\na\n  """',
            'each line is indented at least as far as the closing """\n  """\\na\\n  """\n       ^',
        ),
        ("(list u8)", "[1, 300]", "out of range: expected a u8 from 0 to 255, found 300\n  [1, 300]\n      ^"),
        ("(list u8)", "[1 2]", "expected ] or a comma, found 2\n  [1 2]\n     ^"),
        ("(list u8)", "[,]", "expected a u8 from 0 to 255, found ,\n  [,]\n   ^"),
        ("(list u8)", "1", "expected a list in square brackets, found 1\n  1\n  ^"),
        ("(tuple u8 u8)", "(1)", "too few values: tuple<u8, u8> has 2\n  (1)\n  ^"),
        ("(tuple u8 u8)", "(1, 2, 3)", "too many values: tuple<u8, u8> has 2\n  (1, 2, 3)\n         ^"),
        ("(option (option u8))", "7", "expected none or some(...), found 7\n  7\n  ^"),
        ("(option u8)", "some", "expected ( and a value after some, found the end\n  some\n      ^"),
        ("(option u8)", "some(1", "expected ) after the value of some, found the end\n  some(1\n        ^"),
        ("(result)", "ok(1)", "unexpected text after the value\n  ok(1)\n    ^"),
        ("$point", "{}", "an empty record is written {:}\n  {}\n  ^"),
        ("$point", "{:}", "the field x is missing\n  {:}\n  ^"),
        ("$point", "{x: 1, x: 2}", "the field x is given twice\n  {x: 1, x: 2}\n         ^"),
        ("$point", "{z: 1}", "no field z; there are x, y-axis\n  {z: 1}\n   ^"),
        ("$point", "{x 1}", "expected : after x, found 1\n  {x 1}\n     ^"),
        ("$point", "{: 1", "expected } after {:, found 1\n  {: 1\n     ^"),
        ("$nothing-ever", "on", "no case on; there are off, level, err\n  on\n  ^"),
        ("$nothing-ever", 'err("x")', 'err is a keyword; the case of that name is written %err\n  err("x")\n  ^'),
        ("$nothing-ever", "Off-x_y", "expected a case, found Off-x_y\n  Off-x_y\n  ^"),
        (
            "$int-or-bool",
            "flag(true)",
            "wasmtime-py cannot pass the case flag: it takes the value for number\n  flag(true)\n  ^",
        ),
        (
            "$maybe-or-text",
            'text("x")',
            'wasmtime-py cannot pass the case text: it takes the value for maybe\n  text("x")\n  ^',
        ),
        (
            "$colour",
            "a" + "-0" * 2000 + "_",
            "expected a case, found a" + "-0" * 18 + "...\n  a" + "-0" * 19 + "-...\n  ^",
        ),
        ("$colour", "ok", "ok is a keyword; the case of that name is written %ok\n  ok\n  ^"),
        ("$rights", "{fly}", "no flag fly; there are read, write, run-it\n  {fly}\n   ^"),
        ("$rights", "{read, read}", "the flag read is given twice\n  {read, read}\n         ^"),
        ("$rights", "{read", "expected } or a comma, found the end\n  {read\n       ^"),
        (
            "(list u8)",
            "[" + "0, " * 40 + "x" + ", 0" * 40 + "]",
            "expected a u8 from 0 to 255, found x\n  ..." + " 0," * 13 + " x" + ", 0" * 13 + "...\n" + " " * 45 + "^",
        ),
        ("u8", "\x1b[2J", "expected a u8 from 0 to 255, found \\x1b\n  \\x1b[2J\n  ^"),
    ],
)
def test_what_is_no_value(ty: str, text: str, message: str) -> None:
    """Each fault is told in one sentence above the text, with a caret under it."""
    with pytest.raises(WaveError) as caught:
        parse(text, val(ty))
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("ty", "value", "message"),
    [
        ("u8", 256, "out of range: a u8 goes from 0 to 255"),
        ("u8", True, "bool is not what a u8 is held in"),
        ("f32", 1e39, "out of range: no f32 is as large"),
        ("char", "ab", "a char is one character"),
        ("(list u8)", [1], "list is not what a list<u8> is held in"),
        ("(tuple u8 u8)", (1,), "a tuple<u8, u8> has 2 values"),
        ("$point", record(y_axis=None), "the field x is missing"),
        ("$colour", "blue", "no case of that name; there are red, green, ok"),
        ("$rights", {"fly"}, "flags of other names; there are read, write, run-it"),
        ("(option (option u8))", wt.Variant("more"), "no case of that name; there are none, some"),
        ("(result)", wt.Variant("ok", 1), "the case ok has no payload"),
    ],
)
def test_what_has_no_text(ty: str, value: object, message: str) -> None:
    """A value that is none of its type is refused with a sentence."""
    with pytest.raises(WaveError) as caught:
        format(value, val(ty))
    assert str(caught.value) == message


def test_handles_cannot_be_passed() -> None:
    """Resources, wherever in a type they stand, have no text."""
    text = '(component (import "r" (type $r (sub resource))) (import "f" (func (param "a" (option (own $r))))))'
    function = wt.Component(engine(), bytes(wasmtime.wat2wasm(text))).type.imports(engine())["f"].ty
    assert isinstance(function, wt.FuncType)
    ((_, ty),) = function.params
    for call in (lambda: parse("none", ty), lambda: format(None, ty), lambda: describe(ty)):
        with pytest.raises(WaveError) as caught:
            call()
        assert str(caught.value) == "a resource handle cannot be passed as text"


def test_types_are_bounded() -> None:
    """A type that is too large to walk is refused before its text is looked at."""
    wide = f"(tuple {' '.join(['(tuple ' + 'u8 ' * 120 + ')'] * 90)})"
    with pytest.raises(WaveError) as caught:
        parse("()", val(wide))
    assert str(caught.value) == "the type is too large: over 100 levels or 10000 parts"


@pytest.mark.parametrize(
    ("ty", "text"),
    [
        ("(list (option u8))", "list<option<u8>>"),
        ("(result u8 (error string))", "result<u8, string>"),
        ("(result (error string))", "result<_, string>"),
        ("(result u8)", "result<u8>"),
        ("(result)", "result"),
        ("$point", "record {x: s32, y-axis: option<f64>}"),
        ("$nothing-ever", "variant {off, level(u8), err(string)}"),
        ("$colour", "enum {red, green, ok}"),
        ("$rights", "flags {read, write, run-it}"),
        (f"(tuple {'string ' * 40})", "tuple<" + "string, " * 23 + "string, s..."),
    ],
)
def test_types_are_spelt_as_in_wit(ty: str, text: str) -> None:
    """A type is described in the spelling of WIT, cut where it is long."""
    described = describe(val(ty))
    assert described[:197] == text[:197]
    assert len(described) <= 200


def test_a_bare_argument_is_a_string() -> None:
    """On a command line a string needs no quotes; a text that begins with a quote is WAVE; other types are WAVE."""
    string = val("string")
    assert [parse_argument(text, string) for text in ("plain", "it's // so \\n", "", '"q\\t"', "5")] == [
        "plain",
        "it's // so \\n",
        "",
        "q\t",
        "5",
    ]
    assert parse_argument("5", val("u8")) == 5
    with pytest.raises(WaveError) as caught:
        parse_argument("caf\udce9", string)
    assert str(caught.value) == "not Unicode: a byte that is no part of a UTF-8 character\n  caf\\udce9\n     ^"


def test_the_arguments_of_a_function() -> None:
    """Arguments go by the parameters, and options at the end may be left out."""
    signature = params("f64", "string", "(option u8)", "(option (option u8))")
    assert parse_arguments(["2", "a b", "1"], signature) == [2.0, "a b", 1, wt.Variant("none")]
    assert parse_arguments(["2", "x"], signature) == [2.0, "x", None, wt.Variant("none")]
    assert parse_arguments([], ()) == []


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        (["1"], "1 argument given, the function takes 2 arguments: (p0: f64, p1: string)"),
        (["1", "2", "3"], "3 arguments given, the function takes 2 arguments: (p0: f64, p1: string)"),
        (
            ["one", "2"],
            "argument 1, p0: expected a number, inf, -inf or nan for f64, found one\n  one\n  ^",
        ),
    ],
)
def test_wrong_arguments(texts: list[str], message: str) -> None:
    """A wrong number of arguments shows the signature; a wrong argument is named by its parameter."""
    with pytest.raises(WaveError) as caught:
        parse_arguments(texts, params("f64", "string"))
    assert str(caught.value) == message


SINGLE = st.floats(width=32, allow_nan=False)
SCALARS = st.text(max_size=8)
VALUES: dict[str, st.SearchStrategy[Any]] = {
    "bool": st.booleans(),
    "s16": st.integers(-(2**15), 2**15 - 1),
    "u64": st.integers(0, 2**64 - 1),
    "f32": SINGLE,
    "f64": st.floats(allow_nan=False),
    "char": st.characters(exclude_categories=["Cs"]),
    "string": SCALARS,
    "(list u8)": st.binary(max_size=8),
    "(list (tuple s8 string))": st.lists(st.tuples(st.integers(-128, 127), SCALARS), max_size=4),
    "(option (list f32))": st.none() | st.lists(SINGLE, max_size=4),
    "(result string (error $colour))": st.builds(wt.Variant, st.just("ok"), SCALARS)
    | st.builds(wt.Variant, st.just("err"), st.sampled_from(["red", "green", "ok"])),
    "$point": st.builds(
        lambda x, y: record(x=x, y_axis=y), st.integers(-(2**31), 2**31 - 1), st.none() | st.floats(allow_nan=False)
    ),
    "$nothing-ever": st.none() | st.integers(0, 255) | SCALARS,
    "$bool-or-int": st.booleans() | st.integers(0, 255),
    "$rights": st.sets(st.sampled_from(["read", "write", "run-it"])),
}


@given(st.data())
def test_values_round_trip(data: st.DataObject) -> None:
    """Every value has a text of one printable line that gives the value back."""
    ty = data.draw(st.sampled_from(sorted(VALUES)))
    value = data.draw(VALUES[ty])
    text = format(value, val(ty))
    assert text.isprintable()
    again = parse(text, val(ty))
    assert (again, type(again)) == (value, type(value))


@given(SINGLE)
def test_the_text_of_a_single_is_the_shortest(value: float) -> None:
    """An f32 is written with the fewest digits that give it back, and never more than nine."""
    digits = [c for c in format(value, val("f32")).partition("e")[0] if c.isdigit()]
    if math.isfinite(value) and abs(value) < 1e9:
        assert len("".join(digits).lstrip("0").rstrip("0")) <= 9
    assert struct.pack("<f", parse(format(value, val("f32")), val("f32"))) == struct.pack("<f", value)


@given(
    st.sampled_from(sorted(VALUES)),
    st.text(alphabet="()[]{}:,\"'\\%-. \n\t/019aenosruk\udc80", max_size=30) | st.text(),
)
def test_any_text_is_a_value_or_an_error(ty: str, text: str) -> None:
    """Whatever the text, the outcome is a value that can be written again or a WaveError that a terminal can show."""
    try:
        value = parse(text, val(ty))
    except WaveError as error:
        message = str(error)
    else:
        message = format(value, val(ty))
    assert message.replace("\n", "").isprintable()


ECHO = """
(component
  {declared}
  (import "host" (func $host (param "x" {type}) (result {type})))
  (core module $libc
    (memory (export "memory") 1)
    (global $next (mut i32) (i32.const 1024))
    (func (export "realloc") (param i32 i32 i32 i32) (result i32)
      (global.set $next (i32.and (i32.add (global.get $next) (i32.const 7)) (i32.const -8)))
      (global.get $next)
      (global.set $next (i32.add (global.get $next) (local.get 3)))))
  (core instance $libc (instantiate $libc))
  (alias core export $libc "memory" (core memory $memory))
  (alias core export $libc "realloc" (core func $realloc))
  (core func $lowered (canon lower (func $host) (memory $memory) (realloc $realloc)))
  (core module $m
    (import "" "host" (func $host (param {flat} i32)))
    (func (export "echo") (param {flat}) (result i32)
      (call $host {locals} (i32.const 16))
      (i32.const 16)))
  (core instance $i (instantiate $m (with "" (instance (export "host" (func $lowered))))))
  (type $out {exported})
  (export $echoed "echoed" (type $out))
  (func $echo (param "x" {type}) (result {type})
    (canon lift (core func $i "echo") (memory $memory) (realloc $realloc)))
  (export "echo" (func $echo)))
"""


@pytest.mark.parametrize(
    ("ty", "flat", "texts"),
    [
        ("string", "i32 i32", ['"a\\u{0}☃"', '""']),
        ("(list u8)", "i32 i32", ["[0, 255]"]),
        ("(list (option string))", "i32 i32", ['[none, some("x")]']),
        ("(option (option u8))", "i32 i32 i32", ["none", "some(none)", "some(some(7))"]),
        ("(result u8 (error string))", "i32 i32 i32", ["ok(7)", 'err("no")']),
        ("(result (error string))", "i32 i32 i32", ["ok", 'err("no")']),
        ("(tuple s64 f32 char)", "i64 f32 i32", ["(-5, 0.1, '☃')"]),
        ("$point", "i32 i32 f64", ["{x: -1}", "{x: 1, y-axis: some(0.5)}"]),
        ("$nothing-ever", "i32 i32 i32", ["off", "level(9)", '%err("x")']),
        ("$bool-or-int", "i32 i32", ["flag(true)", "number(1)"]),
    ],
)
def test_wasmtime_passes_the_values(ty: str, flat: str, texts: list[str]) -> None:
    """What was parsed goes through wasmtime-py into a component, out to the host, and both ways back, unchanged."""
    declared = "".join(
        f'(type $d-{name} {body}) (import "t-{name}" (type ${name} (eq $d-{name})))' for name, body in NAMED.items()
    )
    locals_ = " ".join(f"(local.get {index})" for index in range(len(flat.split())))
    text = ECHO.format(declared=declared, type=ty, flat=flat, locals=locals_, exported="string")
    store = wasmtime.Store(engine())
    linker = wt.Linker(engine())
    seen: list[Any] = []

    def host(_: Any, value: Any) -> Any:
        seen.append(value)
        return value

    with linker.root() as root:
        root.add_func("host", host)
    instance = linker.instantiate(store, wt.Component(engine(), bytes(wasmtime.wat2wasm(text))))
    echo = instance.get_func(store, "echo")
    assert echo is not None
    result = echo.type(store).result
    assert result is not None
    out = []
    for value in texts:
        out.append(format(echo(store, parse(value, val(ty))), result))
        echo.post_return(store)
    assert out == texts
    assert [format(value, val(ty)) for value in seen] == texts


@pytest.mark.parametrize(
    ("type_", "text", "value"),
    [
        ("i32", "4294967295", 4294967295),
        ("i32", "-2147483648", -2147483648),
        ("i64", "18446744073709551615", (1 << 64) - 1),
        ("i64", " -9223372036854775808 ", -(1 << 63)),
        ("f32", "0.1", struct.unpack("<f", struct.pack("<f", 0.1))[0]),
        ("f64", "0.1", 0.1),
        ("f64", "-inf", float("-inf")),
    ],
)
def test_core_numbers(type_: str, text: str, value: object) -> None:
    """A core integer may be written with a sign or without one, a float as any."""
    assert parse_numbers([text], [type_]) == [value]


@pytest.mark.parametrize(
    ("types", "texts", "message"),
    [
        (["i32", "f64"], ["1"], "1 argument given, the function takes 2 arguments: (i32, f64)"),
        ([], ["1"], "1 argument given, the function takes 0 arguments: ()"),
        (
            ["f64", "i32"],
            ["1", "-2147483649"],
            (
                "argument 2: out of range: expected an i32 from -2147483648 to 4294967295, found -2147483649"
                "\n  -2147483649\n  ^"
            ),
        ),
        (
            ["i64"],
            ["18446744073709551616"],
            (
                "argument 1: out of range: expected an i64 from -9223372036854775808 to 18446744073709551615,"
                " found 18446744073709551616\n  18446744073709551616\n  ^"
            ),
        ),
        (["f32"], ["1e39"], "argument 1: out of range: no f32 is as large as 1e39\n  1e39\n  ^"),
        (["i32"], ["1.5"], "argument 1: expected an i32 from -2147483648 to 4294967295, found 1.5\n  1.5\n  ^"),
    ],
)
def test_wrong_core_numbers(types: list[str], texts: list[str], message: str) -> None:
    """A core parameter has no name: a message tells its place."""
    with pytest.raises(WaveError) as caught:
        parse_numbers(texts, types)
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("values", "types", "text"),
    [
        ([], [], ""),
        ([-1], ["i32"], "-1"),
        ([0.10000000149011612], ["f32"], "0.1"),
        ([float("nan")], ["f64"], "nan"),
        ([1, -2, 0.5, 1e300], ["i32", "i64", "f32", "f64"], "(1, -2, 0.5, 1e+300)"),
    ],
)
def test_core_results(values: list[object], types: list[str], text: str) -> None:
    """No result is no text, one is itself, several are a tuple."""
    assert format_numbers(values, types) == text
