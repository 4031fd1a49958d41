"""``wasi:filesystem``: every descriptor is the guard's, so that it knows the whole path behind each call.

A call goes to Wasmtime with the native handle of its descriptor, and what Wasmtime refuses is told to the host. Before
that the guard refuses on its own: whatever lies below the decoy root, special files, files with several names, renames
and links from one grant to another, and anything beyond the bounds on handles and on bytes written. Paths in a grant
that another grant or an ``except`` cuts into are first *routed*: the host resolves them and answers with the grant that
decides and the path from its root.
"""

from __future__ import annotations

from collections.abc import Callable

from sandbox.guard import types as ty
from sandbox.guard.builder import BROKERED, WASI_NAMES, Builder, Kind
from sandbox.guard.instances import resources
from sandbox.guard.reflect import Interface, Unsupported
from sandbox.guard.sites import Reason
from sandbox.guard.state import (
    AUXILIARY,
    DECOY,
    DOT,
    GRANTS,
    HARD_LINKS,
    MAX_GRANTS,
    OWNER,
    PATH_MAX,
    RESULT,
    ROUTED,
    SLOT_GRANT,
    SLOT_LENGTH,
    SLOT_NATIVE,
    SLOT_PATH,
)
from sandbox.guard.wat import get

DESCRIPTOR_TYPE = ty.Enum(
    (
        "unknown",
        "block-device",
        "character-device",
        "directory",
        "fifo",
        "symbolic-link",
        "regular-file",
        "socket",
    )
)
DATETIME = ty.Record((("seconds", ty.U64), ("nanoseconds", ty.U32)))
DESCRIPTOR_STAT = ty.Record(
    (
        ("type", DESCRIPTOR_TYPE),
        ("link-count", ty.U64),
        ("size", ty.U64),
        ("data-access-timestamp", ty.Option(DATETIME)),
        ("data-modification-timestamp", ty.Option(DATETIME)),
        ("status-change-timestamp", ty.Option(DATETIME)),
    )
)
PATH_FLAGS = ty.Flags(("symlink-follow",))
OPEN_FLAGS = ty.Flags(("create", "directory", "exclusive", "truncate"))
DESCRIPTOR_FLAGS = ty.Flags(
    (
        "read",
        "write",
        "file-integrity-sync",
        "data-integrity-sync",
        "requested-write-sync",
        "mutate-directory",
    )
)
ERROR_CODE = ty.Enum(
    (
        "access",
        "would-block",
        "already",
        "bad-descriptor",
        "busy",
        "deadlock",
        "quota",
        "exist",
        "file-too-large",
        "illegal-byte-sequence",
        "in-progress",
        "interrupted",
        "invalid",
        "io",
        "is-directory",
        "loop",
        "too-many-links",
        "message-size",
        "name-too-long",
        "no-device",
        "no-entry",
        "no-lock",
        "insufficient-memory",
        "insufficient-space",
        "not-directory",
        "not-empty",
        "not-recoverable",
        "unsupported",
        "no-tty",
        "no-such-device",
        "overflow",
        "not-permitted",
        "pipe",
        "read-only",
        "invalid-seek",
        "text-file-busy",
        "cross-device",
    )
)
WASI_NAMES.update(
    {
        DESCRIPTOR_TYPE: "descriptor-type",
        DATETIME: "datetime",
        DESCRIPTOR_STAT: "descriptor-stat",
        PATH_FLAGS: "path-flags",
        OPEN_FLAGS: "open-flags",
        DESCRIPTOR_FLAGS: "descriptor-flags",
        ERROR_CODE: "error-code",
    }
)

DENIALS = tuple(ERROR_CODE.names.index(n) for n in ("access", "not-permitted", "read-only"))
LOOP, IO = ERROR_CODE.names.index("loop"), ERROR_CODE.names.index("io")
DIRECTORY, SYMBOLIC_LINK, REGULAR_FILE = (
    DESCRIPTOR_TYPE.names.index(n) for n in ("directory", "symbolic-link", "regular-file")
)
CREATE, OPEN_DIRECTORY, TRUNCATE = 1, 2, 8
READ, WRITE, MUTATE_DIRECTORY = 1, 2, 32
METADATA_COST = 4096
"""Bytes that a new file, directory or link is charged against the disk limit, whatever is written to it."""

FOLLOWS, MUTATES = 1, 2
"""What a routed call means to do with the last name of its path: follow a link there, change something."""

STAT_RESULT = ty.Result(DESCRIPTOR_STAT, ERROR_CODE)
_STAT = AUXILIARY + ty.payload_offset(STAT_RESULT)
_STAT_TYPE, _STAT_LINKS = (_STAT + offset for offset in ty.field_offsets(DESCRIPTOR_STAT)[:2])

MUTATING = frozenset(
    {
        "write-via-stream",
        "append-via-stream",
        "set-size",
        "set-times",
        "write",
        "create-directory-at",
        "set-times-at",
        "link-at",
        "remove-directory-at",
        "rename-at",
        "symlink-at",
        "unlink-file-at",
    }
)
"""Methods of ``descriptor`` that need write access; ``open-at`` needs it by its flags."""

ONE_PATH = {
    "create-directory-at": 1,
    "stat-at": 2,
    "set-times-at": 2,
    "open-at": 2,
    "readlink-at": 1,
    "remove-directory-at": 1,
    "unlink-file-at": 1,
    "metadata-hash-at": 2,
    "symlink-at": 3,
}
"""Methods with a path relative to their descriptor, and the core parameter that it starts at."""
TWO_PATHS = {"rename-at": (1, 3, 4), "link-at": (2, 4, 5)}
"""Methods with two: where the first path, the second descriptor and the second path start."""

