"""What is read of the machine for a plan: values, and nothing that the policy does not name."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from sandbox import host
from sandbox.host import Directory, File, Host, absolute, read_host
from sandbox.policy.model import (
    ComponentPolicy,
    DirectoryGrant,
    Environment,
    Grants,
    InheritedVariable,
    Stdio,
    Stream,
)


def grant(path: str, guest: str = "/d") -> DirectoryGrant:
    return DirectoryGrant(host=path, guest=guest, access="read")


def mount(point: str, kind: str = "ext4", device: tuple[int, int] = (0, 0)) -> host._Mount:
    return host._Mount(point=point, device=device, kind=kind)


def test_nothing_is_read_for_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """A component that is granted nothing learns nothing of the machine."""
    monkeypatch.setenv("SECRET", "x")
    assert read_host(ComponentPolicy(name="c"), "/") == Host()


def test_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of the environment, the variables that the policy inherits are read, where they are set."""
    monkeypatch.setenv("SHOWN", "1")
    monkeypatch.setenv("HIDDEN", "2")
    monkeypatch.delenv("ABSENT", raising=False)
    inherit = (InheritedVariable(name="SHOWN"), InheritedVariable(name="ABSENT"))
    component = ComponentPolicy(name="c", grants=Grants(environment=Environment(inherit=inherit)))
    assert read_host(component, "/").environment == {"SHOWN": "1"}


def test_directories(tmp_path: Path) -> None:
    """A directory is known by its real path and the identities of all directories above; what is none has neither."""
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "link").symlink_to("a/b")
    (tmp_path / "file").write_text("")
    names = ("a/b", "link", "file", "missing")
    component = ComponentPolicy(name="c", grants=Grants(filesystem=tuple(grant(n, f"/{n}") for n in names)))
    found = read_host(component, str(tmp_path)).directories
    chain = [tmp_path / "a" / "b", *(tmp_path / "a" / "b").parents]
    ancestors = tuple((p.stat().st_dev, p.stat().st_ino) for p in chain)
    assert found == {
        "a/b": Directory(absolute=f"{tmp_path}/a/b", real=f"{tmp_path}/a/b", ancestors=ancestors),
        "link": Directory(absolute=f"{tmp_path}/link", real=f"{tmp_path}/a/b", ancestors=ancestors),
        "file": Directory(absolute=f"{tmp_path}/file", real=None),
        "missing": Directory(absolute=f"{tmp_path}/missing", real=None),
    }


def test_file_systems_that_alias_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a name may be spelled in several ways, the directory says so; the mount that covers the others decides."""
    mounts = (mount("/"), mount(str(tmp_path / "usb"), "vfat"), mount(str(tmp_path / "usb" / "in")))
    monkeypatch.setattr(host, "_mounts", lambda: mounts)
    names = ("usb", "usb/a", "usb/in", "usbx")
    for name in names:
        (tmp_path / name).mkdir()
    component = ComponentPolicy(name="c", grants=Grants(filesystem=tuple(grant(n, f"/{n}") for n in names)))
    found = read_host(component, str(tmp_path)).directories
    assert {name: d.aliases_names for name, d in found.items()} == {
        "usb": True,
        "usb/a": True,
        "usb/in": False,
        "usbx": False,
    }


def test_mounts_of_this_machine() -> None:
    """The table of mounts is read, and the root is in it."""
    mounts = host._mounts()
    assert mounts is not None
    info = os.stat("/proc")
    proc = host._Mount(point="/proc", device=(os.major(info.st_dev), os.minor(info.st_dev)), kind="proc")
    assert proc in mounts
    assert "/" in [m.point for m in mounts]


def test_directories_that_are_interfaces_of_the_kernel() -> None:
    """A directory of procfs is known as one, also through a link; what is mounted below another is listed."""
    names = ("/proc", "/proc/self/task", "/")
    component = ComponentPolicy(name="c", grants=Grants(filesystem=tuple(grant(n, f"/g{n}") for n in names)))
    found = read_host(component, "/").directories
    assert [found[name].kernel for name in names] == ["proc", "proc", ""]
    assert "proc" in found["/"].interfaces
    assert [m for m in found["/"].mounts if m.startswith("proc/")] == []


def test_mounts_below_a_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Interfaces of the kernel and others apart, the outermost of the former alone, and none that is beside."""
    for name in ("a/proc", "ab"):
        (tmp_path / name).mkdir(parents=True)
    a = f"{tmp_path}/a"
    table = [("/", "ext4"), (f"{a}/proc", "proc"), (f"{a}/sys", "sysfs"), (f"{a}/sys/fs/cgroup", "tmpfs")]
    table += [(f"{a}/sys/fs/cgroup/cpu", "cgroup"), (f"{a}/proc", "proc"), (f"{a}/m", "ext4"), (f"{a}/m/n", "tmpfs")]
    table += [(f"{a}/sysx", "ext4"), (f"{tmp_path}/ab/pts", "devpts"), (f"{tmp_path}/abc", "proc")]
    monkeypatch.setattr(host, "_mounts", lambda: tuple(mount(*row) for row in table))
    component = ComponentPolicy(name="c", grants=Grants(filesystem=(grant("a"), grant("ab"), grant("a/proc"))))
    found = read_host(component, str(tmp_path)).directories
    assert {name: (d.kernel, d.interfaces, d.mounts) for name, d in found.items()} == {
        "a": ("", ("proc", "sys"), ("m", "m/n", "sysx")),
        "ab": ("", ("pts",), ()),
        "a/proc": ("proc", (), ()),
    }


