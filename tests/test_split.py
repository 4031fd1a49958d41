"""Taking apart what other tools composed: which parts and wires are found, and what is refused with which words."""

from __future__ import annotations

import hashlib
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from wasmtime import Engine, wat2wasm

from sandbox.component import ComponentError, facts_of, sections
from sandbox.guard.compose import compose
from sandbox.guard.program import Instance
from sandbox.guard.program import Wire as Link
from sandbox.policy.model import Wire
from sandbox.policy.wiring import MAX_CHAIN, MAX_COMPONENTS, MAX_INSTANCES
from sandbox.split import MAX_DEFINITIONS, MAX_WALKED, Split, SplitError, split
from tests.guard import parts
from tests.test_component import section

HEAD = b"\0asm\x0d\0\1\0"
AUTH = '(component $auth (instance $i) (export "bank:payments/auth@1.0.0" (instance $i)))'
LEDGER = """
(component $ledger
  (import "bank:payments/auth@1.0.0" (instance))
  (instance $i) (export "bank:payments/ledger@1.0.0" (instance $i)))"""
APP = """
(component $app
  (import "bank:payments/auth@1.0.0" (instance))
  (import "bank:payments/ledger@1.0.0" (instance))
  (import "wasi:cli/exit@0.2.0" (instance))
  (instance $i) (export "wasi:cli/run@0.2.3" (instance $i)))"""
EXIT = '(import "wasi:cli/exit@0.2.3" (instance $exit))'
ONE_AUTH = """
(instance $a (instantiate $auth))
(alias export $a "bank:payments/auth@1.0.0" (instance $auth))
(instance $l (instantiate $ledger (with "bank:payments/auth@1.0.0" (instance $auth))))
(alias export $l "bank:payments/ledger@1.0.0" (instance $ledger))
"""
RUN = """
(instance $m (instantiate $app
  (with "bank:payments/auth@1.0.0" (instance $auth))
  (with "bank:payments/ledger@1.0.0" (instance $ledger))
  (with "wasi:cli/exit@0.2.0" (instance $exit))))
(alias export $m "wasi:cli/run@0.2.3" (instance $run))
(export "wasi:cli/run@0.2.3" (instance $run))
"""


def encode(text: str) -> bytes:
    return bytes(wat2wasm(text))


def whole(*lines: str) -> bytes:
    return encode(f"(component {' '.join(lines)})")


PROGRAM = whole(EXIT, AUTH, LEDGER, APP, ONE_AUTH, RUN)
AUTH_TO_ALL = Wire(interface="bank:payments/auth@1.0.0", component="auth")
LEDGER_TO_ALL = Wire(interface="bank:payments/ledger@1.0.0", component="ledger")


def wires(found: Split) -> dict[str, tuple[Wire, ...]]:
    """The components of the policy, each with its wires."""
    return {component.name: component.imports for component in found.policy.components}


def files(found: Split) -> dict[str, bytes]:
    return {name: bytes(data) for name, data in found.files.items()}


def own(wire: Wire) -> Wire:
    return replace(wire, own=True)


def test_parts_and_wires() -> None:
    """Each part is a file with its bytes, pinned; the policy runs the one that exports what the whole does."""
    found = split(PROGRAM)
    assert wires(found) == {"app": (AUTH_TO_ALL, LEDGER_TO_ALL), "auth": (), "ledger": (AUTH_TO_ALL,)}
    assert (found.policy.run, found.unused) == ("app", 0)
    inside = {f"{name}.wasm": part for name, part in zip(("auth", "ledger", "app"), nested(PROGRAM), strict=True)}
    assert files(found) == inside
    assert {c.name: (c.source, c.digest) for c in found.policy.components} == {
        name: (f"{name}.wasm", "sha256:" + hashlib.sha256(inside[f"{name}.wasm"]).hexdigest())
        for name in ("app", "auth", "ledger")
    }
    assert found.facts == {name: facts_of(f"{name}.wasm", inside[f"{name}.wasm"]) for name in ("app", "auth", "ledger")}


