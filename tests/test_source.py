"""YAML text as data with places: what is read and as what, what is refused and with which sentence."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from sandbox import source
from sandbox.policy import file as policy_file
from sandbox.source import Document, Mark, parse, render_route
from tests.texts import Text, texts


@pytest.fixture(params=["CSafeLoader", "SafeLoader"], ids=["libyaml", "python"])
def _each_loader(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both of PyYAML's parsers: the one in C and the one in Python."""
    if not hasattr(yaml, request.param):
        pytest.skip("PyYAML was built without libyaml")
    monkeypatch.setattr(source, "_LOADER", getattr(yaml, request.param))


def told(document: Document) -> list[str]:
    """The faults of a document, one a line."""
    return [
        f"{fault.mark.line}:{fault.mark.column}: {render_route(fault.route) or '-'}: {fault.message}"
        for fault in document.faults
    ]


TEXT = b"""\
# a comment
version: 1
parts:
  - {host: ./in, except: ["a b", c]}
  -
    host: "\\u0041"
empty:
"odd key.x": |
  one
  two
"""


@pytest.mark.usefixtures("_each_loader")
def test_a_document_becomes_data_with_the_place_of_each_key_and_item() -> None:
    """A key's place is where the key starts, an item's where the item starts; columns count from 1."""
    document = parse(TEXT)
    assert document.data == {
        "version": 1,
        "parts": [{"host": "./in", "except": ["a b", "c"]}, {"host": "A"}],
        "empty": None,
        "odd key.x": "one\ntwo\n",
    }
    assert told(document) == []
    assert [(render_route(route), mark) for route, mark in document.marks()] == [
        ("", Mark(2, 1)),
        ("version", Mark(2, 1)),
        ("parts", Mark(3, 1)),
        ("parts[0]", Mark(4, 5)),
        ("parts[0].host", Mark(4, 6)),
        ("parts[0].except", Mark(4, 18)),
        ("parts[0].except[0]", Mark(4, 27)),
        ("parts[0].except[1]", Mark(4, 34)),
        ("parts[1]", Mark(6, 5)),
        ("parts[1].host", Mark(6, 5)),
        ("empty", Mark(7, 1)),
        ('["odd key.x"]', Mark(8, 1)),
    ]


def test_a_route_that_is_not_there_has_the_place_of_its_nearest_ancestor() -> None:
    """A missing key is shown where the mapping that lacks it starts."""
    document = parse(TEXT)
    assert [
        document.mark(("parts", 1, "access")),
        document.mark(("parts", 7, "host")),
        document.mark(("parts", "host")),
        document.mark(("nothing",)),
    ] == [Mark(6, 5), Mark(3, 1), Mark(3, 1), Mark(2, 1)]


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("yes", "yes"),
        ("no", "no"),
        ("on", "on"),
        ("Off", "Off"),
        ("y", "y"),
        ("22:22", "22:22"),
        ("1:30:00", "1:30:00"),
        ("2001-01-01", "2001-01-01"),
        ("=", "="),
        ("<<", "<<"),
        ("0b101", "0b101"),
        ("1_", "1_"),
        ("_1", "_1"),
        ("1__0", "1__0"),
        ("0X1F", "0X1F"),
        ("1.2.3", "1.2.3"),
        ("tRUE", "tRUE"),
        ("~/data", "~/data"),
        ("'1'", "1"),
        ('"true"', "true"),
        ("!!str 010", "010"),
        ("! 12", "12"),
        ("true", True),
        ("False", False),
        ("null", None),
        ("", None),
        ("0", 0),
        ("-12", -12),
        ("+7", 7),
        ("2_000_000", 2_000_000),
        ("0x1F", 31),
        ("0o17", 15),
        ("!!int 0x10", 16),
        ("1.5", 1.5),
        (".5", 0.5),
        ("1e3", 1000.0),
        ("-1.e-2", -0.01),
        ("!!float 2", 2.0),
        ("-.inf", -math.inf),
        ("!!bool true", True),
        ("!!null null", None),
        ("!!seq [1]", [1]),
        ("!!map {a: 1}", {"a": 1}),
    ],
)
@pytest.mark.usefixtures("_each_loader")
def test_scalars_follow_the_core_rules_of_yaml_1_2(written: str, value: object) -> None:
    """Only true, false, null and numbers are no strings; what YAML 1.1 made of yes, 22:22 or dates is not."""
    document = parse(f"k: {written}\n".encode())
    assert told(document) == []
    assert isinstance(document.data, dict)
    assert (document.data["k"], type(document.data["k"])) == (value, type(value))