SIGNATURES: dict[str, tuple[str, ...]] = {
    "create-directory-at": ("this", "string"),
    "stat-at": ("this", "flags", "string"),
    "set-times-at": ("this", "flags", "string", "time", "time"),
    "open-at": ("this", "flags", "string", "flags", "flags"),
    "readlink-at": ("this", "string"),
    "remove-directory-at": ("this", "string"),
    "unlink-file-at": ("this", "string"),
    "metadata-hash-at": ("this", "flags", "string"),
    "symlink-at": ("this", "string", "string"),
    "rename-at": ("this", "string", "this", "string"),
    "link-at": ("this", "flags", "string", "this", "string"),
    "write": ("this", "bytes", "number"),
    "read": ("this", "number", "number"),
    "set-size": ("this", "number"),
    "set-times": ("this", "time", "time"),
    "advise": ("this", "number", "number", "enum"),
    "read-via-stream": ("this", "number"),
    "write-via-stream": ("this", "number"),
    "append-via-stream": ("this",),
    "sync-data": ("this",),
    "sync": ("this",),
    "get-flags": ("this",),
    "get-type": ("this",),
    "read-directory": ("this",),
    "stat": ("this",),
    "metadata-hash": ("this",),
    "is-same-object": ("this", "this"),
}
"""Every method of ``descriptor``, with the kinds of its parameters."""


def emit(b: Builder, interface: int) -> None:
    """Guard all functions of one imported ``wasi:filesystem/types``."""
    for name, function in b.imports.interfaces[interface].functions:
        _emit_function(b, interface, name, function)


def _emit_function(b: Builder, interface: int, name: str, function: ty.Function) -> None:
    if name == "filesystem-error-code" and any(b.kinds[r] is Kind.ERROR for r in resources(function)):
        _error_code(b, interface, name, function)
        return
    if not name.startswith("[method]"):
        b.pass_through(interface, name)
        return
    resource, _, method = name.removeprefix("[method]").partition(".")
    if resource == "directory-entry-stream":
        b.forward(interface, name, function)
    elif resource == "descriptor":
        _Method(b, interface, name, method, function).emit()
    else:
        raise b.unknown(interface, name)


def _error_code(b: Builder, interface: int, name: str, function: ty.Function) -> None:
    """What an error says of a file: nothing, where it is a socket's."""
    if not isinstance(function.result, ty.Option) or ty.signature(function).params != ("i32",):
        raise b.unknown(interface, name)
    none = f"(i32.store8 (i32.const {RESULT}) (i32.const 0)) (return (i32.const {RESULT}))"
    before = f"(if (i32.and (local.get 0) (i32.const {BROKERED})) (then {none}))"
    b.forward(interface, name, function, before=before)


def _is_known(method: str, function: ty.Function) -> bool:
    """Whether a method of ``descriptor`` is one of WASI 0.2's, as far as the guard looks into its type."""
    if tuple(_kind(t) for _, t in function.params) != SIGNATURES.get(method):
        return False
    if method == "is-same-object":
        return function.result == ty.BOOL
    return isinstance(function.result, ty.Result) and function.result.error == ERROR_CODE


def _kind(t: ty.Type) -> str:
    match t:
        case ty.Borrow():
            return "this"
        case ty.String():
            return "string"
        case ty.Flags():
            return "flags"
        case ty.Variant():
            return "time"
        case ty.List(ty.Scalar("u8")):
            return "bytes"
        case ty.Scalar("u64"):
            return "number"
        case ty.Enum():
            return "enum"
        case _:
            return "other"