def nested(data: bytes) -> list[bytes]:
    """Every component inside, whatever is made of it, outer ones before those inside them."""
    out = []
    for identity, _, body, end in sections(data):
        if identity == 4:
            out += [data[body:end], *nested(data[body:end])]
    return out


def test_what_nothing_instantiates_is_left_out() -> None:
    """A component that is only carried along is no part of the program, and is counted."""
    found = split(whole(EXIT, AUTH, LEDGER, LEDGER.replace("$ledger", "$spare"), APP, ONE_AUTH, RUN))
    assert (list(wires(found)), found.unused) == (["app", "auth", "ledger"], 1)


def test_what_the_whole_imports_stays_an_import() -> None:
    """What no part serves is served by none in the policy, whatever compatible version the whole has of it."""
    ledger = LEDGER.replace("(instance $i)", '(import "bank:payments/types@1.0.0" (instance)) (instance $i)', 1)
    given = ONE_AUTH.replace(
        "(instantiate $ledger", '(instantiate $ledger (with "bank:payments/types@1.0.0" (instance $t))'
    )
    found = split(whole(EXIT, '(import "bank:payments/types@1.2.0" (instance $t))', AUTH, ledger, APP, given, RUN))
    assert wires(found) == wires(split(PROGRAM))


TWO_AUTHS = """
(instance $a (instantiate $auth))
(alias export $a "bank:payments/auth@1.0.0" (instance $auth))
(instance $b (instantiate $auth))
(alias export $b "bank:payments/auth@1.0.0" (instance $other))
(instance $l (instantiate $ledger (with "bank:payments/auth@1.0.0" (instance $other))))
(alias export $l "bank:payments/ledger@1.0.0" (instance $ledger))
"""


def test_an_instance_for_each_importer() -> None:
    """Two instances of a component with an importer each are each importer's own, of one file."""
    found = split(whole(EXIT, AUTH, LEDGER, APP, TWO_AUTHS, RUN))
    assert wires(found) == {"app": (own(AUTH_TO_ALL), LEDGER_TO_ALL), "auth": (), "ledger": (own(AUTH_TO_ALL),)}
    assert sorted(found.files) == ["app.wasm", "auth.wasm", "ledger.wasm"]


BOTH = """
(component $both
  (import "bank:payments/auth@1.0.0" (instance)) (import "bank:payments/auth@1.1.0" (instance))
  (instance $i) (export "wasi:cli/run@0.2.3" (instance $i)))
(component $auth (instance $i) (export "bank:payments/auth@1.1.0" (instance $i)))
(instance $a (instantiate $auth)) (alias export $a "bank:payments/auth@1.1.0" (instance $one))
(instance $b (instantiate $auth)) (alias export $b "bank:payments/auth@1.1.0" (instance $other))
(instance $m (instantiate $both
  (with "bank:payments/auth@1.0.0" (instance $one)) (with "bank:payments/auth@1.1.0" (instance $other))))
(alias export $m "wasi:cli/run@0.2.3" (instance $run)) (export "wasi:cli/run@0.2.3" (instance $run))
"""


def test_what_sharing_cannot_say_is_a_component_for_each_instance() -> None:
    """One importer of two instances of a component: the policy has that component twice, over one file."""
    found = split(whole(BOTH))
    assert wires(found) == {
        "both": (
            Wire(interface="bank:payments/auth@1.0.0", component="auth"),
            Wire(interface="bank:payments/auth@1.1.0", component="auth-2"),
        ),
        "auth": (),
        "auth-2": (),
    }
    assert [c.source for c in found.policy.components] == ["both.wasm", "auth.wasm", "auth.wasm"]
    assert sorted(found.files) == ["auth.wasm", "both.wasm"]


GROUP = f"""
(component $group {AUTH} {LEDGER} {ONE_AUTH}
  (export "bank:payments/ledger@1.0.0" (instance $ledger)) (export "bank:payments/auth@1.0.0" (instance $auth)))
(instance $g (instantiate $group))
(alias export $g "bank:payments/auth@1.0.0" (instance $auth))
(alias export $g "bank:payments/ledger@1.0.0" (instance $ledger))
"""


