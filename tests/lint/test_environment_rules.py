"""Secrets in what a policy sets and passes on, and the whole environment: what is found where, and what is not."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox.lint.finding import Finding
from sandbox.lint.secrets import form_of, is_secret, leads_to_a_secret, may_be_one
from tests.lint.specimens import lint

OWN = ("inherited-secret", "literal-secret", "whole-environment")
ALNUM = "a1B2c3D4" * 30


def found(grants: str, place: Path) -> list[tuple[str, str, str]]:
    """Line and column, rule and message of what these rules find in a policy with these grants, from line 5 on."""
    return [
        (f"{f.region.line}:{f.region.column}-{f.region.end_column}", f.rule, f.message)
        for f in findings(grants, place)
        if f.rule in OWN
    ]


def findings(grants: str, place: Path) -> tuple[Finding, ...]:
    head = "version: 1\ncomponents:\n  app:\n    limits: {memory: 64MiB, deadline: 10s}\n"
    return lint(head + grants, place)


LEADING = """
    GITHUB_TOKEN GH_TOKEN CI_JOB_TOKEN NPM_TOKEN TOKEN TOKEN1 npm_token authToken AWS_SESSION_TOKEN
    SECRET CLIENT_SECRET SECRET_KEY_BASE AWS_SECRET_ACCESS_KEY AWS_ACCESS_KEY_ID VAULT_SECRET_ID
    PASSWORD DB_PASSWORD PGPASSWORD MYSQL_PWD DB_PASSWD GPG_PASSPHRASE SMTP_PASS SSHPASS
    API_KEY APIKEY OPENAI_API_KEY OPENAI_APIKEY STRIPE_KEY SSH_KEY SIGNING_KEY API_KEY_2 SSH_PRIVATE_KEY PRIVATE_KEY
    GOOGLE_APPLICATION_CREDENTIALS AWS_CREDENTIALS REGISTRY_CREDS SESSION_COOKIE GITHUB_PAT ACCESS_JWT WALLET_MNEMONIC
    DATABASE_URL DB_URL REDIS_URL MONGODB_URI SLACK_WEBHOOK_URL SENTRY_DSN DSN AZURE_STORAGE_CONNECTION_STRING
    SSH_AUTH_SOCK KUBECONFIG XAUTHORITY DOCKER_AUTH_CONFIG GPG_AGENT_INFO
"""
HARMLESS = """
    PATH HOME LANG LC_ALL TZ USER LOGNAME SHELL TERM EDITOR DISPLAY HOSTNAME TMPDIR PWD OLDPWD CI _ __ A1
    KEYBOARD KEYMAP MONKEY TURKEY KEY PUBLIC_KEY SSH_PUBLIC_KEY PRIMARY_KEY SORT_KEY CACHE_KEY XMODIFIERS_COMPOSE_KEY
    TOKENIZERS_PARALLELISM MAX_TOKENS TOKENIZER TOKEN_URL OAUTH_TOKEN_ENDPOINT TOKEN_TTL PASSWORD_STORE_DIR
    PASSWORD_FILE SSH_KEY_PATH SECRET_NAME PASSWORD_MIN_LENGTH CREDENTIAL_HELPER GIT_CREDENTIAL_HELPER
    SECRETARY PASSENGER COMPASS BYPASS PASS PATIENT PATH_PREFIX PATTERN COOKIECUTTER XDG_SESSION_TYPE GPG_TTY
    DESKTOP_SESSION XDG_SESSION_ID BASE_URL PROXY_URL URL HTTP_PROXY GOPRIVATE PRIVATEER PYTHONHASHSEED SSL_CERT_FILE
