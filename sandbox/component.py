"""A ``.wasm`` file as facts: kind, digest, size, imports, exports. Nothing in the file is run or compiled.

The bytes are hostile: every length is checked against what is there, every count against a bound, and whatever is wrong
ends in a ``ComponentError`` that says what and where. Only the outermost import and export sections are decoded; types
and code are skipped whole, so that the time goes into reading and hashing the file.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator, Mapping
from typing import Literal, NamedTuple, TypeAlias

Kind = Literal["component", "module"]
ExternKind = Literal["instance", "func", "type", "value", "component", "module", "table", "memory", "global", "tag"]
MemoryKind = Literal["none", "plain", "shared", "64-bit", "custom-page-size"]
Buffer: TypeAlias = bytes | bytearray | memoryview

MAX_SIZE = 512 * 1024 * 1024
"""Bytes of a file that is read at all."""
MAX_SECTIONS = 100_000
MAX_EXTERNS = 10_000
"""Imports and exports of one file together. Each export becomes two sections of the guarded component."""
MAX_NAME = 10_000
"""Bytes of one name."""
MAX_NAMES = 1024 * 1024
"""Bytes of the names of all imports and exports of one file."""
MAX_OPTIONS = 16
"""Options of one import's or export's name."""
MAX_NESTING = 100
"""Components inside components."""
MAX_INNER_DEPTH = 8
"""Levels of components inside components that ``inside`` looks at: each byte is hashed once for each of them."""
MAX_INNER = 1000
"""Components inside one file that it lists."""
MAX_INNER_SECTIONS = 500_000
"""Sections of all of them."""
MAX_MEMORIES = 100
"""Memories that a core module defines; Wasmtime takes no more."""

_MAGIC = b"\0asm"
_MODULE = b"\x01\x00\x00\x00"
_COMPONENT = b"\x0d\x00\x01\x00"

# Section ids of a component; a core module has its own.
_CUSTOM, _CORE_MODULE, _NESTED, _IMPORT, _EXPORT, _LAST_COMPONENT_SECTION = 0, 1, 4, 10, 11, 12
_MODULE_IMPORT, _MODULE_FUNCTION, _MODULE_TABLE, _MODULE_MEMORY, _MODULE_GLOBAL, _MODULE_EXPORT = 2, 3, 4, 5, 6, 7
_MODULE_START, _MODULE_ELEMENT, _MODULE_CODE, _MODULE_DATA, _MODULE_DATA_COUNT, _LAST_MODULE_SECTION = (
    8,
    9,
    10,
    11,
    12,
    13,
)
_RUN_ONLY = frozenset({_CUSTOM, _MODULE_START, _MODULE_ELEMENT, _MODULE_DATA, _MODULE_DATA_COUNT})
"""What a core module's imports and exports do not depend on."""

# Operators of the expressions that globals start from: i32.const, i64.const, global.get, ref.null take a number.
_CONSTANT_NUMBERS = frozenset({0x41, 0x42, 0x23, 0xD0})
_CONSTANT_WIDTHS = {0x43: 4, 0x44: 8}
_CONSTANT_ARITHMETIC = frozenset({0x6A, 0x6B, 0x6C, 0x7C, 0x7D, 0x7E})
_REF_FUNC, _END = 0xD2, 0x0B

# Flags of a memory's limits.
_HAS_MAXIMUM, _SHARED, _WIDE, _PAGE_SIZE = 0x01, 0x02, 0x04, 0x08

_STUB = b"\x03\x00\x00\x0b"
"""A function body: 3 bytes, no locals, ``unreachable``, ``end``. Valid for every signature."""

_SORTS: tuple[ExternKind, ...] = ("module", "func", "value", "type", "component", "instance")
_CORE_SORTS: tuple[ExternKind, ...] = ("func", "table", "memory", "global", "tag")
_MEMORY_KINDS: tuple[MemoryKind, ...] = ("none", "plain", "shared", "64-bit", "custom-page-size")


class ComponentError(Exception):
    """The file cannot be read, or is no WebAssembly that the sandbox understands. ``str`` is one sentence."""

    def __init__(self, message: str, path: str | None = None) -> None:
        super().__init__(message if path is None else f"{_shown(path)}: {message}")
        self.message = message
        self.path = path


