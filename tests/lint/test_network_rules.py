"""Rules about ``sockets``: what each finds and what it leaves alone, and what their fixes write."""

from __future__ import annotations

import re
import subprocess
import sys
import time
from collections.abc import Iterable

import pytest

from sandbox.lint import rules
from sandbox.lint.finding import Finding
from sandbox.lint.fixes import apply
from sandbox.lint.linter import Linter
from sandbox.lint.mend import mended
from sandbox.lint.network import MAX_FIXES, Cover, Denials, Ports
from sandbox.lint.suffixes import open_suffix
from sandbox.policy.hosts import covering, network_of
from sandbox.policy.model import DeniedPeer
from tests.lint.specimens import MACHINE

RULES = (
    *("unmarked-private-address", "everywhere", "every-port", "public-suffix-wildcard", "plain-text-protocol"),
    *("listens-everywhere", "wide-lookup", "redundant-peer"),
)


def policy(sockets: str) -> str:
    """A policy whose ``sockets`` key is followed by this text."""
    limits = "{memory: 64MiB, deadline: 10s}"
    return f"version: 1\ncomponents: {{a: {{grants: {{sockets: {sockets}}}, limits: {limits}}}}}\n"


def lint(text: str) -> list[Finding]:
    """What the rules about ``sockets`` find in a policy, which must load."""
    found = Linter(MACHINE).text(text.encode(), file="policy.yaml", directory="/nowhere")
    faults = [finding.message for finding in found if finding.rule == "invalid-policy"]
    assert [fault for fault in faults if not fault.endswith("are left out")] == []
    return [finding for finding in found if finding.rule in RULES]


def told(findings: Iterable[Finding]) -> list[str]:
    return [f"{f.severity}[{f.rule}] {f.snippet}: {f.message}" for f in findings]


def found_in(sockets: str) -> list[str]:
    return told(lint(policy(sockets)))


def connect(*peers: str, deny: str = "") -> str:
    return f"{{tcp: {{connect: [{', '.join(peers)}]}}, deny: [{deny}]}}"


# -- unmarked-private-address ---------------------------------------------------------------------------------------

_MEANT = "and nothing says that such a one is meant: add `private: true`"
_METADATA = f"a cloud's metadata service, which gives out the machine's credentials, {_MEANT}"
_UNMARKED = [
    ("10.2.0.53:443", "medium", f"'10.2.0.53:443' is a private address, {_MEANT}"),
    ("127.0.0.1:443", "medium", f"'127.0.0.1:443' is a loopback address, {_MEANT}"),
    ("'[::1]:443'", "medium", f"'[::1]:443' is a loopback address, {_MEANT}"),
    ("169.254.1.1:443", "medium", f"'169.254.1.1:443' is a link-local address, {_MEANT}"),
    ("10.2.0.0/16:443", "medium", f"'10.2.0.0/16:443' is a network of private addresses, {_MEANT}"),
    ("127.0.0.0/8:443", "medium", f"'127.0.0.0/8:443' is a network of loopback addresses, {_MEANT}"),
    ("100.64.0.0/16:443", "medium", f"'100.64.0.0/16:443' is a network of private addresses, {_MEANT}"),
    ("'[fd12:3456::/32]:443'", "medium", f"'[fd12:3456::/32]:443' is a network of private addresses, {_MEANT}"),
    ("'[2a00::5efe:a00:1]:443'", "medium", f"'[2a00::5efe:a00:1]:443' is a private address, {_MEANT}"),
    ("{to: 10.2.0.53:443}", "medium", f"'10.2.0.53:443' is a private address, {_MEANT}"),
    ("169.254.169.254:443", "high", f"'169.254.169.254:443' is {_METADATA}"),
    ("168.63.129.16:443", "high", f"'168.63.129.16:443' is {_METADATA}"),
    ("'[fd00:ec2::254]:443'", "high", f"'[fd00:ec2::254]:443' is {_METADATA}"),
    ("169.254.0.0/16:443", "high", f"'169.254.0.0/16:443' holds {_METADATA}"),
    ("100.64.0.0/10:443", "high", f"'100.64.0.0/10:443' holds {_METADATA}"),
    ("'[fc00::/7]:443'", "high", f"'[fc00::/7]:443' holds {_METADATA}"),
    (
        "172.0.0.0/8:443",
        "high",
        "'172.0.0.0/8:443' holds what is not public, 172.16.0.0/12: name narrower networks, or deny these",
    ),
    (
        "192.0.0.0/8:443",
        "high",
        (
            "'192.0.0.0/8:443' holds what is not public, 192.0.0.192, 192.168.0.0/16: name narrower networks, or deny "
            "these"
        ),
    ),
    (
        "168.63.0.0/16:443",
        "high",
        "'168.63.0.0/16:443' holds what is not public, 168.63.129.16: name narrower networks, or deny these",
    ),
    (
        "169.0.0.0/8:443",
        "high",
        (
            "'169.0.0.0/8:443' holds what is not public, 169.254.169.254, 169.254.170.0/24, 169.254.0.0/16: "
            "name narrower networks, or deny these"
        ),
    ),
    *(
        (
            f"{host}:443",
            "low",
            f"'{host}:443' will hardly have a public address, and is not reached at another without `private: true`",
        )
        for host in ("db", "db.internal", "printer.local", "nas.home.arpa", "a.b.corp", "x.test")
    ),
]


