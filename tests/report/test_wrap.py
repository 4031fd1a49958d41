"""Text in lines."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from sandbox.report.wrap import columns, wrap


def test_lines_end_at_spaces() -> None:
    """All but the first are indented."""
    assert wrap("reads /in, writes /out, stdout", 12, hang=2) == ["reads /in,", "  writes", "  /out,", "  stdout"]
    assert wrap("short", 12) == ["short"]
    assert wrap("", 12) == [""]


def test_a_long_word_is_broken_behind_a_sign() -> None:
    """Or anywhere, where there is none in its second half."""
    assert wrap("reads /some/where/deep", 10) == ["reads", "/some/", "where/deep"]
    assert wrap("abcdefghijklm", 5, hang=2) == ["abcde", "  fgh", "  ijk", "  lm"]


def test_wide_characters_take_two_columns() -> None:
    """And marks that combine with a letter none."""
    assert [columns("漢字"), columns("e\u0301")] == [4, 1]
    assert wrap("漢字漢字漢", 5) == ["漢字", "漢字", "漢"]
    assert wrap("e\u0301e\u0301e\u0301", 2) == ["e\u0301e\u0301", "e\u0301"]


@given(st.text(st.sampled_from("ab /.漢\u0301"), max_size=60), st.integers(4, 20), st.integers(0, 2))
def test_nothing_is_lost_and_nothing_sticks_out(text: str, width: int, hang: int) -> None:
    """Apart from spaces at the ends of lines."""
    lines = wrap(text, width, hang=hang)
    assert all(columns(line) <= width for line in lines)
    assert "".join(lines).replace(" ", "") == text.replace(" ", "")