class Import(NamedTuple):
    name: str
    """As the file spells it, ``wasi:cli/stdout@0.2.3``; hostile text."""
    kind: ExternKind
    module: str | None = None
    """The first of the two names of a core module's import; ``None`` in a component."""


class Export(NamedTuple):
    name: str
    kind: ExternKind


class ModuleFacts(NamedTuple):
    """What matters of a core module beside its imports and exports."""

    memory: MemoryKind
    """The memory that it exports as ``memory``; ``plain`` is one that WASI preview 1 can work on."""
    start: bool
    """Whether it has a start section, whose function runs when it is instantiated."""


class Facts(NamedTuple):
    path: str
    """As the caller named it."""
    kind: Kind
    size: int
    """Bytes."""
    digest: str
    """``sha256:`` and 64 lower-case hexadecimal digits."""
    imports: tuple[Import, ...]
    exports: tuple[Export, ...]
    module: ModuleFacts | None = None
    """``None`` for a component."""

    @property
    def run_export(self) -> str | None:
        """The export that makes it a command: ``wasi:cli/run@0.2.x``, a module's ``_start``; ``None``: it has none."""
        if self.kind == "module":
            return "_start" if self.exports_function("_start") else None
        for export in self.exports:
            base, _, patch = export.name.rpartition(".")
            if export.kind == "instance" and base == "wasi:cli/run@0.2" and patch.isascii() and patch.isdigit():
                return export.name
        return None

    def exports_function(self, name: str) -> bool:
        """Whether it exports a function of its own by that name."""
        return Export(name, "func") in self.exports

    def to_data(self) -> dict[str, object]:
        """Plain data for a cache in JSON; ``from_data`` reads it back."""
        return {
            "path": self.path,
            "kind": self.kind,
            "size": self.size,
            "digest": self.digest,
            "imports": [[item.name, item.kind, item.module] for item in self.imports],
            "exports": [[item.name, item.kind] for item in self.exports],
            "module": None if self.module is None else [self.module.memory, self.module.start],
        }

    @classmethod
    def from_data(cls, data: object) -> Facts:
        """The facts that ``to_data`` gave. Raises ``ValueError`` for anything else."""
        if not isinstance(data, Mapping) or set(data) != _KEYS:
            raise ValueError("component facts have the keys path, kind, size, digest, imports, exports, module")
        path, kind, size, digest = data["path"], data["kind"], data["size"], data["digest"]
        if not isinstance(path, str) or not isinstance(digest, str) or type(size) is not int or size < 0:
            raise ValueError("component facts: path and digest are strings, size a number of bytes")
        if kind != "component" and kind != "module":
            raise ValueError("component facts: kind is component or module")
        if not digest.startswith("sha256:") or len(digest) != 71 or set(digest[7:]) - set("0123456789abcdef"):
            raise ValueError("component facts: the digest is sha256: and 64 hexadecimal digits")
        return cls(
            path=path,
            kind=kind,
            size=size,
            digest=digest,
            imports=tuple(
                Import(name=_text(row[0]), kind=_extern_kind(row[1]), module=None if row[2] is None else _text(row[2]))
                for row in _rows(data["imports"], 3)
            ),
            exports=tuple(Export(name=_text(row[0]), kind=_extern_kind(row[1])) for row in _rows(data["exports"], 2)),
            module=_module_facts(kind, data["module"]),
        )


class Inner(NamedTuple):
    """A component that stands inside another one, as tools that compose put it there."""

    size: int
    """Bytes."""
    digest: str
    """That of its own file, if it was put there as it was."""
    imports: tuple[Import, ...]
    exports: tuple[Export, ...]
    inner: tuple[Inner, ...]
    """What stands inside this one."""
    error: str | None = None
    """A sentence, where it cannot be decoded; then it has neither imports nor exports."""


class Inside(NamedTuple):
    """What stands inside a component."""

    components: tuple[Inner, ...]
    complete: bool
    """Whether that is all: what is very much, or nested very deep, is left out."""


_KEYS = frozenset({"path", "kind", "size", "digest", "imports", "exports", "module"})


def _module_facts(kind: Kind, data: object) -> ModuleFacts | None:
    if kind == "component" and data is None:
        return None
    if kind == "module" and isinstance(data, list) and len(data) == 2 and isinstance(data[1], bool):
        for memory in _MEMORY_KINDS:
            if memory == data[0]:
                return ModuleFacts(memory=memory, start=data[1])
    raise ValueError("component facts: module is null, or for a module its memory and whether it has a start section")


