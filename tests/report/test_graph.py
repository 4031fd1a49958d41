"""What `graph` shows: a tree, a flowchart and data."""

from __future__ import annotations

import json
import re

import pytest
from hypothesis import given

from sandbox.policy.graph import Graph, graph_of
from sandbox.policy.model import (
    Arguments,
    Clocks,
    ComponentPolicy,
    DirectoryGrant,
    Environment,
    Grants,
    InheritedVariable,
    Local,
    Peer,
    Random,
    Sockets,
    Stdio,
    Stream,
    Wire,
)
from sandbox.report.granted import Granted, denied, granted
from sandbox.report.graph import graph_data, graph_mermaid, graph_text
from sandbox.report.wrap import columns
from tests.policy.policies import FULL, load
from tests.report.graphs import graphs, payments, policy_of


def test_nothing_granted() -> None:
    """Says so, and reaches nothing."""
    assert graph_text(graph_of(policy_of(ComponentPolicy(name="app"))), width=80) == "app\n   granted: nothing\n"


def test_text() -> None:
    """Each instance below its importer, with what it is granted and what it can reach; shared ones are told once."""
    assert (
        graph_text(payments(), width=80)
        == """\
app (runs)
│  granted: stdout
│  can reach through ledger: writes /db
│  can reach through notify: connects to mail.internal:25
│  can reach through ledger>auth: reads /keys
├─ ledger (shared instance)
│  │  by bank:payments/ledger
│  │  granted: writes /db (./ledger)
│  │  can reach through auth: reads /keys
│  └─ auth (shared instance)
│        by bank:payments/auth, only validate-user
│        granted: reads /keys (./keys, except *.pem)
└─ notify (own instance)
   │  by bank:payments/notify@1.0.0
   │  granted: connects to mail.internal:25
   │  never reaches 169.254.0.0/16
   │  can reach through auth: reads /keys
   └─ app>ledger>auth, the same instance
         by bank:payments/auth
"""
    )


def test_text_on_a_narrow_terminal_in_ascii() -> None:
    """Lines are wrapped within the tree, and its lines are made of what there is."""
    policy = policy_of(
        ComponentPolicy(name="app", imports=(Wire(interface="bank:payments/validation@1.0.0", component="lib"),)),
        ComponentPolicy(name="lib", grants=directory("/somewhere/deep/below/the/root", "./data")),
    )
    assert (
        graph_text(graph_of(policy), width=40, ascii_only=True)
        == """\
app
|  granted: nothing
|  can reach through lib: reads
|    /somewhere/deep/below/the/root
`- lib (shared instance)
      by bank:payments/validation@1.0.0
      granted: reads
        /somewhere/deep/below/the/root
        (./data)
"""
    )


def test_who_reaches_nothing_through_others_is_told_so() -> None:
    """Where it imports from somebody; a component that does not is not spoken of."""
    policy = policy_of(
        ComponentPolicy(name="app", imports=(Wire(interface="a:b/c", component="lib"),)), ComponentPolicy(name="lib")
    )
    graph = graph_of(policy)
    assert '"app<br/>nothing granted<br/>can reach nothing more"' in graph_mermaid(graph)
    assert graph_text(graph, width=80).splitlines() == [
        "app",
        "│  granted: nothing",
        "│  can reach nothing more",
        "└─ lib (shared instance)",
        "      by a:b/c",
        "      granted: nothing",
    ]


def test_programs_are_set_apart() -> None:
    """By an empty line."""
    policy = policy_of(ComponentPolicy(name="a"), ComponentPolicy(name="b"))
    assert graph_text(graph_of(policy), width=80) == "a\n   granted: nothing\n\nb\n   granted: nothing\n"


def directory(guest: str, host: str) -> Grants:
    return Grants(filesystem=(DirectoryGrant(host=host, guest=guest, access="read"),))


def test_an_outside_text_is_one_word() -> None:
    """A path cannot pretend to be another grant, nor act on the terminal."""
    policy = policy_of(ComponentPolicy(name="app", grants=directory("/in, writes /etc", './"a" \x1b[2J')))
    assert graph_text(graph_of(policy), width=100) == (
        'app\n   granted: reads "/in, writes /etc" ("./\\"a\\" \\x1b[2J")\n'
    )


def test_no_path_is_a_command_to_a_runner() -> None:
    """What a grant names is no command in the log of a job that draws the program."""
    text = graph_text(graph_of(policy_of(ComponentPolicy(name="app", grants=directory("/##vso[x]", "./in")))), width=80)
    assert "/#\\x23vso[x]" in text
    assert "##vso[" not in text


def test_a_long_path_of_the_guest_does_not_hide_the_host_s() -> None:
    """Each is shortened by itself."""
    policy = policy_of(ComponentPolicy(name="app", grants=directory("/" + "a" * 500, "~/.ssh")))
    shown = "".join(line.strip() for line in graph_text(graph_of(policy), width=1000).splitlines()[1:])
    assert shown == f"granted: reads /{'a' * 91}...{'a' * 98} (~/.ssh)"