@pytest.mark.parametrize(("peer", "severity", "message"), _UNMARKED, ids=lambda text: text[:40])
def test_what_leads_inside_is_marked(peer: str, severity: str, message: str) -> None:
    """Each kind of address that is not public, and names that only a network of one's own has, for TCP and UDP."""
    text = peer.removeprefix("{to: ").removesuffix("}")
    expected = [f"{severity}[unmarked-private-address] {text}: {message}"]
    assert found_in(connect(peer)) == expected
    assert found_in(f"{{udp: {{send: [{peer}]}}}}") == expected


def test_a_wildcard_leads_inside_as_its_domain_does() -> None:
    """What stands before the ending does not matter."""
    assert found_in(connect("'**.corp.internal:443'")) == [
        (
            "low[unmarked-private-address] '**.corp.internal:443': '**.corp.internal:443' will hardly have a public "
            "address, and is not reached at another without `private: true`"
        )
    ]


@pytest.mark.parametrize(
    "sockets",
    [
        connect("{to: 10.2.0.53:443, private: true}"),
        connect("{to: 10.0.0.0/8:443, private: true}", "{to: '[fc00::/7]:443', private: true}"),
        connect("{to: 169.254.169.254:443, private: true}"),
        connect("{to: db.internal:443, private: true}", "{to: localhost:80, private: true}"),
        connect("93.184.216.34:443", "8.8.8.0/24:443", "'[2606:4700::/32]:443'", "internal.example:443"),
        connect("192.0.2.1:443", "203.0.113.0/24:443", "198.18.0.0/15:443", "'[2001:db8::/32]:443'", "240.0.0.1:443"),
        connect("172.0.0.0/8:443", deny="172.16.0.0/12"),
        connect("172.0.0.0/8:443", deny="172.16.0.0/12:443"),
        connect("172.0.0.0/8:443", deny="172.16.0.0/13, 172.24.0.0/13"),
        connect("172.0.0.0/8:443-450", deny="172.0.0.0/9"),
        connect("17.0.0.0/8:443"),
        connect("'[fe00::/8]:443'", deny="'[fec0::/10]'"),
        "{dns: [db.internal]}",
        "{tcp: {listen: ['127.0.0.1:80', '10.0.0.1:80']}, deny: [10.0.0.0/16:1-79]}",
        "{deny: [10.0.0.0/8, 169.254.169.254, db.internal]}",
    ],
)
def test_what_need_not_be_marked(sockets: str) -> None:
    """What is marked, public, reserved, denied at all its ports, served, looked up or denied."""
    assert found_in(sockets) == []


def test_denials_of_some_ports_leave_the_others() -> None:
    """A denial counts where it is about every port that is granted."""
    held = "holds what is not public, 172.16.0.0/12: name narrower networks, or deny these"
    assert found_in(connect("172.0.0.0/8:443-444", deny="172.16.0.0/12:443, 172.32.0.0/12")) == [
        f"high[unmarked-private-address] 172.0.0.0/8:443-444: '172.0.0.0/8:443-444' {held}"
    ]
    assert found_in(connect("169.254.0.0/16:443", deny="169.254.169.254, 169.254.170.0/24")) == [
        (
            f"medium[unmarked-private-address] 169.254.0.0/16:443: '169.254.0.0/16:443' is a network of link-local "
            f"addresses, {_MEANT}"
        )
    ]


_BLOCK = """\
version: 1
components:
  a:
    grants:
      sockets:
        tcp:
          connect:
            # The database.
            - 10.2.0.53:5432  # primary
            - "10.2.0.0/16:5433"
            - to: 10.2.0.54:5434
            - {to: "[::1]:5435"}
            - db.internal:5436
        udp: {send: [10.2.0.53:53, '127.0.0.1:54']}
    limits: {memory: 64MiB, deadline: 10s}
"""


