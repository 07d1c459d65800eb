"""The house rules that imports and module-level names must keep, and that each rule can indeed be broken."""

from __future__ import annotations

import ast
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TypeGuard

import pytest

PACKAGES = ("core", "graphs", "irl", "routing", "distributed", "cli")

# Which modules of the package may import what; a folder ends with a slash.
ALLOWED_IMPORTERS = {
    "osmium": ("graphs/osm.py",),
    "osmnx": ("graphs/osm.py", "graphs/export.py", "graphs/graphml.py", "graphs/overpass.py"),
    "matplotlib": ("irl/plots/",),
    "folium": ("irl/trip_map.py",),
    "routingkit_cch": ("graphs/cch_engine.py",),
    "numba": ("core/compiled.py",),
    "equinox": ("irl/rewards/neural.py",),
    "jinja2": ("irl/report/writing.py",),
    "fastapi": ("routing/service/", "cli/"),
    "starlette": ("routing/service/",),
    "prometheus_client": ("routing/service/",),
    "uvicorn": ("routing/service/protocol.py", "cli/serve.py"),
    "defusedxml": ("core/xml.py",),
    "ray": ("distributed/", "cli/"),
    "jax": ("irl/",),
    "jaxlib": ("irl/",),
    "pickle": (),
    "cloudpickle": (),
    "dill": (),
    "joblib": (),
    "marshal": (),
    "shelve": (),
}
# What the Router needs: a process that only serves must not pay for JAX.
WITHOUT_JAX = ("irl/checkpoints.py", "irl/factorization.py", "irl/model.py", "irl/plots/", "irl/trip_map.py")
MUTATORS = frozenset(
    {"append", "extend", "insert", "add", "update", "setdefault", "pop", "popitem", "clear", "remove", "discard"}
)


def source_files(root: Path) -> Iterator[tuple[str, ast.Module]]:
    """(path relative to the root, syntax tree) of every module of the package."""
    files = [*root.glob("*.py"), *(file for package in PACKAGES for file in (root / package).rglob("*.py"))]
    for file in sorted(files):
        yield file.relative_to(root).as_posix(), ast.parse(file.read_text(encoding="utf-8"), str(file))


def imported_modules(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """(line, absolute module name) of every import, inside functions too; those for type checkers only do not count."""
    only_for_types = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING")
        for statement in node.body
        for inner in ast.walk(statement)
    }
    for node in ast.walk(tree):
        if id(node) in only_for_types:
            continue
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            yield node.lineno, node.module or ""
        elif is_call_of(node, "importlib.import_module", "__import__") and isinstance(node.args[0], ast.Constant):
            yield node.lineno, str(node.args[0].value)


def is_call_of(node: ast.AST, *names: str) -> TypeGuard[ast.Call]:
    return isinstance(node, ast.Call) and ast.unparse(node.func) in names


def is_among(path: str, modules: tuple[str, ...]) -> bool:
    return any(path == one or (one.endswith("/") and path.startswith(one)) for one in modules)


def import_faults(path: str, tree: ast.Module) -> Iterator[str]:
    for line, module in imported_modules(tree):
        top = module.split(".")[0]
        allowed = ALLOWED_IMPORTERS.get(top)
        if allowed is not None and not is_among(path, allowed):
            yield f"{path}:{line} imports {module}; only {', '.join(allowed) or 'nobody'} may"
        if top in {"jax", "jaxlib"} and is_among(path, WITHOUT_JAX):
            yield f"{path}:{line} imports {module}; the Router uses this module and must not pay for JAX"
        if top == "trodden":
            yield f"{path}:{line} imports {module}; inside the package write a relative import"


def unpickling_faults(path: str, tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.keyword) and node.arg == "allow_pickle":
            if not (isinstance(node.value, ast.Constant) and node.value.value is False):
                yield f"{path}:{node.value.lineno} allow_pickle is not False"
        elif is_call_of(node, "np.load", "numpy.load") and "allow_pickle" not in {one.arg for one in node.keywords}:
            yield f"{path}:{node.lineno} np.load without allow_pickle=False"


def state_faults(path: str, tree: ast.Module) -> Iterator[str]:
    """Module-level containers that functions change, and `global`: configuration is passed, never kept in a module."""
    containers = set()
    for statement in tree.body:
        targets = statement.targets if isinstance(statement, ast.Assign) else [getattr(statement, "target", None)]
        if is_mutable_container(getattr(statement, "value", None)):
            containers |= {target.id for target in targets if isinstance(target, ast.Name)}
    for function in ast.walk(tree):
        if not isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            continue
        for node in ast.walk(function):
            if isinstance(node, ast.Global):
                yield f"{path}:{node.lineno} global {', '.join(node.names)}"
            elif (name := changed_name(node)) in containers:
                yield f"{path}:{node.lineno} changes the module-level {name}"


def is_mutable_container(value: ast.AST | None) -> bool:
    if isinstance(value, ast.Call):
        return ast.unparse(value.func).split(".")[-1] in {
            "dict",
            "list",
            "set",
            "defaultdict",
            "OrderedDict",
            "Counter",
        }
    return isinstance(value, ast.Dict | ast.List | ast.Set | ast.DictComp | ast.ListComp | ast.SetComp)


