"""The wheel holds what the repository lists, nothing else, and works where the repository is not."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest

PACKAGES = ("core", "graphs", "irl", "routing", "distributed", "cli")


def run(*command: str | Path, cwd: Path, timeout: float = 240) -> str:
    """The output of a command that must succeed."""
    environment = {name: value for name, value in os.environ.items() if name not in {"PYTHONPATH", "VIRTUAL_ENV"}}
    environment["PIP_NO_INPUT"] = "1"
    done = subprocess.run(
        [str(part) for part in command], cwd=cwd, env=environment, capture_output=True, text=True, timeout=timeout
    )
    assert done.returncode == 0, f"{command} ended with {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.fixture(scope="module")
def listing(repo_root: Path) -> list[str]:
    """What a commit of everything here would hold."""
    if shutil.which("git") is None or not (repo_root / ".git").exists():
        pytest.skip("not a git checkout")
    listed = run("git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", cwd=repo_root).split("\0")
    return sorted(name for name in listed if name and (repo_root / name).is_file())


@pytest.fixture(scope="module")
def wheel(repo_root: Path, listing: list[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built from a copy of the listing, so that nothing untracked or stale can slip in; the folder's name is odd."""
    pytest.importorskip("build")
    source = tmp_path_factory.mktemp("source") / "some checkout-2"
    for name in listing:
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(repo_root / name, source / name)
    run(sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", source / "dist", source, cwd=source)
    [built] = (source / "dist").glob("*.whl")
    return built


@pytest.fixture(scope="module")
def wheel_python(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A fresh environment with the wheel; dependencies are seen in this one's site-packages (no network in tests)."""
    folder = tmp_path_factory.mktemp("environment") / "venv"
    run(sys.executable, "-m", "venv", "--without-pip", folder, cwd=folder.parent)
    python = folder / "bin" / "python"
    run(sys.executable, "-m", "pip", "--python", python, "install", "--no-deps", "--no-index", wheel, cwd=folder.parent)
    [site_packages] = folder.glob("lib/python*/site-packages")
    # Folders named in a .pth file do not have their own .pth files read: the editable trodden stays out of sight.
    (site_packages / "dependencies.pth").write_text(
        f"{sysconfig.get_path('purelib')}\n{sysconfig.get_path('platlib')}\n"
    )
    return python


def is_of_package(name: str) -> bool:
    """Whether a listed file belongs into the wheel: modules, and the files that lie beside them in a package."""
    parts = name.split("/")
    return (len(parts) == 1 and (name.endswith(".py") or name == "py.typed")) or parts[0] in PACKAGES


def test_wheel_holds_what_the_repository_lists(wheel, listing):
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    tops = {name.split("/")[0] for name in names}
    assert tops == {"trodden", next(top for top in tops if top.endswith(".dist-info"))}
    inside = {name.removeprefix("trodden/") for name in names if name.startswith("trodden/")}
    expected = {name for name in listing if is_of_package(name)}
    assert inside == expected, f"missing: {sorted(expected - inside)}; too many: {sorted(inside - expected)}"
    assert "py.typed" in inside


def test_wheel_names_no_machine(wheel, repo_root):
    """No path of the machine it was built on in its metadata."""
    with zipfile.ZipFile(wheel) as archive:
        texts = [archive.read(name) for name in archive.namelist() if ".dist-info/" in name]
    assert not any(str(repo_root).encode() in text for text in texts)


def test_installed_wheel_imports(wheel_python, repo_root, tmp_path):
    code = "import trodden; print(trodden.__version__); print(trodden.__file__)"
    version, file = run(wheel_python, "-c", code, cwd=tmp_path).split("\n")[:2]
    assert f'__version__ = "{version}"' in (repo_root / "_version.py").read_text()
    assert Path(file).is_relative_to(wheel_python.parent.parent)


def test_every_module_of_the_installed_wheel_imports(wheel_python, listing, tmp_path):
    modules = [
        "trodden." + name.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
        for name in listing
        if name.split("/")[0] in PACKAGES and name.endswith(".py")
    ]
    code = "import importlib, sys; [importlib.import_module(name) for name in sys.argv[1:]]"
    run(wheel_python, "-c", code, *modules, cwd=tmp_path)


def test_installed_command(wheel_python, repo_root, tmp_path):
    if not (repo_root / "cli" / "main.py").is_file():
        pytest.skip("cli/main.py is not there yet")
    version = run(wheel_python, "-c", "import trodden; print(trodden.__version__)", cwd=tmp_path).strip()
    assert version in run(wheel_python.parent / "trodden", "--version", cwd=tmp_path)
    assert version in run(wheel_python, "-m", "trodden", "--version", cwd=tmp_path)
    assert "Usage" in run(wheel_python.parent / "trodden", "--help", cwd=tmp_path)