def _rows(data: object, width: int) -> list[list[object]]:
    if not isinstance(data, list) or not all(isinstance(row, list) and len(row) == width for row in data):
        raise ValueError(f"component facts: imports and exports are lists of rows of {width}")
    return data


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise ValueError("component facts: a name is a string")
    return value


def _extern_kind(value: object) -> ExternKind:
    for kind in (*_SORTS, *_CORE_SORTS):
        if value == kind:
            return kind
    raise ValueError("component facts: an unknown kind of import or export")


def read_component(path: str | os.PathLike[str]) -> Facts:
    """The facts of the file at ``path``. Raises ``ComponentError``."""
    return facts_of(path, read_bytes(path))


def read_bytes(path: str | os.PathLike[str]) -> bytes:
    """The bytes of a regular file of at most ``MAX_SIZE`` bytes. Raises ``ComponentError``.

    The file is read and not mapped: what is hashed, decoded and compiled is then one and the same copy, and a file that
    shrinks meanwhile cannot end the process.
    """
    shown = os.fspath(path)
    try:
        # O_NONBLOCK: opening a FIFO must not wait for its other end.
        descriptor = os.open(shown, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY)
        with os.fdopen(descriptor, "rb", buffering=0) as file:
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode):
                raise ComponentError("not a regular file", shown)
            if status.st_size > MAX_SIZE:
                raise ComponentError(f"{status.st_size} bytes, more than the {MAX_SIZE} that are read", shown)
            data = file.read(status.st_size)
            if len(data) != status.st_size or file.read(1):
                raise ComponentError("the file changed while it was read; try again", shown)
            return data
    except OSError as error:
        raise ComponentError(f"cannot be read: {error.strerror or error}", shown) from None
    except ValueError:
        raise ComponentError("cannot be read: the name holds a zero byte", shown) from None


def facts_of(path: str | os.PathLike[str], data: Buffer) -> Facts:
    """The facts of ``data``, which was read from ``path``. Raises ``ComponentError``."""
    from hashlib import sha256

    shown = os.fspath(path)
    try:
        kind = kind_of(data)
        imports: list[Import] = []
        exports: list[Export] = []
        memories = _Memories()
        start = False
        reader = Reader(data, 0, 0)
        for identity, _, reader.position, reader.end in sections(data):
            left = MAX_EXTERNS - len(imports) - len(exports)
            if kind == "component" and identity == _IMPORT:
                imports += _component_imports(reader, left)
            elif kind == "component" and identity == _EXPORT:
                exports += _component_exports(reader, left)
            elif kind == "module" and identity == _MODULE_IMPORT:
                imports += _module_imports(reader, left, memories)
            elif kind == "module" and identity == _MODULE_MEMORY:
                _module_memories(reader, memories)
            elif kind == "module" and identity == _MODULE_EXPORT:
                exports += _module_exports(reader, left, memories)
            elif kind == "module" and identity == _MODULE_START:
                start = True
        module = ModuleFacts(memory=memories.kind(), start=start) if kind == "module" else None
    except ComponentError as error:
        raise ComponentError(error.message, shown) from None
    return Facts(
        path=shown,
        kind=kind,
        size=len(data),
        digest="sha256:" + sha256(data).hexdigest(),
        imports=tuple(imports),
        exports=tuple(exports),
        module=module,
    )


def inside(data: Buffer) -> Inside:
    """The components that stand inside a component or module, in order.

    Those without code of their own are left out: nearly every component has some, which only give its exports their
    types. Never raises for what is in them. What is theirs is told by where they stand and not by who instantiates
    them: one may be there and never be used.
    """
    look = _Inside()
    # What is wrong with the file itself is told by its facts.
    found = look.at(memoryview(data), 0) if kind_of(data) == "component" else None
    return Inside(components=found.inner if found is not None else (), complete=look.complete)