def test_not_a_number_is_read_as_one_that_equals_nothing() -> None:
    """``.nan`` is a float of YAML's core rules."""
    data = parse(b".nan").data
    assert isinstance(data, float)
    assert math.isnan(data)


HIDDEN = "does not show as what it is; write it as an escape in a double-quoted string:"

REFUSED: dict[str, tuple[bytes, list[str]]] = {
    "duplicate key": (
        b"a: 1\nb: {c: 1, c: 2}\na: 3\n",
        ["2:11: b.c: duplicate key, first given on line 2", "3:1: a: duplicate key, first given on line 1"],
    ),
    "anchor and alias": (
        b"a: &x [1]\nb: *x\nc: [*x, 2]\n",
        [
            "1:4: a: anchors (&x) are not allowed: write the value out where it is needed",
            "2:4: b: aliases (*x) are not allowed: write the value out",
            "3:5: c[0]: aliases (*x) are not allowed: write the value out",
        ],
    ),
    "alias as a key": (b"a:\n  *x : 1\n", ["2:3: a: aliases (*x) are not allowed: write the value out"]),
    "merge key": (b"a: {<<: {b: 1}}\n", ["1:5: a.<<: merge keys (<<) are not allowed: write the values out"]),
    "application tag": (
        b"a: !python/object:os.system x\nb: !x [1]\nc: !!python/name:os.system y\nd: !!set {e: 1}\n",
        [
            "1:4: a: the tag !python/object:os.system is not allowed here: remove it",
            "2:4: b: the tag !x is not allowed here: remove it",
            "3:4: c: the tag !!python/name:os.system is not allowed here: remove it",
            "4:4: d: the tag !!set is not allowed here: remove it",
        ],
    ),
    "core tag that does not fit": (
        b"a: !!int x\nb: !!bool 1\nc: !!seq {}\nd: !!int true\n",
        [
            "1:4: a: the tag !!int does not fit the value: remove it",
            "2:4: b: the tag !!bool does not fit the value: remove it",
            "3:4: c: the tag !!seq is not allowed here: remove it",
            "4:4: d: the tag !!int does not fit the value: remove it",
        ],
    ),
    "several documents": (b"a: 1\n---\nb: 2\n", ["2:1: -: a second document starts here; a file holds one"]),
    "directive": (
        b"%YAML 1.1\n---\na: 1\n",
        ["1:1: -: directives (%YAML, %TAG) are not allowed: the file is read as YAML 1.2"],
    ),
    "tag directive": (
        b"%TAG ! tag:example.com,2000:\n---\na: 1\n",
        ["1:1: -: directives (%YAML, %TAG) are not allowed: the file is read as YAML 1.2"],
    ),
    "key that is no string": (
        b"1: a\ntrue: b\nnull: c\n[d]: e\n{f: 1}: g\n",
        [
            '1:1: -: a key must be a string: write "1"',
            '2:1: -: a key must be a string: write "true"',
            '3:1: -: a key must be a string: write "null"',
            "4:1: -: a key must be a string, not a list",
            "5:1: -: a key must be a string, not a mapping",
        ],
    ),
    "long key": (
        b"a:\n  ? " + b"k" * 257 + b"\n  : 1\n",
        ["2:5: a: a key has at most 256 characters, this one 257"],
    ),
    "control character in a key": (
        b'"a\\e[2J": 1\n"b\\n": 2\n',
        [
            "1:1: -: a key must not contain the character U+001B",
            "2:1: -: a key must not contain the character U+000A",
        ],
    ),
    "number with a leading zero": (
        b"a: 010\nb: -007\nc: 0o10\n",
        [
            "1:4: a: a number must not start with 0: remove the zero, write 0o for octal, or quote it",
            "2:4: b: a number must not start with 0: remove the zero, write 0o for octal, or quote it",
        ],
    ),
    "long number": (
        b"a: " + b"1" * 65 + b"\n",
        ["1:4: a: a number has at most 64 characters: quote it if it is text"],
    ),
    "bare tilde": (b"host: ~\n", ["1:7: host: a bare ~ says 'nothing' in YAML: put it in quotes"]),
    "not UTF-8": (
        "a: ü\nb: ".encode() + b"\xff\n",
        ["2:4: -: the byte 0xff is not UTF-8; save the file as UTF-8"],
    ),
    "UTF-16": ("a: 1".encode("utf-16"), ["1:1: -: the byte 0xff is not UTF-8; save the file as UTF-8"]),
    "control character": (
        b"a: 1\nb: x\x1b[2J\n",
        [f'2:5: -: the character U+001B {HIDDEN} "\\u001b"'],
    ),
    "text that reorders what is shown": (
        "a: 1 # \u202eetirw\n".encode(),
        [f'1:8: -: the character U+202E {HIDDEN} "\\u202e"'],
    ),
    "line end that few programs see": (
        b"a: 1 # x\rb: 2\n",
        [f'1:9: -: the character U+000D {HIDDEN} "\\u000d"'],
    ),
    "too large": (b"#" * (1024 * 1024 + 1), ["1:1: -: the file is larger than 1048576 bytes"]),
    "too deep": (b"[" * 1000, ["1:51: -: nested more than 50 levels deep"]),
    "too many values": (
        b"[" + b"1," * 20_000 + b"]",
        ["1:40000: -: the file holds more than 20000 keys and values"],
    ),
    "too many faults": (
        b"a: 1\n" * 200,
        [f"{line}:1: a: duplicate key, first given on line 1" for line in range(2, 102)]
        + ["101:1: -: reading stopped here, after 100 faults"],
    ),
}


