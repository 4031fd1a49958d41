"""The worker's end of its socket to the supervisor."""

from __future__ import annotations

import json
import os
import socket
import sys
from typing import Any

from sandbox.guard.wire import MAX_OWNERS
from sandbox.runtime.process import INLINE, JOB, PACKET

REPLY = 1 << 16
"""Bytes of the largest answer to a request."""
CONTROL = socket.CMSG_SPACE(4)
PASSED = 5 + 2 * MAX_OWNERS
"""Descriptors that come with a job at most: itself, standard streams, an answer, and two outputs of each component."""


ENCODE, DECODE = json.JSONEncoder(separators=(",", ":")).encode, json.JSONDecoder().decode


class Channel:
    """The worker's end of its socket. Each message is one packet, a JSON array."""

    def __init__(self, end: socket.socket) -> None:
        self.end = end
        self.last = b""
        self.job: dict[str, Any] = {}
        """The job that came last in a packet, and what that was: where it comes again, it is not read again."""

    def send(self, *message: object) -> None:
        try:
            self.end.send(ENCODE(message).encode())
        except OSError:
            os._exit(70)  # nobody is left to tell

    def receive(self) -> tuple[dict[str, Any], list[int]] | None:
        """The next job and the file descriptors that came with it; ``None`` when the supervisor has hung up.

        The same job may be the same object: nothing in it is to be changed.
        """
        while True:
            try:
                data, descriptors, _, _ = socket.recv_fds(self.end, PACKET, PASSED)
            except ConnectionResetError:
                return None
            if data.startswith(INLINE):
                if data != self.last:
                    self.last, self.job = data, json.loads(data[len(INLINE) :])
                return self.job, descriptors
            if not data or (data == JOB and not descriptors):
                return None
            if data == JOB:
                break
            for descriptor in descriptors:  # an answer that the run before did not wait for
                os.close(descriptor)
        with open(descriptors.pop(0), "rb") as file:
            file.seek(0)
            return json.loads(file.read()), descriptors

    def reply(self, *, wait: bool) -> tuple[int, dict[str, Any], int | None] | None:
        """The supervisor's next answer: the request's number, the answer, a file descriptor. ``None``: none now."""
        flags = socket.MSG_CMSG_CLOEXEC | (0 if wait else socket.MSG_DONTWAIT)
        try:
            data, ancillary, _, _ = self.end.recvmsg(REPLY, CONTROL, flags)
        except BlockingIOError:
            return None
        except OSError:
            os._exit(70)  # nobody is left to ask
        if not data:
            os._exit(70)
        descriptor = int.from_bytes(ancillary[0][2][:4], sys.byteorder) if ancillary else None
        _, number, result = DECODE(data.decode())
        return number, result, descriptor

    def fileno(self) -> int:
        return self.end.fileno()
