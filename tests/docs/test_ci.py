"""The GitHub Action, the hooks for pre-commit, and their page: run as far as one machine can."""

from __future__ import annotations

import fcntl
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from urllib.parse import unquote

import pytest
import yaml

from sandbox.component import facts_of
from tests.docs.pages import GIT, ROOT, blocks, read
from tests.docs.runner import Ran, Runner, action
from tests.docs.test_pages import prose
from tests.lint.specimens import component

PAGE = "docs/ci.md"
PINNED = re.compile(r"[\w.-]+/[\w./-]+@[0-9a-f]{40} # v[\d.]+")
"""An action by its commit, with the version that this is."""
POLICY = """\
version: 1
components:
  report:
    source: report.wasm
    digest: DIGEST
    grants:
      filesystem:
        - {host: ./data, guest: /data, access: read}
      stdio: {stdout: inherit}
    limits: {memory: 64MiB, deadline: 10s}
"""
WATCHED = POLICY.replace(
    "    source: report.wasm\n    digest: DIGEST\n",
    "    # sandbox: ignore[unpinned-component] the lock watches it\n    source: report.wasm\n",
)
ROOTED = POLICY.replace("./data,", "/,")
IMPORTS = ["wasi:cli/stdout", "wasi:filesystem/types", "wasi:filesystem/preopens"]


def git(folder: Path, *arguments: str) -> str:
    variables = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")} | GIT
    line = ["git", *arguments]
    return subprocess.run(line, cwd=folder, env=variables, check=True, capture_output=True, text=True).stdout


def write(folder: Path, policy: str, imports: list[str] = IMPORTS) -> None:
    """Put a policy, its component and its data into a folder."""
    (folder / "data").mkdir(parents=True, exist_ok=True)
    (folder / "data" / "kept").touch()
    binary = component(imports)
    (folder / "report.wasm").write_bytes(binary)
    digest = facts_of("report.wasm", binary).digest
    (folder / "report.yaml").write_text(policy.replace("DIGEST", digest), encoding="utf-8")


def commit(folder: Path) -> None:
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", "--message", "reviewed")


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    """A repository with a policy that nothing is wrong with."""
    folder = tmp_path / "workspace"
    write(folder / "policies", POLICY)
    git(folder, "init", "--quiet", "--initial-branch", "main")
    commit(folder)
    return folder


# What takes long is done once for all tests of the session, and for all its processes.


@pytest.fixture(scope="session")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if os.environ.get("PYTEST_XDIST_WORKER") else base) / "ci"
    folder.mkdir(exist_ok=True)
    return folder


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Until the end no other process of the session is at it."""
    with open(folder / "lock", "w", encoding="utf-8") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


@pytest.fixture(scope="session")
def project(shared: Path) -> Path:
    """A clean clone of what others install."""
    folder = shared / "wasi-sandbox"
    with alone(shared):
        if not folder.exists():
            making = shared / "making"
            shutil.copytree(ROOT / "sandbox", making / "sandbox", ignore=shutil.ignore_patterns("__pycache__"))
            for name in ("pyproject.toml", "README.md", "action.yml", ".pre-commit-hooks.yaml"):
                shutil.copy2(ROOT / name, making)
            git(making, "init", "--quiet", "--initial-branch", "main")
            commit(making)
            git(making, "tag", "v0.1.0")
            making.rename(folder)
    return folder


def need_registry(failed: str) -> None:
    """Skip where ``failed`` did because nothing can be installed here, but never in the continuous integration."""
    with TemporaryDirectory() as place:
        asking = [sys.executable, "-m", "pip", "download", "--no-deps", "--no-cache-dir", "--dest", place, "hatchling"]
        asked = subprocess.run(asking, capture_output=True, text=True, check=False)
    if asked.returncode and "CI" not in os.environ:
        pytest.skip("nothing can be installed here: no package index has what a build needs")
    pytest.fail(failed)


@pytest.fixture(scope="session")
def installed(project: Path, shared: Path) -> Path:
    """The environment that the action's own step made."""
    with alone(shared):
        own = shared / "runner"
        made = own / "temp" / "wasi-sandbox"
        if not own.exists():
            (shared / "empty").mkdir()
            ran = Runner(project, shared / "empty", own).run({}, only="Install")
            (own / "ran").write_text(json.dumps([ran.statuses, ran.step("Install").printed]), encoding="utf-8")
        statuses, printed = json.loads((own / "ran").read_text(encoding="utf-8"))
    if statuses != [["Install", 0]]:
        need_registry(printed)
    return made