def changed_name(node: ast.AST) -> str | None:
    """The name whose object a node changes: ``NAME[key] = ...``, ``del NAME[key]``, ``NAME.append(...)``."""
    if (
        isinstance(node, ast.Subscript)
        and isinstance(node.ctx, ast.Store | ast.Del)
        and isinstance(node.value, ast.Name)
    ):
        return node.value.id
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and isinstance(node.func.value, ast.Name):
        return node.func.value.id if node.func.attr in MUTATORS else None
    return None


def faults(path: str, tree: ast.Module) -> list[str]:
    return [fault for rule in (import_faults, unpickling_faults, state_faults) for fault in rule(path, tree)]


def check_contract(root: Path, package_parent: Path | None = None) -> subprocess.CompletedProcess[str]:
    """import-linter's verdict; ``package_parent`` = a folder whose `trodden` is to be looked at instead of this one."""
    script = "from importlinter.cli import lint_imports_command; lint_imports_command()"
    command = [sys.executable, "-c", script, "--no-cache", "--no-logo", "--config", str(root / "setup.cfg")]
    environment = {**os.environ, "PYTHONPATH": str(package_parent)} if package_parent else dict(os.environ)
    return subprocess.run(
        command, cwd=package_parent or root, env=environment, capture_output=True, text=True, timeout=120
    )


@pytest.fixture
def copy(repo_root: Path, tmp_path: Path) -> Path:
    """A copy of the package, `trodden` by folder name, in which a rule may be broken."""
    root = tmp_path / "trodden"
    root.mkdir()
    for file in [*repo_root.glob("*.py"), repo_root / "setup.cfg"]:
        shutil.copy(file, root)
    for package in PACKAGES:
        shutil.copytree(repo_root / package, root / package, ignore=shutil.ignore_patterns("__pycache__"))
    return root


def plant(root: Path, path: str, line: str) -> None:
    with open(root / path, "a", encoding="utf-8") as file:
        file.write(f"\n{line}\n")


def test_layers(repo_root):
    pytest.importorskip("importlinter")
    done = check_contract(repo_root)
    assert done.returncode == 0, done.stdout + done.stderr


def test_imports_and_state(repo_root):
    found = [fault for path, tree in source_files(repo_root) for fault in faults(path, tree)]
    assert not found, "\n".join(found)


def test_setup_lists_every_package(repo_root):
    """A package that setup.cfg does not list would be missing from the wheel only."""
    found = {file.parent.name for file in repo_root.glob("*/__init__.py")}
    assert found == set(PACKAGES)


def test_serving_does_not_pay_for_jax(repo_root, tmp_path):
    """Not through another module either."""
    files = [path for path in ("routing/router.py", *WITHOUT_JAX) if (repo_root / path).exists()]
    modules = ["trodden." + path.removesuffix(".py").rstrip("/").replace("/", ".") for path in files]
    code = f"import sys, {', '.join(modules)}; print(*sorted({{'jax', 'ray', 'osmnx'}} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "", f"importing {', '.join(modules)} imports {done.stdout}"


@pytest.mark.parametrize(
    ("path", "line"),
    [
        ("core/errors.py", "from ..graphs import turns"),
        ("graphs/turns.py", "from ..irl import trips"),
        ("irl/__init__.py", "def f():\n    from ..routing import __doc__"),
        ("routing/__init__.py", "from .. import distributed"),
        ("distributed/__init__.py", "from .. import routing"),
        ("distributed/__init__.py", "from ..cli import doctor"),
    ],
)
def test_broken_layers_are_found(copy, path, line):
    pytest.importorskip("importlinter")
    plant(copy, path, line)
    done = check_contract(copy, package_parent=copy.parent)
    assert done.returncode != 0
    assert "BROKEN" in done.stdout, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("path", "line"),
    [
        ("graphs/turns.py", "import osmium"),
        ("irl/__init__.py", "from osmnx import graph"),
        ("graphs/turns.py", "import matplotlib.pyplot as plt"),
        ("cli/__init__.py", "def f():\n    import folium"),
        ("irl/__init__.py", "import ray"),
        ("routing/__init__.py", "import jax.numpy as jnp"),
        ("irl/factorization.py", "from jax import numpy"),
        ("irl/plots/frame.py", "import jax"),
        ("core/folders.py", "import pickle"),
        ("core/folders.py", "x = np.load('f', allow_pickle=True)"),
        ("core/folders.py", "x = np.load('f')"),
        ("core/config.py", "settings = {}\ndef f():\n    settings['a'] = 1"),
        ("core/config.py", "_names: list = []\ndef f():\n    _names.append(1)"),
        ("core/config.py", "n = 0\ndef f():\n    global n\n    n = 1"),
        ("irl/__init__.py", "from trodden.core import errors"),
        ("routing/__init__.py", "import importlib\nimportlib.import_module('jax')"),
    ],
)
def test_broken_rules_are_found(repo_root, path, line):
    text = (repo_root / path).read_text(encoding="utf-8")
    before, after = faults(path, ast.parse(text)), faults(path, ast.parse(f"{text}\n{line}\n"))
    assert len(after) == len(before) + 1, after