"""


def test_names_that_lead_to_secrets_are_told_from_others() -> None:
    """A name is read word by word; what only holds the letters of a secret, or says something of one, is none."""
    assert [name for name in LEADING.split() if not leads_to_a_secret(name)] == []
    assert [name for name in HARMLESS.split() if leads_to_a_secret(name)] == []


def test_what_leads_to_a_secret_need_not_be_one() -> None:
    """The address of a database, or the path of a file of keys, may be written down."""
    assert [name for name in LEADING.split() if not is_secret(name)] == [
        *("DATABASE_URL", "DB_URL", "REDIS_URL", "MONGODB_URI", "SLACK_WEBHOOK_URL", "SENTRY_DSN", "DSN"),
        *("AZURE_STORAGE_CONNECTION_STRING", "SSH_AUTH_SOCK", "KUBECONFIG", "XAUTHORITY", "DOCKER_AUTH_CONFIG"),
        "GPG_AGENT_INFO",
    ]


def test_inherited_secrets_stand_at_their_names(tmp_path: Path) -> None:
    """Each is found at its name, alone or with a default, in block style and in flow style; others are not."""
    grants = """\
    grants:
      environment:
        inherit:
          - LANG
          - "GITHUB_TOKEN" # for the release
          - {default: "", name: DB_PASSWORD}
          - name: API_KEY
            default: ""
  other:
    grants: {environment: {inherit: [PATH, TOKENIZERS_PARALLELISM, SSH_AUTH_SOCK]}}
    limits: {memory: 64MiB, deadline: 10s}
"""
    assert found(grants, tmp_path) == [
        ("9:13-27", "inherited-secret", "'GITHUB_TOKEN' looks like a secret, and its value on the host is passed on"),
        ("10:33-44", "inherited-secret", "'DB_PASSWORD' looks like a secret, and its value on the host is passed on"),
        ("11:19-26", "inherited-secret", "'API_KEY' looks like a secret, and its value on the host is passed on"),
        ("14:68-81", "inherited-secret", "'SSH_AUTH_SOCK' looks like a secret, and its value on the host is passed on"),
    ]


# Put together here, so that no scanner of repositories takes them for real ones.
FORMS = {
    "an AWS access key": ["AKIA" + "IOSFODNN7EXAMPLE", "ASIA" + "IOSFODNN7EXAMPLE", "--id=AKIA" + "IOSFODNN7EXAMPLE"],
    "a GitHub token": [*("gh" + kind + "_" + ALNUM[:36] for kind in "pousr"), "github" + "_pat_" + ALNUM[:30]],
    "a GitLab token": ["glpat" + "-" + ALNUM[:20]],
    "a Slack token": ["xoxb" + "-123456789012-" + ALNUM[:24]],
    "a Slack webhook": ["https://hooks.slack" + ".com/services/T0000000/B0000000/" + ALNUM[:24]],
    "a Stripe key": ["sk" + "_live_" + ALNUM[:24]],
    "an API key": ["sk" + "-proj-" + ALNUM[:40], "sk" + "-ant-api03-" + ALNUM[:40], "sk" + "-" + ALNUM[:48]],
    "a Google API key": ["AI" + "za" + ALNUM[:35]],
    "an npm token": ["npm" + "_" + ALNUM[:36]],
    "a PyPI token": ["pypi" + "-AgEIcHlwaS5vcmc" + ALNUM[:60]],
    "a Hugging Face token": ["hf" + "_" + ALNUM[:34]],
    "a JSON Web Token": ["Bearer ey" + f"J{ALNUM[:30]}.ey" + f"J{ALNUM[:30]}.{ALNUM[:40]}"],
    "a private key": [
        "-----BEGIN" + " PRIVATE KEY-----\nMIIEvQ\n",
        "-----BEGIN" + " OPENSSH PRIVATE KEY-----",
        "-----BEGIN" + " PGP PRIVATE KEY BLOCK-----",
    ],
    "a password in a URL": [
        "postgres://ann:hunter2@db.internal/reports",
        "redis://:hunter2@cache.internal",
        "see https://ann:hunter2@example.com/",
    ],
}
NO_FORM = [
    "",
    "hunter2",
    "AKIA",
    "XAKIA" + "IOSFODNN7EXAMPLE",
    "AKIA" + "IOSFODNN7EXAMPLE7",
    "ghp" + "_short",
    "npm_config_registry_and_much_more_that_is_no_token",
    "task" + "-" + ALNUM[:40],
    "sk" + "-learn-is-a-library-for-machine-learning",
    "pypi" + "-simple-index",
    "eyJhbGciOiJub25lIn0",
    "-----BEGIN CERTIFICATE-----",
    "-----BEGIN PUBLIC KEY-----",
    "https://example.com:8080/@scope/package",
    "https://example.com/a:b@c",
    "http://localhost:18080/news.xml?mail=ann:b@example.com",
    "https://ann@example.com/",
    "postgres://ann:${PASSWORD}@db.internal/",
    "postgres://ann:<password>@db.internal/",
    "postgres://ann:***@db.internal/",
    "ann:hunter2@example.com",
    "sha256:" + "0123456789abcdef" * 4,
]


def test_secrets_are_told_by_their_form() -> None:
    """Each kind is known by what its issuer puts before it; what merely begins like one is none."""
    told = {(kind, value): form_of(value) for kind, values in FORMS.items() for value in values}
    assert [value for (kind, value), form in told.items() if form != kind] == []
    assert [(value, form_of(value)) for value in NO_FORM if form_of(value) is not None] == []


@pytest.mark.parametrize(
    ("value", "may"),
    [
        ("hunter2", True),
        ("changeme", True),
        ("1234", True),
        ("correct horse", True),
        ("", False),
        ("true", False),
        ("No", False),
        ("off", False),
        ("0", False),
        ("443", False),
        ("/run/secrets/token", False),
        ("./token", False),
        ("~/.token", False),
        ("${TOKEN}", False),
        ("$TOKEN", False),
        ("<token>", False),
        ("{{ token }}", False),
        ("%TOKEN%", False),
        ("xxxxxxxx", False),
        ("********", False),
        ("...", False),
    ],
)
def test_a_value_that_cannot_be_a_secret_is_none(value: str, may: bool) -> None:
    """Words for yes and no, small numbers, paths and places for a value are none, whatever their name."""
    assert may_be_one(value) is may


def test_secrets_in_the_policy_stand_at_their_keys(tmp_path: Path) -> None:
    """Variables are found at their names, defaults at ``default``, arguments at ``arguments``."""
    token = "gh" + "p_" + ALNUM[:36]
    grants = f"""\
    grants:
      environment:
        set:
          TZ: UTC
          HARMLESS: "{token}"
          PASSWORD: hunter2
          TOKEN_URL: https://login.example.com/
          DEBUG_TOKEN: "true"
          KUBECONFIG: /etc/kube
          DATABASE_URL: sqlite:///data/report.db
        inherit:
          - {{name: LANG, default: "{token}"}}
      arguments:
        - --verbose
        - {token}
        - --password=hunter2
        - --api-key
        - 5f2b8c
        - --auth-token
        - --token=
        - --max-tokens=4096
        - --sort-key=name
        - --token-url
        - https://login.example.com/
        - --secret