Job = Callable[..., Ran]


@pytest.fixture
def job(project: Path, installed: Path, workspace: Path, tmp_path: Path) -> Job:
    """The action in a job on ``workspace``, with what was installed before."""
    runner = Runner(project, workspace, tmp_path / "runner")
    (runner.temporary / "wasi-sandbox").symlink_to(installed)
    return lambda **inputs: runner.run({k.replace("_", "-"): v for k, v in inputs.items()}, done="Install")


SETUP, UPLOAD = ("actions/setup-python", None), ("Upload", None)


def results(ran: Ran) -> list[tuple[str, str, int]]:
    """Of the SARIF file: rule, file and line of each result that is not suppressed."""
    (run,) = json.loads(Path(ran.outputs["sarif"]).read_text(encoding="utf-8"))["runs"]
    found = [(r["ruleId"], r["locations"][0]["physicalLocation"]) for r in run["results"] if "suppressions" not in r]
    return [(rule, place["artifactLocation"]["uri"], place["region"]["startLine"]) for rule, place in found]


# The action's file.


STEP_KEYS = {"name", "id", "if", "env", "shell", "run", "uses", "with"}


def test_the_action_has_the_keys_of_a_composite_action() -> None:
    """And no others: GitHub refuses an action that has."""
    said = action()
    assert sorted(said) == ["branding", "description", "inputs", "name", "outputs", "runs"]
    assert sorted(said["runs"]) == ["steps", "using"]
    assert said["runs"]["using"] == "composite"
    assert {name: sorted(about) for name, about in said["inputs"].items()} == {
        name: ["default", "description"] for name in said["inputs"]
    }
    assert [about for about in said["inputs"].values() if not isinstance(about["default"], str)] == []
    assert {name: sorted(about) for name, about in said["outputs"].items()} == {"sarif": ["description", "value"]}
    steps = said["runs"]["steps"]
    assert [step for step in steps if not set(step) <= STEP_KEYS] == []
    assert [step for step in steps if ("run" in step) == ("uses" in step) or ("shell" in step) != ("run" in step)] == []


def test_what_the_action_uses_is_pinned_to_commits() -> None:
    """Each other action by the digits of a commit, with its version behind them; and on the page alike."""
    for text in ((ROOT / "action.yml").read_text(encoding="utf-8"), workflow_text()):
        used = re.findall(r"uses: (.*)", text)
        assert used
        assert [line for line in used if PINNED.fullmatch(line) is None] == []


def test_scripts_hold_no_expressions() -> None:
    """What somebody else chose, such as a branch's name, comes to a script as a variable and never as its text."""
    assert [step["name"] for step in action()["runs"]["steps"] if "${{" in step.get("run", "")] == []


def test_every_input_is_used() -> None:
    """Those that are declared are those of the expressions."""
    named = set(re.findall(r"\binputs\.([\w-]+)", (ROOT / "action.yml").read_text(encoding="utf-8")))
    assert named == set(action()["inputs"])


# The action's steps.


def test_the_action_installs_itself(installed: Path) -> None:
    """What it installs is the command, of the version that the project has."""
    ran = subprocess.run([installed / "bin" / "sandbox", "--version"], capture_output=True, text=True, check=True)
    version = re.findall(r'^version = "(.*)"$', (ROOT / "pyproject.toml").read_text("utf-8"), re.MULTILINE)
    assert [ran.stdout] == [f"wasi-sandbox {v}\n" for v in version]


