"""The front door: help without the rooms, exit codes, one line for an error."""

import subprocess
import sys

import pytest
from conftest import done, run_afterfact

import afterfact
from foundation.errors import nearest

HEAVY = {
    *("apache_beam", "deltalake", "pandas", "pyarrow.dataset", "pyarrow.parquet", "face_recognition", "pkg_resources"),
    *("face_recognition_models", "onnx", "duckdb", "pyarrow.fs"),
}

MODULES_AFTER = """
import os, sys
import afterfact
try:
    afterfact.main(sys.argv[1:])
except SystemExit as end:
    sys.stderr.write("\\n@code %s\\n@modules %s\\n" % (end.code, " ".join(sys.modules)))
"""

MODULES_OF_HELPER = """
import sys
from indexer.helper import answer
from indexer.limits import Limits
header, _ = answer({"task": "probe", "photo": sys.argv[1]}, None, Limits())
sys.stderr.write("\\n@code %s\\n@modules %s\\n" % (header["outcome"], " ".join(sys.modules)))
"""


def modules_after(script, *arguments, **environment):
    """Returns how a script ended and which modules its process had loaded by then."""
    ended = subprocess.run(
        [sys.executable, "-c", script, *(str(one) for one in arguments)],
        capture_output=True,
        text=True,
        env={"PATH": "/usr/bin:/bin", "HOME": environment.pop("HOME", "/nonexistent"), **environment},
        timeout=120,
        check=False,
    )
    told = dict(line[1:].split(" ", 1) for line in ended.stderr.splitlines() if line.startswith("@"))
    assert told, ended.stderr
    return told["code"], set(told["modules"].split())


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    """The user's cache folder, which must be the one that other tests filled."""
    import os
    from pathlib import Path

    return os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")


def test_help_loads_no_room_and_nothing_heavy():
    code, modules = modules_after(MODULES_AFTER, "--help")

    assert code == "0"
    assert not modules & {*HEAVY, "numpy", "sqlalchemy", "rich", "pyarrow", "faiss", "PIL"}
    assert not {name.split(".")[0] for name in modules} & {"access", "indexer", "pipelines", "search", "demo"}


def test_search_loads_neither_beam_nor_the_table_nor_pandas(indexed_home, drawn, cache):
    probe = drawn.list_path.parent / "probes" / "S0004.jpg"
    asked = (
        "--gallery",
        "county",
        "--case",
        "1",
        "--purpose",
        "robbery",
        "--report",
        indexed_home.path.parent / "x.html",
    )
    credential = indexed_home.sheriff.read_text().strip()

    code, modules = modules_after(
        *(MODULES_AFTER, "--home", indexed_home.path, "search", probe, *asked),
        **{"AFTERFACT_CREDENTIAL": credential, "XDG_CACHE_HOME": cache},
    )

    assert code == "0"
    assert not modules & {*HEAVY, "dlib"}
    assert not {name.split(".")[0] for name in modules} & {"pipelines", "demo"}


def test_the_helper_loads_what_decodes_and_nothing_else(drawn, cache):
    code, modules = modules_after(
        MODULES_OF_HELPER, drawn.list_path.parent / "probes" / "S0004.jpg", XDG_CACHE_HOME=cache
    )

    assert code == "ENROLLED"
    assert not modules & {*HEAVY, "faiss", "pyarrow", "sqlalchemy", "click"}
    assert not {name.split(".")[0] for name in modules} & {"access", "pipelines", "search", "demo"}


def test_help_names_every_command_and_the_exit_codes():
    shown = done(run_afterfact("--help")).out

    assert all(f"  {name} " in shown for name in afterfact.ROOMS)
    assert "0 done, 1 error, 2 usage, 3 refused" in shown
    assert run_afterfact("-h").out == shown


