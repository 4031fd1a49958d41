"""What hostile scripts in CPython and Ruby try, what each attempt gets, and what is recorded of it.

The grants are those of ``policies/hostile-python.yaml`` and ``policies/hostile-ruby.yaml``, which have the same lines.
Each table is one run; its attempts are made one after the other, by a script that prints what each got.
"""

from __future__ import annotations

import os
import socket
from pathlib import Path

from tests.e2e.harness import (
    ACROSS,
    EXCEPTED,
    HARD_LINK,
    LEADS_OUT,
    LINK,
    LINK_TARGET,
    LINKED_OUT,
    READ_ONLY,
    SPECIAL,
    UNGRANTED,
    by_name,
)
from tests.e2e.programs import Refusal, Tried

GRANTS, FILESYSTEM, IN, OUT, VAULT, APP, LIMITS = 8, 9, 11, 12, 13, 14, 18
"""The lines of the policies that refuse."""

HANDLES = "16 handles are open, which is all that the policy allows"
DISK = "the bytes that may be written to files are used up (65,536 bytes)"
NO_SOCKETS = "preview 1 opens no sockets, so there is none that this could be done with"


def reads(function: str, resource: str, reason: str, line: int) -> Refusal:
    """The refusal of a call that would have read."""
    return Refusal("filesystem.read", function, resource, reason, line)


def writes(function: str, resource: str, reason: str, line: int) -> Refusal:
    """The refusal of a call that would have written."""
    return Refusal("filesystem.write", function, resource, reason, line)


def plant(tree: Path) -> None:
    """What somebody might leave in granted directories: links that lead out, a second name, a FIFO, a socket."""
    for name in ("in/sub", "out", "vault/keys", "vault/app", "outside"):
        (tree / name).mkdir(parents=True)
    files = {
        "in/a.txt": "public",
        "outside/secret.txt": "secret",
        "vault/notes.txt": "notes",
        "vault/keys/id_rsa": "key",
        "vault/app/.env": "token",
        "vault/app/main.txt": "main",
    }
    for name, content in files.items():
        (tree / name).write_text(content)
    for name, target in {
        "absolute": "/etc/passwd",
        "relative": "../outside/secret.txt",
        "within": "a.txt",
        "directory": "/etc",
    }.items():
        (tree / "in" / name).symlink_to(target)
    (tree / "in" / "hard").hardlink_to(tree / "outside" / "secret.txt")
    os.mkfifo(tree / "in" / "fifo")
    with socket.socket(socket.AF_UNIX) as listener:
        here = os.open(tree / "in", os.O_RDONLY | os.O_DIRECTORY)
        try:
            listener.bind(f"/proc/self/fd/{here}/socket")  # a socket's path has 107 bytes at most
        finally:
            os.close(here)


STILL = "the {} clock is not granted; it stands still"
EMPTY = "the environment is not granted; the component got an empty one"
WINDING = "/in/" + "sub/../" * 500 + "../etc/passwd"
TOO_LONG = "/in/" + "sub/../" * 5000 + "../etc/passwd"


# CPython

PYTHON_STARTS: tuple[Refusal, ...] = (
    Refusal("clocks.monotonic", "clock_time_get", None, STILL.format("monotonic"), GRANTS),
    Refusal("environment", "environ_sizes_get", None, EMPTY, GRANTS),
    reads("path_open", "/pyvenv.cfg", UNGRANTED, FILESYSTEM),
    reads("path_open", "/pyvenv.cfg", UNGRANTED, FILESYSTEM),
    reads("path_open", "/pybuilddir.txt", UNGRANTED, FILESYSTEM),
    reads("path_filestat_get", "/Modules/Setup.local", UNGRANTED, FILESYSTEM),
    reads("path_filestat_get", "/lib/python311.zip", UNGRANTED, FILESYSTEM),
    reads("path_filestat_get", "/lib/python3.11/os.py", UNGRANTED, FILESYSTEM),
    reads("path_filestat_get", "/lib/python3.11/os.pyc", UNGRANTED, FILESYSTEM),
    reads("path_filestat_get", "/lib/python3.11/lib-dynload", UNGRANTED, FILESYSTEM),
    Refusal("clocks.wall", "clock_time_get", None, STILL.format("wall"), GRANTS),
)
"""What is refused before the script begins: CPython looks for files of its own, at its clocks and its environment."""