class _Method:
    """One method of ``descriptor``, written down."""

    def __init__(self, b: Builder, interface: int, name: str, method: str, function: ty.Function) -> None:
        self.b, self.interface, self.name, self.method, self.function = b, interface, name, method, function
        this = function.params[0][1] if function.params else None
        if not isinstance(this, ty.Borrow) or not _is_known(method, function):
            raise b.unknown(interface, name)
        self.descriptor = this.resource
        others = {t.resource for _, t in function.params if isinstance(t, ty.Borrow)}
        if any(b.kinds[r] is not Kind.DESCRIPTOR for r in others):
            raise b.unknown(interface, name)
        access = "write" if method in MUTATING else "read"
        self.site = b.site(interface, name, f"filesystem.{access}")
        self.writes = int(Reason.WRITES) if method in MUTATING else 0
        self.result = function.result
        self.reaches = f"(i32.const {int(method in ONE_PATH and SIGNATURES[method][1] == 'flags')})"
        """Text that says if a slash after the last name has the call reach what a link there leads to, whatever its
        flags say of links. It does not where a directory would be created or truncated: that fails."""
        if method == "open-at":
            self.reaches = f"(i32.eqz (i32.and (local.get 4) (i32.const {CREATE | TRUNCATE})))"
        self.can_fail = isinstance(self.result, ty.Result)
        _helpers(b)

    def emit(self) -> None:
        if self.method in ONE_PATH:
            body = self.open_at() if self.method == "open-at" else self.one_path()
        elif self.method in TWO_PATHS:
            body = self.two_paths()
        else:
            body = self.on_handle()
        locals_ = (
            "$native i32",
            "$path i32",
            "$length i32",
            "$flags i32",
            "$code i32",
            "$grant i32",
            "$slot i32",
            "$value i32",
            "$new i32",
            "$opened i32",
            "$other i32",
            "$whole i32",
            "$whole_length i32",
            "$follows i32",
            "$cut i32",
        )
        self.b.emit(self.interface, self.name, self.function, body, locals_)

    # Pieces of text. Locals: $native is the handle that the call goes to, $path and $length the path that it gets.

    def refuse(self, reason: Reason | str, case: str, path: int | None = None, writes: str | None = None) -> str:
        """Tell the host, and return ``case`` to the guest. ``path`` is the core parameter of the path, if any."""
        text = get(path, path + 1) if path is not None else "(i32.const 8) (i32.const 0)"
        why = f"(i32.const {int(reason)})" if isinstance(reason, Reason) else reason
        why = f"(i32.or {why} {writes or f'(i32.const {self.writes})'})"
        return (
            f"{self.leave()} (call $deny (i32.const {self.site}) {why} (local.get 0) {text})"
            f" {self.b.fail(self.result, case)} (return (i32.const {RESULT}))"
        )

    def enter(self, opened: str, start: str, text: tuple[str, str], denied: Callable[[int], str]) -> str:
        """Walk to the directory of a routed path: ``start`` becomes its handle, ``text`` what is left of the path.

        ``denied`` is the text that tells the host of a reason.
        """
        at, length = text
        return f"""
      (local.set {opened} (call {_walk(self.b, self.interface, self.descriptor)}
        (local.get {start}) (local.get {at}) (local.get {length}) {self.reaches}))
      (if (i32.eqz (local.get {opened})) (then
        {self.leave()}
        (if (call $denial (global.get $walk_error)) (then {denied(self.writes)}))
        (if (i32.eq (global.get $walk_error) (i32.const {LOOP})) (then
          {denied(int(Reason.SYMBOLIC_LINK) | self.writes)}))
        {self.b.fail_code(self.result, "(global.get $walk_error)")} (return (i32.const {RESULT}))))
      (if (i32.eq (local.get {opened}) (local.get {start}))
        (then (local.set {opened} (i32.const 0)))
        (else (local.set {start} (local.get {opened}))))
      (local.set {at} (i32.add (local.get {at}) (global.get $walked)))
      (local.set {length} (i32.sub (local.get {length}) (global.get $walked)))
      (if (i32.eqz (local.get {length})) (then
        (local.set {at} (i32.const {DOT})) (local.set {length} (i32.const 1))))"""

    def leave(self) -> str:
        """Drop the directories that were walked to."""
        if self.method not in ONE_PATH and self.method not in TWO_PATHS:
            return ""
        drop = self.b.drop(self.descriptor)
        return " ".join(
            f"(if (local.get {x}) (then (call {drop} (local.get {x})) (local.set {x} (i32.const 0))))"
            for x in ("$opened", "$other")
        )

    def after(self, path: int | None, writes: str | None = None) -> str:
        """Tell the host where Wasmtime refused."""
        if not self.can_fail:
            return ""
        code = f"(i32.load8_u (i32.const {RESULT + ty.payload_offset(self.result)}))" if self.result else ""
        text = get(path, path + 1) if path is not None else "(i32.const 8) (i32.const 0)"
        told = writes or f"(i32.const {self.writes})"
        link = f"(i32.or (i32.const {int(Reason.SYMBOLIC_LINK)}) {told})"
        return (
            f"{self.leave()} (if (i32.load8_u (i32.const {RESULT})) (then (if (call $denial {code}) (then"
            f" (call $deny (i32.const {self.site}) {told} (local.get 0) {text})))"
            f" (if (i32.and (local.get $follows) (i32.eq {code} (i32.const {LOOP}))) (then"
            f" (call $deny (i32.const {self.site}) {link} (local.get 0) {text})))))"
        )

    def place(self, path: int, intent: str, writes: str | None = None) -> str:
        """Find the native handle and the path that the call goes to, or refuse."""
        routed = self.b.host("route")
        return f"""
    (local.set $native (i32.load offset={SLOT_NATIVE} (local.get 0)))
    (local.set $path (local.get {path})) (local.set $length (local.get {path + 1}))
    (local.set $flags (call $flags (local.get 0)))
    (if (i32.and (local.get $flags) (i32.const {DECOY})) (then
      (if (i32.eqz (call $is_root {get(path, path + 1)})) (then
        {self.refuse(Reason.UNGRANTED, "access", path, writes)}))))
    {self.short_enough(path)}
    (if {self.routed(path)} (then
      (call {routed} (i32.const {self.site}) {intent} {_base("(local.get 0)")} {get(path)} (call $cap {get(path + 1)})
        (i32.const {AUXILIARY}))
      (local.set $code (i32.load (i32.const {AUXILIARY})))
      (if (i32.lt_s (local.get $code) (i32.const 0)) (then
        {self.b.fail_code(self.result, "(local.get $code)")} (return (i32.const {RESULT}))))
      (local.set $grant (local.get $code))
      (local.set $native (call $root (local.get $grant)))
      (local.set $flags (i32.or (call $flags_of (local.get $grant)) (i32.const {ROUTED})))
      (local.set $path (i32.load (i32.const {AUXILIARY + 4})))
      (local.set $length (i32.load (i32.const {AUXILIARY + 8})))
      (local.set $whole (local.get $path)) (local.set $whole_length (local.get $length))
      {self.no_follow()}
      {self.enter("$opened", "$native", ("$path", "$length"), lambda why: self.denied(why, path))}))"""

    def denied(self, reason: int, path: int) -> str:
        """Tell the host of a reason, and of the path at a core parameter."""
        return f"(call $deny (i32.const {self.site}) (i32.const {reason}) (local.get 0) {get(path, path + 1)})"

    def no_follow(self) -> str:
        """Have no last link followed either: the host has refused those that there were."""
        if SIGNATURES[self.method][1] != "flags":
            return ""
        return "(local.set $follows (local.get 1)) (local.set 1 (i32.const 0))"

    def routed(self, path: int) -> str:
        """Whether the host is to decide, as a condition.

        It is not asked for the hash of an entry of a directory that was opened: that tells no more than the listing
        did, and C libraries ask for it with each entry.
        """
        routed = f"(i32.and (local.get $flags) (i32.const {ROUTED}))"
        if self.method != "metadata-hash-at":
            return routed
        return f"(i32.and (i32.ne {routed} (i32.const 0)) (i32.eqz (call $is_entry {get(1, path, path + 1)})))"

    def short_enough(self, path: int) -> str:
        """Refuse a path that the host could not be told whole."""
        return (
            f"(if (i32.ge_u {get(path + 1)} (i32.const {PATH_MAX})) (then"
            f" {self.b.fail(self.result, 'name-too-long')} (return (i32.const {RESULT}))))"
        )

    def call(self, replaced: dict[int, str]) -> str:
        """The native call, with some core parameters replaced."""
        given, _ = self.b.arguments(self.function)
        for index, text in replaced.items():
            given[index] = text
        text, _ = self.b.call(self.interface, self.name, self.function, given)
        return text

    def charge(self, amount: str, path: int | None) -> str:
        """Charge bytes against the disk limit, or refuse."""
        return (
            f"(if (i32.eqz (call $charge {amount})) (then"
            f" {self.refuse(Reason.DISK, 'insufficient-space', path, f'(i32.const {int(Reason.WRITES)})')}))"
        )

    def only_one_name(self, path: int, path_flags: str, writes: str | None = None) -> str:
        """Refuse the file at ``$path`` if it is special or has several names; a missing one passes."""
        stat = self.b.native(self.interface, "[method]descriptor.stat-at", _stat_at(self.descriptor))
        return f"""
    (call {stat} (local.get $native) {path_flags} (local.get $path) (local.get $length) (i32.const {AUXILIARY}))
    (if (i32.eqz (i32.load8_u (i32.const {AUXILIARY}))) (then
      (local.set $code (call $ordinary (local.get $flags)))
      (if (local.get $code) (then {self.refuse("(local.get $code)", "access", path, writes)}))))"""

    def one_path(self) -> str:
        path = ONE_PATH[self.method]
        follows = "(i32.and (local.get 1) (i32.const 1))" if SIGNATURES[self.method][1] == "flags" else "(i32.const 0)"
        intent = f"(i32.or {follows} (i32.const {MUTATES if self.writes else 0}))"
        body = self.place(path, intent)
        if self.method == "symlink-at":
            body = self.short_enough(path) + self.short_enough(1) + self.checked_target() + body
        if self.method == "set-times-at":
            body += self.only_one_name(path, "(local.get 1)")
        if self.method in ("create-directory-at", "symlink-at") and self.b.shape.counts_writes:
            body += self.charge(f"(i64.const {METADATA_COST})", path)
        replaced = {0: "(local.get $native)", path: "(local.get $path)", path + 1: "(local.get $length)"}
        body += self.call(replaced)
        return f"{body}\n    {self.after(path)}\n    (i32.const {RESULT})"

    def checked_target(self) -> str:
        """Let the host judge what a new symbolic link would point to, below a grant."""
        judge = self.b.host("route-pair")
        return f"""
    (if (i32.eqz (i32.and (call $flags (local.get 0)) (i32.const {DECOY}))) (then
      (call {judge} (i32.const {self.site}) (i32.const {MUTATES}) {_base("(local.get 0)")}
        {get(3)} (call $cap {get(4)}) {_base("(local.get 0)")} {get(1)} (call $cap {get(2)}) (i32.const {AUXILIARY}))
      (local.set $code (i32.load (i32.const {AUXILIARY})))
      (if (i32.lt_s (local.get $code) (i32.const 0)) (then
        {self.b.fail_code(self.result, "(local.get $code)")} (return (i32.const {RESULT}))))))"""

    def two_paths(self) -> str:
        path, other, other_path = TWO_PATHS[self.method]
        both = f"{_base('(local.get 0)')} {get(path)} (call $cap {get(path + 1)})"
        both += f" {_base(get(other))} {get(other_path)} (call $cap {get(other_path + 1)})"

        def denied(reason: int) -> str:
            return f"(call {self.b.host('denied-pair')} (i32.const {self.site}) (i32.const {reason}) {both})"

        def refuse(reason: Reason, case: str) -> str:
            told = denied(int(reason) | self.writes)
            return f"{told} {self.b.fail(self.result, case)} (return (i32.const {RESULT}))"

        code = f"(i32.load8_u (i32.const {RESULT + ty.payload_offset(self.result)}))" if self.result else ""
        replaced = {
            0: "(local.get $native)",
            path: "(local.get $path)",
            path + 1: "(local.get $length)",
            other: "(local.get $slot)",
            other_path: "(local.get $new)",
            other_path + 1: "(local.get $value)",
        }
        links = ""
        if self.method == "link-at":
            links = f"""
    (if (i32.eqz (i32.and (local.get $flags) (i32.const {HARD_LINKS}))) (then {refuse(Reason.HARD_LINK, "access")}))"""
        if self.method == "link-at" and self.b.shape.counts_writes:
            links += f"""
    (if (i32.eqz (call $charge (i64.const {METADATA_COST}))) (then {refuse(Reason.DISK, "insufficient-space")}))"""
        follows = "(i32.and (local.get 1) (i32.const 1))" if self.method == "link-at" else "(i32.const 0)"
        return f"""
    (local.set $flags (call $flags (local.get 0)))
    (if (i32.and (i32.or (local.get $flags) (call $flags {get(other)})) (i32.const {DECOY})) (then
      {refuse(Reason.UNGRANTED, "access")}))
    {self.short_enough(path)} {self.short_enough(other_path)}
    (if (i32.ne (i32.load offset={SLOT_GRANT} (local.get 0)) (i32.load offset={SLOT_GRANT} {get(other)})) (then
      {refuse(Reason.ACROSS_GRANTS, "cross-device")}))
    {links}
    (local.set $native (i32.load offset={SLOT_NATIVE} (local.get 0)))
    (local.set $slot (i32.load offset={SLOT_NATIVE} {get(other)}))
    (local.set $path (local.get {path})) (local.set $length (local.get {path + 1}))
    (local.set $new (local.get {other_path})) (local.set $value (local.get {other_path + 1}))
    (if (i32.and (local.get $flags) (i32.const {ROUTED})) (then
      (call {self.b.host("route-pair")} (i32.const {self.site})
        (i32.or {follows} (i32.const {MUTATES})) {both} (i32.const {AUXILIARY}))
      (local.set $code (i32.load (i32.const {AUXILIARY})))
      (if (i32.lt_s (local.get $code) (i32.const 0)) (then
        {self.b.fail_code(self.result, "(local.get $code)")} (return (i32.const {RESULT}))))
      (local.set $native (call $root (local.get $code))) (local.set $slot (local.get $native))
      (local.set $path (i32.load (i32.const {AUXILIARY + 4})))
      (local.set $length (i32.load (i32.const {AUXILIARY + 8})))
      (local.set $new (i32.load (i32.const {AUXILIARY + 12})))
      (local.set $value (i32.load (i32.const {AUXILIARY + 16})))
      {self.no_follow()}
      {self.enter("$opened", "$native", ("$path", "$length"), denied)}
      {self.enter("$other", "$slot", ("$new", "$value"), denied)}))
    {self.call(replaced)}
    {self.leave()}
    (if (i32.load8_u (i32.const {RESULT})) (then (if (call $denial {code}) (then {denied(self.writes)}))))
    (i32.const {RESULT})"""

    def open_at(self) -> str:
        if not isinstance(self.result, ty.Result) or self.result != ty.Result(ty.Own(self.descriptor), ERROR_CODE):
            raise Unsupported("it imports [method]descriptor.open-at with a result that is not WASI 0.2's")
        path, mask = 2, MUTATE_DIRECTORY | WRITE
        # Local $value says whether the call asks for writing, as the bit that the host is told.
        wants = f"""
    (local.set $value (select (i32.const {int(Reason.WRITES)}) (i32.const 0) (i32.or
      (i32.and (local.get 5) (i32.const {mask})) (i32.and (local.get 4) (i32.const {CREATE | TRUNCATE})))))"""
        writes = "(local.get $value)"
        intent = (
            f"(i32.or (i32.and (local.get 1) (i32.const 1))"
            f" (select (i32.const {MUTATES}) (i32.const 0) (local.get $value)))"
        )
        handle = f"(i32.const {RESULT + ty.payload_offset(self.result)})"
        stat = self.b.native(self.interface, "[method]descriptor.stat", _stat(self.descriptor))
        drop = self.b.drop(self.descriptor)
        # Truncating is the guard's, once it knows what was opened: another run may swap files between check and open.
        set_size = self.b.native(self.interface, "[method]descriptor.set-size", _set_size(self.descriptor))
        cut = f"""
    (if (i32.eqz (i32.and (local.get $flags) (i32.const {HARD_LINKS}))) (then
      (local.set $cut (i32.and (local.get 4) (i32.const {TRUNCATE})))
      (if (local.get $cut) (then
        (local.set 4 (i32.and (local.get 4) (i32.const {15 - TRUNCATE})))
        (local.set 5 (i32.or (local.get 5) (i32.const {WRITE})))))))"""
        created = ""
        if self.b.shape.counts_writes:
            created = f"""
    (if (i32.and (local.get 4) (i32.const {CREATE})) (then (if (i32.load8_u (i32.const {AUXILIARY})) (then
      {self.charge(f"(i64.const {METADATA_COST})", path)}))))"""
        return f"""{wants}
    (if (i32.ge_u (global.get $open) (global.get $handles)) (then
      {self.refuse(Reason.HANDLES, "quota", path, writes)}))
    {self.place(path, intent, writes)}
    (if (i32.gt_u (i32.add (local.get 3) (i32.load offset={SLOT_LENGTH} (local.get 0))) (i32.const {PATH_MAX - 1}))
      (then
      {self.leave()} {self.b.fail(self.result, "name-too-long")} (return (i32.const {RESULT}))))
    {self.only_one_name(path, "(local.get 1)", writes)}
    {created}
    {cut}
    {self.call({0: "(local.get $native)", 2: "(local.get $path)", 3: "(local.get $length)"})}
    (if (i32.load8_u (i32.const {RESULT})) (then
      {self.after(path, writes)}
      (if (i32.eq (i32.load8_u {handle}) (i32.const {IO})) (then
        (call $deny (i32.const {self.site}) (i32.or (i32.const {int(Reason.OUT_OF_FILES)}) {writes}) (local.get 0)
          {get(path, path + 1)})))
      (return (i32.const {RESULT}))))
    {self.leave()}
    (local.set $new (i32.load {handle}))
    (if (i32.eqz (i32.and (local.get $flags) (i32.const {HARD_LINKS}))) (then
      (call {stat} (local.get $new) (i32.const {AUXILIARY}))
      (local.set $code (i32.const {int(Reason.SPECIAL_FILE)}))
      (if (i32.eqz (i32.load8_u (i32.const {AUXILIARY}))) (then (local.set $code (call $ordinary (local.get $flags)))))
      (if (local.get $code) (then
        (call {drop} (local.get $new))
        {self.refuse("(local.get $code)", "access", path, writes)}))))
    (if (local.get $cut) (then
      (call {set_size} (local.get $new) (i64.const 0) (i32.const {AUXILIARY}))
      (if (i32.load8_u (i32.const {AUXILIARY})) (then
        (call {drop} (local.get $new))
        {self.b.fail_code(self.result, f"(i32.load8_u (i32.const {AUXILIARY + 1}))")}
        (return (i32.const {RESULT}))))))
    (local.set $slot (call $slot))
    (i32.store offset={SLOT_NATIVE} (local.get $slot) (local.get $new))
    (if (i32.and (local.get $flags) (i32.const {ROUTED}))
      (then (call $keep (local.get $slot) (local.get $grant) (local.get $whole) (local.get $whole_length)))
      (else (call $extend (local.get $slot) (local.get 0) (local.get $path) (local.get $length))))
    (global.set $open (i32.add (global.get $open) (i32.const 1)))
    (i32.store {handle} (call {self.b.new(self.descriptor)} (local.get $slot)))
    (i32.const {RESULT})"""

    def on_handle(self) -> str:
        body = ""
        if self.method == "read-directory":
            body = f"""
    (if (i32.ge_u (global.get $open) (global.get $handles)) (then {self.refuse(Reason.HANDLES, "quota")}))"""
        if self.b.shape.counts_writes and self.method == "write":
            body = self.charge("(i64.extend_i32_u (local.get 2))", None)
        if self.b.shape.counts_writes and self.method == "set-size":
            body = f"""
    (if (i64.gt_u (local.get 1) (global.get $disk_limit)) (then
      {self.refuse(Reason.DISK, "insufficient-space")}))"""
        call, result = self.b.call(self.interface, self.name, self.function)
        if not self.can_fail:
            return f"{call}\n    {result}"
        counted = self.method in ("write-via-stream", "append-via-stream")
        adopted = self.b.adopt(self.result, counted=counted) if self.result is not None else ""
        if self.method == "read-directory":
            adopted = (
                f"(if (i32.eqz (i32.load8_u (i32.const {RESULT}))) (then"
                f" (global.set $open (i32.add (global.get $open) (i32.const 1))))) {adopted}"
            )
        return f"{body}\n    {call}\n    {self.after(None)} {adopted}\n    (i32.const {RESULT})"


