"""The vocabulary of WASI 0.2: which imports are served, and the sentence for those that are not."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox.wasi import FAMILIES, Interface, Known, Refused, classify, known_interfaces, parse_interface


def test_a_known_import() -> None:
    """An interface of a 0.2 release carries its families, its meaning and the capabilities it may use."""
    assert classify("wasi:cli/environment@0.2.12") == Known(
        interface=Interface(namespace="wasi", package="cli", name="environment", version="0.2.12"),
        families=("environment", "arguments"),
        meaning="reads all environment variables, the arguments and the working directory",
        capabilities=("environment", "arguments"),
    )


def test_every_interface_of_the_table_is_served_in_any_release() -> None:
    """Whatever the table lists is known at any 0.2.x and says the same there as in the table."""
    for name, known in known_interfaces():
        for version in ("0.2.0", "0.2.3", "0.2.107"):
            verdict = classify(f"{name}@{version}")
            assert isinstance(verdict, Known)
            assert (verdict.families, verdict.meaning, verdict.capabilities) == (
                known.families,
                known.meaning,
                known.capabilities,
            )


def test_the_table_covers_every_family() -> None:
    """Each family that a policy can grant is asked for by some interface, and interfaces ask for no other."""
    assert {family for _, known in known_interfaces() for family in known.families} == set(FAMILIES)


def test_the_table_is_wasi_0_2() -> None:
    """The interfaces are those of the WASI 0.2 worlds that a host serves, each once."""
    assert [name for name, _ in known_interfaces()] == [
        "wasi:cli/environment",
        "wasi:cli/exit",
        "wasi:cli/stdin",
        "wasi:cli/stdout",
        "wasi:cli/stderr",
        "wasi:cli/terminal-input",
        "wasi:cli/terminal-output",
        "wasi:cli/terminal-stdin",
        "wasi:cli/terminal-stdout",
        "wasi:cli/terminal-stderr",
        "wasi:io/error",
        "wasi:io/poll",
        "wasi:io/streams",
        "wasi:clocks/monotonic-clock",
        "wasi:clocks/wall-clock",
        "wasi:clocks/timezone",
        "wasi:random/random",
        "wasi:random/insecure",
        "wasi:random/insecure-seed",
        "wasi:filesystem/types",
        "wasi:filesystem/preopens",
        "wasi:sockets/network",
        "wasi:sockets/instance-network",
        "wasi:sockets/ip-name-lookup",
        "wasi:sockets/tcp",
        "wasi:sockets/tcp-create-socket",
        "wasi:sockets/udp",
        "wasi:sockets/udp-create-socket",
        "wasi:http/types",
        "wasi:http/outgoing-handler",
    ]


NO_NAME = "it is not the name of an interface, and only interfaces of WASI 0.2 are served"
NO_RELEASE = "only releases of WASI 0.2 are served (0.2.0, 0.2.1, ...)"


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("run", NO_NAME),
        ("", NO_NAME),
        ("wasi:cli/stdin@0.2.0\n", NO_NAME),
        ("wasi:cli/stdin@0.2.0 ", NO_NAME),
        ("wasi:cli/stdin@\uff10.2.0", NO_NAME),
        ("unlocked-dep=<wasi:cli@{>=0.2.0}>", NO_NAME),
        ("wasi:cli/stdin/more@0.2.0", NO_NAME),
        ("wasi:cli/a" + "-0" * 110 + "!", NO_NAME),
        ("wasi:cli/" + "a" * 300 + "@0.2.0", NO_NAME),
        (
            "cyber:payments/auth@1.0.0",
            "it is not part of WASI; another component can serve it, by `imports` of the policy",
        ),
        ("wasi:nn/tensor@0.2.0-rc-2024-10-28", "wasi:nn is not part of WASI 0.2"),
        ("wasi:keyvalue/store@0.2.0-draft", "wasi:keyvalue is not part of WASI 0.2"),
        ("wasi:cli/stdin", f"it has no version; {NO_RELEASE}"),
        ("wasi:cli/stdin@0.2", f"it is of version 0.2; {NO_RELEASE}"),
        ("wasi:cli/stdin@0.3.0", f"it is of version 0.3.0; {NO_RELEASE}"),
        ("wasi:cli/stdin@0.2.01", f"it is of version 0.2.01; {NO_RELEASE}"),
        ("wasi:cli/stdin@1.0.0", f"it is of version 1.0.0; {NO_RELEASE}"),
        ("wasi:cli/stdin@0.2.0-rc-2023-12-05", f"0.2.0-rc-2023-12-05 is no release; {NO_RELEASE}"),
        ("wasi:cli/stdin@0.3.0-rc-2025-08-15", f"0.3.0-rc-2025-08-15 is no release; {NO_RELEASE}"),
        ("wasi:cli/stdin@0.2.0+build", f"0.2.0+build is no release; {NO_RELEASE}"),
        ("wasi:cli/run@0.2.3", "wasi:cli/run is what a component exports; a host serves it to none"),
        (
            "wasi:http/incoming-handler@0.2.3",
            "wasi:http/incoming-handler is what a component exports; a host serves it to none",
        ),
        ("wasi:cli/stdout2@0.2.3", "wasi:cli has no interface stdout2 in WASI 0.2"),
    ],
)
def test_what_is_not_served(name: str, reason: str) -> None:
    """Each import that nothing serves is refused with the sentence that says why."""
    assert classify(name) == Refused(reason=reason)


def test_a_name_taken_apart() -> None:
    """Namespace, package, name and version of any package are told apart; anything else is no interface's name."""
    assert parse_interface("my-org:some-pkg/do-it2@1.2.3-rc.1") == Interface(
        namespace="my-org", package="some-pkg", name="do-it2", version="1.2.3-rc.1"
    )
    assert parse_interface("a:b/c") == Interface(namespace="a", package="b", name="c", version=None)
    assert [parse_interface(name) for name in ("a:b", "a/b", "a:b/c@", "a:b/-c", "a:b/c-", "A:b/cD", ":/")] == [
        None
    ] * 7


@given(st.text(max_size=60) | st.from_regex(r"wasi:[a-z]{1,9}/[a-z-]{1,15}@.{0,20}", fullmatch=True))
def test_any_name_is_classified_in_plain_ascii(name: str) -> None:
    """Whatever a file names, the verdict is one printable line of ASCII."""
    verdict = classify(name)
    text = verdict.reason if isinstance(verdict, Refused) else verdict.meaning
    assert text.isascii()
    assert text.isprintable()