def test_a_composition_inside_is_taken_apart_too() -> None:
    """What was composed of what was composed is one program of all parts; between them nothing is left."""
    found = split(whole(EXIT, GROUP, APP, RUN))
    assert wires(found) == wires(split(PROGRAM))
    assert files(found) == files(split(PROGRAM))


def test_a_composition_inside_that_has_more_in_it_is_a_part() -> None:
    """Where a composition inside cannot be taken apart, the rest is, around it."""
    group = GROUP.replace("(component $group", "(component $group (core module)")
    found = split(whole(EXIT, group, APP, RUN))
    assert wires(found) == {
        "app": (replace(AUTH_TO_ALL, component="group"), replace(LEDGER_TO_ALL, component="group")),
        "group": (),
    }


def test_a_composition_inside_that_renames_is_a_part() -> None:
    """What cannot be wired once all is taken apart may be wired where a composition inside stays whole."""
    group = """
(component $group
  (component $old (instance $i) (export "bank:payments/old@1.0.0" (instance $i)))
  (instance $o (instantiate $old)) (alias export $o "bank:payments/old@1.0.0" (instance $auth))
  (export "bank:payments/auth@1.0.0" (instance $auth)))
(instance $g (instantiate $group))
(alias export $g "bank:payments/auth@1.0.0" (instance $auth))"""
    app = APP.replace('(import "bank:payments/ledger@1.0.0" (instance))', "")
    run = RUN.replace('(with "bank:payments/ledger@1.0.0" (instance $ledger))', "")
    assert wires(split(whole(EXIT, group, app, run))) == {
        "app": (replace(AUTH_TO_ALL, component="group"),),
        "group": (),
    }


def test_names_are_what_those_call_it_who_composed_it() -> None:
    """Names are made fit for a policy, and differ; what has no name is called after what it exports."""
    named = AUTH.replace("$auth", '$auth (@name "acme:My Auth/\\n../x@1.0.0")', 1)
    bare = LEDGER.replace("$ledger", "", 1)
    app = APP.replace("$app", '$app (@name "x")', 1)
    made = ONE_AUTH.replace("instantiate $ledger", "instantiate 1").replace("$l ", "{} ")
    assert list(wires(split(whole(EXIT, named, bare, app, made.format("$l1", "$l1"), RUN)))) == ["x", "x-2", "ledger"]
    assert list(wires(split(whole(EXIT, named, bare, app, made.format("$books", "$books"), RUN)))) == [
        "x",
        "x-2",
        "books",
    ]


def test_what_compose_makes_is_taken_apart() -> None:
    """A program that was linked here, without shims, comes back as its parts, byte for byte."""
    components = [parts.auth(), parts.ledger(), parts.book()]
    links = (
        Link(name=parts.AUTH, instance=0, export=parts.AUTH),
        Link(name=parts.LEDGER, instance=1, export=parts.LEDGER),
    )
    instances = [
        Instance(name="auth", component=0),
        Instance(name="ledger", component=1, wires=links[:1]),
        Instance(name="book", component=2, wires=links[1:]),
    ]
    found = split(compose(Engine(), components, instances))
    assert wires(found) == {"book": (LEDGER_TO_ALL,), "ledger": (AUTH_TO_ALL,), "auth": ()}
    assert files(found) == {"book.wasm": components[2], "ledger.wasm": components[1], "auth.wasm": components[0]}


PARTS = "".join((EXIT, AUTH, LEDGER, APP, ONE_AUTH, RUN))


def changed(old: str, new: str) -> bytes:
    assert PARTS.count(old) == 1, old
    return whole(PARTS.replace(old, new))


