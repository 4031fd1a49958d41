"""Graphs for the tests of what draws them: an ordinary one, and hostile ones."""

from __future__ import annotations

from hypothesis import strategies as st

from sandbox.policy.graph import Graph, graph_of
from sandbox.policy.model import (
    ComponentPolicy,
    DirectoryGrant,
    Environment,
    Grants,
    InheritedVariable,
    Peer,
    Policy,
    Sockets,
    Stdio,
    Stream,
    Wire,
)
from tests.policy.policies import load_text

PAYMENTS = """\
version: 1
components:
  auth:
    grants: {filesystem: [{host: ./keys, guest: /keys, access: read, except: ["*.pem"]}]}
  ledger:
    grants: {filesystem: [{host: ./ledger, guest: /db, access: write}]}
    imports:
      bank:payments/auth: {component: auth, only: [validate-user]}
  notify:
    grants:
      sockets: {tcp: {connect: ["mail.internal:25"]}, deny: [169.254.0.0/16]}
    imports:
      bank:payments/auth: auth
  app:
    grants: {stdio: {stdout: inherit}}
    imports:
      bank:payments/ledger: ledger
      bank:payments/notify@1.0.0: {component: notify, instance: own}
run: app
"""


def payments() -> Graph:
    """An app that imports a ledger, which imports from auth, and has a notifier of its own, which does too."""
    return graph_of(load_text(PAYMENTS))


def policy_of(*components: ComponentPolicy, file: str = "p.yaml", run: str | None = None) -> Policy:
    return Policy(file=file, directory="/p", digest="", components=components, run=run)


_HOSTILE = st.sampled_from(
    [
        '"]; click n0 "javascript:alert(1)',
        "</text><script>alert(1)</script>",
        "]]>&lt;&#60;<!--",
        "#quot;#35;#",
        "%%{init: {}}%%",
        "`**bold**`",
        "style n0 a:#x;",
        "classDef x:#y;",
        "end",
        "- 1. x",
        "a\nb\r\tc",
        "\x1b[2J\u202egnp\u200b",
        "\udcff\ud800\ufffe\x00",
        "漢字 é e\u0301",
        "a" * 300,
        "/in, writes /etc",
        "",
    ]
)
TEXTS = _HOSTILE | st.text(max_size=12) | st.builds("".join, st.lists(_HOSTILE, max_size=3))


@st.composite
def graphs(draw: st.DrawFn) -> Graph:
    """Graphs whose every text may hold anything."""
    components: list[ComponentPolicy] = []
    for name in draw(st.lists(TEXTS, min_size=1, max_size=5, unique=True)):
        own = {component.name: draw(st.booleans()) for component in components}
        wires = tuple(
            Wire(
                interface=draw(TEXTS),
                component=other,
                own=own[other],
                only=draw(st.none() | st.lists(TEXTS, min_size=1, max_size=2).map(tuple)),
            )
            for other in (draw(st.lists(st.sampled_from(sorted(own)), max_size=3)) if own else [])
        )
        components.append(ComponentPolicy(name=name, grants=draw(_grants()), imports=wires))
    run = draw(st.none() | st.sampled_from([component.name for component in components]))
    return graph_of(policy_of(*components, file=draw(TEXTS), run=run))


def _grants() -> st.SearchStrategy[Grants]:
    directories = st.builds(
        DirectoryGrant,
        host=TEXTS,
        guest=TEXTS,
        access=st.sampled_from(["read", "write"]),
        excepted=st.lists(TEXTS, max_size=2).map(tuple),
        hard_links=st.booleans(),
    )
    return st.builds(
        Grants,
        filesystem=st.lists(directories, max_size=2).map(tuple),
        stdio=st.builds(Stdio, stdout=st.none() | st.builds(Stream, mode=st.just("file"), path=TEXTS)),
        environment=st.builds(Environment, inherit=st.tuples(st.builds(InheritedVariable, name=TEXTS))),
        sockets=st.builds(Sockets, connect=st.tuples(st.builds(Peer, host=TEXTS, ports=st.just((1, 65535))))),
    )