def _base(slot: str) -> str:
    """The grant, and the address and length of the path, of a slot: as the host is told them."""
    return (
        f"(i32.load offset={SLOT_GRANT} {slot}) (i32.add {slot} (i32.const {SLOT_PATH}))"
        f" (i32.load offset={SLOT_LENGTH} {slot})"
    )


def _stat_at(descriptor: int) -> ty.Function:
    return ty.Function((("self", ty.Borrow(descriptor)), ("path-flags", PATH_FLAGS), ("path", ty.STRING)), STAT_RESULT)


def _stat(descriptor: int) -> ty.Function:
    return ty.Function((("self", ty.Borrow(descriptor)),), STAT_RESULT)


def _open_at(descriptor: int) -> ty.Function:
    params = (
        ("self", ty.Borrow(descriptor)),
        ("path-flags", PATH_FLAGS),
        ("path", ty.STRING),
        ("open-flags", OPEN_FLAGS),
        ("flags", DESCRIPTOR_FLAGS),
    )
    return ty.Function(params, ty.Result(ty.Own(descriptor), ERROR_CODE))


def _set_size(descriptor: int) -> ty.Function:
    return ty.Function((("self", ty.Borrow(descriptor)), ("size", ty.U64)), ty.Result(None, ERROR_CODE))


