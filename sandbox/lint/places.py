"""Places of a host that no component should be given without need, and which of a policy's paths lead there.

They are known by their paths alone: it does not matter what this machine has there. ``~`` in a place stands for any
user's home directory.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Literal

from sandbox.lint.case import Case, HostUse

Wide = Literal["grants-root", "grants-kernel-interface", "grants-home", "grants-credentials"]

_HOME = re.compile(r"/(?:root|(?:home|Users)/[^/]+)(?=/|$)")
_HOMES = frozenset({"/home", "/Users"})


class Places:
    """A set of places: paths, and names that make a place of whatever is so called."""

    def __init__(self, *paths: str, names: Sequence[str] = ()) -> None:
        self._paths, self._names = frozenset(paths), frozenset(names)
        self._inside: dict[str, list[str]] = {}
        for path in paths:
            for above in [*_ancestors(path)][1:]:
                # Where a home directory is, its path does not say.
                if above != "/" or path.startswith("/"):
                    self._inside.setdefault(above, []).append(path)

    def holding(self, path: str, home: str) -> str | None:
        """The place that an absolute path is or lies in. ``home`` is the user's own home directory."""
        for prefix, spelled in _spellings(path, home):
            for above in _ancestors(spelled):
                if above in self._paths or above.rpartition("/")[2] in self._names:
                    return prefix + above[len("~") :] if prefix else above
        return None

    def below(self, path: str, home: str) -> tuple[str, ...]:
        """The places that lie below an absolute path, other than itself."""
        return tuple(
            prefix + place[len("~") :] if prefix else place
            for prefix, spelled in _spellings(path, home)
            for place in self._inside.get(spelled, ())
        )


def paths_of(use: HostUse) -> tuple[str, ...]:
    """The absolute path that a policy names, and where its symbolic links lead, if that is another."""
    return tuple(dict.fromkeys((use.thing.absolute, use.thing.real)))


def held_in(use: HostUse, places: Places, home: str) -> str | None:
    """The place that what is named is, or lies in."""
    return next(filter(None, (places.holding(path, home) for path in paths_of(use))), None)


def given_of(case: Case, use: HostUse, places: Places) -> tuple[str, ...]:
    """The places below a granted directory that it gives: nothing excepts them, and no narrower grant decides."""
    if not use.directory:
        return ()
    found = (place for path in paths_of(use) for place in places.below(path, case.machine.home))
    return tuple(dict.fromkeys(place for place in found if case.gives(use, place)))


def shown(path: str, home: str) -> str:
    """A path as a policy would write it: from ``~`` where it lies in the user's home directory."""
    return f"~{path[len(home) :]}" if home != "/" and f"{path}/".startswith(f"{home}/") else path


def spoken_for(case: Case, use: HostUse) -> Wide | None:
    """The widest of the rules that speak of the path itself, beside which the narrower ones are silent."""
    if gives_nothing(use):
        return None
    if "/" in paths_of(use):
        return "grants-root"
    if kernel_interface(use) is not None:
        return "grants-kernel-interface"
    if home_in(case, use) is not None:
        return "grants-home"
    if held_in(use, CREDENTIALS, case.machine.home) is not None:
        return "grants-credentials"
    return None


def gives_nothing(use: HostUse) -> bool:
    """Whether all that is in a granted directory is excepted."""
    return any(pattern.segments in (("**",), ("*",)) for pattern in use.excepted)


def kernel_interface(use: HostUse) -> str | None:
    """The interface of the kernel, or of running services, that a path is or lies in."""
    return next((place for place in INTERFACES if use.inside(place)), None)


def home_in(case: Case, use: HostUse) -> str | None:
    """The home directory that is granted, as itself or within another directory; ``/home`` for all of them."""
    if not use.directory:
        return None
    for path in paths_of(use):
        whole = _HOME.match(path)
        if path in _HOMES or (whole is not None and whole[0] == path):
            return path
    return case.machine.home if use.reaches(case.machine.home) else None


def _spellings(path: str, home: str) -> Iterator[tuple[str, str]]:
    """The path from ``~``, behind the home directory that it lies in, and as it is, behind nothing."""
    whole = _HOME.match(path)
    for prefix in dict.fromkeys((home, whole[0] if whole is not None else home)):
        if prefix != "/" and (path == prefix or path.startswith(prefix + "/")):
            yield prefix, f"~{path[len(prefix) :]}"
    yield "", path


def _ancestors(path: str) -> Iterator[str]:
    """A path and the directories above it, ``~`` or ``/`` last."""
    while path:
        yield path
        path = path.rpartition("/")[0]
    yield "/"


INTERFACES = {
    "/proc": "the memory, the environment and the settings of everything that runs",
    "/sys": "the settings of the kernel and its devices",
    "/dev": "devices, terminals and shared memory",
    "/var/run": "sockets, locks and secrets of running services",
    "/run": "sockets, locks and secrets of running services",
}
"""What the kernel, and services while they run, show as files."""

