"""`check_installation`: right on this machine, and it names what is missing, old or broken."""

import importlib.metadata
import subprocess
import sys

import pytest
from trodden.cli import doctor


def by_name(**kwargs):
    return {check.name: check for check in doctor.check_installation(try_imports=False, **kwargs)}


def hide_version(monkeypatch, name, version):
    """Let package metadata say another version of one package, or that it is missing."""
    real = importlib.metadata.version

    def fake(asked):
        if asked != name:
            return real(asked)
        if version is None:
            raise importlib.metadata.PackageNotFoundError(asked)
        return version

    monkeypatch.setattr(importlib.metadata, "version", fake)


def test_this_installation_can_work():
    failed = [check for check in doctor.check_installation() if check.is_required and not check.ok]
    assert failed == []


def test_every_runtime_dependency_is_checked_and_explained():
    declared = [doctor._parse_requirement(line) for line in importlib.metadata.requires("trodden")]
    names = {requirement.name for requirement in declared if requirement}
    assert names <= set(by_name())
    assert names <= set(doctor._NEEDED_FOR), "a new dependency needs a line in _NEEDED_FOR"


def test_development_tools_are_not_asked_for():
    assert "pytest" not in by_name()


def test_extras_are_named_with_what_they_are_for(monkeypatch):
    names = {name.removeprefix("extra ") for name in by_name() if name.startswith("extra ")}
    assert names == set(doctor._EXTRAS), "a new extra needs a line in _EXTRAS"
    hide_version(monkeypatch, "equinox", None)
    neural = by_name()["extra neural"]
    assert (neural.ok, neural.is_required, neural.found) == (False, False, None)
    assert neural.remedy == "pip install 'trodden[neural]' (missing or too old: equinox)"
    assert "mlp_width" in neural.needed_for
    hide_version(monkeypatch, "uvicorn", "0.1")
    serve = by_name()["extra serve"]
    assert not serve.ok
    assert "uvicorn 0.1" in serve.found
    assert "uvicorn" in serve.remedy


def test_missing_package_is_named_with_its_remedy(monkeypatch):
    hide_version(monkeypatch, "osmium", None)
    check = by_name()["osmium"]
    assert not check.ok
    assert check.is_required
    assert check.found is None
    assert check.remedy.startswith("pip install --upgrade 'osmium>=")


def test_old_ray_is_refused(monkeypatch):
    hide_version(monkeypatch, "ray", "2.51.1")
    check = by_name()["ray"]
    assert not check.ok
    assert check.found == "2.51.1"
    assert "'ray[default]>=2.52'" in check.remedy


def test_without_routingkit_trodden_still_works(monkeypatch):
    hide_version(monkeypatch, "routingkit-cch", None)
    check = by_name()["routingkit-cch"]
    assert not check.ok
    assert not check.is_required
    assert "SciPy" in check.needed_for


def test_missing_demo_data_is_no_fault_of_the_installation(monkeypatch):
    monkeypatch.setattr(doctor, "_DEMO_FILES", {"no_such_package_anywhere": "map.pbf"})
    check = by_name()["no_such_package_anywhere/map.pbf"]
    assert not check.ok
    assert not check.is_required
    assert check.remedy


def test_package_whose_import_kills_the_process_is_reported(tmp_path, monkeypatch):
    (tmp_path / "deadly.py").write_text("import os\nos.abort()\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    assert "ended the process" in doctor._import_problem("deadly")


def test_package_whose_import_hangs_is_reported(tmp_path, monkeypatch):
    (tmp_path / "endless.py").write_text("import time\ntime.sleep(60)\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setattr(doctor, "IMPORT_TIMEOUT_S", 1.0)
    assert "more than 1 s" in doctor._import_problem("endless")


def test_a_full_disk_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(doctor, "MINIMUM_DISK_GB", 1e9)
    check = by_name(folder=tmp_path / "not" / "yet" / "there")["disk space"]
    assert not check.ok
    assert str(tmp_path) in check.remedy


@pytest.mark.parametrize("heavy", ["jax", "ray", "osmium", "numpy", "pydantic"])
def test_looking_imports_nothing_heavy(heavy):
    code = (
        "import sys; from trodden.cli.doctor import check_installation; check_installation(try_imports=False); "
        f"sys.exit({heavy!r} in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


@pytest.mark.parametrize(
    ("smaller", "larger"), [("2.9", "2.52"), ("0.8", "0.10.1"), ("2.52", "2.52.0.post1"), ("26", "26.0.1")]
)
def test_versions_compare_by_number(smaller, larger):
    assert doctor._release(smaller) <= doctor._release(larger)
    assert doctor._release("2") == doctor._release("2.0")
