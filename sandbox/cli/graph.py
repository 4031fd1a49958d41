"""``sandbox graph``: the programs of a policy as a picture."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

from sandbox.cli.failure import CommandError

if TYPE_CHECKING:
    import argparse

    from sandbox.policy.graph import Graph


def graph(options: argparse.Namespace) -> int:
    """Print the graph of what ``options`` name. Raises ``CommandError``."""
    from sandbox.policy.errors import PolicyError
    from sandbox.policy.graph import graph_of
    from sandbox.policy.load import load_policy

    try:
        policy = load_policy(options.policy)
    except PolicyError as error:
        raise CommandError(2, str(error)) from None
    try:
        found = graph_of(policy, options.component)
    except ValueError as error:
        raise CommandError(2, str(error)) from None
    sys.stdout.write(_rendered(found, options.format))
    return 0


def _rendered(graph: Graph, form: str) -> str:
    from sandbox.report.graph import graph_data, graph_mermaid, graph_text

    if form == "json":
        return graph_data(graph)
    if form == "mermaid":
        return graph_mermaid(graph)
    if form == "svg":
        from sandbox.report.graph_svg import graph_svg

        return graph_svg(graph)
    width = os.get_terminal_size(1).columns if sys.stdout.isatty() else 100
    encoding = sys.stdout.encoding
    text = graph_text(graph, width=width, ascii_only=not _writes("│├└─", encoding))
    return text.encode(encoding, "backslashreplace").decode(encoding)


def _writes(text: str, encoding: str) -> bool:
    try:
        text.encode(encoding)
    except UnicodeEncodeError:
        return False
    return True