def test_very_many_grants_are_counted() -> None:
    """The first are told, and how many more there are; a picture has fewer of them, and the data all."""
    many = tuple(DirectoryGrant(host="./d", guest=f"/d{number}", access="read") for number in range(500))
    policy = policy_of(
        ComponentPolicy(name="app", imports=(Wire(interface="a:b/c", component="lib"),)),
        ComponentPolicy(name="lib", grants=Grants(filesystem=many)),
    )
    graph = graph_of(policy)
    _, _, reaches, _, _, own = graph_text(graph, width=100_000).splitlines()
    assert reaches.endswith("reads /d22, and 477 more")
    assert own.endswith("reads /d198 (./d), and 301 more")
    assert "reads /d14 #40;./d#41;<br/>and 485 more" in graph_mermaid(graph)
    assert len(json.loads(graph_data(graph))["components"][1]["grants"]) == 500


@given(graphs())
def test_text_is_safe_whatever_it_is_about(graph: Graph) -> None:
    """Nothing in it acts on a terminal, and each line keeps to its width as far as the tree leaves room."""
    text = graph_text(graph, width=120)
    assert all(character.isprintable() for character in text.replace("\n", ""))
    assert all(columns(line) <= 120 for line in text.splitlines())


def test_mermaid() -> None:
    """A node for each instance, with all that the tree says of it, and an arrow for each that it imports from."""
    assert (
        graph_mermaid(payments())
        == """\
flowchart LR
  n0["app<br/>runs<br/>stdout<br/>can reach through ledger: writes /db\
<br/>can reach through notify: connects to mail.internal:25\
<br/>can reach through ledger#62;auth: reads /keys"]
  n1["ledger<br/>app#62;ledger<br/>writes /db #40;./ledger#41;<br/>can reach through auth: reads /keys"]
  n2["notify<br/>app#62;notify<br/>connects to mail.internal:25<br/>never reaches 169.254.0.0/16\
<br/>can reach through auth: reads /keys"]
  n3["auth<br/>app#62;ledger#62;auth<br/>reads /keys #40;./keys, except #42;.pem#41;"]
  n0 -->|"bank:payments/ledger<br/>shared instance"| n1
  n0 -->|"bank:payments/notify#64;1.0.0<br/>own instance"| n2
  n1 -->|"bank:payments/auth<br/>only validate-user<br/>shared instance"| n3
  n2 -->|"bank:payments/auth<br/>shared instance"| n3
  style n0 stroke-width:3px
"""
    )


LABEL = r"[A-Za-z0-9 ./:,-]|#[0-9]+;"
TEXT = rf'"(?:(?:{LABEL})*)(?:<br/>(?:{LABEL})*)*"'
FLOWCHART = re.compile(
    rf"flowchart LR\n(?:  n[0-9]+\[{TEXT}\]\n)+(?:  n[0-9]+ -->\|{TEXT}\| n[0-9]+\n)*"
    r"(?:  style n[0-9]+ stroke-width:3px\n)?"
)


@given(graphs())
def test_mermaid_holds_nothing_but_a_flowchart(graph: Graph) -> None:
    """Whatever components and interfaces are called: no text ends its label, begins another statement, or is markup."""
    flowchart = graph_mermaid(graph)
    assert FLOWCHART.fullmatch(flowchart)
    labels = [part for text in re.findall(r'"([^"]*)"', flowchart) for part in text.split("<br/>")]
    assert not [label for label in labels if re.search(r"style|classDef|^[^A-Za-z0-9#]", label)]
    names = [re.sub(r"#([0-9]+);", lambda found: chr(int(found[1])), line) for line in flowchart.splitlines()]
    for number, node in enumerate(graph.nodes):
        if node.component.name.isascii() and node.component.name.isprintable() and len(node.component.name) <= 200:
            assert names[number + 1].startswith(f'  n{number}["{node.component.name}<br/>')


