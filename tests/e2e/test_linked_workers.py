"""Programs one after the other: nothing is left of one for the next, and what was compiled for one serves no other."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sandbox import Sandbox
from sandbox.policy.model import Policy
from sandbox.runtime.cache import Cache
from sandbox.runtime.engine import compiled_key
from sandbox.runtime.session import choose, plan_of
from tests.e2e.components import Call
from tests.e2e.harness import Ran, Runner, directory
from tests.e2e.linked import CALL_GO, GO, LIB, WIRE, Interface, Linked, captured, guest, refused

COUNT = Interface(LIB, {"count": "(result u32)", "reset": ""})
CALLS = (Call("count", LIB, "count", "", "i32"), Call("reset", LIB, "reset", ""))
STATE = "(global $count (mut i32) (i32.const 0))"


@pytest.fixture
def linked(tmp_path: Path) -> Iterator[Linked]:
    """Programs in a worker and with a cache of their own."""
    (tmp_path / "cache").mkdir(mode=0o700)
    runner = Runner(tmp_path / "cache")
    yield Linked(tmp_path / "program", runner)
    runner.close()


def counter() -> dict[str, Any]:
    count = "(result i32) (global.set $count (i32.add (global.get $count) (i32.const 1))) (global.get $count)"
    return {
        "guest": guest({"count": count, "reset": "(global.set $count (i32.const 0))"}, exports=COUNT, more=STATE),
    }


def counting(**wire: Any) -> dict[str, dict[str, Any]]:
    """``app`` counts twice, has ``mid`` count, and counts once more; both import ``lib``, as ``wire`` says."""
    mid = Interface("acme:x/mid", {"count-too": "(result u32)"})
    run = """(result i32)