def test_the_mark_is_written_beside_each_address() -> None:
    """Where that is asked for, in the style that is there; a name keeps being refused, so it is left as it is."""
    assert mended(Linter(MACHINE), _BLOCK.encode(), file="/nowhere/policy.yaml", unsafe=False) == (_BLOCK.encode(), ())
    after, applied = mended(Linter(MACHINE), _BLOCK.encode(), file="/nowhere/policy.yaml", unsafe=True)
    assert after.decode() == (
        "version: 1\n"
        "components:\n"
        "  a:\n"
        "    grants:\n"
        "      sockets:\n"
        "        tcp:\n"
        "          connect:\n"
        "            # The database.\n"
        "            - {to: 10.2.0.53:5432, private: true}  # primary\n"
        '            - {to: "10.2.0.0/16:5433", private: true}\n'
        "            - to: 10.2.0.54:5434\n"
        "              private: true\n"
        '            - {to: "[::1]:5435", private: true}\n'
        "            - db.internal:5436\n"
        "        udp: {send: [{to: 10.2.0.53:53, private: true}, {to: '127.0.0.1:54', private: true}]}\n"
        "    limits: {memory: 64MiB, deadline: 10s}\n"
    )
    assert {finding.rule for finding in applied if finding.rule in RULES} == {"unmarked-private-address"}
    assert [finding.severity for finding in lint(after.decode())] == ["low"]


@pytest.mark.parametrize("host", ["169.254.169.254:80", "'[fd00:ec2::254]:80'", "169.254.0.0/16:80"])
def test_nothing_but_a_person_says_that_a_metadata_service_is_meant(host: str) -> None:
    """Its credentials are the machine's own: there is no fix, and the finding stays."""
    text = policy(connect(host)).encode()
    assert mended(Linter(MACHINE), text, file="/nowhere/policy.yaml", unsafe=True) == (text, ())
    assert [(finding.severity, finding.fix) for finding in lint(text.decode())] == [("high", None)]


# -- everywhere -----------------------------------------------------------------------------------------------------

_INSIDE = ", machines inside your own network among them"
_CLOSED = "10.0.0.0/8, 100.64.0.0/10, 127.0.0.0/8, 168.63.129.16, 169.254.0.0/16, 172.16.0.0/12, 192.168.0.0/16"


@pytest.mark.parametrize(
    ("peer", "deny", "message"),
    [
        ("0.0.0.0/0:443", "", f"is every IPv4 address{_INSIDE}"),
        ("'[::/0]:443'", "", f"is every IPv6 address{_INSIDE}"),
        ("128.0.0.0/1:443", "", f"is so wide that it names nobody{_INSIDE}"),
        ("8.0.0.0/7:443", "", "is so wide that it names nobody"),
        ("'[2000::/3]:443'", "", "is so wide that it names nobody"),
        ("'[2a00::/12]:443'", "", "is so wide that it names nobody"),
        ("0.0.0.0/0:443", "10.0.0.0/8", f"is every IPv4 address{_INSIDE}"),
        ("0.0.0.0/0:443", f"{_CLOSED}, 192.0.0.192", "is every IPv4 address"),
        ("'[::/0]:443'", "'[::1]', '[fc00::/7]', '[fec0::/10]'", "is every IPv6 address"),
    ],
)
def test_a_network_that_names_nobody(peer: str, deny: str, message: str) -> None:
    """One finding, which says whether one's own network is in it, and none of another rule for that."""
    shown = peer.strip("'")
    expected = [f"high[everywhere] {peer}: '{shown}' {message}: name the hosts"]
    assert found_in(connect(peer, deny=deny)) == expected
    assert found_in(f"{{udp: {{send: [{peer}]}}, deny: [{deny}]}}") == expected


@pytest.mark.parametrize(
    "sockets",
    [
        connect("17.0.0.0/8:443"),
        connect("'[2630::/16]:443'"),
        connect("{to: '[fc00::/7]:443', private: true}"),
        connect("240.0.0.0/5:443"),
        connect("16.0.0.0/8:443", "17.0.0.0/8:443", "18.0.0.0/8:443", "19.0.0.0/8:443"),
        connect(*(f"{n}.0.0.0/8:443" for n in range(11, 42))),
        connect(*(f"{n}.0.0.0/8:{n}" for n in range(130, 168))),
        "{deny: [0.0.0.0/0, '[::/0]']}",
    ],
)
def test_a_network_that_somebody_has(sockets: str) -> None:
    """Wide ones that were given out, those that are not public, a few together, and others at other ports."""
    assert found_in(sockets) == []