def _walk(b: Builder, interface: int, descriptor: int) -> str:
    """The core name of the function that opens the directory that a routed path ends in, one name at a time and
    through no link: between the host's judgement and the call, another run may have put a link in the way.

    It answers a handle, the one that it started from if the path is a single name, or 0 and ``$walk_error``;
    ``$walked`` is how much of the path is behind it. A slash at the end belongs to the last name; if ``$all``, that
    name too is a directory to be opened, since a slash after it would have a link followed.
    """
    name = f"walk{interface}"
    if name in b.helpers:
        return f"${name}"
    open_at = b.native(interface, "[method]descriptor.open-at", _open_at(descriptor))
    at = AUXILIARY + ty.payload_offset(ty.Result(ty.Own(descriptor), ERROR_CODE))
    b.globals["walk"] = "(global $walked (mut i32) (i32.const 0)) (global $walk_error (mut i32) (i32.const 0))"
    b.helpers[name] = f"""
  (func ${name} (param $root i32) (param $path i32) (param $length i32) (param $all i32) (result i32)
    (local $here i32) (local $i i32)
    (local.set $here (local.get $root))
    (global.set $walked (i32.const 0))
    (block $done (loop $next
      (br_if $done (i32.ge_u (local.get $i) (local.get $length)))
      (if (i32.eq (i32.load8_u (i32.add (local.get $path) (local.get $i))) (i32.const 47)) (then
        (br_if $done (i32.and (i32.eqz (local.get $all))
          (i32.ge_u (i32.add (local.get $i) (i32.const 1)) (local.get $length))))
        (call {open_at} (local.get $here) (i32.const 0)
          (i32.add (local.get $path) (global.get $walked)) (i32.sub (local.get $i) (global.get $walked))
          (i32.const {OPEN_DIRECTORY}) (i32.const {READ}) (i32.const {AUXILIARY}))
        (if (i32.ne (local.get $here) (local.get $root)) (then (call {b.drop(descriptor)} (local.get $here))))
        (if (i32.load8_u (i32.const {AUXILIARY})) (then
          (global.set $walk_error (i32.load8_u (i32.const {at})))
          (return (i32.const 0))))
        (local.set $here (i32.load (i32.const {at})))
        (global.set $walked (i32.add (local.get $i) (i32.const 1)))))
      (local.set $i (i32.add (local.get $i) (i32.const 1)))
      (br $next)))
    (local.get $here))"""
    return f"${name}"