class _Inside:
    """One look into a component, and how much of it was looked at."""

    def __init__(self) -> None:
        self.complete = True
        self._components = self._sections = self._externs = 0

    def at(self, data: memoryview, depth: int) -> Inner | None:
        """The component that ``data`` is; ``None`` where there is no code in it, or where it is too much to look at."""
        from hashlib import sha256

        has_code, inner, error = False, [], None
        imports: list[Import] = []
        exports: list[Export] = []
        try:
            if kind_of(data) != "component":
                raise ComponentError("a core module, where a component has to be")
            reader = Reader(data, 0, 0)
            for identity, _, reader.position, reader.end in sections(data):
                if not self._may_go_on():
                    break
                if identity == _CORE_MODULE:
                    has_code = True
                elif identity == _NESTED:
                    nested = self._nested(data[reader.position : reader.end], depth + 1)
                    inner += [nested] if nested is not None else []
                elif depth and identity in (_IMPORT, _EXPORT):
                    left = MAX_EXTERNS - self._externs
                    if identity == _IMPORT:
                        imports += _component_imports(reader, left - len(imports) - len(exports))
                    else:
                        exports += _component_exports(reader, left - len(imports) - len(exports))
        except ComponentError as wrong:
            error, imports, exports = wrong.message, [], []
        if not (has_code or inner or error):
            return None
        self._components += 1
        self._externs += len(imports) + len(exports)
        return Inner(
            size=len(data),
            digest="sha256:" + sha256(data).hexdigest() if depth else "",
            imports=tuple(imports),
            exports=tuple(exports),
            inner=tuple(inner),
            error=error,
        )

    def _nested(self, data: memoryview, depth: int) -> Inner | None:
        if depth > MAX_INNER_DEPTH or self._components >= MAX_INNER:
            self.complete = False
            return None
        return self.at(data, depth)

    def _may_go_on(self) -> bool:
        self._sections += 1
        self.complete = self.complete and self._sections <= MAX_INNER_SECTIONS
        return self._sections <= MAX_INNER_SECTIONS


def kind_of(data: Buffer) -> Kind:
    """What the first eight bytes say. Raises ``ComponentError`` where that is neither a component nor a module."""
    head = bytes(data[:8])
    if head[:4] != _MAGIC:
        if not head:
            raise ComponentError("not WebAssembly: the file is empty")
        if head.lstrip()[:1] in (b"(", b";"):
            raise ComponentError("not WebAssembly: looks like its text format; encode it first")
        raise ComponentError("not WebAssembly: it does not begin with \\0asm")
    if head[4:] == _COMPONENT:
        return "component"
    if head[4:] == _MODULE:
        return "module"
    if len(head) < 8:
        raise ComponentError("the file ends inside its first eight bytes")
    if head[6:] == _COMPONENT[2:]:
        raise ComponentError(f"a component of the draft format 0x{head[4]:02x}; rebuild it with current tools")
    raise ComponentError(f"an unknown version of WebAssembly: {head[4:].hex(' ')}")


def sections(data: Buffer) -> Iterator[tuple[int, int, int, int]]:
    """The outermost sections of a component or module, in order: ``(id, start, body_start, end)``, offsets in bytes.

    Raises ``ComponentError`` where the next section is malformed, after those before it were given.
    """
    last = _LAST_COMPONENT_SECTION if kind_of(data) == "component" else _LAST_MODULE_SECTION
    reader = Reader(data, 8, len(data))
    count = 0
    while reader.position < reader.end:
        start = reader.position
        identity = reader.byte()
        if identity > last:
            raise ComponentError(f"an unknown section {identity} at byte {start}")
        size = reader.u32()
        body = reader.position
        reader.skip(size)
        count += 1
        if count > MAX_SECTIONS:
            raise ComponentError(f"more than {MAX_SECTIONS} sections")
        yield identity, start, body, reader.position


def skeleton(data: Buffer) -> bytes:
    """A component with the imports of ``data`` and none of its code, for asking an engine what the imports' types are.

    It is the component up to its last import section, without custom sections, and with every function body before that
    point replaced by ``unreachable``: what was valid stays so, since no index moves and no signature changes.
    Raises ``ComponentError``.
    """
    if kind_of(data) != "component":
        raise ComponentError("a core module; only a component has a skeleton")
    cut = max((end for identity, _, _, end in sections(data) if identity == _IMPORT), default=8)
    return _without_code(memoryview(data)[:cut], 0, _stubbed)


def codeless(data: Buffer) -> bytes:
    """A component with the imports and exports of ``data``, for asking an engine what their types are.

    Custom sections are left out, and of every core module what only a run needs: data, elements, its start. One
    function without code stands for all that a module exports of one signature, so that there is next to nothing to
    compile. Raises ``ComponentError``.
    """
    if kind_of(data) != "component":
        raise ComponentError("a core module; only a component has types of its own")
    return _without_code(memoryview(data), 0, _signatures)