def test_the_version_is_the_packages():
    from importlib.metadata import version

    assert done(run_afterfact("--version")).out.split()[-1] == version("afterfact")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["serch"], "serch"),
        (["search"], "PROBE"),
        (["search", "x.jpg"], "--gallery"),
        (["search", "x.jpg", "--galery", "y"], "--galery"),
        (["search", "x.jpg", "-k", "many"], "'many' is not a valid integer"),
        (["search", "x.jpg", "--by", "photo"], "'photo' is not one of"),
        (["--nonsense"], "--nonsense"),
        (["gallery", "list", "--home", "x"], "Option '--home' stands before the command: afterfact --home ..."),
        (["gallery", "--traceback", "list"], "Option '--traceback' stands before the command"),
        (["index", "."], "job file . is a folder; for an archive give --gallery NAME --archive ."),
        (["search", "x\x1b[31m.jpg", "--gallery", "c", "--case", "1", "--purpose", "robbery"], "x\\x1b[31m.jpg"),
    ],
)
def test_wrong_use_is_one_line_and_exit_code_2(arguments, says):
    ended = run_afterfact(*arguments)

    assert (ended.code, ended.out) == (2, "")
    assert says in ended.err
    assert len(ended.err.strip().splitlines()) == 1
    assert "\x1b" not in ended.err


def test_a_search_without_a_credential_says_how_to_give_one(drawn):
    probe = drawn.list_path.parent / "probes" / "S0004.jpg"
    ended = run_afterfact("search", probe, "--gallery", "county", "--case", "1", "--purpose", "robbery")

    assert (ended.code, ended.out) == (2, "")
    assert "set AFTERFACT_CREDENTIAL or give --credential-file" in ended.err


def test_an_error_is_one_line_and_with_traceback_the_whole(tmp_path):
    plain = run_afterfact("--home", tmp_path / "nowhere", "audit", "verify")
    whole = run_afterfact("--home", tmp_path / "nowhere", "--traceback", "audit", "verify")

    assert (plain.code, len(plain.err.splitlines())) == (1, 1)
    assert "is no data home" in plain.err
    assert "Traceback" in whole.err


def test_a_misspelt_word_gets_its_nearest_spelling():
    assert nearest("robery", ["robbery", "fraud"]) == "; did you mean 'robbery'?"
    assert nearest("xyz", ["robbery", "fraud"]) == ""


@pytest.mark.parametrize("words", [[], ["gallery"], ["audit"]])
def test_a_command_without_arguments_shows_its_help_as_it_is(words):
    shown = run_afterfact(*words)
    assert shown.code == 2
    assert shown.err.strip() == done(run_afterfact(*words, "--help")).out.strip()


@pytest.mark.parametrize("closed", [">&-", "2>&-", ">&- 2>&-", "<&- >&- 2>&-"])
def test_a_closed_stream_is_no_fault_and_nothing_else_is_written_to(tmp_path, closed):
    command = (
        f'"{sys.executable}" -m afterfact --home "{tmp_path}/home" init --save-credential "{tmp_path}/one" {closed}'
    )
    ended = subprocess.run(["sh", "-c", command], capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stderr) == (0, "")
    assert (tmp_path / "one").read_text().startswith("af1.")
    assert done(run_afterfact("--home", tmp_path / "home", "audit", "verify")).out.startswith("Intact")


CHILD_OF_ONE_WITH_CLOSED_STREAMS = """
import os, subprocess, sys
import afterfact
afterfact._open_closed_streams()
look = "import os; [os.fstat(number) for number in range(3)]"
os._exit(subprocess.run([sys.executable, "-c", look]).returncode)
"""


def test_streams_that_were_closed_are_open_in_its_processes_too():
    command = [sys.executable, "-c", CHILD_OF_ONE_WITH_CLOSED_STREAMS]
    shell = ["sh", "-c", '"$@" <&- >&- 2>&-', "sh", *command]
    assert subprocess.run(shell, check=False, timeout=60).returncode == 0
