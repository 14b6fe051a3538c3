"""What runs beside a developer's own commands calls what is there: workflows, hooks, forms, versions, spelling."""

import itertools
import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import ranges
from colab import VERSIONS, names
from notebooks import ROOT, notebooks_branch, repository
from pin import ABOVE_THE_FLOORS, PYTHONS, colab, floors, hub_tests, pins

WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
WEEKLY = ROOT / ".github" / "workflows" / "weekly.yml"
FORMS = [path for path in sorted((ROOT / ".github" / "ISSUE_TEMPLATE").glob("*.yml")) if path.name != "config.yml"]
PINNED = r"actions/[a-z-]+@v\d+"

each_workflow = pytest.mark.parametrize("path", WORKFLOWS, ids=[path.stem for path in WORKFLOWS])
each_form = pytest.mark.parametrize("path", FORMS, ids=[path.stem for path in FORMS])


def read(path: Path) -> Any:
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def steps(path: Path) -> Iterator[dict[str, Any]]:
    for job in read(path)["jobs"].values():
        yield from job["steps"]


def scripts(path: Path) -> Iterator[str]:
    """What a workflow runs in a shell, each command of its matrix in its place."""
    for job in read(path)["jobs"].values():
        legs = job.get("strategy", {}).get("matrix", {}).get("include", [{}])
        runs = [step["run"] for step in job["steps"] if "run" in step]
        for leg, run in itertools.product(legs, runs):
            for name, value in leg.items():
                run = run.replace(f"${{{{ matrix.{name} }}}}", value)
            yield run


def triggers(path: Path) -> dict[str, Any]:
    return read(path)[True]  # YAML 1.1 reads the key `on` as true


@each_workflow
def test_a_workflow_may_only_read_unless_a_job_says_more(path: Path):
    assert read(path)["permissions"] == {"contents": "read"}


@each_workflow
def test_a_workflow_uses_official_actions_by_their_major_version(path: Path):
    used = [step["uses"] for step in steps(path) if "uses" in step]
    assert used
    assert [name for name in used if not re.fullmatch(PINNED, name)] == []


@each_workflow
def test_a_workflow_needs_no_secret(path: Path):
    assert "secrets." not in path.read_text(encoding="utf-8")


@each_workflow
def test_what_a_workflow_makes_has_a_target(path: Path):
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    text = path.read_text(encoding="utf-8")
    commands = re.findall(r"(?:run: |command: |^ +)make ([a-z -]+)$", text, re.MULTILINE)
    assert commands or "bash .ci/run" in text
    assert {name for command in commands for name in command.split()} <= targets


@each_workflow
def test_a_shell_can_read_what_a_workflow_runs(path: Path):
    for script in scripts(path):
        assert "${{" not in script
        subprocess.run(["bash", "-n", "-c", script], check=True)


def test_with_the_lowest_versions_all_tests_run_that_need_no_library_above_them():
    listed, every = (set(ranges.tests(ranges.Range(kind, "3.11"))) for kind in ("floors", "newest"))
    assert {ROOT / path for path in every - listed} == hub_tests(ROOT)
    assert len(listed) > 100
    for path in listed:
        found = imported(ROOT / path)
        for helper in [path for name in found if (path := ROOT / "tests" / f"{name}.py").exists()]:
            found |= imported(helper)
        assert found.isdisjoint(ABOVE_THE_FLOORS), path


def imported(path: Path) -> set[str]:
    """The modules that a file imports at once, not only when a function of it is called."""
    return set(re.findall(r"^(?:from|import) (\w+)", path.read_text(encoding="utf-8"), re.MULTILINE))


@each_workflow
def test_a_push_counts_on_the_branch_of_the_configuration(path: Path):
    push = triggers(path).get("push", {"branches": [repository(ROOT)["branch"]]})
    assert push["branches"] == [repository(ROOT)["branch"]]


def test_every_version_of_the_weekly_run_can_be_pinned():
    matrix = read(WEEKLY)["jobs"]["versions"]["strategy"]["matrix"]["include"]
    names = [leg["versions"] for leg in matrix]
    assert names == ["newest", "colab", "floors"]


def git(folder: Path, *words: str) -> list[str]:
    said = subprocess.run(["git", *words], cwd=folder, capture_output=True, text=True, check=True).stdout
    return said.splitlines()


def test_the_made_notebooks_are_published_on_their_branch_alone_and_without_a_past(tmp_path: Path):
    (publish,) = (step["run"] for step in steps(ROOT / ".github/workflows/pages.yml") if step.get("name") == "publish")
    origin, clone = tmp_path / "origin.git", tmp_path / "clone"
    git(tmp_path, "init", "--quiet", "--bare", str(origin))
    git(tmp_path, "clone", "--quiet", str(origin), str(clone))
    (clone / ".gitignore").write_text("/_build/\n")
    (clone / "chapter.md").write_text("source")
    git(clone, "add", ".")
    git(clone, "-c", "user.name=a", "-c", "user.email=a@example.org", "commit", "--quiet", "--no-gpg-sign", "-m", "one")
    made = clone / "_build" / "notebooks" / "book"
    made.mkdir(parents=True)
    environment = {**os.environ, "RUNNER_TEMP": str(tmp_path), "GITHUB_SHA": "abc"}
    for name in ("first.ipynb", "second.ipynb"):
        (made / name).write_text("{}")
        subprocess.run(["bash", "-e", "-c", publish], cwd=clone, env=environment, check=True, capture_output=True)
        (made / name).rename(made / "kept.ipynb")
    branch = notebooks_branch(ROOT)
    assert git(origin, "ls-tree", "-r", "--name-only", branch) == ["book/kept.ipynb", "book/second.ipynb"]
    assert git(origin, "rev-list", "--count", branch) == ["1"]
    assert git(clone, "status", "--porcelain") == []