def _without_code(data: memoryview, depth: int, module: Callable[[memoryview], bytes]) -> bytes:
    """A component without custom sections, and with ``module`` of every core module in it."""
    if depth > MAX_NESTING:
        raise ComponentError(f"components nested more than {MAX_NESTING} deep")
    parts = [bytes(data[:8])]
    for identity, start, body, end in sections(data):
        if identity == _CUSTOM:
            continue
        if identity in (_CORE_MODULE, _NESTED):
            nested = data[body:end]
            if (kind_of(nested) == "component") != (identity == _NESTED):
                raise ComponentError(f"a nested component or module of the wrong kind at byte {body}")
            inner = _without_code(nested, depth + 1, module) if identity == _NESTED else module(nested)
            parts.append(_section(identity, inner))
        else:
            parts.append(bytes(data[start:end]))
    return b"".join(parts)


def _stubbed(data: memoryview) -> bytes:
    """A core module with ``unreachable`` for every function body and without custom sections."""
    parts = [bytes(data[:8])]
    for identity, start, body, end in sections(data):
        if identity == _MODULE_CODE:
            reader = Reader(data, body, end)
            functions = reader.u32()
            if functions * 3 > end - reader.position:  # no body is shorter: its size, its locals, its end
                raise ComponentError(f"a code section at byte {start} with more functions than fit into it")
            parts.append(_section(identity, _leb(functions) + _STUB * functions))
        elif identity != _CUSTOM:
            parts.append(bytes(data[start:end]))
    return b"".join(parts)


def _signatures(data: memoryview) -> bytes:
    """A core module with the same imports and exports, and one function for all that it exports of one type."""
    imported = 0
    types: list[int] = []
    exports: list[tuple[bytes, ExternKind, int]] = []
    for identity, _, body, end in sections(data):
        reader = Reader(data, body, end)
        if identity == _MODULE_IMPORT:
            imported += sum(item.kind == "func" for item in _module_imports(reader, MAX_EXTERNS, _Memories()))
        elif identity == _MODULE_FUNCTION:
            types += reader.vector()
        elif identity == _MODULE_EXPORT:
            exports += _named_exports(reader)
        elif identity in (_MODULE_TABLE, _MODULE_GLOBAL) and _may_name_functions(reader, identity):
            return _stubbed(data)  # by an index, which has to stay what it is
    standing: dict[int, int] = {}
    for _, kind, index in exports:
        if kind == "func" and index >= imported:
            if index - imported >= len(types):
                raise ComponentError(f"function {index} is exported, and there are only {imported + len(types)}")
            standing.setdefault(types[index - imported], imported + len(standing))
    parts = [bytes(data[:8])]
    for identity, start, _, end in sections(data):
        if identity == _MODULE_FUNCTION:
            parts.append(_section(identity, _leb(len(standing)) + b"".join(map(_leb, standing))))
        elif identity == _MODULE_CODE:
            parts.append(_section(identity, _leb(len(standing)) + _STUB * len(standing)))
        elif identity == _MODULE_EXPORT:
            rows = [_leb(len(exports))]
            for name, kind, index in exports:
                own = kind == "func" and index >= imported
                number = standing[types[index - imported]] if own else index
                rows += [_leb(len(name)), name, bytes([_CORE_SORTS.index(kind)]), _leb(number)]
            parts.append(_section(identity, b"".join(rows)))
        elif identity not in _RUN_ONLY:
            parts.append(bytes(data[start:end]))
    return b"".join(parts)


def _named_exports(reader: Reader) -> Iterator[tuple[bytes, ExternKind, int]]:
    """What a core module exports, with the index of each."""
    for _ in range(reader.externs(MAX_EXTERNS)):
        name = reader.name().encode()
        kind = _core_sort(reader)
        yield name, kind, reader.u32()
    reader.finish()


def _may_name_functions(reader: Reader, identity: int) -> bool:
    """Whether a table or global section may hold ``ref.func``. Globals are read up to what is not known here."""
    if _REF_FUNC not in bytes(reader.data[reader.position : reader.end]):
        return False
    if identity == _MODULE_TABLE:
        return True
    for _ in range(reader.u32()):
        _core_value_type(reader)
        reader.byte()
        while (operator := reader.byte()) != _END:
            if operator in _CONSTANT_WIDTHS:
                reader.skip(_CONSTANT_WIDTHS[operator])
            elif operator in _CONSTANT_NUMBERS:
                reader.limit()
            elif operator not in _CONSTANT_ARITHMETIC:
                return True
    return False


