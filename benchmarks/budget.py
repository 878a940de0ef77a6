"""`make bench-budget`: where a photo's time goes, part by part, on one core, beside the floor of the embedding."""

from __future__ import annotations

import os
import platform
import statistics
import sys
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from foundation.files import digest_bytes
from indexer.embedder import Embedder
from indexer.extraction import TOGETHER, WORKING_SIDE
from indexer.extractor import FaceExtractor
from indexer.face import cut_face, default_detector, landmarks_each
from indexer.limits import Limits
from indexer.photo import decode_reduced, read_photo
from indexer.quality import measure_quality

PHOTOS, ROUNDS, BATCH = 48, 5, 16
MULTIPLY_ADDS = 255  # millions, of dlib's network, one face
FLOOR_MS = 5.3  # of those at the peak of one AVX2 core of 3 GHz: 16 fused multiply-adds a cycle
QUALITY = "  of these, the quality measures"  # in the sum already
ANY_LANDMARKS = np.array(((110.0, 60.0), (90.0, 60.0), (40.0, 60.0), (60.0, 60.0), (75.0, 90.0)))


class Budget:
    """The times of each part, in seconds."""

    def __init__(self) -> None:
        self.parts: dict[str, list[float]] = defaultdict(list)

    def timed(self, part: str, work: Callable[..., Any], *arguments: Any, share: int = 1) -> Any:
        """Returns what work makes, and notes its time divided by share."""
        started = time.perf_counter()
        made = work(*arguments)
        self.parts[part].append((time.perf_counter() - started) / share)
        return made

    def look(self, paths: list[Path]) -> list[np.ndarray]:
        """Takes photos through the parts of extraction, each part together as extraction does; returns their chips."""
        decoded = []
        for path in paths:
            content = self.timed("read", read_photo, path, None, Limits())
            self.timed("digest", digest_bytes, content)
            decoded.append(self.timed("decode", decode_reduced, content, Limits(), WORKING_SIDE)[0])
        detector = default_detector()
        copies = [self.timed("small copy", detector.copies, rgb) for rgb in decoded]
        seen = zip(decoded, copies, strict=True)
        found = [(rgb, self.timed("detector", detector.faces, rgb, False, copy)[0]) for rgb, copy in seen]
        landmarks = self.timed("landmarks", landmarks_each, found, share=len(found))
        aligned = zip(found, landmarks, strict=True)
        faces = [self.timed("chip and quality", cut_face, *one, points) for one, points in aligned]
        for face in faces:
            self.timed(QUALITY, measure_quality, face.detection, ANY_LANDMARKS, face.chip)
        return [face.chip for face in faces]

    def embed(self, chips: np.ndarray) -> None:
        """Embeds chips in batches."""
        embedder = Embedder()
        embedder.embed_chips(chips[:BATCH])
        for first in range(0, len(chips) - BATCH + 1, BATCH):
            batch = chips[first : first + BATCH]
            self.timed(f"embedding, batches of {BATCH}", embedder.embed_chips, batch, share=BATCH)


def through_helper(paths: list[Path]) -> float:
    """Returns the seconds a photo of all parts but the embedding in the helper process."""
    names = [str(path) for path in paths]
    with FaceExtractor(None, Limits()) as extractor:
        list(extractor.extract_faces(names[:2]))
        started = time.perf_counter()
        for _ in range(ROUNDS):
            list(extractor.extract_faces(names))
        return (time.perf_counter() - started) / (ROUNDS * len(names))


def main(folder: Path) -> None:
    """Prints the table for photos of a folder."""
    paths = sorted(folder.rglob("*.jpg"))[:PHOTOS]
    if not paths:
        raise SystemExit(f"{folder} holds no .jpg; set AFTERFACT_DATA to a folder with meds/")
    budget = Budget()
    for _ in range(ROUNDS):
        blocks = [paths[first : first + TOGETHER] for first in range(0, len(paths), TOGETHER)]
        budget.embed(np.stack([chip for block in blocks for chip in budget.look(block)]))
    helper = through_helper(paths)
    medians = {part: 1000 * statistics.median(seconds) for part, seconds in budget.parts.items()}
    quality = medians[QUALITY]
    inside = sum(value for part, value in medians.items() if not part.startswith("embedding")) - quality
    whole = sum(medians.values()) - quality
    print(f"{platform.machine()}, Python {platform.python_version()}; {len(paths)} mugshots, {ROUNDS} rounds, one core")
    print(f"\n{'part of a photo':<44}{'median, ms':>12}")
    for part, value in {**medians, "sum": whole}.items():
        print(f"  {part:<42}{value:>12.2f}" + (f"  ({value / whole:.1%} of the sum)" if part == QUALITY else ""))
    print(f"  {'all but the embedding, by the helper':<42}{1000 * helper:>12.2f}  ({1000 * helper - inside:+.2f})")
    print(f"  {f'floor of {MULTIPLY_ADDS} million multiply-adds':<42}{FLOOR_MS:>12.2f}")


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else os.environ.get("AFTERFACT_DATA", "../shared/data")) / "meds")