PYTHON: dict[str, tuple[Tried, ...]] = {
    "walk": (
        Tried(
            "open('/etc/passwd').read()",
            "PermissionError: [Errno 2] Permission denied: '/etc/passwd'",
            (reads("path_open", "/etc/passwd", UNGRANTED, FILESYSTEM),),
        ),
        Tried(
            "open('/in/../etc/passwd').read()",
            "PermissionError: [Errno 63] Operation not permitted: '/in/../etc/passwd'",
            (reads("path_open", "/in/../etc/passwd", LEADS_OUT, IN),),
        ),
        Tried(
            "open('/in/../../../../etc/passwd').read()",
            "PermissionError: [Errno 63] Operation not permitted: '/in/../../../../etc/passwd'",
            (reads("path_open", "/in/../../../../etc/passwd", LEADS_OUT, IN),),
        ),
        Tried(
            "open('../etc/passwd').read()",
            "PermissionError: [Errno 2] Permission denied: '../etc/passwd'",
            (reads("path_open", "/../etc/passwd", UNGRANTED, FILESYSTEM),),
        ),
        Tried("os.chdir('/in')", "None"),
        Tried(
            "open('../vault/keys/id_rsa').read()",
            "PermissionError: [Errno 63] Operation not permitted: '../vault/keys/id_rsa'",
            (reads("path_open", "/in/../vault/keys/id_rsa", LEADS_OUT, IN),),
        ),
        Tried(
            "open('../../etc/passwd').read()",
            "PermissionError: [Errno 63] Operation not permitted: '../../etc/passwd'",
            (reads("path_open", "/in/../../etc/passwd", LEADS_OUT, IN),),
        ),
        Tried("os.chdir('/')", "None"),
        Tried("os.listdir('/')", "[]"),
        Tried(
            "os.listdir('/in/..')",
            "PermissionError: [Errno 63] Operation not permitted: '/in/..'",
            (reads("path_open", "/in/..", LEADS_OUT, IN),),
        ),
        Tried(
            "sorted(os.listdir('/in'))",
            "['a.txt', 'absolute', 'directory', 'fifo', 'hard', 'relative', 'socket', 'sub', 'within']",
        ),
        Tried(
            "os.stat('/root/.ssh')",
            "PermissionError: [Errno 2] Permission denied: '/root/.ssh'",
            (reads("path_filestat_get", "/root/.ssh", UNGRANTED, FILESYSTEM),),
        ),
        Tried("os.path.exists('/home')", "False", (reads("path_filestat_get", "/home", UNGRANTED, FILESYSTEM),)),
        Tried(
            "os.mkdir('/tmp')",
            "PermissionError: [Errno 2] Permission denied: '/tmp'",
            (writes("path_create_directory", "/tmp", UNGRANTED, FILESYSTEM),),
        ),
        Tried(
            "open('/proc/self/environ').read()",
            "PermissionError: [Errno 2] Permission denied: '/proc/self/environ'",
            (reads("path_open", "/proc/self/environ", UNGRANTED, FILESYSTEM),),
        ),
        Tried(
            "open('/dev/null').read()",
            "PermissionError: [Errno 2] Permission denied: '/dev/null'",
            (reads("path_open", "/dev/null", UNGRANTED, FILESYSTEM),),
        ),
        Tried(
            "open('/new', 'w')",
            "PermissionError: [Errno 2] Permission denied: '/new'",
            (writes("path_open", "/new", UNGRANTED, FILESYSTEM),),
        ),
        Tried("inside = os.open('/in', os.O_RDONLY)", "None"),
        Tried(
            "os.open('..', os.O_RDONLY, dir_fd=inside)",
            "PermissionError: [Errno 63] Operation not permitted: '..'",
            (reads("path_open", "/in/..", LEADS_OUT, IN),),
        ),
        Tried(
            "os.open('../out', os.O_RDONLY, dir_fd=inside)",
            "PermissionError: [Errno 63] Operation not permitted: '../out'",
            (reads("path_open", "/in/../out", LEADS_OUT, IN),),
        ),
        Tried(
            "os.open('/etc/passwd', os.O_RDONLY, dir_fd=inside)",
            "PermissionError: [Errno 2] Permission denied: '/etc/passwd'",
            (reads("path_open", "/etc/passwd", UNGRANTED, FILESYSTEM),),
        ),
        Tried(
            "os.open('sub/../../out/x', os.O_CREAT | os.O_WRONLY, dir_fd=inside)",
            "PermissionError: [Errno 63] Operation not permitted: 'sub/../../out/x'",
            (writes("path_open", "/in/sub/../../out/x", LEADS_OUT, IN),),
        ),
        Tried(
            "os.stat('../vault/keys/id_rsa', dir_fd=inside)",
            "PermissionError: [Errno 63] Operation not permitted: '../vault/keys/id_rsa'",
            (reads("path_filestat_get", "/in/../vault/keys/id_rsa", LEADS_OUT, IN),),
        ),
        Tried("os.read(os.open('sub/../a.txt', os.O_RDONLY, dir_fd=inside), 9)", "b'public'"),
        Tried("open('/in/a.txt\\0/../../etc/passwd')", "ValueError: embedded null byte"),
        Tried(
            "open('/in//.//..//etc/passwd')",
            "PermissionError: [Errno 63] Operation not permitted: '/in//.//..//etc/passwd'",
            (reads("path_open", "/in/.//..//etc/passwd", LEADS_OUT, IN),),
        ),
        Tried(
            "open('/in/' + 'sub/../' * 500 + '../etc/passwd')",
            f"PermissionError: [Errno 63] Operation not permitted: '{WINDING}'",
            (reads("path_open", WINDING, LEADS_OUT, IN),),
        ),
        Tried(
            "open('/in/' + 'sub/../' * 5000 + '../etc/passwd')", f"OSError: [Errno 37] Filename too long: '{TOO_LONG}'"
        ),
        Tried("os.listdir('')", "[]"),
        Tried("root = os.open('/', os.O_RDONLY)", "None"),
        Tried(
            "os.open('..', os.O_RDONLY, dir_fd=root)",
            "PermissionError: [Errno 2] Permission denied: '..'",
            (reads("path_open", "/..", UNGRANTED, FILESYSTEM),),
        ),
        Tried(
            "os.open('in', os.O_RDONLY, dir_fd=root)",
            "PermissionError: [Errno 2] Permission denied: 'in'",
            (reads("path_open", "/in", by_name("/in"), FILESYSTEM),),
        ),
        Tried(
            "os.open('etc', os.O_RDONLY, dir_fd=root)",
            "PermissionError: [Errno 2] Permission denied: 'etc'",
            (reads("path_open", "/etc", UNGRANTED, FILESYSTEM),),
        ),
    ),
    "links": (
        Tried(
            "open('/in/absolute').read()",
            "PermissionError: [Errno 63] Operation not permitted: '/in/absolute'",
            (reads("path_open", "/in/absolute", LINKED_OUT, IN),),
        ),
        Tried(
            "open('/in/relative').read()",
            "PermissionError: [Errno 63] Operation not permitted: '/in/relative'",
            (reads("path_open", "/in/relative", LINKED_OUT, IN),),
        ),
        Tried("open('/in/within').read()", "'public'"),
        Tried(
            "os.readlink('/in/absolute')",
            "PermissionError: [Errno 63] Operation not permitted: '/in/absolute'",
            (reads("path_readlink", "/in/absolute", LINKED_OUT, IN),),
        ),
        Tried(
            "os.stat('/in/absolute')",
            "PermissionError: [Errno 63] Operation not permitted: '/in/absolute'",
            (reads("path_filestat_get", "/in/absolute", LINKED_OUT, IN),),
        ),
        Tried("os.lstat('/in/absolute').st_size", "11"),
        Tried(
            "open('/in/directory/passwd').read()",
            "PermissionError: [Errno 63] Operation not permitted: '/in/directory/passwd'",
            (reads("path_open", "/in/directory/passwd", LINKED_OUT, IN),),
        ),
        Tried(
            "os.listdir('/in/directory')",
            "PermissionError: [Errno 63] Operation not permitted: '/in/directory'",
            (reads("path_open", "/in/directory", LINKED_OUT, IN),),
        ),
        Tried(
            "open('/in/hard').read()",
            "PermissionError: [Errno 2] Permission denied: '/in/hard'",
            (reads("path_open", "/in/hard", HARD_LINK, IN),),
        ),
        Tried("os.stat('/in/hard').st_nlink", "2"),
        Tried(
            "open('/in/fifo').read()",
            "PermissionError: [Errno 2] Permission denied: '/in/fifo'",
            (reads("path_open", "/in/fifo", SPECIAL, IN),),
        ),
        Tried(
            "open('/in/socket').read()",
            "PermissionError: [Errno 2] Permission denied: '/in/socket'",
            (reads("path_open", "/in/socket", SPECIAL, IN),),
        ),
        Tried("os.stat('/in/fifo').st_mode", "0"),
        Tried(
            "os.symlink('/etc/passwd', '/out/absolute')",
            "PermissionError: [Errno 63] Operation not permitted: '/etc/passwd' -> '/out/absolute'",
            (writes("path_symlink", "/out/absolute -> /etc/passwd", LINK_TARGET, OUT),),
        ),
        Tried(
            "os.symlink('../../etc/passwd', '/out/relative')",
            "PermissionError: [Errno 63] Operation not permitted: '../../etc/passwd' -> '/out/relative'",
            (writes("path_symlink", "/out/relative -> ../../etc/passwd", LINK_TARGET, OUT),),
        ),
        Tried(
            "os.symlink('..', '/out/up')",
            "PermissionError: [Errno 63] Operation not permitted: '..' -> '/out/up'",
            (writes("path_symlink", "/out/up -> ..", LINK_TARGET, OUT),),
        ),
        Tried("os.symlink('below/b.txt', '/out/link')", "None"),
        Tried("os.mkdir('/out/below')", "None"),
        Tried("open('/out/below/b.txt', 'w').write('mine')", "4"),
        Tried("open('/out/link').read()", "'mine'"),
        Tried("os.rename('/out/link', '/out/below/link')", "None"),
        Tried(
            "os.symlink('a', '/in/link')",
            "PermissionError: [Errno 63] Operation not permitted: 'a' -> '/in/link'",
            (writes("path_symlink", "/in/link", READ_ONLY, IN),),
        ),
        Tried("inside, out = os.open('/in', os.O_RDONLY), os.open('/out', os.O_RDONLY)", "None"),
        Tried(
            "os.link('/in/a.txt', '/out/stolen')",
            "OSError: [Errno 75] Cross-device link: '/in/a.txt' -> '/out/stolen'",
            (writes("path_link", "/in/a.txt -> /out/stolen", ACROSS, IN),),
        ),
        Tried(
            "os.rename('a.txt', 'stolen', src_dir_fd=inside, dst_dir_fd=out)",
            "OSError: [Errno 75] Cross-device link: 'a.txt' -> 'stolen'",
            (writes("path_rename", "/in/a.txt -> /out/stolen", ACROSS, IN),),
        ),
        Tried(
            "os.link('/out/below/b.txt', '/out/twice')",
            "PermissionError: [Errno 2] Permission denied: '/out/below/b.txt' -> '/out/twice'",
            (writes("path_link", "/out/below/b.txt -> /out/twice", HARD_LINK, OUT),),
        ),
        Tried(
            "os.link('/in/hard', '/in/harder')",
            "PermissionError: [Errno 2] Permission denied: '/in/hard' -> '/in/harder'",
            (writes("path_link", "/in/hard -> /in/harder", HARD_LINK, IN),),
        ),
        Tried(
            "os.rename('/in/a.txt', '/out/stolen')",
            "OSError: [Errno 75] Cross-device link: '/in/a.txt' -> '/out/stolen'",
            (writes("path_rename", "/in/a.txt -> /out/stolen", ACROSS, IN),),
        ),
        Tried(
            "os.rename('/out/below/b.txt', '/in/a.txt')",
            "OSError: [Errno 75] Cross-device link: '/out/below/b.txt' -> '/in/a.txt'",
            (writes("path_rename", "/out/below/b.txt -> /in/a.txt", ACROSS, OUT),),
        ),
        Tried(
            "os.rename('/vault/notes.txt', '/out/notes.txt')",
            "OSError: [Errno 75] Cross-device link: '/vault/notes.txt' -> '/out/notes.txt'",
            (writes("path_rename", "/vault/notes.txt -> /out/notes.txt", ACROSS, VAULT),),
        ),
        Tried(
            "os.rename('/out', '/in/out')",
            "OSError: [Errno 75] Cross-device link: '/out' -> '/in/out'",
            (writes("path_rename", "/out/. -> /in/out", ACROSS, OUT),),
        ),
        Tried(
            "os.rename('/out/below', '/out/below/further')",
            "OSError: [Errno 28] Invalid argument: '/out/below' -> '/out/below/further'",
        ),
        Tried(
            "os.replace('/out/below', '/vault/below')",
            "OSError: [Errno 75] Cross-device link: '/out/below' -> '/vault/below'",
            (writes("path_rename", "/out/below -> /vault/below", ACROSS, OUT),),
        ),
        Tried(
            "os.remove('/in/a.txt')",
            "PermissionError: [Errno 63] Operation not permitted: '/in/a.txt'",
            (writes("path_unlink_file", "/in/a.txt", READ_ONLY, IN),),
        ),
        Tried(
            "os.truncate('/in/a.txt', 0)",
            "PermissionError: [Errno 63] Operation not permitted: '/in/a.txt'",
            (writes("path_open", "/in/a.txt", READ_ONLY, IN),),
        ),
        Tried(
            "open('/in/a.txt', 'a')",
            "PermissionError: [Errno 63] Operation not permitted: '/in/a.txt'",
            (writes("path_open", "/in/a.txt", READ_ONLY, IN),),
        ),
        Tried(
            "open('/in/new', 'w')",
            "PermissionError: [Errno 63] Operation not permitted: '/in/new'",
            (writes("path_open", "/in/new", READ_ONLY, IN),),
        ),
        Tried(
            "os.utime('/in/a.txt', (0, 0))",
            "PermissionError: [Errno 63] Operation not permitted",
            (writes("path_filestat_set_times", "/in/a.txt", READ_ONLY, IN),),
        ),
        Tried(
            "os.mkdir('/in/new')",
            "PermissionError: [Errno 63] Operation not permitted: '/in/new'",
            (writes("path_create_directory", "/in/new", READ_ONLY, IN),),
        ),
        Tried(
            "os.rmdir('/in/sub')",
            "PermissionError: [Errno 63] Operation not permitted: '/in/sub'",
            (writes("path_remove_directory", "/in/sub", READ_ONLY, IN),),
        ),
        Tried(
            "os.ftruncate(os.open('/in/a.txt', os.O_RDONLY), 0)",
            "PermissionError: [Errno 63] Operation not permitted",
            (writes("fd_filestat_set_size", "/in/a.txt", READ_ONLY, IN),),
        ),
        Tried("os.write(os.open('/in/a.txt', os.O_RDONLY), b'x')", "OSError: [Errno 8] Bad file descriptor"),
    ),
    "excepted": (
        Tried("open('/vault/notes.txt').read()", "'notes'"),
        Tried(
            "open('/vault/keys/id_rsa').read()",
            "PermissionError: [Errno 2] Permission denied: '/vault/keys/id_rsa'",
            (reads("path_open", "/vault/keys/id_rsa", EXCEPTED, VAULT),),
        ),
        Tried(
            "open('/vault/KEYS/id_rsa').read()",
            "PermissionError: [Errno 2] Permission denied: '/vault/KEYS/id_rsa'",
            (reads("path_open", "/vault/KEYS/id_rsa", EXCEPTED, VAULT),),
        ),
        Tried(
            "open('/vault/./app/../keys/id_rsa').read()",
            "PermissionError: [Errno 2] Permission denied: '/vault/./app/../keys/id_rsa'",
            (reads("path_open", "/vault/./app/../keys/id_rsa", EXCEPTED, VAULT),),
        ),
        Tried(
            "os.listdir('/vault/keys')",
            "PermissionError: [Errno 2] Permission denied: '/vault/keys'",
            (reads("path_open", "/vault/keys", EXCEPTED, VAULT),),
        ),
        Tried("sorted(os.listdir('/vault'))", "['app', 'keys', 'notes.txt']"),
        Tried(
            "os.stat('/vault/keys')",
            "PermissionError: [Errno 2] Permission denied: '/vault/keys'",
            (reads("path_filestat_get", "/vault/keys", EXCEPTED, VAULT),),
        ),
        Tried(
            "open('/vault/app/.env').read()",
            "PermissionError: [Errno 2] Permission denied: '/vault/app/.env'",
            (reads("path_open", "/vault/app/.env", EXCEPTED, APP),),
        ),
        Tried(
            "open('/app/.env').read()",
            "PermissionError: [Errno 2] Permission denied: '/app/.env'",
            (reads("path_open", "/app/.env", EXCEPTED, APP),),
        ),
        Tried(
            "open('/app/../app/.env').read()",
            "PermissionError: [Errno 63] Operation not permitted: '/app/../app/.env'",
            (reads("path_open", "/app/../app/.env", LEADS_OUT, APP),),
        ),
        Tried("open('/app/main.txt').read()", "'main'"),
        Tried(
            "open('/vault/app/main.txt', 'w')",
            "PermissionError: [Errno 63] Operation not permitted: '/vault/app/main.txt'",
            (writes("path_open", "/vault/app/main.txt", READ_ONLY, APP),),
        ),
        Tried(
            "open('/vault/new/.env', 'w')",
            "PermissionError: [Errno 2] Permission denied: '/vault/new/.env'",
            (writes("path_open", "/vault/new/.env", EXCEPTED, VAULT),),
        ),
        Tried("os.mkdir('/vault/new')", "None"),
        Tried(
            "open('/vault/new/.Env', 'w')",
            "PermissionError: [Errno 2] Permission denied: '/vault/new/.Env'",
            (writes("path_open", "/vault/new/.Env", EXCEPTED, VAULT),),
        ),
        Tried(
            "os.rename('/vault/keys', '/vault/public')",
            "PermissionError: [Errno 2] Permission denied: '/vault/keys' -> '/vault/public'",
            (writes("path_rename", "/vault/keys -> /vault/public", EXCEPTED, VAULT),),
        ),
        Tried(
            "os.rename('/vault/notes.txt', '/vault/keys/notes.txt')",
            "PermissionError: [Errno 2] Permission denied: '/vault/notes.txt' -> '/vault/keys/notes.txt'",
            (writes("path_rename", "/vault/notes.txt -> /vault/keys/notes.txt", EXCEPTED, VAULT),),
        ),
        Tried(
            "os.rename('/vault/app', '/vault/other')",
            "OSError: [Errno 75] Cross-device link: '/vault/app' -> '/vault/other'",
            (writes("path_rename", "/vault/app -> /vault/other", ACROSS, VAULT),),
        ),
        Tried(
            "os.rename('/vault', '/out/vault')",
            "OSError: [Errno 75] Cross-device link: '/vault' -> '/out/vault'",
            (writes("path_rename", "/vault/. -> /out/vault", ACROSS, VAULT),),
        ),
        Tried(
            "os.symlink('keys/id_rsa', '/vault/link')",
            "PermissionError: [Errno 2] Permission denied: 'keys/id_rsa' -> '/vault/link'",
            (writes("path_symlink", "/vault/link -> keys/id_rsa", LINK, VAULT),),
        ),
        Tried(
            "os.link('/vault/keys/id_rsa', '/vault/mine')",
            "PermissionError: [Errno 2] Permission denied: '/vault/keys/id_rsa' -> '/vault/mine'",
            (writes("path_link", "/vault/keys/id_rsa -> /vault/mine", HARD_LINK, VAULT),),
        ),
        Tried(
            "os.link('/vault/notes.txt', '/vault/twice')",
            "PermissionError: [Errno 2] Permission denied: '/vault/notes.txt' -> '/vault/twice'",
            (writes("path_link", "/vault/notes.txt -> /vault/twice", HARD_LINK, VAULT),),
        ),
        Tried("vault = os.open('/vault', os.O_RDONLY)", "None"),
        Tried(
            "os.open('keys/id_rsa', os.O_RDONLY, dir_fd=vault)",
            "PermissionError: [Errno 2] Permission denied: 'keys/id_rsa'",
            (reads("path_open", "/vault/keys/id_rsa", EXCEPTED, VAULT),),
        ),
        Tried(
            "os.open('new/../keys', os.O_RDONLY, dir_fd=vault)",
            "PermissionError: [Errno 2] Permission denied: 'new/../keys'",
            (reads("path_open", "/vault/new/../keys", EXCEPTED, VAULT),),
        ),
        Tried(
            "os.stat('keys/id_rsa', dir_fd=vault)",
            "PermissionError: [Errno 2] Permission denied: 'keys/id_rsa'",
            (reads("path_filestat_get", "/vault/keys/id_rsa", EXCEPTED, VAULT),),
        ),
        Tried("os.mkdir('/vault/new/keys')", "None"),
        Tried("new = os.open('/vault/new', os.O_RDONLY)", "None"),
        Tried("os.rename('/vault/new', '/vault/newer')", "None"),
        Tried(
            "os.open('.env', os.O_CREAT | os.O_WRONLY, dir_fd=new)",
            "PermissionError: [Errno 2] Permission denied: '.env'",
            (writes("path_open", "/vault/new/.env", EXCEPTED, VAULT),),
        ),
        Tried(
            "os.rename('/vault/newer/keys', '/vault/keys')",
            "PermissionError: [Errno 2] Permission denied: '/vault/newer/keys' -> '/vault/keys'",
            (writes("path_rename", "/vault/newer/keys -> /vault/keys", EXCEPTED, VAULT),),
        ),
        Tried(
            "os.remove('/vault/keys/id_rsa')",
            "PermissionError: [Errno 2] Permission denied: '/vault/keys/id_rsa'",
            (writes("path_unlink_file", "/vault/keys/id_rsa", EXCEPTED, VAULT),),
        ),
        Tried(
            "__import__('shutil').rmtree('/vault/keys')",
            "PermissionError: [Errno 2] Permission denied: '/vault/keys'",
            (
                reads("path_filestat_get", "/vault/keys", EXCEPTED, VAULT),
                reads("path_open", "/vault/keys", EXCEPTED, VAULT),
            ),
        ),
    ),
    "around": (
        Tried("dict(os.environ)", "{}"),
        Tried("os.getenv('HOME')", "None"),
        Tried("sys.argv[0]", "'/scripts/attempts.py'"),
        Tried("__import__('time').time()", "315532800.0"),
        Tried("__import__('time').monotonic()", "1.0"),
        Tried("__import__('time').sleep(0.001)", "OSError: [Errno 58] Not supported"),
        Tried("os.urandom(8).hex()", "'ec814c72a8b88bf8'"),
        Tried("os.system('id')", "AttributeError: module 'os' has no attribute 'system'"),
        Tried("os.popen('id').read()", "OSError: [Errno 58] wasi does not support processes."),
        Tried("__import__('subprocess').run(['id'])", "OSError: [Errno 58] wasi does not support processes."),
        Tried("os.fork()", "AttributeError: module 'os' has no attribute 'fork'"),
        Tried("os.execv('/bin/sh', ['sh'])", "AttributeError: module 'os' has no attribute 'execv'"),
        Tried("os.kill(1, 9)", "AttributeError: module 'os' has no attribute 'kill'"),
        Tried("os.getpid()", "42"),
        Tried("os.getuid()", "AttributeError: module 'os' has no attribute 'getuid'"),
        Tried("os.getcwd()", "'/'"),
        Tried("socket.socket()", "OSError: [Errno 58] Not supported"),
        Tried(
            "socket.create_connection(('203.0.113.7', 80))",
            "AttributeError: module '_socket' has no attribute 'getaddrinfo'",
        ),
        Tried(
            "socket.getaddrinfo('example.com', 80)", "AttributeError: module '_socket' has no attribute 'getaddrinfo'"
        ),
        Tried(
            "socket.gethostbyname('example.com')", "AttributeError: module 'socket' has no attribute 'gethostbyname'"
        ),
        Tried(
            "held = [socket.socket(socket.AF_INET, socket.SOCK_STREAM, 0, number) for number in (0, 3, 4, 99)]", "None"
        ),
        Tried(
            "held[0].accept()",
            "OSError: [Errno 57] Not a socket",
            (Refusal("sockets", "sock_accept", None, NO_SOCKETS, GRANTS),),
        ),
        Tried(
            "held[1].send(b'x')",
            "OSError: [Errno 57] Not a socket",
            (Refusal("sockets", "sock_send", None, NO_SOCKETS, GRANTS),),
        ),
        Tried(
            "held[2].recv(1)",
            "OSError: [Errno 57] Not a socket",
            (Refusal("sockets", "sock_recv", None, NO_SOCKETS, GRANTS),),
        ),
        Tried(
            "held[2].shutdown(socket.SHUT_RDWR)",
            "OSError: [Errno 57] Not a socket",
            (Refusal("sockets", "sock_shutdown", None, NO_SOCKETS, GRANTS),),
        ),
        Tried(
            "held[3].recv(1)",
            "OSError: [Errno 8] Bad file descriptor",
            (Refusal("sockets", "sock_recv", None, NO_SOCKETS, GRANTS),),
        ),
        Tried("socket.socket(fileno=3)", "OSError: [Errno 57] Not a socket"),
        Tried("[n for n in range(64) if os.path.exists(n)]", "[0, 1, 2, 3, 4, 5, 6, 7, 8, 9]"),
        Tried("os.read(3, 10)", "OSError: [Errno 8] Bad file descriptor"),
        Tried("os.listdir(3)", "TypeError: listdir: path should be string, bytes, os.PathLike or None, not int"),
        Tried("os.write(3, b'x')", "OSError: [Errno 8] Bad file descriptor"),
        Tried("os.lseek(3, 0, 0)", "OSError: [Errno 8] Bad file descriptor"),
        Tried("os.dup2(1, 3)", "AttributeError: module 'os' has no attribute 'dup2'"),
        Tried("os.close(3)", "None"),
        Tried("open('/scripts/attempts.py').read(3)", "OSError: [Errno 8] Bad file descriptor: '/scripts/attempts.py'"),
        Tried("os.close(5)", "None"),
        Tried("open('/out/after', 'w')", "OSError: [Errno 8] Bad file descriptor: '/out/after'"),
        Tried("__import__('ctypes')", "OSError: [Errno 8] Bad file descriptor: '/scripts'"),
    ),
    "handles": (
        Tried("opened = []", "None"),
        Tried(
            "while True: opened.append(os.open('/in/a.txt', os.O_RDONLY))",
            "OSError: [Errno 19] Quota exceeded: '/in/a.txt'",
            (Refusal("limits.handles", "path_open", "/in/a.txt", HANDLES, LIMITS, "limit", 1),),
        ),
        Tried("len(opened)", "10"),
        Tried(
            "open('/in/a.txt')",
            "OSError: [Errno 19] Quota exceeded: '/in/a.txt'",
            (Refusal("limits.handles", "path_open", "/in/a.txt", HANDLES, LIMITS),),
        ),
        Tried(
            "os.listdir('/in')",
            "OSError: [Errno 19] Quota exceeded: '/in'",
            (Refusal("limits.handles", "path_open", "/in/.", HANDLES, LIMITS),),
        ),
        Tried("[os.close(number) for number in opened] and None", "None"),
        Tried("open('/in/a.txt').read()", "'public'"),
    ),
    "disk": (
        Tried(
            "open('/out/big', 'wb').write(b'x' * 100_000)",
            "OSError: [Errno 51] No space left on device",
            (Refusal("limits.disk", "fd_write", "/out/big", DISK, LIMITS, "limit", 1),),
        ),
        Tried("os.path.getsize('/out/big')", "0"),
        Tried(
            "os.truncate('/out/big', 2**40)",
            "OSError: [Errno 51] No space left on device: '/out/big'",
            (Refusal("limits.disk", "fd_filestat_set_size", "/out/big", DISK, LIMITS),),
        ),
        Tried("os.truncate('/out/big', 0)", "None"),
        Tried(
            "for n in range(100): open(f'/out/{n}', 'w').close()",
            "OSError: [Errno 51] No space left on device: '/out/15'",
            (Refusal("limits.disk", "path_open", "/out/15", DISK, LIMITS),),
        ),
        Tried("len(os.listdir('/out'))", "16"),
        Tried(
            "os.mkdir('/out/directory')",
            "OSError: [Errno 51] No space left on device: '/out/directory'",
            (Refusal("limits.disk", "path_create_directory", "/out/directory", DISK, LIMITS),),
        ),
        Tried(
            "os.symlink('big', '/out/link')",
            "OSError: [Errno 51] No space left on device: 'big' -> '/out/link'",
            (Refusal("limits.disk", "path_symlink", "/out/link", DISK, LIMITS),),
        ),
        Tried("os.remove('/out/0')", "None"),
        Tried(
            "open('/out/0', 'w')",
            "OSError: [Errno 51] No space left on device: '/out/0'",
            (Refusal("limits.disk", "path_open", "/out/0", DISK, LIMITS),),
        ),
    ),
    "memory": (
        Tried("len(b'x' * 2**30)", "MemoryError"),
        Tried("held = []", "None"),
        Tried("while True: held.append(bytearray(2**22))", "MemoryError"),
        Tried("len(held) < 32", "True"),
        Tried("held.clear()", "None"),
        Tried("len(bytearray(2**22))", "4194304"),
        Tried("deeper = lambda: deeper()", "None"),
        Tried("deeper()", "RecursionError: maximum recursion depth exceeded"),
        Tried("nested = []", "None"),
        Tried("for _ in range(10**5): nested = [nested]", "None"),
        Tried("repr(nested)", "RecursionError: maximum recursion depth exceeded while getting the repr of an object"),
        Tried("while nested: nested = nested.pop()", "None"),
    ),
}