NOTHING = '(component $none (instance $i) (export "a:b/c" (instance $i)))'
CHAIN = "".join(
    f"""(component $c{n} {f'(import "a:b/c{n - 1}" (instance))' if n else ""}
      (instance $i) (export "a:b/c{n}" (instance $i)))
    (instance $i{n} (instantiate $c{n} {f'(with "a:b/c{n - 1}" (instance $e{n - 1}))' if n else ""}))
    (alias export $i{n} "a:b/c{n}" (instance $e{n}))"""
    for n in range(MAX_CHAIN + 1)
)


def many(number: int, component: str) -> str:
    """Instances of components that export one interface each, all of which one component imports."""
    names = [f"a:b/c{n}" for n in range(number)]
    imports = " ".join(f'(import "{name}" (instance))' for name in names)
    lines = [f'(component $all {imports} (instance $i) (export "a:b/all" (instance $i)))']
    exports = " ".join(f'(export "{name}" (instance $i))' for name in names)
    for n, name in enumerate(names):
        if component == "each" or n == 0:
            lines.append(f"(component $c{n} (instance $i) {exports})")
        made = n if component == "each" else 0
        lines.append(f'(instance $i{n} (instantiate $c{made})) (alias export $i{n} "{name}" (instance $e{n}))')
    given = " ".join(f'(with "{name}" (instance $e{n}))' for n, name in enumerate(names))
    lines.append(f'(instance $i (instantiate $all {given})) (alias export $i "a:b/all" (instance $e))')
    return " ".join([*lines, '(export "a:b/all" (instance $e))'])