def test_a_policy_that_nothing_is_wrong_with(job: Job) -> None:
    """The file of findings is written and given to the upload; what was not asked for is not done."""
    ran = job()
    assert ran.statuses == [SETUP, ("Lint", 0), UPLOAD, ("Annotate", 0)]
    assert ran.step("actions/setup-python").given == {"python-version": "3.13"}
    assert ran.step("Upload").given == {"sarif_file": ran.outputs["sarif"], "category": "wasi-sandbox"}
    assert results(ran) == []
    assert (ran.step("Annotate").printed, ran.summary) == ("no findings in 1 policy\n", "")


def test_a_finding_fails_the_job_once_it_was_uploaded(job: Job, workspace: Path) -> None:
    """It is in the file, with the address of its rule's page, and at its line of the pull request."""
    write(workspace / "policies", ROOTED)
    ran = job()
    assert ran.statuses == [SETUP, ("Lint", 0), UPLOAD, ("Annotate", 1)]
    assert results(ran) == [("sandbox/grants-root", "policies/report.yaml", 8)]
    (run,) = json.loads(Path(ran.outputs["sarif"]).read_text(encoding="utf-8"))["runs"]
    pages = {rule["id"]: rule["helpUri"] for rule in run["tool"]["driver"]["rules"]}
    commit_ = "0123456789abcdef0123456789abcdef01234567"
    assert (
        pages["sandbox/grants-root"]
        == f"https://github.com/example/wasi-sandbox/blob/{commit_}/sandbox/lint/rules/grants_root.md"
    )
    assert ran.step("Annotate").printed == (
        "::error file=policies/report.yaml,line=8,endLine=8,col=18,endColumn=19,title=grants-root::"
        "the root directory is granted: every file of the host can be read\n"
        "1 finding (1 high) in 1 policy\n"
    )


def test_below_the_threshold_nothing_fails(job: Job, workspace: Path) -> None:
    """What is less severe is neither in the file nor annotated."""
    write(workspace / "policies", POLICY.replace("    digest: DIGEST\n", ""))
    medium, high = job(upload="false"), job(upload="false", min_severity="high")
    assert medium.statuses == [SETUP, ("Lint", 0), ("Annotate", 1)]
    assert high.statuses == [SETUP, ("Lint", 0), ("Annotate", 0)]
    assert results(high) == []


def test_what_cannot_be_judged_fails(job: Job, workspace: Path) -> None:
    """A fault of a policy is uploaded and annotated; where there is no policy, nothing is."""
    (workspace / "policies" / "report.yaml").write_text("components: [\n", encoding="utf-8")
    faulty, none = job(), job(paths="policies/data\n")
    assert faulty.statuses == [SETUP, ("Lint", 0), UPLOAD, ("Annotate", 2)]
    assert [rule for rule, _, _ in results(faulty)] == ["sandbox/invalid-policy"]
    assert none.statuses == [SETUP, ("Lint", 2), ("Annotate", 2)]
    assert none.outputs == {"sarif": ""}
    assert none.step("Lint").printed == (
        "sandbox: no policy was found in policies/data: a policy is a YAML file with `components`\n"
    )


GAIN = POLICY.replace("access: read", "access: write").replace("10s}", "10s, disk: 1MiB}")


@pytest.mark.parametrize(("fail", "status"), [("false", 0), ("true", 1)])
def test_a_gained_capability_is_in_the_summary(fail: str, status: int, job: Job, workspace: Path) -> None:
    """It fails the job where that was asked for; the annotations are made all the same."""
    write(workspace / "policies", GAIN)
    ran = job(compare_with="main", fail_on_gain=fail, upload="false")
    assert ran.statuses == [SETUP, ("Lint", 0), ("Compare capabilities", status), ("Annotate", 0)]
    assert ran.summary == (
        "### Capabilities\n\n1 gained, 1 lost, 0 changed in 1 policy.\n\n"
        "- **gained**: `report: can now write /data` (`policies/report.yaml:8`)\n"
        "- lost: `report: may write 1 MiB to files, no longer 256 MiB` (`main:policies/report.yaml:10`)\n"
    )