@each_form
def test_a_form_asks_for_something_and_each_answer_has_its_own_name(path: Path):
    form = read(path)
    names = [field["id"] for field in form["body"]]
    assert len(names) == len(set(names))
    assert any(field.get("validations", {}).get("required") for field in form["body"])


def test_every_hook_runs_a_program_of_the_environment():
    (local,) = read(ROOT / ".pre-commit-config.yaml")["repos"]
    assert local["repo"] == "local"
    assert all(hook["language"] == "system" for hook in local["hooks"])
    assert all(re.search(r"(^|[ /])(\.venv|node_modules/\.)\S*bin/", hook["entry"]) for hook in local["hooks"])


def test_a_floor_is_the_lowest_version_that_the_package_allows():
    lowest = {requirement.name: requirement for requirement in map(Requirement, floors(ROOT))}
    assert {"torch", "numpy", "anywidget"} <= set(lowest)
    assert all(str(requirement.specifier).startswith("==") for requirement in lowest.values())


def test_colabs_versions_are_exact_and_allowed_by_the_package():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    allowed = {canonicalize_name(one.name): one.specifier for one in map(Requirement, project["dependencies"])}
    lines = [line for line in VERSIONS.read_text(encoding="utf-8").splitlines() if not line.startswith("#")]
    pinned = {canonicalize_name(name): version for name, version in (line.split("==") for line in lines)}
    assert names("\n".join(lines)) == set(pinned)
    assert all(pinned[name] in allowed[name] for name in pinned.keys() & allowed.keys())
    assert {"torch", "numpy", "anywidget", "ipywidgets"} <= pinned.keys() & allowed.keys()
    assert colab(ROOT) == [line for line in lines if line.startswith(("ipywidgets", "numpy", "traitlets"))]


def test_pins_of_an_unknown_kind_are_refused():
    with pytest.raises(ValueError, match="no pins are called 'oldest'; allowed are chosen, newest, colab, floors"):
        pins("oldest")


@pytest.mark.parametrize("name", ["chapter.ipynb", "module.py", "README.md", "terms.yml"])
def test_a_misspelt_word_is_found(name: str, tmp_path: Path):
    wrong = "reci" + "eve"  # in two parts, so that this file is spelt well
    (tmp_path / name).write_text(f'"We {wrong} attention."\n', encoding="utf-8")
    command = [sys.executable, "-m", "codespell_lib", "--toml", str(ROOT / "pyproject.toml"), str(tmp_path / name)]
    said = subprocess.run(command, capture_output=True, text=True)
    assert f"{wrong} ==>" in said.stdout


# Ranges of versions


def test_ranges_are_chosen_by_their_names():
    assert ranges.chosen([]) == list(ranges.RANGES)
    assert [one.name for one in ranges.chosen(["floors-3.11"])] == ["floors-3.11"]
    with pytest.raises(ValueError, match="no range is called 'floors-2.7'; there are floors-3.11, colab-3.13, newest-"):
        ranges.chosen(["floors-2.7"])


def test_the_ranges_are_the_kinds_of_pins_and_the_pythons_of_the_project():
    assert {one.versions for one in ranges.RANGES} == set(PYTHONS) - {"chosen"}
    lowest = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["requires-python"]
    assert f">={min(ranges.NEWEST, key=lambda python: int(python.split('.')[1]))}" == lowest


def test_a_python_that_is_not_here_or_is_another_is_not_found(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    for version, answer in (("3.12", "echo 3.12"), ("3.13", "echo 3.12"), ("3.14", "exit 127")):
        program = tmp_path / f"python{version}"
        program.write_text(f"#!/bin/sh\n{answer}\n", encoding="utf-8")
        program.chmod(0o755)
    assert ranges.find("3.12") == str(tmp_path / "python3.12")
    assert [ranges.find(version) for version in ("3.11", "3.13", "3.14")] == [None] * 3


def test_a_range_without_its_python_is_named_and_the_others_run(capsys, monkeypatch):
    monkeypatch.setattr(ranges, "find", lambda python: None if python == "3.14" else "python")
    monkeypatch.setattr(ranges, "make", lambda one, python: Path("python"))
    commands = []
    monkeypatch.setattr(ranges.subprocess, "call", lambda command, **_: commands.append(command) or len(commands) - 1)
    assert ranges.main(["floors-3.11", "newest-3.13", "newest-3.14"], ["-x"]) == 1
    assert [line.split(maxsplit=1) for line in capsys.readouterr().out.splitlines()] == [
        ["floors-3.11", "passed"],
        ["newest-3.13", "failed: pytest ended with 1"],
        ["newest-3.14", "left out: no python3.14 here"],
    ]
    assert all(command[:4] == ["python", "-m", "pytest", "-x"] for command in commands)