@pytest.mark.parametrize("case", REFUSED)
@pytest.mark.usefixtures("_each_loader")
def test_what_a_policy_must_not_hold_is_refused_with_its_place(case: str) -> None:
    """Each refusal names the place and the route, and says what to do; several come together."""
    text, faults = REFUSED[case]
    assert told(parse(text)) == faults


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        (b"a: [1\n", "2:1: -: not valid YAML: while parsing a flow sequence, did not find expected ',' or ']'"),
        (b"a: b: c\n", "1:5: -: not valid YAML: mapping values are not allowed in this context"),
        (
            b'a: "\\ud800"\n',
            "1:7: -: not valid YAML: while parsing a quoted scalar, found invalid Unicode character escape code",
        ),
    ],
)
def test_a_syntax_error_is_one_fault_and_no_data(text: bytes, fault: str) -> None:
    """What is no YAML is told in the parser's words, where it is; nothing is read from it."""
    if not hasattr(yaml, "CSafeLoader"):
        pytest.skip("PyYAML was built without libyaml, whose words these are")
    document = parse(text)
    assert (told(document), document.data, document.readable) == ([fault], None, False)


def test_an_escape_for_half_a_character_is_refused_by_the_python_parser_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """PyYAML's own scanner takes escapes that stand for no character; no such string gets further."""
    monkeypatch.setattr(source, "_LOADER", yaml.SafeLoader)
    assert told(parse(b'a: "\\ud800"\n')) == ["1:4: a: the escape for U+D800 stands for no character"]
    assert told(parse(b'a: "\\Uffffffff"\n')) == [
        "1:1: -: not valid YAML: it has an escape or a directive out of range"
    ]


@pytest.mark.usefixtures("_each_loader")
def test_what_was_refused_is_left_out_and_the_rest_is_read() -> None:
    """The first of two keys stands; a value that cannot be read is left out, in a list it is None."""
    document = parse(b"a: 1\na: [2]\nb: *x\nc: [*x, 3]\n? [d]\n: {e: 1, e: 2}\nf: 010\ng: 4\n")
    assert (document.data, document.readable) == ({"a": 1, "c": [None, 3], "g": 4}, True)