(call $say (call $count)) (call $say (call $count)) (call $say (call $count-too)) (call $say (call $count))
(i32.const 0)"""
    app = guest({"run": run}, imports=[COUNT, mid], calls=[*CALLS, Call("count-too", mid.name, "count-too", "", "i32")])
    between = guest({"count-too": "(result i32) (call $count)"}, exports=mid, imports=[COUNT], calls=CALLS)
    own = {"component": "lib", **wire}
    return {
        "app": {"guest": app, "imports": {LIB: own, mid.name: "mid"}},
        "mid": {"guest": between, "imports": {LIB: "lib"}},
        "lib": counter(),
    }


@pytest.mark.parametrize(("instance", "said"), [("shared", "1\n2\n3\n4\n"), ("own", "1\n2\n1\n3\n")])
def test_memories_of_instances(linked: Linked, instance: str, said: str) -> None:
    """One instance that is shared has one memory, one of its own has its own; the next run finds neither."""
    for _ in range(2):
        ran = linked.run(counting(instance=instance))
        assert (captured(ran), refused(ran)) == ({"app": said, "mid": "", "lib": ""}, [])


def test_only_holds_for_one_importer(linked: Linked) -> None:
    """What one importer may not call another one may, over the same instance."""
    ran = linked.run(counting(only=["reset"]))
    assert (ran.outcome.how, captured(ran)["app"]) == ("trapped", "")
    assert [(e.path, e.capability, e.function) for e in ran.outcome.events[:-1]] == [("app", "imports", "count")]
    parts = counting()
    parts["mid"]["imports"] = {LIB: {"component": "lib", "only": ["reset"]}}
    ran = linked.run(parts)
    reason = f"in app>mid: the policy does not allow this call of count of {LIB}"
    assert (ran.outcome.reason, captured(ran)["app"]) == (reason, "1\n2\n")
    assert [(e.path, e.capability, e.function) for e in ran.outcome.events[:-1]] == [("app>mid", "imports", "count")]


def alone(linked: Linked, name: str) -> Ran:
    """A run of one component of the program that was written last."""
    return linked.runner.run(linked.folder / "policy.yaml", component=name)


def test_one_worker_for_all(linked: Linked, tmp_path: Path) -> None:
    """A program, a component of it alone, another program, and the first again: each as if it were the only one."""
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").write_text(f"{name}\n")
    reads = '(call $cat (call $opened (call $root (i32.const 0)) (text "file") (i32.const 1)))'
    app = guest({"run": f"(result i32) {reads} (call $go) (i32.const 0)"}, imports=[GO], calls=[CALL_GO])
    both = guest({"go": reads, "run": f"(result i32) {reads} (i32.const 0)"}, exports=GO)

    def program(first: str, second: str) -> dict[str, dict[str, Any]]:
        return {
            "app": {"guest": app, "imports": WIRE, "filesystem": [directory(tmp_path / first, "/data")]},
            "lib": {"guest": both, "filesystem": [directory(tmp_path / second, "/data")]},
        }

    one = program("one", "two")
    expected = {"app": "one\n", "lib": "two\n"}
    assert captured(linked.run(one)) == expected
    worker = linked.runner._worker
    ran = alone(linked, "lib")
    assert (ran.stdout, ran.outcome.events[-1].path, len(ran.outcome.events)) == ("two\n", None, 1)
    assert captured(linked.run(program("two", "one"))) == {"app": "two\n", "lib": "one\n"}
    assert captured(linked.run(counting())) == {"app": "1\n2\n3\n4\n", "mid": "", "lib": ""}
    assert captured(linked.run(one)) == expected
    assert linked.runner._worker is worker


def test_keys_of_the_cache(linked: Linked) -> None:
    """Wiring, ``only`` and what the guard is made from make compiled code another one; other grants do not."""

    def key(parts: dict[str, dict[str, Any]]) -> str:
        policy = Policy.load(linked.write(parts))
        return compiled_key(plan_of(policy, choose(policy, None), Cache(linked.folder.parent / "cache")))

    def changed(name: str, **grants: Any) -> str:
        parts = counting()
        parts[name] |= grants
        return key(parts)

    first = key(counting())
    assert changed("lib", environment={"set": {"A": "1"}}) == first
    assert changed("app", limits={"memory": "64MiB"}) == first
    others = [
        key(counting(instance="own")),
        key(counting(only=["count"])),
        key(counting(only=["count", "reset"])),
        changed("lib", environment=None),
        changed("mid", clocks="frozen"),
        changed("lib", sockets={"tcp": {"connect": ["127.0.0.1:9"]}}),
        changed("lib", random={"seed": 1}),
        changed("app", limits={"fuel": 10_000_000}),
        changed("lib", guest=counter()["guest"] + b"\0\2\1a"),
    ]
    assert len({first, *others}) == 1 + len(others)


def test_what_is_compiled_is_found_again(linked: Linked) -> None:
    """A second worker loads the program from the cache; where that is damaged, in whatever way, it is made again."""
    parts = counting()
    expected = {"app": "1\n2\n3\n4\n", "mid": "", "lib": ""}
    cache = linked.folder.parent / "cache"

    def compiled() -> dict[str, int]:
        return {p.name: p.stat().st_ino for p in cache.iterdir() if p.suffix in (".cwasm", ".sites")}

    def again() -> Ran:
        linked.runner.close()
        return linked.run(parts)

    assert captured(linked.run(parts)) == expected
    made = compiled()
    assert len(made) == 2
    assert (captured(again()), compiled()) == (expected, made)
    sites = next(p for p in cache.iterdir() if p.suffix == ".sites")
    code = next(p for p in cache.iterdir() if p.suffix == ".cwasm")
    whole = sites.read_bytes()
    damages = (
        b"",
        whole[:-9],
        b"[]",
        whole.replace(b'"places"', b'"plaices"'),
        whole.replace(b'"places":[', b'"places":[[0,1],'),
    )
    for damage in damages:
        sites.write_bytes(damage)
        assert captured(again()) == expected
        assert sites.read_bytes() == whole
    os.truncate(code, 1000)
    assert captured(again()) == expected
    assert compiled().keys() == made.keys()


def test_thirty_components(linked: Linked) -> None:
    """Each of many components has its own output, files included, however many descriptors that takes."""
    names = [f"c{n}" for n in range(30)]
    parts: dict[str, dict[str, Any]] = {}
    for number, name in enumerate(names):
        own = Interface(f"acme:x/{name}", {f"go{number}": ""})
        parts[name] = {"guest": guest({f"go{number}": f'(call $print (text "{name}"))'}, exports=own)}
    every = [Interface(f"acme:x/{name}", {f"go{number}": ""}) for number, name in enumerate(names)]
    calls = [Call(f"go{number}", f"acme:x/{name}", f"go{number}", "") for number, name in enumerate(names)]
    run = "".join(f"(call $go{number})" for number in range(len(names)))
    app = guest({"run": f"(result i32) {run} (i32.const 0)"}, imports=every, calls=calls)
    imports = {f"acme:x/{name}": name for name in names}
    ran = linked.run({"app": {"guest": app, "imports": imports}, **parts})
    assert (captured(ran), refused(ran)) == ({"app": "", **{name: name for name in names}}, [])


def test_deterministic(linked: Linked) -> None:
    """A program whose component is declared deterministic grants nobody in it what differs from run to run."""
    from sandbox.plan import PlanError

    parts = counting()
    for part in parts.values():
        part |= {"clocks": "frozen", "random": {"seed": 1}}
    parts["app"]["deterministic"] = True
    assert captured(linked.run(parts))["app"] == "1\n2\n3\n4\n"
    parts["lib"]["random"] = "secure"
    with pytest.raises(PlanError) as caught:
        linked.run(parts)
    assert [o.route for o in caught.value.objections] == ["components.lib.grants.random"]


def test_a_typed_call(linked: Linked) -> None:
    """A function of a program is called like one of a component; what the others write is captured all the same."""
    inner = Interface("acme:x/mid", {"inner": ""})
    call = Call("inner", inner.name, "inner", "")
    app = guest({"go": "(call $inner)"}, exports=GO, imports=[inner], calls=[call])
    parts: dict[str, dict[str, Any]] = {
        "app": {"guest": app, "imports": {inner.name: "lib"}},
        "lib": {"guest": guest({"inner": '(call $print (text "inner"))'}, exports=inner)},
    }
    with Sandbox(linked.write(parts), cache=linked.folder.parent / "cache") as library:
        outcome = library.call("app", "lib.go")
    assert (outcome.how, outcome.exit_status) == ("exited", 0)
    assert outcome.captured[2:] == (("lib", "stdout", b"inner"), ("lib", "stderr", b""))
