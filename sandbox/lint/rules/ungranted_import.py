"""An import whose use is refused, since the policy does not speak of it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from sandbox import preview1
from sandbox.component import Facts
from sandbox.lint.case import Case
from sandbox.lint.needs import Needs, Part, named
from sandbox.lint.rule import Problem, Rule

_NO_SIGN = {
    "wasi:cli/terminal-stdin",
    "wasi:cli/terminal-stdout",
    "wasi:cli/terminal-stderr",
    "wasi:clocks/timezone",
}
"""What is answered in the same way whatever is granted."""

_STREAMS: dict[Part, str] = {
    "stdio.stdin": "input is at its end",
    "stdio.stdout": "output is thrown away",
    "stdio.stderr": "error output is thrown away",
}
_OUTPUTS: set[Part] = {"stdio.stdout", "stdio.stderr"}
_CLOCKS: tuple[Part, ...] = ("clocks.wall", "clocks.monotonic")
_LISTS: tuple[Part, ...] = ("environment", "arguments")
_NETWORK: tuple[Part, ...] = ("sockets.tcp", "sockets.udp", "sockets.dns")


def _check(case: Case) -> Iterator[Problem]:
    facts, needs = case.facts, case.needs
    if facts is None or needs is None:
        return
    asked = {part: found for part, names in needs.items() if (found := _asked(case, part, names))}
    route = case.route("grants") if case.says("grants") else case.root
    for parts, follows in (*_streams_and_files(case, facts, asked), *_others(case, facts, asked)):
        imports = dict.fromkeys(name for part in parts for name in asked[part])
        message = f"the {facts.kind} imports {named(imports)}, and {_not_granted(parts)}: {follows}"
        yield Problem(route=route, on="key", message=message)
    if facts.kind == "module" and (sockets := _inherited_sockets(facts)):
        follows = "a module can be granted no sockets: there is none for it, and each call is recorded"
        yield Problem(route=route, on="key", message=f"the module imports {named(sockets)}, and {follows}")
    if "http" in needs:
        follows = "HTTP cannot be granted yet: each request is refused and recorded"
        yield Problem(route=route, on="key", message=f"the component imports {named(needs['http'])}, and {follows}")


def _asked(case: Case, part: Part, names: Sequence[str]) -> tuple[str, ...]:
    """The imports that ask for a part which the policy does not speak of."""
    family, _, rest = part.partition(".")
    says = case.data("grants", family)
    if part == "http" or (says is not None and (not rest or not isinstance(says, dict) or says.get(rest) is not None)):
        return ()
    return tuple(name for name in names if name not in _NO_SIGN)


def _streams_and_files(case: Case, facts: Facts, asked: Needs) -> Iterator[tuple[list[Part], str]]:
    if "filesystem" in asked:
        yield ["filesystem"], "it gets an empty root directory, and each path below it is refused and recorded"
    streams = [part for part in _STREAMS if part in asked]
    if facts.kind == "module" and not _OUTPUTS.issubset(streams):  # one function is for both
        streams = [part for part in streams if part not in _OUTPUTS]
    # A module reads and writes files with the same functions as streams.
    if streams and not (facts.kind == "module" and case.component.grants.filesystem):
        does = ", ".join(_STREAMS[part] for part in streams)
        yield streams, f"{does}, and the first use of each stream is recorded"


def _others(case: Case, facts: Facts, asked: Needs) -> Iterator[tuple[list[Part], str]]:
    lists = [part for part in _LISTS if part in asked]
    if facts.kind == "module":
        for part in lists:
            yield [part], "it gets an empty list, and asking for it is recorded"
    elif len(lists) == 2:  # one interface is for both, and a component may import it for either
        yield lists, "it gets empty lists, and asking for them is recorded"
    clocks = [part for part in _CLOCKS if part in asked]
    if clocks and (facts.kind == "component" or len(clocks) == 2):  # a module's functions are for both
        yield clocks, "time stands still, and the first use of each clock is recorded"
    if "random" in asked:
        secure = {"wasi:random/random", "random_get"}.intersection(asked["random"])
        insecure = len(asked["random"]) > len(secure)
        does = ["asking for secure numbers ends the run"] if secure else []
        does += ["insecure ones are the same in each run"] if insecure else []
        yield ["random"], f"{' and '.join(does)}, which is recorded"
    network = [part for part in _NETWORK if part in asked]
    sockets = case.component.grants.sockets
    if sockets is not None and sockets.grants_something:
        # The names of granted peers are looked up without `dns`.
        network = [part for part in network if part != "sockets.dns"]
    if network:
        yield network, "each use is refused and recorded"


def _inherited_sockets(facts: Facts) -> list[str]:
    return [name for name in preview1.imported(facts) if preview1.FUNCTIONS[name].families == ("sockets",)]


def _not_granted(parts: list[Part]) -> str:
    return f"{named(f'`{part}`' for part in parts)} {'are' if len(parts) > 1 else 'is'} not granted"


RULE = Rule(
    id="ungranted-import",
    summary="the component imports what the policy does not grant",
    severity="low",
    confidence="high",
    check=_check,
    rests_on="component",
)