def _section(identity: int, body: bytes) -> bytes:
    return bytes([identity]) + _leb(len(body)) + body


def _leb(number: int) -> bytes:
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


class Reader:
    """A cursor over ``data[position:end]`` that never passes ``end``. ``names``: bytes of all names that it read."""

    __slots__ = ("data", "end", "names", "position")

    def __init__(self, data: Buffer, position: int, end: int) -> None:
        self.data = data
        self.position = position
        self.end = end
        self.names = 0

    def byte(self) -> int:
        if self.position >= self.end:
            raise ComponentError(f"the file ends too early, or a section does, at byte {self.position}")
        value = self.data[self.position]
        self.position += 1
        return value

    def u32(self) -> int:
        start = self.position
        value = shift = 0
        while True:
            byte = self.byte()
            value |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                break
            if shift == 35:
                raise ComponentError(f"a number of more than five bytes at byte {start}")
        if value > 0xFFFFFFFF:
            raise ComponentError(f"a number over 32 bits at byte {start}")
        return value

    def vector(self) -> list[int]:
        """A count and as many numbers, which end what is read."""
        start = self.position
        number = self.u32()
        if number > self.end - self.position:  # none takes less than a byte
            raise ComponentError(f"{number} numbers are announced at byte {start}; that cannot be")
        if number == self.end - self.position:  # as most modules have it: a byte for each
            numbers = list(self.data[self.position : self.end])
            if max(numbers, default=0) < 0x80:
                self.position = self.end
                return numbers
        numbers = [self.u32() for _ in range(number)]
        self.finish()
        return numbers

    def limit(self) -> None:
        """Skip the bound of a memory or table, or a constant: at most 64 bits."""
        start = self.position
        for _ in range(10):
            if self.byte() < 0x80:
                return
        raise ComponentError(f"a number of more than ten bytes at byte {start}")

    def skip(self, size: int) -> None:
        if size > self.end - self.position:
            raise ComponentError(
                f"{size} bytes are announced at byte {self.position}, {self.end - self.position} are left"
            )
        self.position += size

    def name(self) -> str:
        start = self.position
        size = self.u32()
        if size > MAX_NAME:
            raise ComponentError(f"a name of {size} bytes at byte {start}, more than {MAX_NAME}")
        self.names += size
        if self.names > MAX_NAMES:
            raise ComponentError(f"names of imports and exports of more than {MAX_NAMES} bytes in all")
        begin = self.position
        self.skip(size)
        try:
            return str(self.data[begin : self.position], "utf-8")
        except UnicodeDecodeError:
            raise ComponentError(f"a name that is not UTF-8 at byte {begin}") from None

    def externs(self, allowed: int) -> int:
        """How many imports or exports follow: at most ``allowed``."""
        start = self.position
        number = self.u32()
        if number * 2 > self.end - self.position:  # none takes less than two bytes
            raise ComponentError(f"{number} imports or exports are announced at byte {start}; that cannot be")
        if number > allowed:
            raise ComponentError(f"more than {MAX_EXTERNS} imports and exports")
        return number

    def finish(self) -> None:
        if self.position != self.end:
            raise ComponentError(f"{self.end - self.position} bytes too many in the section that ends at {self.end}")


def _component_imports(reader: Reader, allowed: int) -> Iterator[Import]:
    for _ in range(reader.externs(allowed)):
        name = extern_name(reader)
        yield Import(name=name, kind=extern_type(reader))
    reader.finish()


def _component_exports(reader: Reader, allowed: int) -> Iterator[Export]:
    for _ in range(reader.externs(allowed)):
        name = extern_name(reader)
        kind = extern_sort(reader)
        reader.u32()
        ascribed = reader.byte()
        if ascribed == 1:
            extern_type(reader)
        elif ascribed != 0:
            raise ComponentError(f"an export with an unknown form 0x{ascribed:02x} at byte {reader.position - 1}")
        yield Export(name=name, kind=kind)
    reader.finish()