# Ruby

RUBY_STARTS: tuple[Refusal, ...] = (
    Refusal("clocks.monotonic", "clock_time_get", None, STILL.format("monotonic"), GRANTS),
    Refusal("environment", "environ_sizes_get", None, EMPTY, GRANTS),
    reads("path_filestat_get", "/enumerator.so", UNGRANTED, FILESYSTEM),
    reads("path_filestat_get", "/enumerator.so", UNGRANTED, FILESYSTEM),
    reads("path_filestat_get", "/thread.rb", UNGRANTED, FILESYSTEM),
    reads("path_filestat_get", "/enumerator.so", UNGRANTED, FILESYSTEM),
    reads("path_filestat_get", "/thread.rb", UNGRANTED, FILESYSTEM),
    reads("path_filestat_get", "/fiber.so", UNGRANTED, FILESYSTEM),
)
"""What is refused before the script begins: Ruby looks for files of its own, at its clocks and its environment."""

RUBY: dict[str, tuple[Tried, ...]] = {
    "walk": (
        Tried(
            "File.read('/etc/passwd')",
            "Errno::EACCES: Permission denied @ rb_sysopen - /etc/passwd",
            (reads("path_open", "/etc/passwd", UNGRANTED, FILESYSTEM),),
        ),
        Tried(
            "File.read('/in/../etc/passwd')",
            "Errno::EPERM: Operation not permitted @ rb_sysopen - /in/../etc/passwd",
            (reads("path_open", "/in/../etc/passwd", LEADS_OUT, IN),),
        ),
        Tried(
            "File.read('/in/../../../../etc/passwd')",
            "Errno::EPERM: Operation not permitted @ rb_sysopen - /in/../../../../etc/passwd",
            (reads("path_open", "/in/../../../../etc/passwd", LEADS_OUT, IN),),
        ),
        Tried(
            "File.read('../etc/passwd')",
            "Errno::EACCES: Permission denied @ rb_sysopen - ../etc/passwd",
            (reads("path_open", "/../etc/passwd", UNGRANTED, FILESYSTEM),),
        ),
        Tried("Dir.chdir('/in')", "0"),
        Tried(
            "File.read('../vault/keys/id_rsa')",
            "Errno::EPERM: Operation not permitted @ rb_sysopen - ../vault/keys/id_rsa",
            (reads("path_open", "/in/../vault/keys/id_rsa", LEADS_OUT, IN),),
        ),
        Tried(
            "File.read('../../etc/passwd')",
            "Errno::EPERM: Operation not permitted @ rb_sysopen - ../../etc/passwd",
            (reads("path_open", "/in/../../etc/passwd", LEADS_OUT, IN),),
        ),
        Tried("Dir.chdir('/')", "0"),
        Tried("Dir.children('/')", "[]"),
        Tried(
            "Dir.children('/in/..')",
            "Errno::EPERM: Operation not permitted @ dir_initialize - /in/..",
            (reads("path_open", "/in/..", LEADS_OUT, IN),),
        ),
        Tried(
            "Dir.children('/in').sort",
            '["a.txt", "absolute", "directory", "fifo", "hard", "relative", "socket", "sub", "within"]',
        ),
        Tried(
            "File.stat('/root/.ssh')",
            "Errno::EACCES: Permission denied @ rb_file_s_stat - /root/.ssh",
            (reads("path_filestat_get", "/root/.ssh", UNGRANTED, FILESYSTEM),),
        ),
        Tried("File.exist?('/home')", "false", (reads("path_filestat_get", "/home", UNGRANTED, FILESYSTEM),)),
        Tried(
            "Dir.mkdir('/tmp')",
            "Errno::EACCES: Permission denied @ dir_s_mkdir - /tmp",
            (writes("path_create_directory", "/tmp", UNGRANTED, FILESYSTEM),),
        ),
        Tried(
            "File.read('/proc/self/environ')",
            "Errno::EACCES: Permission denied @ rb_sysopen - /proc/self/environ",
            (reads("path_open", "/proc/self/environ", UNGRANTED, FILESYSTEM),),
        ),
        Tried(
            "File.read('/dev/null')",
            "Errno::EACCES: Permission denied @ rb_sysopen - /dev/null",
            (reads("path_open", "/dev/null", UNGRANTED, FILESYSTEM),),
        ),
        Tried(
            "File.write('/new', 'x')",
            "Errno::EACCES: Permission denied @ rb_sysopen - /new",
            (writes("path_open", "/new", UNGRANTED, FILESYSTEM),),
        ),
        Tried("Dir.glob('/**/*').sort", "[]"),
        Tried(
            "File.realpath('/in/../etc')",
            "Errno::EACCES: Permission denied @ realpath_rec - /etc",
            (reads("path_filestat_get", "/etc", UNGRANTED, FILESYSTEM),),
        ),
        Tried(
            "IO.sysopen('/etc/passwd')",
            "Errno::EACCES: Permission denied @ rb_sysopen - /etc/passwd",
            (reads("path_open", "/etc/passwd", UNGRANTED, FILESYSTEM),),
        ),
        Tried(
            "load('/etc/passwd')",
            "LoadError: cannot load such file -- /etc/passwd",
            (
                reads("path_open", "/etc/passwd", UNGRANTED, FILESYSTEM),
                reads("path_open", "/etc/passwd", UNGRANTED, FILESYSTEM),
            ),
        ),
        Tried(
            "require('/etc/passwd')",
            "LoadError: cannot load such file -- /etc/passwd",
            (
                reads("path_open", "/etc/passwd.rb", UNGRANTED, FILESYSTEM),
                reads("path_open", "/etc/passwd.so", UNGRANTED, FILESYSTEM),
            ),
        ),
        Tried("Dir.chroot('/in')", "NotImplementedError: chroot() function is unimplemented on this machine"),
    ),
    "links": (
        Tried(
            "File.read('/in/absolute')",
            "Errno::EPERM: Operation not permitted @ rb_sysopen - /in/absolute",
            (reads("path_open", "/in/absolute", LINKED_OUT, IN),),
        ),
        Tried(
            "File.read('/in/relative')",
            "Errno::EPERM: Operation not permitted @ rb_sysopen - /in/relative",
            (reads("path_open", "/in/relative", LINKED_OUT, IN),),
        ),
        Tried("File.read('/in/within')", '"public"'),
        Tried(
            "File.readlink('/in/absolute')",
            "Errno::EPERM: Operation not permitted @ rb_readlink - /in/absolute",
            (reads("path_readlink", "/in/absolute", LINKED_OUT, IN),),
        ),
        Tried(
            "File.stat('/in/absolute')",
            "Errno::EPERM: Operation not permitted @ rb_file_s_stat - /in/absolute",
            (reads("path_filestat_get", "/in/absolute", LINKED_OUT, IN),),
        ),
        Tried("File.lstat('/in/absolute').size", "11"),
        Tried(
            "File.read('/in/directory/passwd')",
            "Errno::EPERM: Operation not permitted @ rb_sysopen - /in/directory/passwd",
            (reads("path_open", "/in/directory/passwd", LINKED_OUT, IN),),
        ),
        Tried(
            "Dir.children('/in/directory')",
            "Errno::EPERM: Operation not permitted @ dir_initialize - /in/directory",
            (reads("path_open", "/in/directory", LINKED_OUT, IN),),
        ),
        Tried(
            "File.read('/in/hard')",
            "Errno::EACCES: Permission denied @ rb_sysopen - /in/hard",
            (reads("path_open", "/in/hard", HARD_LINK, IN),),
        ),
        Tried("File.stat('/in/hard').nlink", "2"),
        Tried(
            "File.read('/in/fifo')",
            "Errno::EACCES: Permission denied @ rb_sysopen - /in/fifo",
            (reads("path_open", "/in/fifo", SPECIAL, IN),),
        ),
        Tried(
            "File.read('/in/socket')",
            "Errno::EACCES: Permission denied @ rb_sysopen - /in/socket",
            (reads("path_open", "/in/socket", SPECIAL, IN),),
        ),
        Tried("File.stat('/in/fifo').ftype", '"unknown"'),
        Tried(
            "File.symlink('/etc/passwd', '/out/absolute')",
            "Errno::EPERM: Operation not permitted @ rb_file_s_symlink - (/etc/passwd, /out/absolute)",
            (writes("path_symlink", "/out/absolute -> /etc/passwd", LINK_TARGET, OUT),),
        ),
        Tried(
            "File.symlink('../../etc/passwd', '/out/relative')",
            "Errno::EPERM: Operation not permitted @ rb_file_s_symlink - (../../etc/passwd, /out/relative)",
            (writes("path_symlink", "/out/relative -> ../../etc/passwd", LINK_TARGET, OUT),),
        ),
        Tried(
            "File.symlink('..', '/out/up')",
            "Errno::EPERM: Operation not permitted @ rb_file_s_symlink - (.., /out/up)",
            (writes("path_symlink", "/out/up -> ..", LINK_TARGET, OUT),),
        ),
        Tried("File.symlink('below/b.txt', '/out/link')", "0"),
        Tried("Dir.mkdir('/out/below')", "0"),
        Tried("File.write('/out/below/b.txt', 'mine')", "4"),
        Tried("File.read('/out/link')", '"mine"'),
        Tried("File.rename('/out/link', '/out/below/link')", "0"),
        Tried(
            "File.symlink('a', '/in/link')",
            "Errno::EPERM: Operation not permitted @ rb_file_s_symlink - (a, /in/link)",
            (writes("path_symlink", "/in/link", READ_ONLY, IN),),
        ),
        Tried(
            "File.link('/in/a.txt', '/out/stolen')",
            "Errno::EXDEV: Cross-device link @ rb_file_s_link - (/in/a.txt, /out/stolen)",
            (writes("path_link", "/in/a.txt -> /out/stolen", ACROSS, IN),),
        ),
        Tried(
            "File.link('/out/below/b.txt', '/out/twice')",
            "Errno::EACCES: Permission denied @ rb_file_s_link - (/out/below/b.txt, /out/twice)",
            (writes("path_link", "/out/below/b.txt -> /out/twice", HARD_LINK, OUT),),
        ),
        Tried(
            "File.rename('/in/a.txt', '/out/stolen')",
            "Errno::EXDEV: Cross-device link @ rb_file_s_rename - (/in/a.txt, /out/stolen)",
            (writes("path_rename", "/in/a.txt -> /out/stolen", ACROSS, IN),),
        ),
        Tried(
            "File.rename('/out/below/b.txt', '/in/a.txt')",
            "Errno::EXDEV: Cross-device link @ rb_file_s_rename - (/out/below/b.txt, /in/a.txt)",
            (writes("path_rename", "/out/below/b.txt -> /in/a.txt", ACROSS, OUT),),
        ),
        Tried(
            "File.rename('/vault/notes.txt', '/out/notes.txt')",
            "Errno::EXDEV: Cross-device link @ rb_file_s_rename - (/vault/notes.txt, /out/notes.txt)",
            (writes("path_rename", "/vault/notes.txt -> /out/notes.txt", ACROSS, VAULT),),
        ),
        Tried(
            "File.rename('/out', '/in/out')",
            "Errno::EXDEV: Cross-device link @ rb_file_s_rename - (/out, /in/out)",
            (writes("path_rename", "/out/. -> /in/out", ACROSS, OUT),),
        ),
        Tried(
            "File.delete('/in/a.txt')",
            "Errno::EPERM: Operation not permitted @ apply2files - /in/a.txt",
            (writes("path_unlink_file", "/in/a.txt", READ_ONLY, IN),),
        ),
        Tried(
            "File.truncate('/in/a.txt', 0)",
            "Errno::EPERM: Operation not permitted @ rb_file_s_truncate - /in/a.txt",
            (writes("path_open", "/in/a.txt", READ_ONLY, IN),),
        ),
        Tried(
            "File.open('/in/a.txt', 'a')",
            "Errno::EPERM: Operation not permitted @ rb_sysopen - /in/a.txt",
            (writes("path_open", "/in/a.txt", READ_ONLY, IN),),
        ),
        Tried(
            "File.write('/in/new', '')",
            "Errno::EPERM: Operation not permitted @ rb_sysopen - /in/new",
            (writes("path_open", "/in/new", READ_ONLY, IN),),
        ),
        Tried(
            "File.utime(0, 0, '/in/a.txt')",
            "Errno::EPERM: Operation not permitted @ apply2files - /in/a.txt",
            (writes("path_filestat_set_times", "/in/a.txt", READ_ONLY, IN),),
        ),
        Tried(
            "Dir.mkdir('/in/new')",
            "Errno::EPERM: Operation not permitted @ dir_s_mkdir - /in/new",
            (writes("path_create_directory", "/in/new", READ_ONLY, IN),),
        ),
        Tried(
            "Dir.rmdir('/in/sub')",
            "Errno::EPERM: Operation not permitted @ dir_s_rmdir - /in/sub",
            (writes("path_remove_directory", "/in/sub", READ_ONLY, IN),),
        ),
        Tried("File.mkfifo('/out/fifo')", "NotImplementedError: mkfifo() function is unimplemented on this machine"),
        Tried("File.chmod(0777, '/in/a.txt')", "Errno::ENOTSUP: Not supported @ apply2files - /in/a.txt"),
    ),
    "excepted": (
        Tried("File.read('/vault/notes.txt')", '"notes"'),
        Tried(
            "File.read('/vault/keys/id_rsa')",
            "Errno::EACCES: Permission denied @ rb_sysopen - /vault/keys/id_rsa",
            (reads("path_open", "/vault/keys/id_rsa", EXCEPTED, VAULT),),
        ),
        Tried(
            "File.read('/vault/KEYS/id_rsa')",
            "Errno::EACCES: Permission denied @ rb_sysopen - /vault/KEYS/id_rsa",
            (reads("path_open", "/vault/KEYS/id_rsa", EXCEPTED, VAULT),),
        ),
        Tried(
            "File.read('/vault/./app/../keys/id_rsa')",
            "Errno::EACCES: Permission denied @ rb_sysopen - /vault/./app/../keys/id_rsa",
            (reads("path_open", "/vault/./app/../keys/id_rsa", EXCEPTED, VAULT),),
        ),
        Tried(
            "Dir.children('/vault/keys')",
            "Errno::EACCES: Permission denied @ dir_initialize - /vault/keys",
            (reads("path_open", "/vault/keys", EXCEPTED, VAULT),),
        ),
        Tried("Dir.children('/vault').sort", '["app", "keys", "notes.txt"]'),
        Tried(
            "File.stat('/vault/keys')",
            "Errno::EACCES: Permission denied @ rb_file_s_stat - /vault/keys",
            (reads("path_filestat_get", "/vault/keys", EXCEPTED, VAULT),),
        ),
        Tried(
            "File.read('/vault/app/.env')",
            "Errno::EACCES: Permission denied @ rb_sysopen - /vault/app/.env",
            (reads("path_open", "/vault/app/.env", EXCEPTED, APP),),
        ),
        Tried(
            "File.read('/app/.env')",
            "Errno::EACCES: Permission denied @ rb_sysopen - /app/.env",
            (reads("path_open", "/app/.env", EXCEPTED, APP),),
        ),
        Tried("File.read('/app/main.txt')", '"main"'),
        Tried(
            "File.write('/vault/app/main.txt', '')",
            "Errno::EPERM: Operation not permitted @ rb_sysopen - /vault/app/main.txt",
            (writes("path_open", "/vault/app/main.txt", READ_ONLY, APP),),
        ),
        Tried("Dir.mkdir('/vault/new')", "0"),
        Tried(
            "File.write('/vault/new/.Env', '')",
            "Errno::EACCES: Permission denied @ rb_sysopen - /vault/new/.Env",
            (writes("path_open", "/vault/new/.Env", EXCEPTED, VAULT),),
        ),
        Tried(
            "File.rename('/vault/keys', '/vault/public')",
            "Errno::EACCES: Permission denied @ rb_file_s_rename - (/vault/keys, /vault/public)",
            (writes("path_rename", "/vault/keys -> /vault/public", EXCEPTED, VAULT),),
        ),
        Tried(
            "File.rename('/vault/notes.txt', '/vault/keys/notes.txt')",
            "Errno::EACCES: Permission denied @ rb_file_s_rename - (/vault/notes.txt, /vault/keys/notes.txt)",
            (writes("path_rename", "/vault/notes.txt -> /vault/keys/notes.txt", EXCEPTED, VAULT),),
        ),
        Tried(
            "File.rename('/vault/app', '/vault/other')",
            "Errno::EXDEV: Cross-device link @ rb_file_s_rename - (/vault/app, /vault/other)",
            (writes("path_rename", "/vault/app -> /vault/other", ACROSS, VAULT),),
        ),
        Tried(
            "File.symlink('keys/id_rsa', '/vault/link')",
            "Errno::EACCES: Permission denied @ rb_file_s_symlink - (keys/id_rsa, /vault/link)",
            (writes("path_symlink", "/vault/link -> keys/id_rsa", LINK, VAULT),),
        ),
        Tried(
            "File.link('/vault/keys/id_rsa', '/vault/mine')",
            "Errno::EACCES: Permission denied @ rb_file_s_link - (/vault/keys/id_rsa, /vault/mine)",
            (writes("path_link", "/vault/keys/id_rsa -> /vault/mine", HARD_LINK, VAULT),),
        ),
        Tried(
            "File.link('/vault/notes.txt', '/vault/twice')",
            "Errno::EACCES: Permission denied @ rb_file_s_link - (/vault/notes.txt, /vault/twice)",
            (writes("path_link", "/vault/notes.txt -> /vault/twice", HARD_LINK, VAULT),),
        ),
        Tried("Dir.mkdir('/vault/new/keys')", "0"),
        Tried("File.rename('/vault/new', '/vault/newer')", "0"),
        Tried(
            "File.rename('/vault/newer/keys', '/vault/keys')",
            "Errno::EACCES: Permission denied @ rb_file_s_rename - (/vault/newer/keys, /vault/keys)",
            (writes("path_rename", "/vault/newer/keys -> /vault/keys", EXCEPTED, VAULT),),
        ),
        Tried(
            "File.delete('/vault/keys/id_rsa')",
            "Errno::EACCES: Permission denied @ apply2files - /vault/keys/id_rsa",
            (writes("path_unlink_file", "/vault/keys/id_rsa", EXCEPTED, VAULT),),
        ),
        Tried(
            "Dir.glob('/vault/{app,keys,newer}/*').sort",
            '["/vault/app/main.txt", "/vault/newer/keys"]',
            (reads("path_open", "/vault/keys", EXCEPTED, VAULT),),
        ),
        Tried(
            "require 'fileutils'; FileUtils.rm_r('/vault/keys')",
            "Errno::EACCES: Permission denied @ apply2files - /vault/keys",
            (
                reads("path_filestat_get", "/vault/keys", EXCEPTED, VAULT),
                reads("path_filestat_get", "/vault/keys", EXCEPTED, VAULT),
                writes("path_unlink_file", "/vault/keys", EXCEPTED, VAULT),
            ),
        ),
    ),
    "around": (
        Tried("ENV.to_h", "{}"),
        Tried("ENV['HOME']", "nil"),
        Tried("$0", '"/scripts/attempts.rb"'),
        Tried(
            "Time.now.to_i",
            "315532800",
            (Refusal("clocks.wall", "clock_time_get", None, STILL.format("wall"), GRANTS),),
        ),
        Tried("Process.clock_gettime(Process::CLOCK_MONOTONIC)", "1.0"),
        Tried("Random.urandom(8).unpack1('H*')", '"ec814c72a8b88bf8"'),
        Tried(
            "spawn('id')",
            "nil",
            (
                reads("path_filestat_get", "/usr/local/bin/id", UNGRANTED, FILESYSTEM),
                reads("path_filestat_get", "/usr/ucb/id", UNGRANTED, FILESYSTEM),
                reads("path_filestat_get", "/usr/bin/id", UNGRANTED, FILESYSTEM),
                reads("path_filestat_get", "/bin/id", UNGRANTED, FILESYSTEM),
                reads("path_filestat_get", "/id", UNGRANTED, FILESYSTEM),
            ),
        ),
        Tried(
            "exec('id')",
            "Errno::ENOENT: No such file or directory - id",
            (
                reads("path_filestat_get", "/usr/local/bin/id", UNGRANTED, FILESYSTEM),
                reads("path_filestat_get", "/usr/ucb/id", UNGRANTED, FILESYSTEM),
                reads("path_filestat_get", "/usr/bin/id", UNGRANTED, FILESYSTEM),
                reads("path_filestat_get", "/bin/id", UNGRANTED, FILESYSTEM),
                reads("path_filestat_get", "/id", UNGRANTED, FILESYSTEM),
            ),
        ),
        Tried("fork", "NotImplementedError: fork() function is unimplemented on this machine"),
        Tried("Process.kill(:KILL, 1)", "Errno::ENOTSUP: Not supported"),
        Tried("Process.pid", "42"),
        Tried("Dir.pwd", '"/"'),
        Tried("require 'socket'", "LoadError: cannot load such file -- socket"),
        Tried("require 'fiddle'", "LoadError: cannot load such file -- fiddle"),
        Tried("(0...64).select { |n| IO.for_fd(n, autoclose: false) rescue nil }.size", "10"),
        Tried("IO.for_fd(3, autoclose: false).sysread(9)", "Errno::EBADF: Bad file descriptor"),
        Tried("IO.for_fd(99)", "Errno::EBADF: Bad file descriptor"),
        Tried(
            "$stdin.reopen('/vault/keys/id_rsa')",
            "Errno::EACCES: Permission denied @ rb_io_reopen - /vault/keys/id_rsa",
            (reads("path_open", "/vault/keys/id_rsa", EXCEPTED, VAULT),),
        ),
        Tried("IO.for_fd(3).close", "nil"),
        Tried(
            "File.read('/scripts/attempts.rb', 9)",
            "Errno::EBADF: Bad file descriptor @ rb_sysopen - /scripts/attempts.rb",
        ),
        Tried("IO.for_fd(5, 'r').close", "nil"),
        Tried("File.write('/out/after', 'x')", "Errno::EBADF: Bad file descriptor @ rb_sysopen - /out/after"),
    ),
    "handles": (
        Tried("opened = []", "[]"),
        Tried(
            "loop { opened << IO.sysopen('/in/a.txt') }",
            "Errno::EDQUOT: Quota exceeded @ rb_sysopen - /in/a.txt",
            (Refusal("limits.handles", "path_open", "/in/a.txt", HANDLES, LIMITS, "limit", 1),),
        ),
        Tried("opened.size", "10"),
        Tried(
            "File.open('/in/a.txt')",
            "Errno::EDQUOT: Quota exceeded @ rb_sysopen - /in/a.txt",
            (Refusal("limits.handles", "path_open", "/in/a.txt", HANDLES, LIMITS),),
        ),
        Tried("opened.each { |n| IO.for_fd(n).close }.clear", "[]"),
        Tried("File.read('/in/a.txt')", '"public"'),
    ),
    "disk": (
        Tried(
            "File.write('/out/big', 'x' * 100_000)",
            "Errno::ENOSPC: No space left on device @ io_write - /out/big",
            (Refusal("limits.disk", "fd_write", "/out/big", DISK, LIMITS, "limit", 1),),
        ),
        Tried("File.size('/out/big')", "0"),
        Tried(
            "File.truncate('/out/big', 2**40)",
            "Errno::ENOSPC: No space left on device @ rb_file_s_truncate - /out/big",
            (Refusal("limits.disk", "fd_filestat_set_size", "/out/big", DISK, LIMITS),),
        ),
        Tried("File.truncate('/out/big', 0)", "0"),
        Tried(
            "100.times { |n| File.write(\"/out/#{n}\", '') }",
            "Errno::ENOSPC: No space left on device @ rb_sysopen - /out/15",
            (Refusal("limits.disk", "path_open", "/out/15", DISK, LIMITS),),
        ),
        Tried("Dir.children('/out').size", "16"),
        Tried(
            "Dir.mkdir('/out/directory')",
            "Errno::ENOSPC: No space left on device @ dir_s_mkdir - /out/directory",
            (Refusal("limits.disk", "path_create_directory", "/out/directory", DISK, LIMITS),),
        ),
        Tried(
            "File.symlink('big', '/out/link')",
            "Errno::ENOSPC: No space left on device @ rb_file_s_symlink - (big, /out/link)",
            (Refusal("limits.disk", "path_symlink", "/out/link", DISK, LIMITS),),
        ),
        Tried("File.delete('/out/0')", "1"),
        Tried(
            "File.write('/out/0', 'x')",
            "Errno::ENOSPC: No space left on device @ rb_sysopen - /out/0",
            (Refusal("limits.disk", "path_open", "/out/0", DISK, LIMITS),),
        ),
    ),
    "memory": (
        Tried("('x' * 2**30).size", "NoMemoryError: failed to allocate memory"),
        Tried("held = []", "[]"),
        Tried("loop { held << 'x' * 2**22 }", "NoMemoryError: failed to allocate memory"),
        Tried("held.size < 32", "true"),
        Tried("held.clear", "[]"),
        Tried("('x' * 2**22).size", "4194304"),
        Tried("def deeper = deeper", ":deeper"),
        Tried("deeper", "SystemStackError: stack level too deep"),
    ),
}