def test_narrow_networks_that_are_everywhere_together() -> None:
    """One finding for those of a list at the same ports, at the widest, with some of the others."""
    found = lint(policy(connect(*(f"{n}.0.0.0/8:443" for n in range(11, 43)))))
    assert told(found) == [
        (
            "high[everywhere] 11.0.0.0/8:443: '11.0.0.0/8:443' and other networks here are 12% of all IPv4 addresses, "
            "which names nobody: name the hosts"
        )
    ]
    assert [(other.region.column, other.message) for other in found[0].related] == [
        (69, "together with this"),
        (85, "together with this"),
        (101, "together with this"),
        (117, "together with this"),
        (133, "together with this"),
    ]
    sixteenths = [f"'[2{n:x}00::/8]:443'" for n in range(16)]
    assert [line.partition(": ")[0] for line in found_in(connect(*sixteenths))] == [
        f"high[everywhere] {peer}" for peer in sixteenths
    ]


# -- every-port -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("peer", "message"),
    [
        ("a.example:1-65535", "every port of 'a.example'"),
        ("a.example:1-1001", "1,001 ports of 'a.example'"),
        ("{to: a.example:1024-65535, private: true}", "64,512 ports of 'a.example'"),
        ("'[2606:4700::1]:1-65535'", "every port of '[2606:4700::1]'"),
    ],
)
def test_more_ports_than_a_protocol_has(peer: str, message: str) -> None:
    """A range that is no choice; what it holds in the clear is not told apart."""
    text = peer.removeprefix("{to: ").removesuffix(", private: true}")
    expected = [f"medium[every-port] {text}: {message} can be reached, whatever listens there: name the ports"]
    assert found_in(connect(peer)) == expected
    assert found_in(f"{{udp: {{send: [{peer}]}}}}") == expected


@pytest.mark.parametrize(
    "sockets", [connect("a.example:1-1000", "a.example:1443", "a.example:9000-9999"), "{deny: ['a.example:1-65535']}"]
)
def test_ports_that_may_be_a_choice(sockets: str) -> None:
    """A thousand at most, and denials of any number."""
    assert found_in(sockets) == []


# -- public-suffix-wildcard -----------------------------------------------------------------------------------------

_OPEN = [
    ("*.co.uk", "co.uk"),
    ("**.co.uk", "co.uk"),
    ("*.github.io", "github.io"),
    ("**.github.io", "github.io"),
    ("*.s3.amazonaws.com", "s3.amazonaws.com"),
    ("**.amazonaws.com", "s3.amazonaws.com"),
    ("*.foo.ck", "foo.ck"),  # the list says *.ck
    ("*.kawasaki.jp", "kawasaki.jp"),  # and *.kawasaki.jp, by which there is kawasaki.jp
    ("*.other.kawasaki.jp", "other.kawasaki.jp"),
    ("**.xn--55qx5d.cn", "xn--55qx5d.cn"),
]


@pytest.mark.parametrize(("wildcard", "suffix"), _OPEN)
def test_a_wildcard_over_names_that_anybody_can_get(wildcard: str, suffix: str) -> None:
    """Suffixes of registries and hosters, by rule and by wildcard; to connect and send to, and to look up."""
    lead = f"anybody can get a name in '{suffix}', and '{wildcard}' lets the guest"
    at = f"high[public-suffix-wildcard] '{wildcard}"
    assert found_in(connect(f"'{wildcard}:443'")) == [f"{at}:443': {lead} connect to each: name the hosts"]
    assert found_in(f"{{udp: {{send: ['{wildcard}:443']}}}}") == [f"{at}:443': {lead} send to each: name the hosts"]
    assert found_in(f"{{dns: ['{wildcard}']}}") == [
        f"{at}': {lead} tell its owner things by looking up names: name the hosts"
    ]


@pytest.mark.parametrize(
    "host",
    [
        *("www.example.co.uk", "example.github.io", "co.uk", "*.example.co.uk", "**.example.github.io"),
        *("*.amazonaws.com", "*.example.com", "**.example.com"),
        *("*.www.ck", "**.www.ck", "*.city.kawasaki.jp"),  # exceptions: !www.ck, !city.kawasaki.jp
        *("*.example.nosuchdomain", "**.example.nosuchdomain"),
    ],
)
def test_names_that_somebody_gives_out(host: str) -> None:
    """Names without a wildcard, wildcards of somebody's domain, exceptions of the list, and what is not on it."""
    assert found_in(connect(f"'{host}:443'")) == []


def test_names_of_a_network_of_ones_own_are_nobody_elses() -> None:
    """``home.arpa`` is on the list, and nobody can register anything in it."""
    assert (open_suffix("*.home.arpa"), open_suffix("**.corp.internal"), open_suffix("home.arpa")) == (None, None, None)