@pytest.mark.usefixtures("_each_loader")
def test_a_byte_order_mark_and_windows_line_ends_are_fine() -> None:
    """An editor on Windows may save a policy; places stay those of the editor."""
    document = parse(b"\xef\xbb\xbfa: 1\r\nb: 2\r\n")
    assert (document.data, document.mark(("b",)), told(document)) == ({"a": 1, "b": 2}, Mark(2, 1), [])


@pytest.mark.parametrize("text", [b"", b"# nothing\n", b"---\n"])
@pytest.mark.usefixtures("_each_loader")
def test_an_empty_file_is_null(text: bytes) -> None:
    """A file without a value is readable and holds nothing."""
    document = parse(text)
    assert (document.data, document.readable, told(document)) == (None, True, [])


def test_columns_count_characters() -> None:
    """A character of several bytes is one column."""
    assert parse("{ü€😀: 1, b: 2}".encode()).mark(("b",)) == Mark(1, 10)


def test_a_route_quotes_keys_that_are_no_plain_words() -> None:
    """A route reads unambiguously whatever its keys hold."""
    assert render_route(("a", 0, "b-c", "d.e", 'f"g', "h]", "ü", "\u202e")) == (
        'a[0].b-c["d.e"]["f\\"g"]["h]"]["ü"]["\\u202e"]'
    )


def test_the_reader_of_files_takes_one_byte_more_than_the_parser_allows() -> None:
    """So that a file that is too large is refused and not cut."""
    assert policy_file.READ_LIMIT == source.MAX_BYTES + 1


@given(st.binary(max_size=300))
@settings(deadline=None)
def test_no_bytes_make_the_reader_fail(text: bytes) -> None:
    """Whatever the bytes, there is a document; what is unreadable has a fault."""
    document = parse(text)
    assert document.readable or document.faults


@given(st.text(alphabet=st.sampled_from("abk01~&*!<>|%@{}[]:,?-#'\"\\ \n\tü\u202e_."), max_size=200))
@settings(deadline=None)
def test_no_text_of_yaml_characters_makes_either_parser_fail(text: str) -> None:
    """Both parsers give a document for any text, and every route that is in the data has a place."""
    for loader in {getattr(yaml, "CSafeLoader", yaml.SafeLoader), yaml.SafeLoader}:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(source, "_LOADER", loader)
            document = parse(text.encode())
        assert document.readable or document.faults
        if document.readable:
            assert {route for route, _ in document.marks()} == set(routes(document.data))


def routes(data: Any, route: tuple[str | int, ...] = ()) -> list[tuple[str | int, ...]]:
    """Every route of plain data."""
    below = data.items() if isinstance(data, dict) else enumerate(data) if isinstance(data, list) else ()
    return [route, *(found for key, value in below for found in routes(value, (*route, key)))]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**9), 10**9) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=6), inner, max_size=4),
    max_leaves=12,
)


@given(JSON)
@settings(deadline=None)
def test_json_means_the_same_here(data: Any) -> None:
    """JSON is YAML: what a program writes as JSON is read as the same data."""
    document = parse(json.dumps(data, ensure_ascii=False).encode())
    if not document.faults:
        assert document.data == data
    else:
        assert any(source.HIDDEN.search(part) for part in strings(data))


def strings(data: Any) -> list[str]:
    """Every key of plain data, and the data itself where it is a string."""
    if isinstance(data, str):
        return [data]
    if isinstance(data, dict):
        return [*data, *(text for value in data.values() for text in strings(value))]
    return [text for value in data for text in strings(value)] if isinstance(data, list) else []


SPANS = b"""\
# \xf0\x9d\x84\x9e
plain: two words # behind
"quoted" : 'it''s'
list:
- a

-   b
- {c: [1,
       2], d: }
-
map:
  nested:
    x: |
      one
      # two

  # after
empty:
\xf0\x9d\x84\x9e: \xf0\x9d\x84\x9e # \xf0\x9d\x84\x9e
"""


