"""`make bench`: Afterfact beside what a user would pick instead, in one run, as medians of paired rounds.

Mugshots and LFW come from AFTERFACT_DATA; where that is absent, the drawn archive takes their place.
"""

from __future__ import annotations

import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import psutil

HERE = Path(__file__).parent
ROUNDS = 5
PEER_PHOTOS = 120
OUR_PHOTOS = 3600  # enough that starting the runner is not what is measured
WATCHED_SECONDS = 1.0  # a look at the memory takes 20 to 30 ms of a core, and holds up whom it looks at
NAMES = {"peer": "face_recognition, Pool(2)", "bare": "our bare loop, 2 processes", "beam": "our Beam job, 2 workers"}


def measure(name: str, folder: Path, home: Path) -> dict[str, float]:
    """Runs one contestant and returns its figures, with the peak of all its processes' memory together, in MB."""
    command = [sys.executable, str(HERE / "contestants.py"), name, str(folder), str(home)]
    started = time.perf_counter()
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env={**os.environ, "PYTHONPATH": str(HERE.parent)}
    )
    peak = 0
    stop = threading.Event()

    def watch() -> None:
        nonlocal peak
        while not stop.wait(WATCHED_SECONDS):
            peak = max(peak, tree_bytes(process.pid))

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    out, _ = process.communicate()
    stop.set()
    watcher.join()
    if process.returncode:
        raise SystemExit(f"{name} ended with exit code {process.returncode}: {' '.join(command)}")
    figures = json.loads(out.splitlines()[-1])
    return {
        **figures,
        "rate": figures["photos"] / figures["seconds"],
        "peak_mb": peak / 1e6,
        "start_up": time.perf_counter() - started - figures["seconds"] - figures.get("measuring", 0.0),
    }


def tree_bytes(pid: int) -> int:
    """Returns the memory of a process and all below it: proportional set size, so that shared pages count once."""
    total = 0
    try:
        root = psutil.Process(pid)
        for one in [root, *root.children(recursive=True)]:
            total += one.memory_full_info().pss
    except psutil.Error:
        pass
    return total


def copies(source: list[Path], count: int, folder: Path) -> Path:
    """Writes count distinct photos made of source, over and over, each with bytes of its own behind the image."""
    folder.mkdir(parents=True)
    for number in range(count):
        photo = source[number % len(source)]
        folder.joinpath(f"{number:05d}{photo.suffix}").write_bytes(photo.read_bytes() + f"#{number}".encode())
    return folder


def photo_sets(work: Path) -> dict[str, list[Path]]:
    """Returns the sets of photos to measure on."""
    data = Path(os.environ.get("AFTERFACT_DATA", "../shared/data"))
    if (data / "meds").is_dir():
        sets = {"mugshots (MEDS)": sorted((data / "meds" / "img").iterdir())}
        if (data / "lfw").is_dir():
            sets["LFW"] = sorted((data / "lfw").glob("*/*.jpg"))[:OUR_PHOTOS]
        return sets
    from demo.archive import draw_archive

    print(f"{data} holds no real photos (set AFTERFACT_DATA); measuring on drawn ones")
    draw_archive(work / "drawn", subjects=100, encounters=2, seed=1, with_spoiled=False)
    return {"drawn archive": sorted((work / "drawn" / "photos").glob("*/*.jpg"))}


def bulk(name: str, source: list[Path], work: Path) -> Path:
    """Measures the contestants in rounds, in turn, prints their table, and returns a home with a gallery."""
    folders = {
        "peer": copies(source, PEER_PHOTOS, work / name / "few"),
        "bare": copies(source, OUR_PHOTOS, work / name / "many"),
    }
    folders["beam"] = folders["bare"]
    rounds = []
    for number in range(ROUNDS):
        home = work / name / f"home{number}"
        rounds.append({who: measure(who, folders[who], home) for who in NAMES})
    print(f"\n{name}: {len(source)} photos, {ROUNDS} rounds, medians; ratios are medians of the rounds' own")
    print(f"  {'':28} {'photos/s':>9} {'of peer':>8} {'of bare':>8} {'faces':>7} {'peak MB':>8} {'start-up s':>10}")
    for who, says in NAMES.items():
        middle = {key: statistics.median(one[who][key] for one in rounds) for key in rounds[0][who]}
        of_peer = statistics.median(one[who]["rate"] / one["peer"]["rate"] for one in rounds)
        of_bare = statistics.median(one[who]["rate"] / one["bare"]["rate"] for one in rounds)
        found = middle["faces"] / middle["photos"]
        print(
            f"  {says:28} {middle['rate']:9.1f} {of_peer:7.1f}x {of_bare:7.0%} {found:7.1%} {middle['peak_mb']:8.0f} "
            f"{middle['start_up']:10.1f}"
        )
    return work / name / f"home{ROUNDS - 1}"


