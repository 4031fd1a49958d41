"""A mail server that keeps nothing: it prints what it is sent.

python3 mailbox.py [PORT]        (2525, of this machine alone)
"""

from __future__ import annotations

import socketserver
import sys

ANSWERS = {"EHLO": "250 mailbox", "HELO": "250 mailbox", "DATA": "354 go on", "QUIT": "221 goodbye"}


class Session(socketserver.StreamRequestHandler):
    """One connection: every command is welcome."""

    timeout = 10

    def handle(self) -> None:
        self.answer("220 mailbox")
        while command := self.rfile.readline(1000).decode(errors="replace")[:4].upper():
            self.answer(ANSWERS.get(command, "250 fine"))
            if command == "DATA":
                self.take_in()
                self.answer("250 delivered")
            elif command == "QUIT":
                break

    def answer(self, line: str) -> None:
        self.wfile.write(f"{line}\r\n".encode())

    def take_in(self) -> None:
        while (line := self.rfile.readline(1000)) not in (b"", b".\r\n"):
            text = line.decode(errors="replace").rstrip("\r\n")
            print("".join(char if char.isprintable() else "?" for char in text), flush=True)


if __name__ == "__main__":
    socketserver.TCPServer.allow_reuse_address = True
    with socketserver.TCPServer(("127.0.0.1", int(sys.argv[1]) if sys.argv[1:] else 2525), Session) as server:
        server.serve_forever()
