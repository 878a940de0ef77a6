"""`make simulate-stragglers`: what slow and lost hosts cost a run of 100,000,000 photos, as segments are handed out.

Nothing is measured here but the rate that it starts from; docs/scale.md says what follows. Times are in seconds.
"""

from __future__ import annotations

import heapq
import statistics
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from foundation.chart import Panel, write_charts

PHOTOS = 100_000_000
SEGMENT = 512
RATE = 75.3  # photos a second and core: half of what docs/performance.md has for two cores and 300,000 photos
SEGMENTS = -(-PHOTOS // SEGMENT)
SPREAD = 0.1  # of a segment's time, as the standard deviation of its logarithm: photos differ
HOST_SPREAD = 0.1  # the same between hosts
SLOW_HOSTS, SLOWER = 0.01, 4.0  # the share of hosts that a neighbour slows down, and by how much
LOST_EVERY = 24 * 3600.0  # between two losses of a host, as spot instances are lost
BACK_AFTER = 120.0
CORES = (64, 128, 256, 512, 1024, 2048)
SEEDS = 5


@dataclass(frozen=True)
class Cluster:
    """A cluster of one-core workers as drawn. factors: how many times a segment's usual time each worker takes."""

    factors: np.ndarray
    random: np.random.Generator

    def durations(self, count: int) -> np.ndarray:
        """Returns what so many segments take on a host of usual speed."""
        return np.exp(self.random.normal(0, SPREAD, count)) * SEGMENT / RATE

    def with_losses(self, duration: float) -> float:
        """Returns what a segment takes on a host that may be lost on the way: what it had done of it is done again."""
        total = 0.0
        while (lost := self.random.exponential(LOST_EVERY)) < duration:
            total += lost + BACK_AFTER
        return total + duration


def draw_cluster(cores: int, seed: int) -> Cluster:
    """Returns a cluster of so many cores."""
    random = np.random.default_rng(seed)
    factors = np.exp(random.normal(0, HOST_SPREAD, cores))
    factors[random.random(cores) < SLOW_HOSTS] *= SLOWER
    return Cluster(factors, random)


def even_shares(cluster: Cluster) -> float:
    """Returns when the last worker ends where each gets as many segments as any other, at the start."""
    shares = np.array_split(cluster.durations(SEGMENTS), len(cluster.factors))
    return max(
        sum(cluster.with_losses(float(one)) for one in share * factor)
        for share, factor in zip(shares, cluster.factors, strict=True)
    )


def as_free(cluster: Cluster, second_copies: bool = False) -> float:
    """Returns when the last segment is done where each worker takes the next one when it has done its own.

    second_copies: at the end, whoever is free does once more what would be done last, and the earlier copy counts.
    """
    free = [(0.0, worker) for worker in range(len(cluster.factors))]
    ends = np.zeros(SEGMENTS)
    for number, duration in enumerate(cluster.durations(SEGMENTS)):
        now, worker = heapq.heappop(free)
        ends[number] = now + cluster.with_losses(float(duration * cluster.factors[worker]))
        heapq.heappush(free, (ends[number], worker))
    if not second_copies:
        return float(ends.max())
    late = list(np.sort(ends)[-len(cluster.factors) :])
    for now, worker in sorted(free):
        if now >= late[-1]:
            break
        late[-1] = min(late[-1], now + cluster.with_losses(float(cluster.factors[worker] * SEGMENT / RATE)))
        late.sort()
    return float(late[-1])


WAYS = {
    "an even share each": even_shares,
    "as workers come free": as_free,
    "the same, the last ones twice": lambda cluster: as_free(cluster, second_copies=True),
}


def main(folder: Path) -> None:
    """Prints the table and writes the plot."""
    lines: dict[str, list[tuple[float, float]]] = {way: [] for way in WAYS}
    print(f"{PHOTOS:,} photos in {SEGMENTS:,} segments of {SEGMENT}; medians of {SEEDS} clusters\n")
    print(f"{'cores':>6}{'ideal, h':>10}  " + "".join(f"{way:>32}" for way in WAYS))
    for cores in CORES:
        told = ""
        for way, work in WAYS.items():
            clusters = [draw_cluster(cores, seed) for seed in range(SEEDS)]
            ratio = statistics.median(work(one) / ideal(one) for one in clusters)
            lines[way].append((cores, ratio))
            told += f"{ratio:>31.3f}x"
        print(f"{cores:>6}{ideal(draw_cluster(cores, 0)) / 3600:>10.2f}  {told}", flush=True)
    panel = Panel("100,000,000 photos: time over the ideal", "cores", "times the ideal", lines, {}, log="xy")
    write_charts(folder / "stragglers.svg", [panel])


def ideal(cluster: Cluster) -> float:
    """Returns the time where the cluster's speeds add up, nothing is lost and nobody waits."""
    return PHOTOS / RATE / float((1 / cluster.factors).sum())


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "docs/figures"))
