"""A helper whose decoder hangs does not outlive a parent that was killed."""

import os
import subprocess
import sys
import time
from pathlib import Path

CRASHING = str(Path(__file__).parent.parent / "crashing")

PROGRAM = """
import os, sys
sys.path.insert(0, sys.argv[1])
from indexer.helper_process import HelperProcess
from indexer.limits import Limits
helper = HelperProcess(None, Limits(decode_seconds=0.2))
helper.send({"task": "archive", "path": sys.argv[2]})
helper._read_within(60)  # it is ready, and turns to the photo
print(helper._process.pid, flush=True)
os.kill(os.getpid(), 9)
"""


def is_alive(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def test_a_helper_ends_with_its_parent(tmp_path):
    (tmp_path / "a.jpg").write_bytes(b"HANG")
    ended = subprocess.run(
        [sys.executable, "-c", PROGRAM, CRASHING, str(tmp_path / "a.jpg")],
        capture_output=True,
        text=True,
        check=False,
        timeout=100,
    )
    pid = int(ended.stdout)
    for _ in range(600):
        if not is_alive(pid):
            return
        time.sleep(0.1)
    os.kill(pid, 9)
    raise AssertionError("the helper outlived its parent by a minute")