CREDENTIALS = Places(
    *("~/.ssh", "~/.gnupg", "~/.password-store", "~/.pki", "~/.local/share/keyrings", "~/.local/share/kwalletd"),
    *("~/.aws", "~/.azure", "~/.config/gcloud", "~/.oci", "~/.config/doctl", "~/.config/hcloud", "~/.config/rclone"),
    *("~/.kube", "~/.docker", "~/.config/containers/auth.json", "~/.config/helm/registry", "~/.helm"),
    *(
        "~/.config/gh",
        "~/.config/glab-cli",
        "~/.config/hub",
        "~/.config/op",
        "~/.config/Bitwarden",
        "~/.config/keybase",
    ),
    *("~/.config/sops", "~/.config/age", "~/.vault-token", "~/.terraform.d", "~/.terraformrc", "~/.config/stripe"),
    *("~/.config/netlify", "~/.fly", "~/.config/heroku", "~/.databrickscfg", "~/.snowflake", "~/.boto", "~/.s3cfg"),
    *("~/.netrc", "~/.git-credentials", "~/.config/git/credentials", "~/.config/configstore", "~/.authinfo"),
    *("~/.npmrc", "~/.yarnrc.yml", "~/.pypirc", "~/.config/pip", "~/.cargo/credentials", "~/.cargo/credentials.toml"),
    *("~/.gem/credentials", "~/.m2/settings.xml", "~/.gradle/gradle.properties", "~/.composer/auth.json", "~/.nuget"),
    *("~/.config/pypoetry/auth.toml", "~/.config/composer/auth.json", "~/.bundle/config", "~/.hex", "~/.huggingface"),
    *("~/.cache/huggingface/token", "~/.kaggle", "~/.pgpass", "~/.my.cnf", "~/.mylogin.cnf", "~/.config/psql"),
    *("~/.mozilla", "~/.thunderbird", "~/.config/google-chrome", "~/.config/chromium", "~/.config/microsoft-edge"),
    *("~/.config/BraveSoftware", "~/.config/vivaldi", "~/.config/opera", "~/snap/firefox", "~/snap/chromium"),
    *("~/Library/Keychains", "~/Library/Application Support/Google/Chrome", "~/Library/Application Support/Firefox"),
    *("~/.electrum", "~/.bitcoin", "~/.ethereum", "~/.config/solana"),
    *("/etc/shadow", "/etc/shadow-", "/etc/gshadow", "/etc/gshadow-", "/etc/sudoers", "/etc/sudoers.d"),
    *("/etc/ssh", "/etc/ssl/private", "/etc/pki/tls/private", "/etc/letsencrypt", "/etc/krb5.keytab", "/etc/wireguard"),
    *("/etc/ipsec.secrets", "/etc/openvpn", "/etc/NetworkManager/system-connections", "/etc/ppp/chap-secrets"),
    *("/etc/kubernetes", "/etc/rancher", "/var/lib/kubelet", "/var/lib/rancher", "/var/lib/docker"),
    *("/var/lib/containerd", "/var/lib/containers", "/Library/Keychains"),
    names=(".ssh", ".aws", ".gnupg", ".kube", ".azure", ".password-store"),
)
"""Where programs keep keys, passwords and tokens."""

CODE = Places(
    *("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32", "/etc", "/boot", "/efi", "/nix/store"),
    *("/var/spool/cron", "/var/spool/at", "/var/lib/dpkg", "/var/lib/rpm", "/var/lib/apt", "/var/lib/systemd"),
    *("/var/lib/cloud", "/var/lib/AccountsService", "/Applications", "/Library", "/System"),
    *("~/bin", "~/.local/bin", "~/.local/lib", "~/.local/share/applications", "~/.local/share/systemd"),
    *("~/.config/autostart", "~/.config/systemd", "~/.config/environment.d", "~/.config/fish", "~/.config/git"),
    *("~/.config/nvim", "~/.config/Code/User", "~/.config/pip", "~/.config/direnv", "~/.vim", "~/.emacs.d"),
    *("~/.oh-my-zsh", "~/.zsh", "~/.bashrc.d", "~/.vscode", "~/.vscode-server", "~/.cargo/bin", "~/.cargo/config.toml"),
    *("~/.rustup", "~/.pyenv", "~/.rbenv", "~/.nvm", "~/.sdkman", "~/.asdf", "~/.npm-global", "~/.deno/bin"),
    *("~/.bun/bin", "~/go/bin", "~/.gem", "~/.m2/repository", "~/Library/LaunchAgents", "~/.ipython"),
    *("~/.bashrc", "~/.bash_profile", "~/.bash_login", "~/.bash_aliases", "~/.bash_logout", "~/.profile", "~/.zshrc"),
    *("~/.zshenv", "~/.zprofile", "~/.zlogin", "~/.kshrc", "~/.inputrc", "~/.vimrc", "~/.emacs", "~/.gitconfig"),
    *("~/.xprofile", "~/.xinitrc", "~/.xsessionrc", "~/.pythonrc", "~/.pdbrc", "~/.gdbinit", "~/.envrc"),
    names=(".git", ".github", ".githooks", ".husky", ".vscode", ".devcontainer", "node_modules", "site-packages"),
)
"""What the host runs, or reads to know what to run. ``/opt`` is apart: what is below a program's directory there may be
its data."""