def _helpers(b: Builder) -> None:
    if "deny" in b.helpers:
        return
    b.globals["handles"] = "(global $handles (mut i32) (i32.const 0))"
    b.globals["disk_limit"] = "(global $disk_limit (mut i64) (i64.const 0))"
    b.globals["disk_used"] = "(global $disk_used (mut i64) (i64.const 0))"
    b.helpers["charge"] = """
  (func $charge (param $bytes i64) (result i32)
    (if (i64.gt_u (local.get $bytes) (i64.sub (global.get $disk_limit) (global.get $disk_used))) (then
      (return (i32.const 0))))
    (global.set $disk_used (i64.add (global.get $disk_used) (local.get $bytes)))
    (i32.const 1))"""
    denial = " ".join(f"(br_if $yes (i32.eq (local.get 0) (i32.const {code})))" for code in DENIALS)
    b.helpers["deny"] = f"""
  (func $cap (param i32) (result i32)
    (select (local.get 0) (i32.const {PATH_MAX}) (i32.lt_u (local.get 0) (i32.const {PATH_MAX}))))
  (func $flags_of (param $grant i32) (result i32)
    (if (i32.ge_u (local.get $grant) (i32.const {MAX_GRANTS})) (then unreachable))
    (i32.load (i32.add (i32.const {GRANTS}) (i32.shl (local.get $grant) (i32.const 3)))))
  (func $flags (param $slot i32) (result i32) (call $flags_of (i32.load offset={SLOT_GRANT} (local.get $slot))))
  (func $root (param $grant i32) (result i32)
    (if (i32.ge_u (local.get $grant) (i32.const {MAX_GRANTS})) (then unreachable))
    (i32.load offset=4 (i32.add (i32.const {GRANTS}) (i32.shl (local.get $grant) (i32.const 3)))))
  (func $is_root (param $path i32) (param $length i32) (result i32)
    (if (i32.eqz (local.get $length)) (then (return (i32.const 1))))
    (i32.and (i32.eq (local.get $length) (i32.const 1)) (i32.eq (i32.load8_u (local.get $path)) (i32.const 46))))
  (func $is_entry (param $path_flags i32) (param $path i32) (param $length i32) (result i32)
    (if (local.get $path_flags) (then (return (i32.const 0))))
    (block $whole (loop $next
      (br_if $whole (i32.eqz (local.get $length)))
      (if (i32.eq (i32.load8_u (local.get $path)) (i32.const 47)) (then (return (i32.const 0))))
      (local.set $path (i32.add (local.get $path) (i32.const 1)))
      (local.set $length (i32.sub (local.get $length) (i32.const 1)))
      (br $next)))
    (i32.const 1))
  (func $denial (param i32) (result i32) (block $yes {denial} (return (i32.const 0))) (i32.const 1))
  (func $deny (param $site i32) (param $reason i32) (param $slot i32) (param $path i32) (param $length i32)
    ;; of a path that is too long to tell, the end tells more
    (local.set $path (i32.add (local.get $path) (i32.sub (local.get $length) (call $cap (local.get $length)))))
    (call {b.host("denied")} (local.get $site) (local.get $reason) {_base("(local.get $slot)")}
      (local.get $path) (call $cap (local.get $length))))
  (func $ordinary (param $flags i32) (result i32) (local $type i32)
    (local.set $type (i32.load8_u (i32.const {_STAT_TYPE})))
    (if (i32.eq (local.get $type) (i32.const {DIRECTORY})) (then (return (i32.const 0))))
    (if (i32.eq (local.get $type) (i32.const {SYMBOLIC_LINK})) (then (return (i32.const 0))))
    (if (i32.ne (local.get $type) (i32.const {REGULAR_FILE})) (then (return (i32.const {int(Reason.SPECIAL_FILE)}))))
    (if (i32.and (local.get $flags) (i32.const {HARD_LINKS})) (then (return (i32.const 0))))
    (select (i32.const {int(Reason.HARD_LINK)}) (i32.const 0)
      (i64.gt_u (i64.load (i32.const {_STAT_LINKS})) (i64.const 1))))
  (func $keep (param $slot i32) (param $grant i32) (param $path i32) (param $length i32)
    (if (i32.gt_u (local.get $length) (i32.const {PATH_MAX})) (then unreachable))
    (if (call $is_root (local.get $path) (local.get $length)) (then (local.set $length (i32.const 0))))
    (i32.store offset={SLOT_GRANT} (local.get $slot) (local.get $grant))
    (i32.store offset={SLOT_LENGTH} (local.get $slot) (local.get $length))
    (memory.copy (i32.add (local.get $slot) (i32.const {SLOT_PATH})) (local.get $path) (local.get $length)))
  (func $extend (param $slot i32) (param $from i32) (param $path i32) (param $length i32) (local $had i32)
    (local.set $had (i32.load offset={SLOT_LENGTH} (local.get $from)))
    (i32.store offset={SLOT_GRANT} (local.get $slot) (i32.load offset={SLOT_GRANT} (local.get $from)))
    (memory.copy (i32.add (local.get $slot) (i32.const {SLOT_PATH}))
      (i32.add (local.get $from) (i32.const {SLOT_PATH})) (local.get $had))
    (if (call $is_root (local.get $path) (local.get $length)) (then
      (i32.store offset={SLOT_LENGTH} (local.get $slot) (local.get $had)) (return)))
    (if (local.get $had) (then
      (i32.store8 (i32.add (i32.add (local.get $slot) (i32.const {SLOT_PATH})) (local.get $had)) (i32.const 47))
      (local.set $had (i32.add (local.get $had) (i32.const 1)))))
    (memory.copy (i32.add (i32.add (local.get $slot) (i32.const {SLOT_PATH})) (local.get $had))
      (local.get $path) (local.get $length))
    (i32.store offset={SLOT_LENGTH} (local.get $slot) (i32.add (local.get $had) (local.get $length))))"""


