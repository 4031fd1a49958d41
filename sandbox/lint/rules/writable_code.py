"""A writable grant of what the host runs, or reads to know what to run."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache

from sandbox.lint.case import Case, HostUse
from sandbox.lint.exceptions import excepting, glob_of
from sandbox.lint.needs import named
from sandbox.lint.places import CODE, given_of, gives_nothing, held_in, paths_of, shown, spoken_for
from sandbox.lint.rule import Problem, Rule

_OPT = re.compile(r"/opt(?:/[^/]+)?|/opt/.+/(?:s?bin|lib(?:32|64|exec)?|etc)(?:/.*)?", re.DOTALL)
_TOOLS = re.compile(
    r"\.git|\.github|\.gitlab-ci\.ya?ml|\.githooks|\.husky|\.circleci|\.travis\.yml|\.drone\.yml|\.vscode|\.idea"
    r"|\.devcontainer|\.envrc|\.direnv|\.pre-commit-config\.yaml|\.venv|\.bashrc|\.profile|\.zshrc|\.gitconfig"
)
"""What no component needs that works on a project's files: its tools' own."""
_BUILD = re.compile(
    r"makefile|gnumakefile|.*\.mk|justfile|rakefile|jenkinsfile|dockerfile|containerfile|(?:docker-)?compose\.ya?ml"
    r"|package\.json|pyproject\.toml|setup\.(?:py|cfg)|conftest\.py|tox\.ini|noxfile\.py|cargo\.toml|build\.rs"
    r"|cmakelists\.txt|gemfile|go\.mod|pom\.xml|build\.gradle(?:\.kts)?|azure-pipelines\.yml|node_modules"
    r"|site-packages|.*\.service|.*\.timer|crontab",
    re.DOTALL,
)


def _check(case: Case) -> Iterator[Problem]:
    for use in case.uses:
        if use.writable and spoken_for(case, use) is None and not gives_nothing(use):
            found = _known(case, use)
            if found is None:
                found = _project(case, use)
            if found is not None:
                yield found


def _known(case: Case, use: HostUse) -> Problem | None:
    """By path: the system's own, the user's, this program's, and wherever commands are looked for."""
    home = case.machine.home
    path = shown(use.thing.absolute, home)
    place = held_in(use, CODE, home) or next((p for p in paths_of(use) if _OPT.fullmatch(p)), None)
    place = place or next((code for code in case.machine.code if use.inside(code)), None)
    if place is None and not use.directory:
        above = [own.rpartition("/")[0] for own in paths_of(use)]
        place = next((programs for programs in case.machine.programs if programs in above), None)
    if place is not None:
        where = shown(place, home)
        part = "" if where == path else f", in {where}"
        return Problem(
            route=use.route, message=f"{path} is writable{part}: the host runs code, or takes its settings, there"
        )
    places = [*given_of(case, use, CODE), *(p for p in _ambient(case) if use.directory and case.gives(use, p))]
    if not places:
        return None
    names = named(dict.fromkeys(shown(place, home) for place in places))
    return Problem(route=use.route, message=f"{path} is writable, and with it what the host runs, or reads, in {names}")


def _ambient(case: Case) -> tuple[str, ...]:
    return (*case.machine.code, *case.machine.programs)


def _project(case: Case, use: HostUse) -> Problem | None:
    """By name: what makes a directory one in which a build, a hook or an editor runs something."""
    if not use.directory:
        name = use.thing.absolute.rpartition("/")[2]
        found = [name] if _runs(name) else []
    else:
        root = use.thing.real.rstrip("/")
        named_so = (path for path, _ in use.contents if _runs(path.rpartition("/")[2]))
        found = [path for path in named_so if case.gives(use, f"{root}/{path}")]
    if not found:
        return None
    names = dict.fromkeys(path.rpartition("/")[2] for path in found)
    only_tools = all(_TOOLS.fullmatch(name.lower()) for name in names)
    return Problem(
        route=use.route,
        message=f"a build, a hook or an editor would run what is written to {named(found)}",
        severity="medium",
        confidence="medium",
        fix=excepting(case, use, [f"**/{glob_of(name)}" for name in names]) if only_tools else None,
    )


@lru_cache(maxsize=4096)
def _runs(name: str) -> bool:
    small = name.lower()
    return _TOOLS.fullmatch(small) is not None or _BUILD.fullmatch(small) is not None


RULE = Rule(
    id="writable-code",
    summary="what the host runs, or reads to know what to run, is granted for writing",
    severity="high",
    confidence="high",
    check=_check,
    rests_on="machine",
)