def test_an_interface_of_the_kernel_is_known_by_its_device(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Which mount covers which does not decide alone: the device of the directory does too."""
    number = tmp_path.stat().st_dev
    device = (os.major(number), os.minor(number))
    monkeypatch.setattr(host, "_mounts", lambda: (mount("/elsewhere", "proc", device), mount("/")))
    component = ComponentPolicy(name="c", grants=Grants(filesystem=(grant("."),)))
    assert read_host(component, str(tmp_path)).directories["."].kernel == "proc"


def test_mounts_that_cannot_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """That the mounts are not known is told, where a directory is granted; nobody asks otherwise."""
    monkeypatch.setattr(host, "_mounts", lambda: None)
    component = ComponentPolicy(name="c", grants=Grants(filesystem=(grant("."),)))
    found = read_host(component, str(tmp_path))
    assert (found.knows_mounts, found.directories["."].real) == (False, str(tmp_path))
    assert read_host(ComponentPolicy(name="c"), str(tmp_path)).knows_mounts


def test_the_way_to_policy_and_component(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each symbolic link on the way to a file is listed, its directories' too, and last the file's real path."""
    (tmp_path / "real").mkdir()
    (tmp_path / "real" / "p.yaml").write_text("")
    (tmp_path / "way").symlink_to("real")
    (tmp_path / "real" / "link").symlink_to("../way/p.yaml")
    monkeypatch.chdir(tmp_path)
    read = read_host(ComponentPolicy(name="c"), f"{tmp_path}/real", policy="way/link", source=f"{tmp_path}/real/p.yaml")
    assert read.policy == tuple(f"{tmp_path}/{name}" for name in ("way", "real/link", "real/p.yaml"))
    assert read.source == (f"{tmp_path}/real/p.yaml",)
    monkeypatch.chdir("/")  # where "way/link" means nothing: the directory that the policy was read from counts
    read = read_host(ComponentPolicy(name="c"), f"{tmp_path}/real", policy="way/link")
    assert read.policy == tuple(f"{tmp_path}/{name}" for name in ("real/link", "way", "real/p.yaml"))
    assert read.source == ()


def test_files_of_streams(tmp_path: Path) -> None:
    """A stream's file: the directory is resolved, its last name is not; what stands there is told."""
    (tmp_path / "real").mkdir()
    (tmp_path / "way").symlink_to("real")
    (tmp_path / "real" / "file").write_text("")
    (tmp_path / "real" / "link").symlink_to("file")
    os.mkfifo(tmp_path / "real" / "fifo")

    def look(path: str) -> File:
        stdio = Stdio(stdout=Stream(mode="file", path=path))
        return read_host(ComponentPolicy(name="c", grants=Grants(stdio=stdio)), str(tmp_path)).files[path]

    def known(name: str) -> tuple[int, int]:
        info = os.lstat(tmp_path / "real" / name)
        return info.st_dev, info.st_ino

    base = f"{tmp_path}/real"
    assert look("way/file") == File(real=f"{base}/file", kind="file", identity=known("file"))
    assert look("way/link") == File(real=f"{base}/link", kind="link", identity=known("link"))
    assert look("way/fifo") == File(real=f"{base}/fifo", kind="other", identity=known("fifo"))
    assert look("way/none") == File(real=f"{base}/none", kind="nothing")
    assert look("no/none") == File(real=f"{tmp_path}/no/none", kind="no directory")
    assert look("way") == File(
        real=f"{tmp_path}/way",
        kind="link",
        identity=(os.lstat(tmp_path / "way").st_dev, os.lstat(tmp_path / "way").st_ino),
    )


def test_absolute(monkeypatch: pytest.MonkeyPatch) -> None:
    """Paths are relative to the policy; ``~`` is the home directory."""
    monkeypatch.setenv("HOME", "/home/me")
    assert [absolute(p, "/p/q") for p in ("a", "./a/../b", "../a", "/a/", "~", "~/a")] == [
        "/p/q/a",
        "/p/q/b",
        "/p/a",
        "/a",
        "/home/me",
        "/home/me/a",
    ]