def emit_preopens(b: Builder, interface: int) -> None:
    """Guard ``wasi:filesystem/preopens``: what Wasmtime hands out becomes a descriptor of the guard's."""
    for name, function in b.imports.interfaces[interface].functions:
        match name, function.result:
            case "get-directories", ty.List(ty.Tuple((ty.Own(descriptor), ty.String()))) if not function.params:
                _get_directories(b, interface, name, function, descriptor)
            case _:
                raise b.unknown(interface, name)


def _get_directories(b: Builder, interface: int, name: str, function: ty.Function, descriptor: int) -> None:
    if b.kinds[descriptor] is not Kind.DESCRIPTOR:
        raise Unsupported("get-directories hands out something other than descriptors")
    _helpers(b)
    site = b.site(interface, name, "filesystem.read")
    native, config = b.native(interface, name), b.host("config")
    b.globals["configured"] = "(global $configured (mut i32) (i32.const 0))"
    entry = "(i32.add (i32.load (i32.const {at})) (i32.mul (local.get $i) (i32.const 12)))"
    here, roots = entry.format(at=RESULT), entry.format(at=AUXILIARY)
    flags = f"(i32.add (i32.const {GRANTS}) (i32.shl (local.get $i) (i32.const 3)))"
    body = f"""
    (if (i32.eqz (global.get $configured)) (then
      (global.set $configured (i32.const 1))
      (call {config} (i32.const {AUXILIARY}))
      (global.set $handles (i32.load (i32.const {AUXILIARY})))
      (global.set $disk_limit (i64.load (i32.const {AUXILIARY + 8})))
      (local.set $path (i32.load (i32.const {AUXILIARY + 16})))
      (local.set $count (i32.load (i32.const {AUXILIARY + 20})))
      (if (i32.gt_u (local.get $count) (i32.const {MAX_GRANTS})) (then unreachable))
      (block $done (loop $next
        (br_if $done (i32.ge_u (local.get $i) (local.get $count)))
        (local.set $value (i32.load8_u (i32.add (local.get $path) (local.get $i))))
        (i32.store {flags} (local.get $value))
        (i32.store offset=4 {flags} (i32.const -1))
        (local.set $routed (i32.or (local.get $routed) (local.get $value)))
        (local.set $i (i32.add (local.get $i) (i32.const 1)))
        (br $next)))
      (if (i32.and (local.get $routed) (i32.const {ROUTED})) (then
        (call {native} (i32.const {AUXILIARY}))
        (if (i32.ne (i32.load (i32.const {AUXILIARY + 4})) (local.get $count)) (then unreachable))
        (local.set $i (i32.const 0))
        (block $done (loop $next
          (br_if $done (i32.ge_u (local.get $i) (local.get $count)))
          (i32.store offset=4 {flags} (i32.load {roots}))
          (local.set $i (i32.add (local.get $i) (i32.const 1)))
          (br $next)))))))
    (call {native} (i32.const {RESULT}))
    (local.set $count (i32.load (i32.const {RESULT + 4})))
    (if (i32.gt_u (local.get $count) (i32.const {MAX_GRANTS})) (then unreachable))
    {_own_directories(b, descriptor) if b.shape.program else ""}
    (if (i32.gt_u (i32.add (global.get $open) (local.get $count)) (global.get $handles)) (then
      {b.tell(site)} unreachable))
    (global.set $open (i32.add (global.get $open) (local.get $count)))
    (local.set $i (i32.const 0))
    (block $done (loop $next
      (br_if $done (i32.ge_u (local.get $i) (local.get $count)))
      (local.set $slot (call $slot))
      (i32.store offset={SLOT_NATIVE} (local.get $slot) (i32.load {here}))
      (i32.store offset={SLOT_GRANT} (local.get $slot) (i32.add (local.get $i) (local.get $first)))
      (i32.store offset={SLOT_LENGTH} (local.get $slot) (i32.const 0))
      (i32.store {here} (call {b.new(descriptor)} (local.get $slot)))
      (local.set $i (i32.add (local.get $i) (i32.const 1)))
      (br $next)))
    (i32.const {RESULT})"""
    locals_ = "$path i32", "$count i32", "$i i32", "$value i32", "$routed i32", "$slot i32", "$first i32"
    b.emit(interface, name, function, body, locals_)


