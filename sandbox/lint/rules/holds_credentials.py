"""A grant of a directory that has files which look like keys, passwords or tokens."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache

from sandbox.host import ThingKind
from sandbox.lint.case import Case, HostUse
from sandbox.lint.exceptions import excepting, glob_of
from sandbox.lint.needs import named
from sandbox.lint.places import CREDENTIALS, spoken_for
from sandbox.lint.rule import Problem, Rule

_FILES = re.compile(
    r"\.env|\.env\..+|\.netrc|_netrc|\.npmrc|\.pypirc|\.git-credentials|\.htpasswd|\.pgpass|\.my\.cnf|\.dockercfg"
    r"|\.vault-token|\.s3cfg|\.boto|credentials\.json|client_secrets?.*\.json|service[-_]?account.*\.json|kubeconfig"
    r"|.*\.kubeconfig|id_(?:rsa|dsa|ecdsa|ed25519)(?:_sk)?|.*\.(?:pem|key|p12|pfx|jks|keystore|ppk|kdbx)"
    r"|.*\.tfstate|secrets\.(?:ya?ml|json|toml)|shadow|.*\.keytab",
    re.DOTALL,
)
_HARMLESS = re.compile(
    r"\.env\.(?:.*[.-])?(?:examples?|samples?|templates?|tpl|dist|defaults?|schema)"
    r"|.*(?:cert|chain|bundle|public|pubkey|\bca\b).*\.pem|.*(?:public|pubkey).*\.key",
    re.DOTALL,
)
"""Drafts without values; certificates and keys that are meant to be known."""
_DIRECTORIES = frozenset({".ssh", ".aws", ".gnupg", ".kube", ".azure", ".password-store"})


def _check(case: Case) -> Iterator[Problem]:
    for use in case.uses:
        if spoken_for(case, use) is not None:
            continue
        if not use.directory:
            name = use.thing.absolute.rpartition("/")[2]
            if not use.writable and _secret(name, "file"):
                yield Problem(route=use.route, message=f"{name} looks like a file of keys, passwords or tokens")
            continue
        found = [
            path for path, kind in use.contents if _secret(path.rpartition("/")[2], kind) and _given(case, use, path)
        ]
        if found:
            how = "read and changed" if use.writable else "read"
            globs = dict.fromkeys(f"**/{glob_of(path.rpartition('/')[2])}" for path in found)
            yield Problem(
                route=use.route,
                message=f"what looks like keys, passwords or tokens can be {how}: {named(found)}",
                fix=excepting(case, use, [*globs]),
            )


def _given(case: Case, use: HostUse, path: str) -> bool:
    whole = f"{use.thing.real.rstrip('/')}/{path}"
    # Of a place that is known by its path another rule speaks; of a directory that is known by its name, this one once.
    place = CREDENTIALS.holding(whole, case.machine.home)
    named_so = place == whole and place.rpartition("/")[2] in _DIRECTORIES
    return case.gives(use, whole) and (place is None or named_so)


@lru_cache(maxsize=4096)
def _secret(name: str, kind: ThingKind) -> bool:
    """Whether something looks secret by its name; what a symbolic link leads to is not known."""
    if kind == "directory":
        return name in _DIRECTORIES
    small = name.lower()
    return kind in ("file", "unknown") and _FILES.fullmatch(small) is not None and _HARMLESS.fullmatch(small) is None


RULE = Rule(
    id="holds-credentials",
    summary="a granted directory has files that look like keys, passwords or tokens",
    severity="high",
    confidence="medium",
    check=_check,
    rests_on="machine",
)