def test_data() -> None:
    """Components once, with all that they are granted; their instances, what these import, and whom they reach."""
    text = graph_data(payments())
    assert text.isascii()
    assert text.endswith("}\n")
    assert json.loads(text) == {
        "version": 1,
        "policy": "policy.yaml",
        "run": "app",
        "components": [
            {
                "name": "auth",
                "source": None,
                "line": 3,
                "grants": [{"capability": "filesystem.read", "text": "reads /keys", "detail": "./keys, except *.pem"}],
                "denied": [],
            },
            {
                "name": "ledger",
                "source": None,
                "line": 5,
                "grants": [{"capability": "filesystem.write", "text": "writes /db", "detail": "./ledger"}],
                "denied": [],
            },
            {
                "name": "notify",
                "source": None,
                "line": 9,
                "grants": [{"capability": "sockets.tcp.connect", "text": "connects to mail.internal:25", "detail": ""}],
                "denied": ["169.254.0.0/16"],
            },
            {
                "name": "app",
                "source": None,
                "line": 14,
                "grants": [{"capability": "stdio.stdout", "text": "stdout", "detail": ""}],
                "denied": [],
            },
        ],
        "instances": [
            {
                "path": "app",
                "component": "app",
                "reaches": [
                    {"instance": 1, "through": "ledger"},
                    {"instance": 2, "through": "notify"},
                    {"instance": 3, "through": "ledger>auth"},
                ],
            },
            {"path": "app>ledger", "component": "ledger", "reaches": [{"instance": 3, "through": "auth"}]},
            {"path": "app>notify", "component": "notify", "reaches": [{"instance": 3, "through": "auth"}]},
            {"path": "app>ledger>auth", "component": "auth", "reaches": []},
        ],
        "imports": [
            {
                "from": 0,
                "to": 1,
                "interface": "bank:payments/ledger",
                "instance": "shared",
                "only": None,
                "line": 17,
            },
            {
                "from": 0,
                "to": 2,
                "interface": "bank:payments/notify@1.0.0",
                "instance": "own",
                "only": None,
                "line": 18,
            },
            {
                "from": 1,
                "to": 3,
                "interface": "bank:payments/auth",
                "instance": "shared",
                "only": ["validate-user"],
                "line": 8,
            },
            {"from": 2, "to": 3, "interface": "bank:payments/auth", "instance": "shared", "only": None, "line": 13},
        ],
    }


@given(graphs())
def test_data_is_one_line_whatever_it_is_about(graph: Graph) -> None:
    """And holds the names as they are."""
    text = graph_data(graph)
    assert text.isascii()
    assert text[:-1].isprintable()
    assert [one["component"] for one in json.loads(text)["instances"]] == [n.component.name for n in graph.nodes]


def test_all_that_can_be_granted() -> None:
    """A policy that writes every key of the language: each thing that it grants, in its words."""
    assert [(one.capability, one.text, one.detail) for one in granted(load(FULL).components[0].grants)] == [
        ("filesystem.read", "reads /in", "./invoices, files with several names too"),
        ("filesystem.write", "writes /out", "~/out, except **/.git/** [!a]?.tmp"),
        ("stdio.stdin", "stdin", ""),
        ("stdio.stdout", "stdout", "captured"),
        ("stdio.stderr", "stderr", "to errors.txt"),
        ("environment", "variable TZ", ""),
        ("environment", "variable EMPTY", ""),
        ("environment", "variable LANG", "the caller's"),
        ("environment", "variable HOME", "the caller's"),
        ("arguments", "arguments", "fixed"),
        ("clocks.wall", "wall clock", "coarse"),
        ("clocks.monotonic", "monotonic clock", ""),
        ("random.insecure", "random numbers", "seeded"),
        ("sockets.tcp.connect", "connects to db.internal:5432", ""),
        ("sockets.tcp.connect", "connects to cache.internal:6379", "at private addresses too"),
        ("sockets.tcp.listen", "listens at 127.0.0.1:8080", ""),
        ("sockets.udp.send", "sends UDP to 10.2.0.0/16:53-54", ""),
        ("sockets.udp.bind", "receives UDP at [::]:0", ""),
        ("sockets.dns", "looks up *.example.com", ""),
    ]
    assert denied(load(FULL).components[0].grants) == ("169.254.0.0/16", "**.corp.example.com:443")


@pytest.mark.parametrize(
    ("grants", "told"),
    [
        (Grants(), ()),
        (Grants(stdio=Stdio(stdin=Stream(mode="closed"), stdout=Stream(mode="discard"))), ()),
        (Grants(clocks=Clocks(wall="frozen", monotonic="frozen")), ()),
        (Grants(environment=Environment(), arguments=Arguments(fixed=()), sockets=Sockets()), ()),
        (Grants(stdio=Stdio(stdin=Stream(mode="file", path="my file"))), (("stdin", 'from "my file"'),)),
        (Grants(arguments=Arguments()), (("arguments", "the caller's"),)),
        (Grants(random=Random()), (("random numbers", ""),)),
        (Grants(sockets=Sockets(listen=(Local(address="::1", port=80),))), (("listens at [::1]:80", ""),)),
        (
            Grants(sockets=Sockets(connect=(Peer(host="10.0.0.1", ports=(1, 65535), private=True),))),
            (("connects to 10.0.0.1:1-65535", ""),),
        ),
        (
            Grants(environment=Environment(set=(("TOKEN", "hunter2"),), inherit=(InheritedVariable(name="A B"),))),
            (("variable TOKEN", ""), ('variable "A B"', "the caller's")),
        ),
    ],
)
def test_what_leads_nowhere_is_no_grant(grants: Grants, told: tuple[tuple[str, str], ...]) -> None:
    """And no value of a variable is told."""
    found: tuple[Granted, ...] = granted(grants)
    assert tuple((one.text, one.detail) for one in found) == told