REFUSED: dict[str, tuple[bytes, str]] = {
    "a module": (b"\0asm\1\0\0\0", "it is a core module, which is not composed of components"),
    "nothing inside": (whole(EXIT), "there is no component inside it"),
    "code": (changed(EXIT, f"{EXIT} (core module)"), "it has code of its own, beside that of any parts"),
    "functions": (
        changed(EXIT, f'{EXIT} (import "f" (func $f)) (core func (canon lower (func $f)))'),
        "it has functions of its own, beside those of any parts",
    ),
    "a start": (
        HEAD + section(4, HEAD) + section(9, b"\0\0"),
        "it calls a function when it starts, which no policy says",
    ),
    "a value": (HEAD + section(4, HEAD) + section(12, b"\0"), "it holds values of its own, which no policy says"),
    "no export": (
        whole(AUTH, "(instance (instantiate $auth))"),
        "it exports nothing, so that none of its parts is the one to run or call",
    ),
    "exports of several": (
        whole(PARTS, '(export "bank:payments/auth@1.0.0" (instance $auth))'),
        (
            "it exports wasi:cli/run@0.2.3 of app and bank:payments/auth@1.0.0 of auth,"
            " and under a policy one component is what runs or is called"
        ),
    ),
    "an export by another name": (
        changed('(export "wasi:cli/run@0.2.3" (instance $run))', '(export "wasi:cli/run@0.2.0" (instance $run))'),
        "it exports wasi:cli/run@0.2.0, which no part of it exports by that name",
    ),
    "an export of an import": (
        whole(PARTS, '(export "wasi:cli/exit@0.2.3" (instance $exit))'),
        "it exports wasi:cli/exit@0.2.3, which no part of it exports by that name",
    ),
    "an import by another name": (
        changed('(import "wasi:cli/exit@0.2.3" (instance $exit))', '(import "wasi:cli/other@0.2.3" (instance $exit))'),
        (
            "app imports wasi:cli/exit@0.2.0 and is given wasi:cli/other@0.2.3 from outside,"
            " and a policy gives nothing under another name"
        ),
    ),
    "a wire by another name": (
        whole(
            PARTS.replace('(export "bank:payments/auth@1.0.0"', '(export "bank:payments/old@1.0.0"').replace(
                '(alias export $a "bank:payments/auth@1.0.0"', '(alias export $a "bank:payments/old@1.0.0"'
            )
        ),
        (
            "ledger imports bank:payments/auth@1.0.0 and is given bank:payments/old@1.0.0 by auth,"
            " and a policy gives nothing under another name"
        ),
    ),
    "WASI from a part": (
        whole(PARTS.replace("bank:payments/auth@1.0.0", "wasi:cli/environment@0.2.3")),
        (
            "ledger is given wasi:cli/environment@0.2.3 by auth,"
            " and under a policy interfaces of WASI are served by the sandbox alone"
        ),
    ),
    "a plain name": (
        whole(PARTS.replace("bank:payments/auth@1.0.0", "auth")),
        "ledger imports auth, and no policy can name that",
    ),
    "a function": (
        whole(
            '(import "f" (func $f)) (component $app (import "f" (func)))',
            '(instance $i (instantiate $app (with "f" (func $f))))',
        ),
        "app is given a single func, f, and a policy wires whole interfaces",
    ),
    "a component from outside": (
        whole(AUTH, '(import "c" (component $c)) (instance (instantiate $c))'),
        "it instantiates a component that does not stand inside it",
    ),
    "an instance put together": (
        whole(
            EXIT,
            AUTH,
            LEDGER,
            APP,
            ONE_AUTH,
            '(instance $together (export "bank:payments/auth@1.0.0" (instance $auth)))',
            RUN.replace(
                '"bank:payments/auth@1.0.0" (instance $auth)', '"bank:payments/auth@1.0.0" (instance $together)'
            ),
        ),
        "what app is given as bank:payments/auth@1.0.0 is no interface that one part exports",
    ),
    "an instance beside the others": (
        whole(PARTS, NOTHING, "(instance (instantiate $none))"),
        (
            "none is instantiated in it and serves no other part of it,"
            " and the programs of a policy have no such component"
        ),
    ),
    "an older version beside a newer one": (
        whole(
            EXIT,
            AUTH.replace("(export", '(export "bank:payments/auth@1.2.0" (instance $i)) (export'),
            LEDGER,
            APP,
            ONE_AUTH,
            RUN,
        ),
        "its parts are wired in a way that no policy says: one imports from another's older version",
    ),
    "a chain": (
        whole(CHAIN, f'(export "a:b/c{MAX_CHAIN}" (instance $e{MAX_CHAIN}))'),
        f"{MAX_CHAIN + 1} of its parts import from each other in a chain, and a policy has {MAX_CHAIN}",
    ),
    "many components": (
        whole(many(MAX_COMPONENTS, "each")),
        f"it is composed of more than {MAX_COMPONENTS} components, and a program has no more",
    ),
    "many instances": (
        whole(many(MAX_INSTANCES, "one")),
        f"it has more than {MAX_INSTANCES} instances, which is as many as a program may have",
    ),
    "many definitions": (
        HEAD + section(4, HEAD) + section(7, b"\xa1\x8d\x06" + b"\x7f" * (MAX_DEFINITIONS + 1)),
        f"it takes a walk past more than {MAX_DEFINITIONS:,} definitions",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused(name: str) -> None:
    """What cannot be followed, or what no policy says, is refused with the reason."""
    data, sentence = REFUSED[name]
    with pytest.raises(SplitError) as refused:
        split(data)
    assert str(refused.value) == sentence


def test_what_is_bound_to_what_is_around_is_found_by_its_bytes() -> None:
    """Offsets in sentences are those of the file, for parts that have no name."""
    text = AUTH.replace("$auth", "", 1).replace('"bank:payments/auth@1.0.0"', '"auth"')
    data = whole(text, '(instance $i (instantiate 0)) (export "a" (instance $i))')
    with pytest.raises(SplitError) as refused:
        split(data)
    assert str(refused.value) == "it exports a, which no part of it exports by that name"


def tower(levels: int) -> bytes:
    """A component that holds one twice that holds one twice, and so on, with an instance of each."""
    data = encode('(component (instance $i) (export "a:b/c" (instance $i)))')
    for _ in range(levels):
        # Two instances of the component, of which the second one's export is the whole's.
        made = section(5, b"\x02\x00\x00\x00\x00\x00\x00")
        data = (
            HEAD
            + section(4, data)
            + made
            + section(6, b"\x01\x05\x00\x01\x05a:b/c")
            + section(11, b"\x01\x00\x05a:b/c\x05\x02\x00")
        )
    return data


@pytest.mark.parametrize("levels", [7, 8, 60])
def test_what_doubles_at_each_level_ends(levels: int) -> None:
    """Compositions whose instances double at each level end in a sentence, soon."""
    with pytest.raises(SplitError, match=r"more than 200 instances|serves no other part"):
        split(tower(levels))


def test_many_sections_end() -> None:
    """What is walked past is bounded, however often a component is instantiated."""
    empty = section(0, b"\x01x")
    inner = HEAD + empty * 50_000 + section(4, HEAD) + section(5, b"\x00") + section(11, b"\x00")
    data = HEAD + section(4, inner) + section(5, b"\x1e" + b"\x00\x00\x00" * 30)
    with pytest.raises(SplitError) as refused:
        split(data)
    assert str(refused.value) == f"it takes a walk past more than {MAX_WALKED:,} sections"


def test_many_names_end() -> None:
    """Names are read up to a bound, each as often as it is come by, and those that are malformed are none."""
    names = b"\x0ecomponent-name" + section(1, b"\x04" + b"\xe8\x07" + b"\0\0" * 1000) * 1000
    inner = HEAD + section(0, names) + section(4, HEAD) + section(5, b"\0")
    with pytest.raises(SplitError) as refused:
        split(HEAD + section(4, inner) + section(5, b"\xf4\x03" + b"\0\0\0" * 500))
    assert str(refused.value) == f"it takes a walk past more than {MAX_DEFINITIONS:,} definitions"
    assert wires(split(PROGRAM + section(0, b"\x0ecomponent-name\x01\x7f"))) == wires(split(PROGRAM))


MALFORMED = {
    "a component that is a module": (
        HEAD + section(4, b"\0asm\1\0\0\0") + section(5, b"\x01\x00\x00\x00"),
        "a core module at byte 10",
    ),
    "an index": (HEAD + section(4, HEAD) + section(5, b"\x01\x00\x01\x00"), "component 1 is used, and only 1"),
    "a count": (HEAD + section(4, HEAD) + section(7, b"\x7f"), "127 definitions are announced"),
    "an argument": (
        whole(AUTH.replace("(instance $i)", '(import "a:b/c" (instance)) (instance $i)', 1))
        + section(5, b"\x01\x00\x00\x00"),
        "auth imports a:b/c, and is instantiated without it",
    ),
}


@pytest.mark.parametrize("name", MALFORMED)
def test_malformed(name: str) -> None:
    """What no runtime would take is told as everywhere."""
    data, sentence = MALFORMED[name]
    with pytest.raises(ComponentError, match=sentence):
        split(data)


SEEDS = (PROGRAM, whole(EXIT, GROUP, APP, RUN), whole(BOTH), whole(EXIT, AUTH, LEDGER, APP, TWO_AUTHS, RUN))


@given(
    st.sampled_from(SEEDS),
    st.lists(st.tuples(st.integers(0, 4000), st.integers(0, 3), st.binary(max_size=4)), min_size=1, max_size=4),
)
def test_mutations_end_in_a_sentence_or_in_what_stands_inside(
    seed: bytes, changes: list[tuple[int, int, bytes]]
) -> None:
    """Whatever the bytes, there is a sentence, or parts that stand inside and a policy of just these."""
    data = bytearray(seed)
    for at, cut, put in changes:
        at %= len(data) + 1
        data[at : at + cut] = put
    try:
        found = split(bytes(data))
    except (SplitError, ComponentError):
        return
    assert {bytes(part) for part in found.files.values()} <= set(nested(bytes(data)))
    assert {component.source for component in found.policy.components} == set(found.files)
    for component in found.policy.components:
        digest = hashlib.sha256(found.files[component.source or ""]).hexdigest()
        assert component.digest == f"sha256:{digest}"