def extern_name(reader: Reader) -> str:
    """The name of an import or export of a component, in any of its forms."""
    form = reader.byte()
    if form > 2:
        raise ComponentError(f"a name in an unknown form 0x{form:02x} at byte {reader.position - 1}")
    name = reader.name()
    if form == 2:  # with options: what it implements, the rest of its version, an outside id
        start = reader.position
        options = reader.u32()
        if options > MAX_OPTIONS:
            raise ComponentError(f"a name with {options} options at byte {start}, more than {MAX_OPTIONS}")
        for _ in range(options):
            reader.byte()
            reader.name()
    return name


def extern_sort(reader: Reader) -> ExternKind:
    """What an index of a component's counts."""
    sort = reader.byte()
    if sort >= len(_SORTS) or (sort == 0 and reader.byte() != 0x11):
        raise ComponentError(f"an unknown kind of import or export at byte {reader.position - 1}")
    return _SORTS[sort]


def extern_type(reader: Reader) -> ExternKind:
    """Skip the type of an import or export of a component; the kind of what it is the type of."""
    kind = extern_sort(reader)
    if kind == "type":
        bound = reader.byte()
        if bound == 0:
            reader.u32()
        elif bound != 1:
            raise ComponentError(f"a type with an unknown bound 0x{bound:02x} at byte {reader.position - 1}")
    else:  # an index, or for a value its type: an index or a primitive, and both end like a number
        reader.limit()
    return kind


class _Memories:
    """The memories of a core module by the flags of their limits, and which of them it exports as ``memory``.

    Imported ones come first in the numbering, wherever in the file they stand.
    """

    __slots__ = ("exported", "imported", "own")

    def __init__(self) -> None:
        self.imported: list[int] = []
        self.own: list[int] = []
        self.exported: int | None = None

    def kind(self) -> MemoryKind:
        if self.exported is None:
            return "none"
        flags = [*self.imported, *self.own]
        if self.exported >= len(flags):
            raise ComponentError(f"memory {self.exported} is exported, and there are only {len(flags)}")
        found = flags[self.exported]
        if found & _SHARED:
            return "shared"
        if found & _WIDE:
            return "64-bit"
        return "custom-page-size" if found & _PAGE_SIZE else "plain"


def _module_imports(reader: Reader, allowed: int, memories: _Memories) -> Iterator[Import]:
    for _ in range(reader.externs(allowed)):
        module = reader.name()
        name = reader.name()
        kind = _core_sort(reader)
        if kind == "func":
            reader.u32()
        elif kind == "table":
            _core_value_type(reader)
            _limits(reader)
        elif kind == "memory":
            memories.imported.append(_limits(reader))
        elif kind == "global":
            _core_value_type(reader)
            reader.byte()
        else:
            reader.byte()
            reader.u32()
        yield Import(name=name, kind=kind, module=module)
    reader.finish()


def _module_memories(reader: Reader, memories: _Memories) -> None:
    number = reader.u32()
    if number + len(memories.own) > MAX_MEMORIES:
        raise ComponentError(f"more than {MAX_MEMORIES} memories")
    for _ in range(number):
        memories.own.append(_limits(reader))
    reader.finish()


def _module_exports(reader: Reader, allowed: int, memories: _Memories) -> Iterator[Export]:
    for _ in range(reader.externs(allowed)):
        name = reader.name()
        kind = _core_sort(reader)
        index = reader.u32()
        if kind == "memory" and name == "memory":
            memories.exported = index
        yield Export(name=name, kind=kind)
    reader.finish()


def _core_sort(reader: Reader) -> ExternKind:
    sort = reader.byte()
    if sort >= len(_CORE_SORTS):
        raise ComponentError(f"an unknown kind of import or export 0x{sort:02x} at byte {reader.position - 1}")
    return _CORE_SORTS[sort]


def _core_value_type(reader: Reader) -> None:
    if reader.byte() in (0x63, 0x64):  # a reference to a heap type, which follows
        reader.limit()


def _limits(reader: Reader) -> int:
    """Skip the limits of a memory or table; their flags."""
    flags = reader.byte()
    if flags > 0x0F:
        raise ComponentError(f"a memory or table with unknown limits 0x{flags:02x} at byte {reader.position - 1}")
    reader.limit()
    if flags & _HAS_MAXIMUM:
        reader.limit()
    if flags & _PAGE_SIZE:
        reader.limit()
    return flags


def _shown(path: str) -> str:
    return path if path.isprintable() else ascii(path)
