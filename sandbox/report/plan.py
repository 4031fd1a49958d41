"""A plan as a reviewer wants to read it: what one run gets, and by whom it is held to that."""

from __future__ import annotations

from sandbox.plan import Plan, Preopen, StreamPlan
from sandbox.report.text import escape


def plan_text(plan: Plan) -> str:
    """The plan on a page; every line ends with a newline. Values of environment variables are shown by length alone."""
    limits = plan.limits
    lines = [
        f"{escape(plan.component)}  {escape(plan.source)}",
        f"  digest       {plan.digest} ({plan.size:,} bytes)",
        f"  policy       {escape(plan.policy)} ({plan.policy_digest})",
        "",
        "It gets:",
    ]
    for preopen in plan.preopens:
        if not preopen.decoy:
            lines += _preopen(plan, preopen)
    if all(p.decoy for p in plan.preopens):
        lines.append("  files        none")
    for name, stream in (("stdin", plan.stdin), ("stdout", plan.stdout), ("stderr", plan.stderr)):
        lines.append(f"  {name:<12} {_stream(name, stream)}")
    lines.append(f"  environment  {_environment(plan)}")
    lines.append(f"  arguments    {_arguments(plan)}")
    lines.append(
        f"  clocks       wall {plan.wall or 'frozen, not granted'}; monotonic {plan.monotonic or 'frozen, not granted'}"
    )
    lines.append(f"  random       {_random(plan)}")
    lines.append("  network      none")
    lines += ["", "Bounds:"]
    lines.append(f"  memory       {_size(limits.memory)}, over all memories and tables")
    lines.append(f"  deadline     {limits.deadline:g} s, compiling and waiting included")
    lines.append(f"  fuel         {'not counted' if limits.fuel is None else f'{limits.fuel:,}'}")
    lines.append(f"  output       {_size(limits.output)}")
    lines.append(f"  handles      {limits.handles:,} open at once")
    lines.append(f"  disk         {_size(limits.disk)} written to files")
    lines.append(f"  events       {limits.events:,} refusals one by one, further ones counted")
    lines += ["", "It imports:"]
    words = {"wasmtime": "served by Wasmtime", "guard": "served through the guard", "refused": "refused, call by call"}
    lines += [f"  {name:<44} {words[by]}" for name, by in plan.interfaces] or ["  nothing"]
    return "\n".join(lines) + "\n"


def _size(size: int) -> str:
    """Bytes, in the largest unit that says them exactly."""
    for unit, name in ((1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")):
        if size and size % unit == 0:
            return f"{size // unit:,} {name}"
    return f"{size:,} bytes"


def _preopen(plan: Plan, preopen: Preopen) -> list[str]:
    access = "read and write" if preopen.writable else "read only"
    lines = [f"  {escape(preopen.guest):<12} {escape(preopen.host or '')}  {access}"]
    if preopen.hard_links:
        lines.append("               files with several names are opened too")
    lines += [f"               except {escape(glob)}" for glob in preopen.excepted]
    for path, other in preopen.inner:
        apart = "read and write" if plan.preopens[other].writable else "read only"
        lines.append(f"               except {escape(path)}, which is granted apart ({apart})")
    lines += [f"               except {escape(path)}, where another directory stands" for path in preopen.masked]
    lines += [f"               except {escape(path)}, an interface of the kernel" for path in preopen.kernel]
    return lines


def _stream(name: str, stream: StreamPlan) -> str:
    if not stream.granted:
        return "at its end, not granted" if name == "stdin" else "thrown away, not granted"
    if stream.path is not None:
        return f"file {escape(stream.path)}"
    at_hand = {
        "inherit": "the caller's",
        "capture": "captured",
        "discard": "at its end" if name == "stdin" else "thrown away",
    }
    return at_hand[stream.mode]


def _environment(plan: Plan) -> str:
    if plan.environment is None:
        return "empty, not granted"
    shown = (f"{escape(n)} ({len(v):,} character{'' if len(v) == 1 else 's'})" for n, v in plan.environment)
    return ", ".join(shown) or "empty"


def _arguments(plan: Plan) -> str:
    if plan.arguments is None:
        return "none, not granted"
    return " ".join(escape(a) for a in plan.arguments)


def _random(plan: Plan) -> str:
    if plan.random == "denied":
        return "not granted: secure numbers trap, insecure ones are always the same"
    return "secure" if plan.random == "secure" else f"seeded with {plan.seed}"