def _own_directories(b: Builder, descriptor: int) -> str:
    """Text that leaves, of all the directories of a program in the list at ``RESULT``, those of this component.

    They stand next to each other: ``$first`` becomes the number of the first, ``$count`` how many there are.
    """
    entry = f"(i32.add (i32.load (i32.const {RESULT})) (i32.mul (local.get $i) (i32.const 12)))"
    return f"""
    (local.set $i (i32.const 0)) (local.set $value (i32.const 0))
    (block $done (loop $next
      (br_if $done (i32.ge_u (local.get $i) (local.get $count)))
      (if (i32.eq (i32.shr_u (call $flags_of (local.get $i)) (i32.const {OWNER})) (i32.const {b.owner}))
        (then
          (if (i32.eqz (local.get $value)) (then (local.set $first (local.get $i))))
          (local.set $value (i32.add (local.get $value) (i32.const 1))))
        (else (call {b.drop(descriptor)} (i32.load {entry}))))
      (local.set $i (i32.add (local.get $i) (i32.const 1)))
      (br $next)))
    (local.set $count (local.get $value))
    (i32.store (i32.const {RESULT}) (i32.add (i32.load (i32.const {RESULT}))
      (i32.mul (local.get $first) (i32.const 12))))
    (i32.store (i32.const {RESULT + 4}) (local.get $count))"""


def descriptor_of(interface: Interface) -> int | None:
    """The number of ``descriptor`` in an imported interface, if it has it."""
    found = dict(interface.exports).get("descriptor")
    return found if isinstance(found, int) else None