PEER_SEARCH = """
import sys, time
import numpy as np, face_recognition
known = np.load(sys.argv[1])
def search(path):
    probe = face_recognition.face_encodings(face_recognition.load_image_file(path))[0]
    distances = face_recognition.face_distance(known, probe)
    return np.argsort(distances)[:20]
search(sys.argv[2])
times = []
for _ in range(int(sys.argv[3])):
    started = time.perf_counter(); search(sys.argv[2]); times.append(time.perf_counter() - started)
print(sorted(times)[len(times) // 2] if times else 0)
"""


def search(home: Path, probe: Path, work: Path) -> None:
    """Measures a search, from the command's start to its end and in a session that is open, beside face_recognition."""
    import faiss
    import numpy as np

    from access.acts.tenants import Tenants, WantedTerms
    from access.gate import Gate, Request
    from access.homes import make_home
    from indexer.gallery import FACES, Gallery
    from search.session import SearchSession

    house = work / "house"
    operator = make_home(house, "bench").text
    shutil.copytree(home / "galleries", house / "galleries", dirs_exist_ok=True)
    tenants = Tenants(Gate.open(house), operator)
    credential = tenants.add("Bench", "sheriff", WantedTerms(galleries=["bench"]), person="B. Ench").text
    index = faiss.read_index(str(Gallery(house, "bench").version().folder / FACES))
    vectors = index.reconstruct_n(0, index.ntotal)
    np.save(work / "known.npy", vectors)
    asked = ["--gallery", "bench", "--case", "B-1", "--purpose", "testing"]
    ours = [sys.executable, "-m", "afterfact", "--home", str(house), "search", str(probe), *asked]
    peers = [sys.executable, "-c", PEER_SEARCH, str(work / "known.npy"), str(probe)]
    environment = {**os.environ, "AFTERFACT_CREDENTIAL": credential}
    cold = [(timed(ours, environment), timed([*peers, "0"], environment)) for _ in range(7)][1:]
    request = Request("search", "bench", purpose="testing", case="B-1")
    warm = []
    with SearchSession(house, credential, request) as session:
        for _ in range(21):
            started = time.perf_counter()
            session.search(probe)
            warm.append(time.perf_counter() - started)
    peer_warm = float(subprocess.run([*peers, "20"], capture_output=True, text=True, check=True).stdout)
    print(f"\nsearch: one probe against {len(vectors):,} faces; ours with two decisions and a ledger entry")
    print(f"  {'':28} {'ours, s':>9} {'peer, s':>9} {'peer/ours':>10}")
    ratio = statistics.median(peer / our for our, peer in cold)
    middle = [statistics.median(column) for column in zip(*cold, strict=True)]
    print(f"  {'cold: the whole command':28} {middle[0]:9.2f} {middle[1]:9.2f} {ratio:9.1f}x")
    ours_warm = statistics.median(warm[1:])
    print(f"  {'warm: an open session':28} {ours_warm:9.3f} {peer_warm:9.3f} {peer_warm / ours_warm:9.1f}x")


def timed(command: list[str], environment: dict[str, str]) -> float:
    """Returns the seconds that a command takes; raises where it fails."""
    started = time.perf_counter()
    subprocess.run(command, env=environment, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return time.perf_counter() - started


def main() -> None:
    print(f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}")
    with tempfile.TemporaryDirectory(prefix="afterfact-bench-") as folder:
        work = Path(folder)
        home = None
        sets = photo_sets(work)
        for name, source in sets.items():
            made = bulk(name, source, work)
            home = home or made
        assert home is not None
        search(home, next(iter(sets.values()))[0], work)


if __name__ == "__main__":
    main()
