"""Worker processes as the supervisor sees them: started, given jobs, and killed wherever they are."""

from __future__ import annotations

import json
import os
import select
import signal
import socket
import sys
from typing import Any

MESSAGE = 1 << 18
"""Bytes of the largest message; a denial of two long paths, escaped, stays below a quarter of it."""


SETTLES = 2000
"""Milliseconds that a worker gets to take away what is left of a run, before another is taken in its place."""
JOB, INLINE = b"job", b"job "
"""What a packet is, or begins with, that brings a job: in the first of its descriptors, or itself if it is short."""
PACKET = 1 << 15
"""Bytes of the longest packet that is a job itself."""
PROGRAM = (
    "import json, sys; sys.path[:] = json.loads(sys.argv[2]);"
    "from sandbox.runtime.worker import serve; serve(int(sys.argv[1]), watch=True)"
)
"""What an interpreter does that is started to be a worker."""
DECODE = json.JSONDecoder().decode


class WorkerProcess:
    """One worker. ``end`` carries jobs and messages, ``diagnostics`` what the process itself prints when it dies."""

    def __init__(self, pid: int, end: socket.socket, diagnostics: int) -> None:
        self.pid, self.end, self.diagnostics = pid, end, diagnostics
        self.status: int | None = None
        self.settled = True
        """Whether nothing of an earlier run is left in it."""

    @classmethod
    def fork(cls) -> WorkerProcess:
        """A worker that is a copy of this process. Raises ``OSError``.

        Only for a process with a single thread that has not compiled anything: Wasmtime's compiling threads are not
        copied, and a copy would wait for them.
        """
        mine, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        read, write = os.pipe2(os.O_CLOEXEC)
        parent = os.getpid()
        try:
            pid = os.fork()
        except OSError:
            mine.close()
            theirs.close()
            os.close(read)
            os.close(write)
            raise
        if pid == 0:
            try:
                _become_worker(parent, theirs.fileno(), write)
            except BaseException as error:  # noqa: BLE001 - nothing may escape into the copied program
                os.write(2, f"{type(error).__name__}: {error}\n".encode("utf-8", "replace"))
            finally:
                os._exit(70)
        theirs.close()
        os.close(write)
        return cls(pid, mine, read)

    @classmethod
    def spawn(cls) -> WorkerProcess:
        """A worker in an interpreter of its own, for programs with threads. Raises ``OSError``."""
        import subprocess

        mine, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        read, write = os.pipe2(os.O_CLOEXEC)
        try:
            # Isolated from the environment and the working directory: it finds modules where this process does.
            child = subprocess.Popen(
                [sys.executable, "-I", "-c", PROGRAM, str(theirs.fileno()), json.dumps(_search_path())],
                stdin=subprocess.DEVNULL,
                stdout=write,
                stderr=write,
                pass_fds=[theirs.fileno()],
                env={name: os.environ[name] for name in ("LD_LIBRARY_PATH",) if name in os.environ},
                process_group=0,  # an interrupt from the terminal is for this process to act on
            )
        except BaseException:
            mine.close()
            os.close(read)
            raise
        finally:
            theirs.close()
            os.close(write)
        child.returncode = 0  # it is this object that waits for it, not the subprocess module
        return cls(child.pid, mine, read)

    def send(self, job: dict[str, Any] | bytes, descriptors: list[int]) -> None:
        """Give the worker a job, or one that is written already, as ``written`` does. Raises ``OSError``."""
        self.settled = False
        data = written(job) if isinstance(job, dict) else job
        if len(data) <= PACKET:
            socket.send_fds(self.end, [data], descriptors)
            return
        memory = os.memfd_create("job", os.MFD_CLOEXEC)
        try:
            write_all(memory, data[len(INLINE) :])
            socket.send_fds(self.end, [JOB], [memory, *descriptors])
        finally:
            os.close(memory)

    def answer(self, data: bytes, descriptors: list[int]) -> bool:
        """Send an answer to a request, without waiting: ``False`` where there is no room for it now."""
        passed = b"".join(d.to_bytes(4, sys.byteorder) for d in descriptors)
        control = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, passed)] if descriptors else []
        try:
            self.end.sendmsg([data], control, socket.MSG_DONTWAIT)
        except (BrokenPipeError, ConnectionResetError):
            return True  # it is dead, which is found out when it is listened to
        except OSError:
            return False  # no room in the socket, for descriptors on their way, or in the kernel
        return True

    def receive(self) -> list[Any] | None:
        """The next message; ``None`` when the worker has hung up. Raises ``ValueError`` for what is no message."""
        while True:
            try:
                data = self.end.recv(MESSAGE)
                break
            except ConnectionResetError:
                continue  # it died with an answer unread: this is told once, and before what it said itself
        try:
            message = DECODE(data.decode()) if data else None
        except (ValueError, RecursionError):
            raise ValueError("no message") from None
        if message is not None and not isinstance(message, list):
            raise ValueError("no message")
        return message

    def alive(self) -> bool:
        """Whether the worker has not ended, as far as is known by now."""
        if self.status is None:
            try:
                pid, status = os.waitpid(self.pid, os.WNOHANG)
            except ChildProcessError:
                pid, status = self.pid, 0
            if pid:
                self.status = status
        return self.status is None

    def settle(self) -> bool:
        """Wait, within a bound, until nothing of the run before is left in the worker.

        ``False``: it died, or did not get there, and has to be killed. Nothing was sent to it, so no run is lost.
        """
        if not self.settled:
            poll = select.poll()
            poll.register(self.end, select.POLLIN)
            try:
                self.settled = bool(poll.poll(SETTLES)) and self.receive() == ["idle"]
            except ValueError:
                pass  # no message: it is no longer itself
        return self.settled

    def stop(self) -> None:
        """Have the worker end, wherever it is, without waiting for it."""
        if self.status is None:
            try:
                os.kill(self.pid, signal.SIGKILL)
            except ProcessLookupError:
                pass

    def kill(self) -> int:
        """End the worker at once, wherever it is, and return its wait status."""
        self.stop()
        if self.status is None:
            try:
                _, self.status = os.waitpid(self.pid, 0)
            except ChildProcessError:  # the program that this runs in has waited for all of its children
                self.status = 0
        return self.status

    def close(self) -> None:
        """Let go of a worker that is dead and has been heard out."""
        self.end.close()
        if self.diagnostics >= 0:
            os.close(self.diagnostics)
            self.diagnostics = -1

    def said(self) -> str:
        """What the dead process printed, bounded."""
        os.set_blocking(self.diagnostics, False)
        try:
            text = os.read(self.diagnostics, 4096)
        except OSError:
            text = b""
        return text.decode("utf-8", "replace").strip()


def written(job: dict[str, Any]) -> bytes:
    """A job as it goes to a worker."""
    return INLINE + json.dumps(job).encode()


def write_all(descriptor: int, data: bytes) -> None:
    """Write all of ``data``. Raises ``OSError``."""
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]


def _search_path() -> list[str]:
    """Where this process finds modules; this package above all."""
    root = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    found = [os.path.abspath(path) for path in sys.path if path]
    return found if root in found else [*found, root]


def _become_worker(parent: int, end: int, diagnostics: int) -> None:
    import ctypes

    from sandbox.runtime.worker import close_all_but, serve

    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)
    set_parent_death_signal = 1
    ctypes.CDLL(None).prctl(set_parent_death_signal, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        return  # it died before it could be watched
    os.dup2(diagnostics, 1)
    os.dup2(diagnostics, 2)
    close_all_but({end})
    serve(end)
