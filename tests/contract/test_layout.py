"""The rules that hold for every module, every registered thing and every requirement."""

import ast
import importlib
import pkgutil
import re
import subprocess
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

import muc_core
from muc_core.registry import Registry

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("muc_core", "dashboard")
SOURCES = sorted(path for folder in (*PACKAGES, "tests") for path in (ROOT / folder).rglob("*.py"))


def _registries() -> dict[str, Registry[Any]]:
    modules = sorted(module.name for module in pkgutil.walk_packages(muc_core.__path__, "muc_core."))
    return {
        name: value
        for module in modules
        for name, value in vars(importlib.import_module(module)).items()
        if isinstance(value, Registry)
    }


REGISTRIES = _registries()
REGISTERED = [
    (kind, name)
    for kind, registry in sorted(REGISTRIES.items())
    for name in registry.names()
    # tests of other files register tasks of their own
    if getattr(registry.get(name), "settings", type(registry.get(name))).__module__.startswith("muc_core.")
]


def _pins(name: str) -> dict[str, str]:
    """Distribution to version; names as in PEP 503."""
    lines = [line for line in (ROOT / name).read_text(encoding="utf-8").splitlines() if line and line[0] not in "#-"]
    assert all(re.fullmatch(r"[A-Za-z0-9._-]+(\[[a-z-]+\])?==[A-Za-z0-9.]+", line) for line in lines), lines
    return {_normal(line.split("==")[0].split("[")[0]): line.split("==")[1] for line in lines}


def _normal(distribution: str) -> str:
    return re.sub(r"[-_.]+", "-", distribution).lower()


def _imported() -> set[str]:
    """Top-level names of what the packages import, or read as data files, from elsewhere."""
    names: set[str] = set()
    for path in SOURCES:
        if path.relative_to(ROOT).parts[0] not in PACKAGES:
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                names.update(alias.name.split(".")[0] for alias in node.names)
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                names.add(node.module.split(".")[0])
            elif isinstance(node, ast.Call) and ast.unparse(node.func) == "resources.files":
                names.update(str(argument.value) for argument in node.args if isinstance(argument, ast.Constant))
    return names - set(sys.stdlib_module_names) - set(PACKAGES)


def test_import_rules_hold() -> None:
    command = [str(Path(sys.executable).with_name("lint-imports")), "--no-cache"]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout + result.stderr
    assert ", 0 broken" in result.stdout


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_file_says_what_it_is_for(path: Path) -> None:
    assert ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))


@pytest.mark.parametrize("kind", sorted(REGISTRIES))
def test_every_registry_refuses_duplicates_and_lists_what_it_knows(kind: str) -> None:
    registry = REGISTRIES[kind]
    first, *_ = registry.names()
    with pytest.raises(ValueError, match="already registered"):
        registry.register(first, registry.get(first))
    with pytest.raises(ValueError, match=re.escape(first)):
        registry.get("no such thing")


@pytest.mark.parametrize(("kind", "name"), REGISTERED)
def test_every_registered_thing_explains_itself(kind: str, name: str) -> None:
    entry = REGISTRIES[kind].get(name)
    assert entry.__doc__
    settings = getattr(entry, "settings", None)
    if settings is not None:
        assert issubclass(settings, BaseModel)
        assert settings.__doc__ != BaseModel.__doc__
        undescribed = [field for field, info in settings.model_fields.items() if not info.description]
        assert not undescribed, f"{settings.__name__} does not say what these mean: {undescribed}"


def test_the_methods_are_registered() -> None:
    assert {"retrain", "ac"} <= set(REGISTRIES["METHODS"].names())


def test_requirements_are_what_the_packages_import() -> None:
    distributions = packages_distributions()
    imported = {_normal(name) for module in _imported() for name in distributions[module]}
    assert imported == set(_pins("requirements.txt"))


def test_torch_and_torchvision_are_pinned_as_a_pair() -> None:
    pins = _pins("requirements.txt")
    assert (pins["torch"], pins["torchvision"]) == ("2.14.1", "0.29.1")


def test_constraints_leave_the_requirements_and_the_cuda_build_alone() -> None:
    constraints = _pins("constraints.txt")
    assert not constraints.keys() & _pins("requirements.txt").keys()
    # what the program needs by way of others, and the tests themselves, is pinned in both alike
    twice = constraints.keys() & _pins("requirements-dev.txt").keys()
    assert all(constraints[name] == _pins("requirements-dev.txt")[name] for name in twice)
    assert not [name for name in constraints if name.startswith(("nvidia-", "cuda-"))]


def test_the_command_is_installed_under_its_name() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert project["name"] == "muc-audit"
    assert project["scripts"] == {"muc": "muc_core.cli:app"}