def test_a_revision_that_is_not_there_fails(job: Job) -> None:
    """A clone that is too shallow is no pass, whatever was asked for."""
    ran = job(compare_with="origin/main", upload="false")
    assert ran.statuses == [SETUP, ("Lint", 0), ("Compare capabilities", 2), ("Annotate", 0)]
    assert (ran.step("Compare capabilities").printed, ran.summary) == (
        "sandbox: 'origin/main' is no revision of the Git repository that holds .; was it fetched?\n",
        "",
    )


def test_components_are_checked_against_their_lock(job: Job, workspace: Path, installed: Path) -> None:
    """One that was exchanged fails the job, by the lock alone and by the rule about it."""
    write(workspace / "policies", WATCHED)
    without = job(lock="true", upload="false")
    assert without.statuses == [SETUP, ("Lint", 0), ("Check the lock", 1), ("Annotate", 0)]
    subprocess.run([installed / "bin" / "sandbox", "lock"], cwd=workspace, check=True, capture_output=True)
    same = job(lock="true", upload="false")
    assert same.statuses == [SETUP, ("Lint", 0), ("Check the lock", 0), ("Annotate", 0)]
    write(workspace / "policies", WATCHED, [*IMPORTS, "wasi:sockets/tcp"])
    other = job(lock="true", upload="false")
    assert other.statuses == [SETUP, ("Lint", 0), ("Check the lock", 1), ("Annotate", 1)]
    assert [rule for rule, _, _ in results(other)] == ["sandbox/widened-component"]


def test_everything_at_once_and_in_order(job: Job, workspace: Path, installed: Path) -> None:
    """What fails first ends the checks, but for the annotations, which come last."""
    subprocess.run([installed / "bin" / "sandbox", "lock"], cwd=workspace, check=True, capture_output=True)
    whole = job(compare_with="HEAD", fail_on_gain="true", lock="true")
    compare, lock = "Compare capabilities", "Check the lock"
    assert whole.statuses == [SETUP, ("Lint", 0), UPLOAD, (compare, 0), (lock, 0), ("Annotate", 0)]
    write(workspace / "policies", GAIN)
    gained = job(compare_with="HEAD", fail_on_gain="true", lock="true")
    assert gained.statuses == [SETUP, ("Lint", 0), UPLOAD, (compare, 1), ("Annotate", 0)]


HOSTILE = (
    "$(touch pwned)`touch pwned`",
    "; touch pwned #",
    "x\ntouch pwned\n",
    "'\" && touch pwned && \"'",
    "--output=pwned",
    "--fix",
    "a b * ? [c] ${IFS}",
)


@pytest.mark.parametrize("value", HOSTILE)
def test_inputs_are_values_and_nothing_else(value: str, job: Job, workspace: Path, tmp_path: Path) -> None:
    """Whatever an input says, none of it is a command or an option; what makes no sense fails the job."""
    write(workspace / "policies", POLICY.replace(", deadline: 10s", ""))
    before = (workspace / "policies" / "report.yaml").read_bytes()
    for name in ("paths", "min_severity", "compare_with"):
        given = {"min_severity": "low", "compare_with": "HEAD", "lock": "true", "upload": "false", name: value}
        ran = job(**given)
        assert [status for _, status in ran.statuses if status] != []
    ran = job(upload=value, fail_on_gain=value, lock=value, python_version=value, min_severity="low")
    assert ran.statuses == [SETUP, ("Lint", 0), ("Annotate", 1)]
    assert ran.step("actions/setup-python").given == {"python-version": value}
    assert [path for path in tmp_path.rglob("*") if "pwned" in path.name] == []
    assert (workspace / "policies" / "report.yaml").read_bytes() == before


def test_paths_of_any_name_are_found(job: Job, workspace: Path) -> None:
    """Spaces, quotes and what a shell would act on are part of a name; each line is one path."""
    names = ["a b", "$(touch pwned)", "'; touch pwned; '", '"x"', "*", "-x"]
    for name in names:
        write(workspace / name, ROOTED)
    shutil.rmtree(workspace / "policies")
    ran = job(paths="".join(f"{name}\n" for name in names), upload="false")
    assert [unquote(file) for _, file, _ in results(ran)] == [f"{name}/report.yaml" for name in names]
    assert ran.statuses == [SETUP, ("Lint", 0), ("Annotate", 1)]
    assert not (workspace / "pwned").exists()


