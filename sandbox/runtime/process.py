"""Worker processes as the supervisor sees them: started, given jobs, and killed wherever they are."""

from __future__ import annotations

import json
import os
import signal
import socket
import sys
from pathlib import Path
from typing import Any

MESSAGE = 1 << 18
"""Bytes of the largest message; a denial of two long paths, escaped, stays below a quarter of it."""


class WorkerProcess:
    """One worker. ``end`` carries jobs and messages, ``diagnostics`` what the process itself prints when it dies."""

    def __init__(self, pid: int, end: socket.socket, diagnostics: int) -> None:
        self.pid, self.end, self.diagnostics = pid, end, diagnostics
        self.status: int | None = None

    @classmethod
    def fork(cls) -> WorkerProcess:
        """A worker that is a copy of this process. Only for a process with a single thread."""
        mine, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        read, write = os.pipe2(os.O_CLOEXEC)
        pid = os.fork()
        if pid == 0:
            try:
                _become_worker(theirs.fileno(), write)
            except BaseException as error:  # noqa: BLE001 - nothing may escape into the copied program
                os.write(2, f"{type(error).__name__}: {error}\n".encode("utf-8", "replace"))
            finally:
                os._exit(70)
        theirs.close()
        os.close(write)
        return cls(pid, mine, read)

    @classmethod
    def spawn(cls) -> WorkerProcess:
        """A worker in an interpreter of its own, for programs with threads."""
        import subprocess

        mine, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        read, write = os.pipe2(os.O_CLOEXEC)
        root = str(Path(__file__).resolve().parent.parent.parent)
        code = "import sys; sys.path.insert(0, sys.argv[2]); from sandbox.runtime.worker import serve; serve(int(sys.argv[1]), watch=True)"
        child = subprocess.Popen(
            [sys.executable, "-I", "-c", code, str(theirs.fileno()), root],
            stdin=subprocess.DEVNULL,
            stdout=write,
            stderr=write,
            pass_fds=[theirs.fileno()],
            env={},
        )
        child.returncode = 0  # reaped below, not by the subprocess module
        theirs.close()
        os.close(write)
        return cls(child.pid, mine, read)

    def send(self, job: dict[str, Any], descriptors: list[int]) -> None:
        """Give the worker a job. Raises ``OSError`` where it is dead."""
        memory = os.memfd_create("job", os.MFD_CLOEXEC)
        try:
            data = memoryview(json.dumps(job).encode())
            while data:
                data = data[os.write(memory, data) :]
            socket.send_fds(self.end, [b"job"], [memory, *descriptors])
        finally:
            os.close(memory)

    def receive(self) -> list[Any] | None:
        """The next message; ``None`` when the worker has hung up."""
        try:
            data = self.end.recv(MESSAGE)
        except ConnectionResetError:
            return None
        return json.loads(data) if data else None

    def kill(self) -> int:
        """End the worker at once, wherever it is, and return its wait status."""
        if self.status is None:
            try:
                os.kill(self.pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
            self.wait()
        return self.status or 0

    def wait(self) -> int:
        """Wait for a worker that has hung up; its wait status."""
        if self.status is None:
            try:
                _, self.status = os.waitpid(self.pid, 0)
            except ChildProcessError:
                self.status = 0
        return self.status

    def close(self) -> None:
        """Let go of a worker that is dead and has been heard out."""
        self.end.close()
        _close(self.diagnostics)

    def said(self) -> str:
        """What the dead process printed, bounded."""
        os.set_blocking(self.diagnostics, False)
        try:
            text = os.read(self.diagnostics, 4096)
        except OSError:
            text = b""
        return text.decode("utf-8", "replace").strip()


def _close(descriptor: int) -> None:
    try:
        os.close(descriptor)
    except OSError:
        pass


def _become_worker(end: int, diagnostics: int) -> None:
    import ctypes

    from sandbox.runtime.worker import close_all_but, serve

    signal.signal(signal.SIGINT, signal.SIG_IGN)
    set_parent_death_signal = 1
    ctypes.CDLL(None).prctl(set_parent_death_signal, signal.SIGKILL, 0, 0, 0)
    os.dup2(diagnostics, 1)
    os.dup2(diagnostics, 2)
    close_all_but({end})
    serve(end)