"""
    known = "whoever reads the policy has it"
    assert found(grants, tmp_path) == [
        ("9:11-19", "literal-secret", f"the value of 'HARMLESS' holds a GitHub token: {known}"),
        ("10:11-19", "literal-secret", f"'PASSWORD' is a secret by its name, and its value stands here: {known}"),
        ("16:26-33", "literal-secret", f"the value of 'LANG' holds a GitHub token: {known}"),
        ("17:7-16", "literal-secret", f"argument 2 holds a GitHub token: {known}"),
        (
            "17:7-16",
            "literal-secret",
            f"'password' is a secret by its name, and its value stands in the arguments: {known}",
        ),
        (
            "17:7-16",
            "literal-secret",
            f"'api-key' is a secret by its name, and its value stands in the arguments: {known}",
        ),
    ]


def test_a_secret_that_follows_its_option_is_found_once(tmp_path: Path) -> None:
    """Where the value is told by its form, its option is not told as well."""
    token = "gh" + "p_" + ALNUM[:36]
    assert found(f"    grants: {{arguments: [--token, {token}]}}\n", tmp_path) == [
        ("5:14-23", "literal-secret", "argument 2 holds a GitHub token: whoever reads the policy has it")
    ]


def test_a_certain_secret_weighs_more_than_a_likely_one(tmp_path: Path) -> None:
    """By its form it is high, with certainty; by its name alone it is medium, and a guess."""
    grants = "    grants: {environment: {set: {A: 'redis://:pw@c', PASSWORD: hunter2}}}\n"
    assert [(f.severity, f.confidence) for f in findings(grants, tmp_path) if f.rule in OWN] == [
        ("high", "high"),
        ("medium", "low"),
    ]


@given(
    secret=st.sampled_from([*(value for values in FORMS.values() for value in values), "hunter2-correct-horse"]),
    form=st.sampled_from(
        [
            "environment: {{set: {{PASSWORD: {0}}}}}",
            "environment: {{inherit: [{{name: PASSWORD, default: {0}}}]}}",
            "arguments: [x, {0}]",
            "arguments: [--password, {0}]",
            'arguments: ["--password={1}"]',
        ]
    ),
)
def test_no_part_of_a_secret_is_in_a_finding(secret: str, form: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Neither the message nor the excerpt of the place has it, wherever it stands."""
    quoted = '"' + secret.replace("\n", "\\n") + '"'
    text = "    grants: {" + form.format(quoted, secret.replace("\n", "\\n")) + "}\n"
    place = tmp_path_factory.mktemp("specimen")
    for finding in findings(text, place):
        if finding.rule in OWN:
            shown = f"{finding.message}\n{finding.snippet}\n{finding.route}"
            assert not any(secret[at : at + 6] in shown for at in range(len(secret) - 5))


