"""YAML scalars of hostile text."""

from __future__ import annotations

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from sandbox.audit.quote import yaml_scalar


@pytest.mark.parametrize(
    ("text", "scalar"),
    [
        ("/in", "/in"),
        ("./invoices", "./invoices"),
        ("~/.ssh", "~/.ssh"),
        ("LANG", "LANG"),
        ("", '""'),
        ("~", '"~"'),
        ("yes", '"yes"'),
        ("NULL", '"NULL"'),
        ("010", '"010"'),
        (".5", '".5"'),
        ("a: b", '"a: b"'),
        ("a}, {host: /", '"a}, {host: /"'),
        ('a"\\', '"a\\"\\\\"'),
        ("a\nfilesystem:", '"a\\x0afilesystem:"'),
        ("é\u202e😀\x7f", '"\\xe9\\u202e\\U0001f600\\x7f"'),
        ("\udcff", '"\\ufffd"'),
    ],
)
def test_scalars(text: str, scalar: str) -> None:
    """Harmless names stay plain; what YAML or a terminal could take for something else is quoted and escaped."""
    assert yaml_scalar(text) == scalar


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_a_scalar_is_read_back_as_the_same_string(text: str) -> None:
    """Whatever a guest names, YAML reads the scalar as that string, in a flow mapping too, and it stays on its line."""
    scalar = yaml_scalar(text)
    assert yaml.safe_load(f"grants: [{{host: {scalar}, guest: {scalar}}}]") == {
        "grants": [{"host": text, "guest": text}]
    }
    assert scalar.isascii()
    assert scalar.isprintable()
