"""The house rules: which room may import which, what every module and command must say of itself."""

import ast
import re
from pathlib import Path

import click
import pytest

import afterfact

HOUSE = Path(afterfact.__file__).parent
ROOMS = ("access", "demo", "evaluation", "foundation", "indexer", "pipelines", "search", "configs")
OURS = {*ROOMS, "afterfact"}
MODULES = sorted(path for room in ROOMS for path in (HOUSE / room).rglob("*.py"))
SOURCES = [HOUSE / "afterfact.py", *MODULES]
LONGEST = 350

# What a room may import of ours besides itself, and the packages that it must not.
MAY = {
    "foundation": {"configs"},
    "configs": set(),
    "indexer": {"foundation"},
    "access": {"foundation"},
    "search": {"foundation", "indexer", "access"},
    "pipelines": {"foundation", "indexer", "access"},
    "evaluation": {"foundation", "indexer", "access"},
    "demo": {"foundation"},
}
MUST_NOT = {
    "indexer": {"apache_beam", "click"},
    "search": {"apache_beam", "deltalake", "pandas"},
    "evaluation": {"apache_beam", "pandas"},
    "access": {"apache_beam", "deltalake", "pandas", "numpy"},
}


def named(path):
    return str(path.relative_to(HOUSE))


def imports(path):
    """Returns every module that a source names in an import, at its top or inside a function."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{named(path)} imports relatively; name the room"
            found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return found


def packages(path):
    return {name.split(".")[0] for name in imports(path)}


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_imports_only_the_rooms_below_it(room):
    wrong = {
        named(path): sorted(packages(path) & (OURS - MAY[room] - {room}))
        for path in MODULES
        if path.is_relative_to(HOUSE / room)
    }

    assert {name: rooms for name, rooms in wrong.items() if rooms} == {}


@pytest.mark.parametrize("room", sorted(MUST_NOT))
def test_a_room_keeps_clear_of_what_is_not_its_work(room):
    wrong = {
        named(path): sorted(packages(path) & MUST_NOT[room]) for path in MODULES if path.is_relative_to(HOUSE / room)
    }

    assert {name: found for name, found in wrong.items() if found} == {}


@pytest.mark.parametrize(("package", "rooms"), [("sqlalchemy", {"access"}), ("apache_beam", {"pipelines"})])
def test_some_packages_belong_to_one_room(package, rooms):
    assert {named(path).split("/")[0] for path in SOURCES if package in packages(path)} == rooms


def test_nothing_reads_the_table_through_a_second_library():
    wrong = {named(path) for path in SOURCES if packages(path) & {"pandas", "face_recognition", "pickle", "requests"}}

    assert wrong == set()


def test_only_search_opens_the_faces_of_a_gallery():
    """They give neighbours without a decision; search.session is the one way in."""
    opening = {named(path) for path in SOURCES if any(name.startswith("search.faces") for name in imports(path))}

    assert opening == {"search/session.py", "search/candidates.py"}


def test_only_the_gated_command_asks_for_the_nearest_pairs_of_a_gallery():
    asking = {named(path) for path in SOURCES if any(name.startswith("indexer.near_pairs") for name in imports(path))}

    assert asking == {"pipelines/duplicates_command.py"}


def public(tree):
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.name.startswith("_"):
            yield node


@pytest.mark.parametrize("path", SOURCES, ids=named)
def test_a_module_says_what_it_is_and_what_it_offers(path):
    text = path.read_text("utf-8")
    tree = ast.parse(text)

    assert ast.get_docstring(tree), "no docstring"
    assert [node.name for node in public(tree) if not ast.get_docstring(node)] == []
    assert len(text.splitlines()) <= LONGEST
    assert not re.search(r"\b(TODO|FIXME|XXX|HACK)\b", text)


def project_files():
    """Returns the project's own text files, its tests and documents included, wherever the project is checked out."""
    skipped = {"demo-home", "build", "dist", "node_modules", "__pycache__"}
    for path in sorted(HOUSE.rglob("*")):
        parts = path.relative_to(HOUSE).parts
        hidden = any(part.startswith(".") and part != ".ci" for part in parts)
        if path.is_file() and not hidden and not skipped & set(parts) and not parts[0].endswith(".egg-info"):
            yield path


def test_no_file_names_the_host_of_a_package_registry():
    hosts = [name + "." + ending for name, ending in (("pypi", "org"), ("pythonhosted", "org"), ("anaconda", "org"))]
    naming = [named(path) for path in project_files() if any(host.encode() in path.read_bytes() for host in hosts)]

    assert naming == []


def test_no_photo_lies_in_the_repository():
    endings = {".jpg", ".jpeg", ".png", ".webp", ".heic", ".avif", ".gif", ".bmp", ".tif", ".tiff"}
    photos = [named(path) for path in project_files() if path.suffix.lower() in endings]

    assert [name for name in photos if not name.startswith("docs/")] == []


def commands(command, path="afterfact"):
    yield path, command
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            yield from commands(command.get_command(context, name), f"{path} {name}")


@pytest.fixture(scope="module")
def every_command():
    return dict(commands(afterfact.front_door))


def test_every_command_has_help_with_an_example_that_names_it(every_command):
    def example(command):
        return [line.strip() for line in (command.help or "").partition("Example:")[2].splitlines()]

    without = [
        path for path, command in every_command.items() if not any(line.startswith(path) for line in example(command))
    ]

    assert without == []
    assert len(every_command) > 20


def test_every_option_says_what_it_does(every_command):
    without = [
        f"{path} {option.opts[0]}"
        for path, command in every_command.items()
        for option in command.params
        if isinstance(option, click.Option) and not option.help
    ]

    assert without == []


def test_no_option_takes_a_secret_that_ps_would_show(every_command):
    secret = [
        f"{path} {name}"
        for path, command in every_command.items()
        for option in command.params
        for name in option.opts
        if re.search(r"credential|secret|password|token|key", name)
        and not isinstance(option.type, click.Path)
        and isinstance(option, click.Option)
    ]

    assert secret == []
