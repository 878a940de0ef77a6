"""`make bench-mirrored`: what averaging chip and mirrored chip buys and costs, on LFW's pairs.

Of each photo the face nearest the middle is taken, whatever its quality. A pair with an undetected face is an error.
"""

from __future__ import annotations

import multiprocessing
import os
import platform
import sys
import time
from pathlib import Path

import numpy as np

from indexer.embedder import Embedder
from indexer.extraction import Extraction, extract_faces
from indexer.limits import Limits

PROCESSES = 2
FALSE_MATCHES = 0.001
PAIRS = list[tuple[str, str, bool]]


def read_folds(folder: Path) -> list[PAIRS]:
    """Returns the pairs of each fold of pairs.txt: two photos, and whether they show one person."""
    first, *lines = (folder / "pairs.txt").read_text(encoding="utf-8").splitlines()
    folds, each = (int(number) for number in first.split())

    def photo(name: str, number: str) -> str:
        return f"{name}/{name}_{int(number):04d}.jpg"

    pairs = []
    for words in (line.split("\t") for line in lines):
        name, other = words[0], words[0] if len(words) == 3 else words[2]
        pairs.append((photo(name, words[1]), photo(other, words[-1]), name == other))
    return [pairs[fold * 2 * each : (fold + 1) * 2 * each] for fold in range(folds)]


def middle_chip(path: str) -> np.ndarray | None:
    """Returns the chip of the face nearest the photo's middle, None where there is none."""
    found = extract_faces(path, None, Limits())
    return min(found.faces, key=lambda face: _off_middle(face.detection, found)).chip if found.faces else None


def _off_middle(box: object, photo: Extraction) -> float:
    left, top, right, bottom = (getattr(box, side) for side in ("left", "top", "right", "bottom"))
    return float(np.hypot(left + right - photo.width, top + bottom - photo.height))


def distances(pairs: PAIRS, embeddings: dict[str, np.ndarray]) -> np.ndarray:
    """Returns float64 (pairs,) distances, NaN where a face is missing."""
    missing = np.full(128, np.nan)
    return np.array([np.linalg.norm(embeddings.get(a, missing) - embeddings.get(b, missing)) for a, b, _ in pairs])


def accuracy(folds: list[PAIRS], embeddings: dict[str, np.ndarray]) -> float:
    """Returns the mean over folds of the share told rightly at the threshold that is best on the other folds."""
    told = [distances(fold, embeddings) for fold in folds]
    same = [np.array([one[2] for one in fold]) for fold in folds]

    def rightly(fold: int, threshold: float) -> float:
        return float((np.where(told[fold] <= threshold, same[fold], ~same[fold]) & ~np.isnan(told[fold])).mean())

    shares = []
    for fold in range(len(folds)):
        others = [one for one in range(len(folds)) if one != fold]
        candidates = np.unique(np.concatenate([told[one] for one in others]))
        best = max(candidates[~np.isnan(candidates)], key=lambda one: float(np.mean([rightly(o, one) for o in others])))
        shares.append(rightly(fold, best))
    return float(np.mean(shares))


def missed(folds: list[PAIRS], embeddings: dict[str, np.ndarray], impostors: np.ndarray) -> float:
    """Returns the share of one person's pairs farther apart than all but 0.1% of the impostors' distances."""
    threshold = np.sort(impostors)[int(FALSE_MATCHES * len(impostors))]
    genuine = np.concatenate([distances([one for one in fold if one[2]], embeddings) for fold in folds])
    return float(1 - (genuine < threshold).mean())


def all_impostors(embeddings: dict[str, np.ndarray]) -> np.ndarray:
    """Returns the distances of all pairs of photos of different people."""
    photos = sorted(embeddings)
    people = np.array([photo.split("/")[0] for photo in photos])
    vectors = np.stack([embeddings[photo] for photo in photos]).astype(np.float64)
    squares = (vectors**2).sum(axis=1)
    apart = np.sqrt(np.maximum(squares[:, None] + squares[None, :] - 2 * vectors @ vectors.T, 0))
    return apart[np.triu(people[:, None] != people[None, :], 1)]


def main(folder: Path) -> None:
    """Prints the table for the folds of folder/pairs.txt."""
    if not (folder / "pairs.txt").is_file():
        raise SystemExit(f"{folder} holds no pairs.txt; set AFTERFACT_DATA to a folder with lfw/")
    folds = read_folds(folder)
    photos = sorted({photo for fold in folds for a, b, _ in fold for photo in (a, b)})
    with multiprocessing.Pool(PROCESSES) as pool:
        made = pool.map(middle_chip, [str(folder / photo) for photo in photos], chunksize=16)
    chips = {photo: chip for photo, chip in zip(photos, made, strict=True) if chip is not None}
    stacked = np.stack(list(chips.values()))
    pairs = sum(len(fold) for fold in folds)
    print(f"{platform.machine()}, Python {platform.python_version()}; LFW, {len(folds)} folds, {pairs:,} pairs")
    print(f"{len(photos):,} photos, {len(photos) - len(chips)} without a face; the face nearest the middle\n")
    print(f"{'':<26}{'accuracy':>9}{'FNMR at FMR 0.1%, among impostors':>42}{'ms a face,':>13}")
    print(f"{'':<26}{'':>9}{'those of the folds':>21}{'all there are':>21}{'one core':>13}")
    for name, mirrored in (("the chip alone", False), ("chip and mirrored chip", True)):
        embedder = Embedder(mirrored=mirrored)
        embedder.embed_chips(stacked[:16])
        started = time.perf_counter()
        embedded = embedder.embed_chips(stacked)
        cost = 1000 * (time.perf_counter() - started) / len(stacked)
        embeddings = dict(zip(chips, embedded, strict=True))
        own = np.concatenate([distances([one for one in fold if not one[2]], embeddings) for fold in folds])
        shares = (
            accuracy(folds, embeddings),
            missed(folds, embeddings, own[~np.isnan(own)]),
            missed(folds, embeddings, all_impostors(embeddings)),
        )
        print(f"  {name:<24}{shares[0]:>9.2%}{shares[1]:>21.2%}{shares[2]:>21.2%}{cost:>13.2f}")


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else os.environ.get("AFTERFACT_DATA", "../shared/data")) / "lfw")
