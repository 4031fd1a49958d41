"""What looks like a secret: by the name that it is given, or by its form.

Each form is told by a prefix and a bounded number of characters, so that searching takes time linear in the text.
"""

from __future__ import annotations

import re
from itertools import pairwise

_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")

_ANYWHERE = frozenset(
    {
        *("APIKEY", "CREDENTIAL", "CREDENTIALS", "CREDS", "MNEMONIC", "PASSPHRASE", "PASSWD", "PASSWORD", "PASSWORDS"),
        *("SECRET", "SECRETS", "SSHPASS", "TOKEN"),
    }
)
_AT_THE_END = frozenset({"BEARER", "COOKIE", "JWT", "PASS", "PAT", "PRIVATE", "PWD"})
_GLUED = ("APIKEY", "PASSPHRASE", "PASSWD", "PASSWORD", "SECRET", "TOKEN")
"""Ends of words: ``PGPASSWORD``."""
_PAIRS = frozenset({("ACCESS", "KEY"), ("API", "KEY"), ("PRIVATE", "KEY"), ("SECRET", "KEY"), ("SEED", "PHRASE")})
_OPEN_KEYS = frozenset(
    {"CACHE", "COMPOSE", "FOREIGN", "GROUP", "HOT", "PARTITION", "PRIMARY", "PUB", "PUBLIC", "SHORTCUT", "SORT"}
)
"""Words before ``KEY`` that make it something that anybody may know."""
_SAID_OF = frozenset(
    {
        *("ALGORITHM", "COUNT", "DAYS", "DIR", "DIRECTORY", "ENABLED", "ENDPOINT", "EXPIRY", "FILE", "HEADER"),
        *("HELPER", "HOST", "ISSUER", "LENGTH", "LIMIT", "MODE", "NAME", "PATH", "POLICY", "PORT", "PREFIX"),
        *("PROVIDER", "REQUIRED", "SECONDS", "SIZE", "SUFFIX", "TIMEOUT", "TTL", "TYPE", "URI", "URL", "USER"),
        *("USERNAME", "VERSION"),
    }
)
"""Last words of names that say something of a secret and hold none: ``TOKEN_URL``, ``PASSWORD_STORE_DIR``."""

_STORES = frozenset(
    {"AMQP", "DATABASE", "DB", "MONGO", "MONGODB", "MYSQL", "POSTGRES", "POSTGRESQL", "RABBITMQ", "REDIS", "WEBHOOK"}
)
"""Words before ``URL`` or ``URI`` where these mostly hold a password, or are one."""
_LEADS = frozenset({"DOCKER_AUTH_CONFIG", "GPG_AGENT_INFO", "KUBECONFIG", "SSH_AUTH_SOCK", "XAUTHORITY"})
"""Names that no word gives away."""

_FORMS: tuple[tuple[str, str], ...] = (
    ("a private key", r"-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----"),
    ("a password in a URL", r"[A-Za-z][A-Za-z0-9+.-]{0,20}://[^\s/?#:@]{0,256}:(?![$<{%*])[^\s/?#@]{1,256}@"),
    ("an AWS access key", r"(?<![A-Za-z0-9])(?:AKIA|ASIA)[A-Z0-9]{16}(?![A-Za-z0-9])"),
    ("a GitHub token", r"(?<![A-Za-z0-9])(?:gh[pousr]_[A-Za-z0-9]{36}|github_pat_[A-Za-z0-9_]{22})"),
    ("a GitLab token", r"(?<![A-Za-z0-9])glpat-[A-Za-z0-9_-]{20}"),
    ("a Slack token", r"(?<![A-Za-z0-9])xox[abeoprs]-[A-Za-z0-9-]{10}"),
    ("a Slack webhook", r"://hooks\.slack\.com/(?:services|workflows)/[A-Za-z0-9/]{20}"),
    ("a Stripe key", r"(?<![A-Za-z0-9])[rs]k_live_[A-Za-z0-9]{16}"),
    ("an API key", r"(?<![A-Za-z0-9])sk-(?=[A-Za-z_-]{0,40}[0-9])[A-Za-z0-9_-]{20}"),
    ("a Google API key", r"(?<![A-Za-z0-9])AIza[A-Za-z0-9_-]{35}"),
    ("an npm token", r"(?<![A-Za-z0-9])npm_[A-Za-z0-9]{36}"),
    ("a PyPI token", r"(?<![A-Za-z0-9])pypi-AgE[A-Za-z0-9_-]{20}"),
    ("a Hugging Face token", r"(?<![A-Za-z0-9])hf_[A-Za-z0-9]{34}"),
    ("a JSON Web Token", r"(?<![A-Za-z0-9_-])eyJ[A-Za-z0-9_-]{10,2000}\.eyJ[A-Za-z0-9_-]{10}"),
)
_ANY_FORM = re.compile("|".join(f"({pattern})" for _, pattern in _FORMS))

_NO_SECRET = re.compile(
    r"(?i:true|false|yes|no|on|off|none|null|[0-9]{1,3})|[./~].*|<.*>|\$.*|\{.*\}|%.*|(.)\1*|\W*", re.DOTALL
)
"""Values that are none, whatever their name: words for yes and no, paths, places for a value, ``xxxx``."""


def leads_to_a_secret(name: str) -> bool:
    """Whether a variable of this name mostly holds a secret of the host's, or what leads to one."""
    words = _words(name)
    if name.upper() in _LEADS or words[-1:] == ["DSN"] or words[-2:] == ["CONNECTION", "STRING"]:
        return True
    return (len(words) > 1 and words[-1] in ("URL", "URI") and words[-2] in _STORES) or is_secret(name)


def is_secret(name: str) -> bool:
    """Whether what has this name mostly is a secret itself. Names of options (``api-key``) are taken as well."""
    words = _words(name)
    if not words or words[-1] in _SAID_OF:
        return False
    if any(word in _ANYWHERE or word.endswith(_GLUED) for word in words):
        return True
    if len(words) > 1 and words[-1] in _AT_THE_END:
        return True
    if any(pair in _PAIRS for pair in pairwise(words)):
        return True
    return len(words) > 1 and words[-1] == "KEY" and words[-2] not in _OPEN_KEYS


def form_of(value: str) -> str | None:
    """What kind of secret a text holds, by its form: ``a GitHub token``."""
    found = _ANY_FORM.search(value)
    return None if found is None or found.lastindex is None else _FORMS[found.lastindex - 1][0]


def may_be_one(value: str) -> bool:
    """Whether a value whose name says that it is a secret can be one."""
    return _NO_SECRET.fullmatch(value) is None


def _words(name: str) -> list[str]:
    return [word.upper() for word in _WORD.findall(name)]
