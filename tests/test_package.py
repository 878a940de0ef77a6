"""The wheel: built, installed elsewhere, and run there without the sources."""

import configparser
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

import afterfact

HOUSE = Path(afterfact.__file__).parent
BESIDE = ("setup.py", "pyproject.toml", "README.md", "LICENSE", "MANIFEST.in", "afterfact.py")
ROOMS = ("access", "configs", "demo", "evaluation", "foundation", "indexer", "pipelines", "search")


def run(command, **how):
    ended = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False, **how)
    assert ended.returncode == 0, f"{ended.stdout}\n{ended.stderr}"
    return ended.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """A wheel built from a copy of the sources, so that the checkout stays as it is."""
    folder = tmp_path_factory.mktemp("package")
    copy = folder / "sources"
    copy.mkdir()
    for name in BESIDE:
        if (HOUSE / name).exists():
            shutil.copy(HOUSE / name, copy)
    for room in ROOMS:
        shutil.copytree(HOUSE / room, copy / room, ignore=shutil.ignore_patterns("__pycache__"))
    build = "from setuptools import build_meta; print(build_meta.build_wheel('../wheels'))"
    (folder / "wheels").mkdir()
    run([sys.executable, "-c", build], cwd=copy)
    (built,) = (folder / "wheels").glob("afterfact-*.whl")
    return built


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory):
    """Returns a function that runs `python -m afterfact` from the installed copy, in another folder."""
    target, elsewhere = tmp_path_factory.mktemp("installed"), tmp_path_factory.mktemp("elsewhere")
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps"]
    run([*pip, "--no-index", "--no-compile", "--target", target, wheel])
    environment = {**os.environ, "PYTHONPATH": str(target), "AFTERFACT_HOME": str(elsewhere / "home")}

    def command(*arguments):
        return run([sys.executable, *(str(one) for one in arguments)], cwd=elsewhere, env=environment)

    command.folder, command.elsewhere = target, elsewhere
    return command


def test_every_source_template_and_setting_is_in_the_wheel(wheel):
    names = set(zipfile.ZipFile(wheel).namelist())
    ours = {
        str(path.relative_to(HOUSE))
        for room in ROOMS
        for path in (HOUSE / room).rglob("*")
        if path.suffix in (".py", ".yaml", ".html")
    }

    assert {*ours, "afterfact.py"} <= names
    assert "search/templates/lead.html" in names
    assert {"configs/kinds.yaml", "configs/purposes.yaml"} <= names
    top = {name.split("/")[0] for name in names if ".dist-info/" not in name}
    assert top == {*ROOMS, "afterfact.py"}


def test_the_wheel_says_what_it_needs_and_what_it_installs(wheel):
    with zipfile.ZipFile(wheel) as content:
        texts = {Path(name).name: content.read(name).decode() for name in content.namelist() if "dist-info" in name}
    metadata = texts["METADATA"].splitlines()

    assert "Provides-Extra: test" in metadata
    assert any(line.startswith("Requires-Dist: apache-beam<") for line in metadata)
    assert any(line.startswith("Requires-Dist: pytest<") and 'extra == "test"' in line for line in metadata)
    assert not any(line.startswith("Requires-Dist: face_recognition<") and "extra" not in line for line in metadata)
    (python,) = (line for line in metadata if line.startswith("Requires-Python: "))
    assert set(python.removeprefix("Requires-Python: ").split(",")) == {">=3.11", "<3.14"}
    scripts = configparser.ConfigParser()
    scripts.read_string(texts["entry_points.txt"])
    assert set(scripts["console_scripts"]) == {"afterfact"}
    module, _, function = scripts["console_scripts"]["afterfact"].partition(":")
    assert (module, callable(getattr(afterfact, function))) == ("afterfact", True)


def test_only_the_installed_copy_is_used(installed):
    where = "import afterfact, configs, search.report as r; print(afterfact.__file__, configs.__file__, r.__file__)"

    assert all(path.startswith(str(installed.folder)) for path in installed("-c", where).split())


def test_the_installed_copy_shows_its_help_and_draws_an_archive(installed):
    assert "Index booking photos in bulk" in installed("-m", "afterfact", "--help")
    installed("-m", "afterfact", "demo", "archive", "drawn", "--subjects", 2, "--encounters", 1, "--no-spoiled")

    assert len((installed.elsewhere / "drawn" / "archive.csv").read_text().splitlines()) == 3


def test_the_installed_copy_finds_its_settings_and_its_template(installed):
    installed("-m", "afterfact", "init", "--operator", "Ann Ames", "--save-credential", "operator.txt")
    script = (
        "from access.vocabulary import load_vocabulary; from jinja2 import Environment, PackageLoader;"
        "template = Environment(loader=PackageLoader('search')).get_template('lead.html');"
        "print(len(load_vocabulary().kinds), template.name)"
    )

    assert installed("-c", script).split()[1] == "lead.html"