def test_the_list_is_loaded_for_wildcards_alone() -> None:
    """A policy without any is judged without it."""
    code = (
        "import sys\n"
        "from sandbox.lint.linter import Linter\n"
        "from tests.lint.specimens import MACHINE\n"
        "for host in ('www.example.co.uk', '*.corp.internal', '*.example.co.uk'):\n"
        "    text = 'version: 1\\ncomponents: {a: {grants: {sockets: {tcp: {connect: [\"' + host + ':443\"]}}}}}'\n"
        "    Linter(MACHINE).text(text.encode(), file='policy.yaml', directory='/nowhere')\n"
        "    print('publicsuffixlist' in sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\nFalse\nTrue\n"


# -- plain-text-protocol --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sockets", "port", "host", "protocol"),
    [
        (connect("a.example:80"), 80, "a.example", "HTTP"),
        (connect("'*.a.example:21'"), 21, "*.a.example", "FTP"),
        (connect("93.184.216.34:6379"), 6379, "93.184.216.34", "Redis"),
        (connect("'[2606:4700::/32]:23'"), 23, "[2606:4700::/32]", "Telnet"),
        (connect("a.example:70-85"), 80, "a.example", "HTTP"),
        (connect("a.example:20-25"), 21, "a.example", "FTP"),
        (connect("a.example:20-25", deny="a.example:20-21"), 23, "a.example", "Telnet"),
        ("{udp: {send: [a.example:514]}}", 514, "a.example", "syslog"),
    ],
)
def test_a_protocol_in_the_clear(sockets: str, port: int, host: str, protocol: str) -> None:
    """At names and addresses on the internet, and within short ranges; the first port that nothing denies."""
    assert [line.partition(": ")[2] for line in found_in(sockets)] == [
        (
            f"port {port} of '{host}' is for {protocol}, in the clear: what is sent there can be read, and what comes "
            "back changed, on the way"
        )
    ]


@pytest.mark.parametrize(
    "sockets",
    [
        connect("a.example:443", "a.example:22", "a.example:25", "a.example:5432", "a.example:53"),
        connect("{to: a.example:80, private: true}", "{to: localhost:80, private: true}"),
        connect("{to: 10.0.0.1:80, private: true}", "{to: 127.0.0.0/8:6379, private: true}"),
        connect("192.0.2.1:80"),
        connect("a.example:70-86"),
        connect("a.example:80-90", deny="'**.example:80'"),
        "{udp: {send: [a.example:80, a.example:53, a.example:123]}}",
        "{tcp: {listen: ['127.0.0.1:80']}, deny: ['a.example:80']}",
    ],
)
def test_what_is_not_known_to_be_in_the_clear(sockets: str) -> None:
    """Other ports, hosts that are not on the internet, long ranges, and what is denied."""
    assert found_in(sockets) == []


@pytest.mark.parametrize(("family", "act"), [("tcp", "connect"), ("udp", "send")])
def test_the_page_names_each_protocol(family: str, act: str) -> None:
    """The ports in its table are those that are found, among all that are likely."""
    page = rules.page("plain-text-protocol") or ""
    (row,) = re.findall(rf"^\| `{family}\.{act}` \| (.*) \|$", page, re.MULTILINE)
    likely = [*range(1, 900), 1883, 2049, 3000, 3306, 5060, 5432, 5900, 6379, 6667, 8000, 8080, 9200, 11211, 27017]
    peers = ", ".join(f"a.example:{port}" for port in likely)
    found = " ".join(found_in(f"{{{family}: {{{act}: [{peers}]}}}}"))
    assert re.findall(r"port ([0-9]+) of 'a.example' is for (\S+),", found) == re.findall(
        r"([0-9]+) (\S+?)(?:,|$)", row
    )


# -- listens-everywhere ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sockets", "snippet", "what"),
    [
        ("{tcp: {listen: [0.0.0.0:80]}}", "0.0.0.0:80", "connect to port 80"),
        ("{tcp: {listen: ['[::]:80']}}", "'[::]:80'", "connect to port 80"),
        ("{udp: {bind: ['[0:0::0]:53']}}", "'[0:0::0]:53'", "send to port 53"),
        ("{udp: {bind: [0.0.0.0:0]}}", "0.0.0.0:0", "send to a port that the system chooses"),
    ],
)
def test_every_address_of_the_machine(sockets: str, snippet: str, what: str) -> None:
    """The unspecified address of either family, however it is spelled."""
    assert found_in(sockets) == [
        f"medium[listens-everywhere] {snippet}: whoever reaches any address of this machine can {what} of it"
    ]