# The page.


def snippet(file: str) -> str:
    """The block of the page that is this file."""
    (text,) = (block.text for block in blocks(read(PAGE)) if block.file == file)
    return text


def workflow_text() -> str:
    """The workflow of the page, with a commit in place of the word for one."""
    return snippet(".github/workflows/sandbox.yml").replace("@COMMIT", f"@{'0' * 40}")


def workflow() -> dict[Any, Any]:
    said = yaml.safe_load(workflow_text())
    assert isinstance(said, dict)
    return said


def test_the_workflow_on_the_page_gives_what_the_action_takes() -> None:
    """Its inputs are declared, and its token can do no more than the action needs."""
    said = workflow()
    (job,) = said["jobs"].values()
    assert (said["permissions"], job["permissions"]) == ({}, {"contents": "read", "security-events": "write"})
    checkout, uses = job["steps"]
    assert checkout["with"] == {"fetch-depth": 0, "persist-credentials": False}
    assert set(uses["with"]) <= set(action()["inputs"])
    assert [value for value in uses["with"].values() if not isinstance(value, str)] == []


def test_the_page_has_every_input_of_the_action() -> None:
    """Each in a row of its table, with its default."""
    table = re.findall(r"^\| `([\w-]+)` \| `(.*?)` \|", prose(read(PAGE)), re.MULTILINE)
    assert table == [(name, about["default"] or '""') for name, about in action()["inputs"].items()]


def test_the_commands_for_other_services_work(workspace: Path, installed: Path) -> None:
    """All but the one that installs, on a branch that gains nothing; and each fails on one that does."""
    first, *commands = next(block.text for block in blocks(read(PAGE)) if block.kind == "sh").splitlines()
    assert first.startswith("pip install wasi-sandbox")
    git(workspace, "update-ref", "refs/remotes/origin/main", "HEAD")
    subprocess.run([installed / "bin" / "sandbox", "lock"], cwd=workspace, check=True, capture_output=True)
    variables = {**os.environ, "PATH": f"{installed / 'bin'}{os.pathsep}{os.environ['PATH']}"}

    def statuses() -> list[int]:
        return [subprocess.run(["sh", "-c", c], cwd=workspace, env=variables, check=False).returncode for c in commands]

    assert statuses() == [0, 0, 0, 0]
    assert "no findings" in (workspace / "findings.xml").read_text(encoding="utf-8")
    write(workspace / "policies", ROOTED, [*IMPORTS, "wasi:random/random"])
    assert statuses() == [1, 1, 1, 1]


def test_the_page_says_which_steps_were_not_run() -> None:
    """Those that use other actions, by name and version."""
    used = re.findall(r"uses: (.*?)@\w+ # v([\d.]+)", (ROOT / "action.yml").read_text("utf-8") + workflow_text())
    below = read(PAGE).split("\n## How far this was run\n", 1)[1]
    wanted = [f"`{name}` {version}" for name, version in used if "wasi-sandbox" not in name]
    assert wanted
    assert [words for words in wanted if words not in re.sub(r"\s+", " ", below)] == []


# pre-commit.


class Hooks:
    """pre-commit in a repository, with what it installs kept for the session."""

    def __init__(self, project: Path, shared: Path, workspace: Path) -> None:
        self.project, self.workspace = project, workspace
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("GIT_", "PRE_COMMIT"))}
        self._environment = {
            **kept,
            **GIT,
            "PRE_COMMIT_HOME": str(shared / "pre-commit"),
            "VIRTUALENV_OVERRIDE_APP_DATA": str(shared / "virtualenv"),
            "PRE_COMMIT_COLOR": "never",
        }

    def __call__(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "pre_commit", *arguments],
            cwd=self.workspace,
            env=self._environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
            timeout=180,
            check=False,
        )

    def configure(self) -> None:
        """Take the page's configuration, with the clone in place of the address."""
        text = snippet(".pre-commit-config.yaml").replace("https://github.com/OWNER/wasi-sandbox", str(self.project))
        (self.workspace / ".pre-commit-config.yaml").write_text(text, encoding="utf-8")
        git(self.workspace, "add", ".pre-commit-config.yaml")