@pytest.mark.usefixtures("_each_loader")
def test_keys_and_values_are_parts_of_the_text() -> None:
    """A value ends where its last character stands: before comments, empty lines and what comes next."""
    document = parse(SPANS)
    assert [
        (
            render_route(route),
            node.key and document.text[slice(*node.key)],
            document.text[slice(*node.value)],
            node.flow,
        )
        for route, _ in document.marks()
        for node in [document.nearest(route)[1]]
        if route
    ] == [
        ("plain", "plain", "two words", False),
        ("quoted", '"quoted"', "'it''s'", False),
        ("list", "list", "- a\n\n-   b\n- {c: [1,\n       2], d: }\n-", False),
        ("list[0]", None, "a", False),
        ("list[1]", None, "b", False),
        ("list[2]", None, "{c: [1,\n       2], d: }", True),
        ("list[2].c", "c", "[1,\n       2]", True),
        ("list[2].c[0]", None, "1", False),
        ("list[2].c[1]", None, "2", False),
        ("list[2].d", "d", "", False),
        ("list[3]", None, "", False),
        ("map", "map", "nested:\n    x: |\n      one\n      # two", False),
        ("map.nested", "nested", "x: |\n      one\n      # two", False),
        ("map.nested.x", "x", "|\n      one\n      # two", False),
        ("empty", "empty", "", False),
        ('["\U0001d11e"]', "\U0001d11e", "\U0001d11e", False),
    ]


@pytest.mark.usefixtures("_each_loader")
def test_comments_are_told_from_what_only_looks_like_one() -> None:
    """Those alone on a line and those behind something; in quotes and in block style a ``#`` begins none."""
    text = """\
# first
a: x#y # behind
'b #' : ' # no' # after quotes
" # c": |  # on the first line
  # no
  text # no
 # less far in
d: "over
  # lines
  no" #
e: [1, # in a list
  # in it
  2]
f: >-
  # no
#last"""
    comments = [(comment.text, tuple(comment.mark), comment.alone) for comment in parse(text.encode()).comments()]
    assert comments == [
        ("first", (1, 1), True),
        ("behind", (2, 8), False),
        ("after quotes", (3, 17), False),
        ("on the first line", (4, 12), False),
        ("less far in", (7, 2), True),
        ("", (10, 7), False),
        ("in a list", (11, 8), False),
        ("in it", (12, 3), True),
        ("last", (16, 1), True),
    ]


@given(texts())
@settings(deadline=None)
def test_what_was_written_in_any_style_is_read_and_sliced(text: Text) -> None:
    """By either parser: the data, the comments, and for each key and value the part of the text that says it."""
    for loader in {getattr(yaml, "CSafeLoader", yaml.SafeLoader), yaml.SafeLoader}:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(source, "_LOADER", loader)
            document = parse(text.text.encode())
            assert (told(document), document.data) == ([], text.data)
            comments = [(f"#{comment.text}", comment.alone) for comment in document.comments()]
            assert [said for said, alone in comments if alone] == [squeezed(comment) for comment in text.alone]
            assert {said for said, alone in comments if not alone} == {squeezed(comment) for comment in text.behind}
            for route, _ in document.marks():
                _, node = document.nearest(route)
                assert read_alone(document, node.value) == at(text.data, route)
                if node.key is not None:
                    assert read_alone(document, node.key) == route[-1]


def squeezed(comment: str) -> str:
    """A comment without the space that follows its mark."""
    return f"#{comment[1:].strip()}"


def read_alone(document: Document, span: source.Span) -> Any:
    """What a part of the text says by itself, where it starts in the same column."""
    column = document.mark_of(span.start).column
    return parse((" " * (column - 1) + document.text[slice(*span)]).encode()).data


def at(data: Any, route: tuple[str | int, ...]) -> Any:
    """What plain data has at a route."""
    for part in route:
        data = data[part]
    return data