def test_one_address_of_the_machine_is_a_choice() -> None:
    """Whichever it is."""
    assert (
        found_in("{tcp: {listen: ['127.0.0.1:80', '10.0.0.1:80', '93.184.216.34:80']}, udp: {bind: ['[::1]:0']}}") == []
    )


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("{tcp: {listen: [0.0.0.0:80, '[::]:80']}}", '{tcp: {listen: [127.0.0.1:80, "[::1]:80"]}}'),
        ("{udp: {bind: ['0.0.0.0:0']}}", '{udp: {bind: ["127.0.0.1:0"]}}'),
        ("{tcp: {listen: [0.0.0.0:80]}, deny: [127.0.0.0/8]}", "{tcp: {listen: [0.0.0.0:80]}, deny: [127.0.0.0/8]}"),
    ],
)
def test_serving_this_machine_alone(before: str, after: str) -> None:
    """The fix writes the loopback address of the family, unless it is denied; it is no safe one."""
    text = policy(before).encode()
    assert mended(Linter(MACHINE), text, file="/nowhere/policy.yaml", unsafe=False)[0] == text
    assert mended(Linter(MACHINE), text, file="/nowhere/policy.yaml", unsafe=True)[0].decode() == policy(after)


def test_an_address_that_is_served_already_is_not_written_again() -> None:
    """It would be there twice, which is an error: the one that is covered goes first."""
    text = "{tcp: {listen: [0.0.0.0:80, 127.0.0.1:80]}}"
    assert [finding.fix is None for finding in lint(policy(text)) if finding.rule == "listens-everywhere"] == [True]
    after, _ = mended(Linter(MACHINE), policy(text).encode(), file="/nowhere/policy.yaml", unsafe=True)
    assert after.decode() == policy("{tcp: {listen: [127.0.0.1:80]}}")


# -- wide-lookup ----------------------------------------------------------------------------------------------------


def test_a_wildcard_that_carries_data() -> None:
    """It is a fault by itself; of a domain of one's own it is a note."""
    what = "lets a guest put data into the names that it looks up, for whoever serves"
    assert found_in("{dns: ['*.a.example', '**.b.example', '*.corp.internal', '*.localdomain.b.c']}") == [
        f"medium[wide-lookup] '*.a.example': '*.a.example' {what} 'a.example'",
        f"medium[wide-lookup] '**.b.example': '**.b.example' {what} 'b.example'",
        f"low[wide-lookup] '*.corp.internal': '*.corp.internal' {what} 'corp.internal'",
        f"medium[wide-lookup] '*.localdomain.b.c': '*.localdomain.b.c' {what} 'localdomain.b.c'",
    ]


@pytest.mark.parametrize(
    ("peers", "name", "by"),
    [
        ("tcp: {connect: [x.example:1, a.example:443]}", "a.example", "a.example:443"),
        ("udp: {send: ['*.a.example:443']}", "b.a.example", "*.a.example:443"),
        ("udp: {send: ['**.a.example:443']}", "'*.a.example'", "**.a.example:443"),
    ],
)
def test_a_name_that_may_be_looked_up_in_any_case(peers: str, name: str, by: str) -> None:
    """A note at the entry, with the peer; removing it gives fewer addresses, so that is no safe fix."""
    (finding,) = lint(policy(f"{{{peers}, dns: [{name}, z.example]}}"))
    shown = name.strip("'")
    assert told([finding]) == [
        (
            f"low[wide-lookup] {name}: '{shown}' may be looked up already, since '{by}' may be reached; listed here, "
            "its addresses are given out whole, those inside your network too"
        )
    ]
    assert [other.message for other in finding.related] == ["this lets it be looked up"]
    assert finding.fix is not None
    assert finding.fix.safe is False
    text = policy(f"{{{peers}, dns: [{name}, z.example]}}")
    assert apply(text, finding.fix.edits) == policy(f"{{{peers}, dns: [z.example]}}")


def test_of_wildcards_in_each_other_the_wider_is_told() -> None:
    """The narrower adds nothing, which another rule says; the guest can put data into the names of the wider one."""
    found = lint(policy("{dns: ['*.b.a.example', '**.a.example']}"))
    assert [(finding.rule, finding.snippet) for finding in found] == [
        ("redundant-peer", "'*.b.a.example'"),
        ("wide-lookup", "'**.a.example'"),
    ]