@pytest.fixture
def hooks(project: Path, shared: Path, workspace: Path) -> Hooks:
    """pre-commit with the page's configuration, and the hooks installed."""
    found = Hooks(project, shared, workspace)
    found.configure()
    with alone(shared):
        ran = found("install-hooks")
    if ran.returncode:
        need_registry(ran.stdout)
    return found


def outcome(ran: subprocess.CompletedProcess[str]) -> tuple[int, list[tuple[str, str]]]:
    """The status, and the id and the end of each hook."""
    ends = re.findall(r"\.\.+(?:\(.*?\))?(Passed|Failed|Skipped)$", ran.stdout, re.MULTILINE)
    return ran.returncode, list(zip(["sandbox-lint", "sandbox-lock"], ends, strict=True))


def test_the_hooks_are_hooks() -> None:
    """By the judgement of pre-commit, which takes no unknown key either."""
    ran = subprocess.run(
        [sys.executable, "-m", "pre_commit", "validate-manifest", str(ROOT / ".pre-commit-hooks.yaml")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, "", "")


def test_hooks_pass_what_nothing_is_wrong_with(hooks: Hooks, installed: Path, workspace: Path) -> None:
    """With the configuration on the page, in a repository with a policy and its lock."""
    subprocess.run([installed / "bin" / "sandbox", "lock"], cwd=workspace, check=True, capture_output=True)
    git(workspace, "add", "--all")
    assert outcome(hooks("run")) == (0, [("sandbox-lint", "Skipped"), ("sandbox-lock", "Passed")])
    assert outcome(hooks("run", "--all-files")) == (0, [("sandbox-lint", "Passed"), ("sandbox-lock", "Passed")])


def test_hooks_fail_on_findings_and_on_other_components(hooks: Hooks, installed: Path, workspace: Path) -> None:
    """A finding in a staged policy fails the one, a component that is not the locked one the other."""
    subprocess.run([installed / "bin" / "sandbox", "lock"], cwd=workspace, check=True, capture_output=True)
    write(workspace / "policies", ROOTED)
    git(workspace, "add", "--all")
    ran = hooks("run")
    assert outcome(ran) == (1, [("sandbox-lint", "Failed"), ("sandbox-lock", "Passed")])
    assert "policies/report.yaml:8:18: high[grants-root]: the root directory is granted" in ran.stdout
    write(workspace / "policies", POLICY, [*IMPORTS, "wasi:random/random"])
    git(workspace, "add", "--all")
    ran = hooks("run", "sandbox-lock")
    assert (ran.returncode, "report could now take secure random numbers" in ran.stdout) == (1, True), ran.stdout


def test_the_hooks_can_be_tried(hooks: Hooks, workspace: Path) -> None:
    """`pre-commit try-repo` of a clone runs them as well."""
    write(workspace / "policies", ROOTED)
    ran = hooks("try-repo", str(hooks.project), "sandbox-lint", "--files", "policies/report.yaml")
    assert (ran.returncode, "high[grants-root]" in ran.stdout) == (1, True), ran.stdout


def test_other_files_are_not_linted() -> None:
    """The hook is given YAML files that are called policies, or are in a folder that is."""
    said = yaml.safe_load((ROOT / ".pre-commit-hooks.yaml").read_text(encoding="utf-8"))
    (hook,) = (hook for hook in said if hook["id"] == "sandbox-lint")
    names: Mapping[str, bool] = {
        "policies/report.yaml": True,
        "deploy/policy.yml": True,
        "policy-report.yaml": True,
        ".github/workflows/policies.yml": False,
        "compose.yaml": False,
        "docs/policymaking.yaml": False,
    }
    files, exclude = (re.compile(hook[key]) for key in ("files", "exclude"))
    assert {name: bool(files.search(name) and not exclude.search(name)) for name in names} == names