NEVER = "the whole environment is never granted: name the variables, as in {inherit: [LANG]}"


@pytest.mark.parametrize(
    ("environment", "column"),
    [
        ("inherit", "environment"),
        ("all", "environment"),
        ('"*"', "environment"),
        ("{inherit: all}", "inherit"),
        ("{inherit: inherit}", "inherit"),
        ("{inherit: '*'}", "inherit"),
        ("{inherit: [LANG, '*']}", "'*'"),
        ("{inherit: [{name: '*', default: ''}]}", "name"),
    ],
)
def test_the_whole_environment_is_found_by_its_own_rule(environment: str, column: str, tmp_path: Path) -> None:
    """However it is asked for, it is one finding, at the key or item that asks; nothing else is judged."""
    line = f"    grants: {{environment: {environment}}}"
    (finding,) = findings(line + "\n", tmp_path)
    assert (finding.rule, finding.message, finding.severity, finding.unjudged) == (
        "whole-environment",
        NEVER,
        "high",
        True,
    )
    assert (finding.region.line, finding.region.column) == (5, line.index(column) + 1)


@pytest.mark.parametrize("environment", ["{}", "{inherit: []}", "{inherit: [all, inherit]}", "{set: {A: inherit}}"])
def test_words_for_everything_are_names_and_values_elsewhere(environment: str, tmp_path: Path) -> None:
    """Variables may be called so, and hold such words."""
    assert found(f"    grants: {{environment: {environment}}}\n", tmp_path) == []


@pytest.mark.parametrize(
    "piece",
    [
        "a://",
        "a:b@",
        "://:",
        "-----BEGIN ",
        "eyJ",
        "eyJaaaaaaaaaa.",
        "sk-a",
        "ghp_",
        "xox",
        "AKIA",
        "A",
        " ",
        "x<",
        "%",
    ],
)
def test_searching_ends_for_any_text(piece: str) -> None:
    """A value as long as a policy may be is searched in a moment, whatever it repeats."""
    text = piece * (1_000_000 // len(piece))
    form_of(text)
    may_be_one(text)
    is_secret(text)


def test_a_long_list_is_looked_through_once(tmp_path: Path) -> None:
    """Thousands of options are each compared with what follows them alone."""
    options = ", ".join(f"--token-{number}, x{number}" for number in range(4000))
    assert len(found(f"    grants: {{arguments: [{options}]}}\n", tmp_path)) == 1000