def test_what_may_not_go_together_goes_one_by_one() -> None:
    """Each of two names can go, since the other is left; both at once would leave a list that says nothing."""
    head = (
        "version: 1\ncomponents:\n  a:\n    limits: {memory: 64MiB, deadline: 10s}\n    grants:\n      sockets:\n"
        "        tcp: {connect: [a.example:443, b.example:443]}\n"
    )
    names = "        dns:\n        - a.example\n        - b.example\n"
    text = (head + names).encode()
    after, applied = mended(Linter(MACHINE), text, file="/nowhere/policy.yaml", unsafe=True)
    assert after.decode() == head
    assert [finding.rule for finding in applied] == ["wide-lookup", "wide-lookup"]


@pytest.mark.parametrize(
    "sockets",
    [
        "{dns: [a.example, b.internal]}",
        "{tcp: {connect: ['*.a.example:443', '93.184.216.34:443']}, dns: [a.example, c.b.a.example]}",
        "{tcp: {connect: ['**.a.example:443']}}",
    ],
)
def test_names_that_carry_nothing(sockets: str) -> None:
    """An exact name that may not be reached, and names that may be looked up because they may be."""
    assert found_in(sockets) == []


# -- redundant-peer -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("before", "by", "after"),
    [
        (
            "{tcp: {connect: [a.example:443, a.example:440-450]}}",
            "tcp.connect[1]",
            "{tcp: {connect: [a.example:440-450]}}",
        ),
        ("{udp: {send: ['**.b.example:443', a.b.example:443]}}", "udp.send[0]", "{udp: {send: ['**.b.example:443']}}"),
        (
            "{tcp: {connect: ['*.a.example:1-9', {to: '**.a.example:1-9', private: true}]}}",
            "tcp.connect[1]",
            "{tcp: {connect: [{to: '**.a.example:1-9', private: true}]}}",
        ),
        (
            "{tcp: {connect: [{to: a.b.example:9, private: true}, {to: '*.b.example:9', private: true}]}}",
            "tcp.connect[1]",
            "{tcp: {connect: [{to: '*.b.example:9', private: true}]}}",
        ),
        (
            "{tcp: {connect: [17.1.0.0/16:443, 17.0.0.0/8:443]}}",
            "tcp.connect[1]",
            "{tcp: {connect: [17.0.0.0/8:443]}}",
        ),
        (
            "{tcp: {connect: ['[2606:4700::1]:443', '[2606:4700::/32]:443']}}",
            "tcp.connect[1]",
            "{tcp: {connect: ['[2606:4700::/32]:443']}}",
        ),
        ("{dns: [a.b, '*.b.c.d', '**.c.d']}", "dns[2]", "{dns: [a.b, '**.c.d']}"),
        ("{deny: [10.1.0.0/16, 10.0.0.0/8]}", "deny[1]", "{deny: [10.0.0.0/8]}"),
        ("{deny: [a.b, 'a.b:80']}", "deny[0]", "{deny: [a.b]}"),
        ("{deny: [a.b, 'a.b:1-65535']}", "deny[0]", "{deny: [a.b]}"),
        ("{deny: ['a.b:1-65535', a.b]}", "deny[0]", "{deny: ['a.b:1-65535']}"),
        ("{tcp: {listen: [10.0.0.1:80, 0.0.0.0:80]}}", "tcp.listen[1]", "{tcp: {listen: [0.0.0.0:80]}}"),
        ("{udp: {bind: ['[::]:0', '[::1]:0']}}", "udp.bind[0]", "{udp: {bind: ['[::]:0']}}"),
    ],
)
def test_an_entry_that_another_one_covers(before: str, by: str, after: str) -> None:
    """It is found wherever it stands, with the widest that covers it, and removed by a safe fix."""
    text = policy(before)
    (finding,) = [finding for finding in lint(text) if finding.rule == "redundant-peer"]
    assert (finding.severity, finding.message) == ("low", f"`{by}` covers all of this, so it adds nothing")
    assert [other.message for other in finding.related] == ["this covers it"]
    assert finding.fix is not None
    assert finding.fix.safe
    assert apply(text, finding.fix.edits) == policy(after)


