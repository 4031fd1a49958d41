"""Printing component types as WAT, and the few pieces of core text that every guard function is made from."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from sandbox.guard import types as ty


def quote(text: str) -> str:
    """A WAT string literal; anything that is not plain ASCII is escaped byte by byte."""
    out = []
    for byte in text.encode("utf-8", "surrogatepass"):
        out.append(chr(byte) if 0x20 <= byte < 0x7F and byte not in (0x22, 0x5C) else f"\\{byte:02x}")
    return '"' + "".join(out) + '"'


@dataclass
class Types:
    """Prints types in one scope: ``named`` types by their identifier there, all else in place.

    ``resource`` gives the identifier of a resource type in the scope.
    """

    resource: Callable[[int], str]
    named: dict[ty.Type, str] = field(default_factory=dict)

    def ref(self, t: ty.Type) -> str:
        return self.named.get(t) or self.body(t)

    def body(self, t: ty.Type) -> str:
        r = self.ref
        match t:
            case ty.Scalar(name):
                return name
            case ty.String():
                return "string"
            case ty.List(element):
                return f"(list {r(element)})"
            case ty.Tuple(elements):
                return f"(tuple {' '.join(map(r, elements))})"
            case ty.Record(fields):
                return f"(record {' '.join(f'(field {quote(n)} {r(x)})' for n, x in fields)})"
            case ty.Variant(cases):
                return f"(variant {' '.join(f'(case {quote(n)}{self._payload(p)})' for n, p in cases)})"
            case ty.Enum(names):
                return f"(enum {' '.join(map(quote, names))})"
            case ty.Flags(names):
                return f"(flags {' '.join(map(quote, names))})"
            case ty.Option(payload):
                return f"(option {r(payload)})"
            case ty.Result(ok, error):
                return f"(result{self._payload(ok)}{f' (error {r(error)})' if error is not None else ''})"
            case ty.Own(resource):
                return f"(own {self.resource(resource)})"
            case ty.Borrow(resource):
                return f"(borrow {self.resource(resource)})"

    def _payload(self, t: ty.Type | None) -> str:
        return "" if t is None else f" {self.ref(t)}"

    def function(self, f: ty.Function) -> str:
        params = " ".join(f"(param {quote(n)} {self.ref(t)})" for n, t in f.params)
        result = "" if f.result is None else f" (result {self.ref(f.result)})"
        return f"(func {params}{result})"


Nominal = ty.Record | ty.Variant | ty.Enum | ty.Flags
"""The value types that must have a name wherever a component imports or exports them."""


def params_text(core_types: Iterable[str]) -> str:
    return "".join(f"(param {x})" for x in core_types)


def result_text(core_type: str | None) -> str:
    return f"(result {core_type})" if core_type else ""


def get(*indices: int) -> str:
    """Read core parameters by number."""
    return " ".join(f"(local.get {i})" for i in indices)
