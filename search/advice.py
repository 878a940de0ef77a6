"""What a probe's own quality, and the distances of its list, mean: in plain words."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from indexer.calibration_groups import FACTOR
from indexer.quality import Quality

if TYPE_CHECKING:
    from search.candidates import Candidate

# Where the measures of readable press photos (LFW) and of mugshots begin to part from the rest: their outer 1 to 5%.
SMALL_EYES = 36.0
BLURRED = 7.0
TURNED = 0.4
TILTED = 20.0
DARK = 40.0
BRIGHT = 200.0
UNSURE = 0.2


def advise(quality: Quality) -> list[str]:
    """Returns one sentence for each thing about the probe that makes its list less worth; none for a good probe."""
    told = (
        (
            quality.eye_distance < SMALL_EYES,
            f"The face is small ({quality.eye_distance:.0f} pixels between the eyes): "
            "the right person, if there at all, may stand far down the list.",
        ),
        (
            quality.sharpness < BLURRED,
            "The face is blurred: blurred faces of different people look alike, so near distances mean less.",
        ),
        (
            abs(quality.yaw) > TURNED,
            "The face is turned away: booking photos are frontal, so the right person may stand far down the list.",
        ),
        (abs(quality.roll) > TILTED, "The head is tilted: the alignment, and so the list, may be off."),
        (
            quality.brightness < DARK,
            "The face is dark: detail that tells people apart is lost, near distances mean less.",
        ),
        (
            quality.brightness > BRIGHT,
            "The face is very bright: detail that tells people apart is lost, near distances mean less.",
        ),
        (quality.score < UNSURE, "The detector is barely sure that this is a face: look at the cropped probe first."),
    )
    return [sentence for applies, sentence in told if applies]


def remarks_on(
    candidates: Sequence[Candidate], sampled: int | None, cut_off: str | None, version: int, is_chance: bool
) -> list[str]:
    """Returns what the distances of a list mean, one sentence each; arguments as in search.lead.Lead."""
    if not candidates:
        return []
    told = []
    first = candidates[0].rate
    if first is None:
        told.append(
            "How often people not in this gallery get one this close is not known: "
            f"version {version} is not calibrated (afterfact evaluate calibrate does it)."
        )
    elif is_chance:
        told.append(f"Even rank 1 is no nearer than chance gives: {first.sentence}.")
    else:
        told.append(f"Rank 1: {first.sentence}.")
    if cut_off is not None:
        beyond = sum(candidate.beyond(cut_off) for candidate in candidates)
        told.append(
            f"{beyond} of {len(candidates)} candidates lie beyond the cut-off, FPIR {cut_off}; none is left out."
        )
    if sampled is not None:
        told.append(
            "By chance: how many people who are not in this gallery get one this close, as seen with "
            f"{sampled:,} of its own faces, each searched without its own subject; other photos or people change it."
        )
    return told


def warn_of_groups(candidates: Sequence[Candidate]) -> list[str]:
    """Returns one sentence for each group whose members, when they are not in the gallery, get a candidate as near as
    these much more often than the mean of groups."""
    found: dict[tuple[str, str], list[Candidate]] = {}
    for one in candidates:
        for above in one.above:
            found.setdefault((above.by, above.group), []).append(one)
    told = []
    for (by, group), listed in found.items():
        first = next(one for one in listed[0].above if (one.by, one.group) == (by, group))
        ranks = ", ".join(str(one.rank) for one in listed)
        told.append(
            f"Warning for rank {ranks}: the gallery's list states {group!r} as {by}. Of people of that group who are "
            f"not in this gallery {first.rate.share} get one as close as rank {listed[0].rank}: {first.times:.1f} "
            f"times the mean of groups (warned of above {FACTOR} times)."
        )
    return told