@pytest.mark.parametrize(
    "sockets",
    [
        connect("a.example:443", "a.example:444", "b.a.example:443", "'*.b.a.example:443'"),
        connect("a.example:443-445", "a.example:445-450"),
        connect("a.b.example:443", "'**.b.example:444'"),
        connect("{to: a.b.example:443, private: true}", "'*.b.example:443'"),
        connect("b.example:443", "'*.b.example:443'", "'**.c.example:443'", "c.example:443"),
        connect("17.0.0.0/8:443", "18.1.0.0/16:443"),
        connect("{to: '[2606:4700::5efe:a00:1]:443', private: true}", "'[2606:4700::/32]:443'"),
        "{tcp: {connect: [a.example:443]}, udp: {send: [a.example:443]}}",
        "{tcp: {listen: [0.0.0.0:80, '127.0.0.1:81', '[::1]:80']}}",
        "{deny: ['a.b:80', 'a.b:81-90', 10.0.0.0/8, '[2001:db8::/32]', a.c]}",
    ],
)
def test_entries_that_each_say_something(sockets: str) -> None:
    """Other hosts, ports, families and lists; names at private addresses; an address that embeds another one."""
    assert [line for line in found_in(sockets) if "redundant-peer" in line] == []


def test_of_several_that_cover_each_other_the_widest_stays() -> None:
    """Each narrower one is found once, and all of them can go."""
    text = policy("{dns: [c.b.a.d, '*.b.a.d', '**.a.d', '**.b.a.d']}")
    found = [finding for finding in lint(text) if finding.rule == "redundant-peer"]
    assert [(finding.snippet, finding.message) for finding in found] == [
        ("c.b.a.d", "`dns[2]` covers all of this, so it adds nothing"),
        ("'*.b.a.d'", "`dns[2]` covers all of this, so it adds nothing"),
        ("'**.b.a.d'", "`dns[2]` covers all of this, so it adds nothing"),
    ]
    after, _ = mended(Linter(MACHINE), text.encode(), file="/nowhere/policy.yaml", unsafe=False)
    assert after.decode() == policy("{dns: ['**.a.d']}")


# -- Covering, by itself --------------------------------------------------------------------------------------------


def test_what_covers_is_what_the_language_says() -> None:
    """The same as looking at each pair, by ``covering`` and by ports."""
    hosts = ("a.b.c", "*.b.c", "**.b.c", "**.c", "10.0.0.0/8", "10.0.0.0/9", "10.1.2.3", "::/0", "2001:db8::1")
    ranges: tuple[Ports, ...] = ((1, 65535), (80, 80), (80, 90), (70, 85))
    entries = [(n, host, ports) for n, (host, ports) in enumerate((h, p) for h in hosts for p in ranges)]
    cover = Cover(entries)
    for _, host, ports in entries:
        slow = {
            other
            for _, other, around in entries
            if other in covering(host) and around[0] <= ports[0] and ports[1] <= around[1]
        }
        by = [entries[number] for number in cover.over(host, ports)]
        assert {other for _, other, _ in by} == slow
        assert {around for _, _, around in by} == {(1, 65535)}
        assert [other for _, other, _ in by] == [other for other in covering(host) if other in slow]
    assert [entries[n][1] for n in cover.over("10.1.2.3", (80, 80), alone=True)] == ["10.1.2.3"]


def test_denials_of_networks_side_by_side_are_one() -> None:
    """Where they are about every port."""
    halves = [DeniedPeer(host="10.0.0.0/9"), DeniedPeer(host="10.128.0.0/9"), DeniedPeer(host="a.b", ports=(80, 80))]
    denials = Denials(halves)
    assert network_of("10.0.0.0/8") is not None
    assert [denials.cover(host, ports) for host, ports in (("10.0.0.0/8", (1, 9)), ("10.0.0.0/7", (1, 9)))] == [
        True,
        False,
    ]
    assert [denials.cover("a.b", ports) for ports in ((80, 80), (80, 81))] == [True, False]


# -- Bounds ---------------------------------------------------------------------------------------------------------


def test_long_lists_are_judged_in_a_moment() -> None:
    """The longest lists, in which everything is found and everything could be mended: some of it at a time."""
    inside = ", ".join(f"'10.{n // 250}.{n % 250}.1:{n + 1}'" for n in range(999))
    outside = ", ".join(f"'[2606:4700::{n:x}]:{n + 1}-{n + 9}'" for n in range(999))
    names = ", ".join(f"n{n}.a.b.c.d.e.f.example" for n in range(999))
    denied = ", ".join(f"'192.168.0.0/16:{n + 1}'" for n in range(999))
    text = policy(
        f"{{tcp: {{connect: ['10.0.0.0/8:1-1000', {inside}]}}, udp: {{send: ['[2606:4700::/32]:1-1010', {outside}]}}, "
        f"dns: ['**.f.example', {names}], deny: ['192.168.0.0/16', {denied}]}}"
    )
    start = time.process_time()
    found = lint(text)
    assert time.process_time() - start < 20
    assert {finding.rule for finding in found} == {"unmarked-private-address", "redundant-peer"}
    assert len([finding for finding in found if finding.fix is not None]) <= 2 * MAX_FIXES
