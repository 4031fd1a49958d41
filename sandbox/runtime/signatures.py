"""The types of a module's exported functions, read off its bytes.

wasmtime-py would tell them too, but for some (``v128``, most references) the C API ends the process when it is asked
which type it is. So a function is looked up here before Wasmtime is asked to call it.

Only for a module that Wasmtime has compiled: what it found valid is not checked again.
"""

from __future__ import annotations

from sandbox.component import sections

TYPES, IMPORTS, FUNCTIONS, EXPORTS = 1, 2, 3, 7
NUMBERS = {0x7F: "i", 0x7E: "I", 0x7D: "f", 0x7C: "F"}
"""``i32``, ``i64``, ``f32``, ``f64``."""
VECTOR, REFERENCE = "v", "r"
"""Any other value: ``v128``, and everything that refers to something."""


def signatures(data: bytes) -> dict[str, str]:
    """By the name of each exported function, a letter for each parameter, ``>``, and a letter for each result.

    Raises ``ValueError`` where the bytes are of no module that is known here.
    """
    types: list[str] = []
    functions: list[int] = []
    exports: dict[str, int] = {}
    try:
        for identity, _, body, end in sections(data):
            cursor = _Cursor(data[body:end] if identity in (TYPES, IMPORTS, FUNCTIONS, EXPORTS) else b"")
            if identity == TYPES:
                for _ in range(cursor.number()):
                    cursor.types(types)
            elif identity == IMPORTS:
                for _ in range(cursor.number()):
                    cursor.import_(functions)
            elif identity == FUNCTIONS:
                functions += [cursor.number() for _ in range(cursor.number())]
            elif identity == EXPORTS:
                for _ in range(cursor.number()):
                    name, kind, number = cursor.name(), cursor.byte(), cursor.number()
                    if kind == 0:
                        exports[name] = number
        return {name: types[functions[number]] for name, number in exports.items()}
    except IndexError:
        raise ValueError("the types of the module's functions cannot be read") from None


class _Cursor:
    def __init__(self, data: bytes) -> None:
        self.data, self.at = data, 0

    def byte(self) -> int:
        self.at += 1
        return self.data[self.at - 1]

    def number(self) -> int:
        """A number of any length; with a sign, its value means nothing, and is only passed over."""
        value = shift = 0
        while True:
            byte = self.byte()
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                return value
            shift += 7

    def name(self) -> str:
        size = self.number()
        self.at += size
        return self.data[self.at - size : self.at].decode()

    def value(self) -> str:
        """A value's type, or that of a part of a structure."""
        byte = self.byte()
        if byte in (0x63, 0x64):
            self.number()
        return NUMBERS.get(byte) or (VECTOR if byte == 0x7B else REFERENCE)

    def types(self, types: list[str]) -> None:
        """One entry of the section: a type, or several that refer to each other."""
        if self.data[self.at] != 0x4E:
            types.append(self.type())
            return
        self.byte()
        for _ in range(self.number()):
            types.append(self.type())

    def type(self) -> str:
        """A function's signature; nothing for what is no function."""
        kind = self.byte()
        if kind in (0x50, 0x4F):  # a subtype: of which, and what it is
            for _ in range(self.number()):
                self.number()
            kind = self.byte()
        if kind == 0x60:
            return ">".join("".join(self.value() for _ in range(self.number())) for _ in range(2))
        if kind in (0x5E, 0x5F):  # an array or a structure: what it holds, and whether that can be changed
            for _ in range(1 if kind == 0x5E else self.number()):
                self.value()
                self.byte()
            return ""
        raise ValueError(f"a type of kind 0x{kind:02x} is not known")

    def import_(self, functions: list[int]) -> None:
        self.name()
        self.name()
        kind = self.byte()
        if kind == 0:
            functions.append(self.number())
        elif kind == 4:  # a tag: its attribute and its type
            self.byte()
            self.number()
        elif kind == 3:
            self.value()
            self.byte()
        else:
            if kind == 1:
                self.value()
            flags = self.byte()
            self.number()
            if flags & 1:
                self.number()
            if flags & 8:
                self.number()
