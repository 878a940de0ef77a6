"""What is said of groups: tables, charts and sentences, the worst group by name, and what the sample cannot say."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from evaluation.groups import FEWEST_SUBJECTS, GroupRate, GroupRates, Measure, Ratio, measure_groups
from evaluation.measured import Section, percent, told_interval
from evaluation.rates import FEWEST_ERRORS
from foundation.chart import Bar, Bars
from indexer.grouping import NOT_STATED, Grouping

COLUMNS = (
    *("measure", "group", "subjects", "rate", "95% interval", "errors"),
    *("times the lowest", "times the mean"),
)
RATIOS = (
    " Times the lowest: the rate as a multiple of the lowest told one, whose group is taken as this sample has it. "
    "Times the mean: of the geometric mean of the told rates, each group counting alike."
)
LOGARITHMIC = ("FMR", "FPIR")
CANNOT = (
    "A difference between groups in this sample may come of its photos (light, cameras, ages, how often people were "
    "photographed) and not of the people: the columns say who is in a group, not why it differs.",
    "Of many groups one is always the worst, also by chance; a ratio whose interval holds 1 shows no difference; of "
    "many intervals one in twenty leaves 1 out by chance.",
    f"A group told as too small (fewer than {FEWEST_SUBJECTS} subjects or {FEWEST_ERRORS} errors) may be the best or "
    "the worst: this sample cannot say. Ratios leave it out.",
    "Groups are as the list states them, wrongly or rightly; nobody's group is guessed from a face.",
)


@dataclass
class ByGroup:
    """What an evaluation says of groups; all empty where it was not asked for them."""

    result: dict[str, Any] = field(default_factory=dict)
    summary: list[str] = field(default_factory=list)
    sections: list[Section] = field(default_factory=list)
    cannot: tuple[str, ...] = ()


def report_groups(
    made: Sequence[tuple[Grouping, Sequence[Measure]]], cut_off: float, chosen: str, seed: int
) -> ByGroup:
    """Returns what is said of groupings and what is measured in each.

    cut_off: the distance below which a comparison is accepted, for all groups. chosen: how it was chosen, in words.
    """
    said = ByGroup(cannot=CANNOT)
    told = []
    for grouping, measures in made:
        rates = [measure_groups(one, grouping.names, seed) for one in measures]
        told.append({"by": list(grouping.columns), "measures": [_as_json(one) for one in rates]})
        said.sections.append(_section(grouping, rates, cut_off, chosen, explained=bool(said.sections)))
        said.summary += _summary(grouping, rates)
    said.result = {"groups": {"cut_off": round(cut_off, 4), "chosen": chosen, "groupings": told}}
    return said


def _as_json(rates: GroupRates) -> dict[str, Any]:
    best, worst = rates.best, rates.worst
    return {
        "measure": rates.name,
        "all": rates.whole.as_json(),
        "groups": [one.as_json() for one in rates.groups],
        "best": best.name if best else None,
        "worst": worst.name if worst else None,
    }


def _summary(grouping: Grouping, made: Sequence[GroupRates]) -> list[str]:
    """Returns which group is the worst in each measure, and of which measures this sample cannot say."""
    told = [f"By {grouping.title}, {_worst(one)}" for one in made if one.worst is not None]
    silent = ", ".join(one.name for one in made if one.worst is None)
    if silent:
        told.append(
            f"By {grouping.title}, this sample cannot say which group is worst in {silent}: too few errors or subjects."
        )
    missing = grouping.names[-1] == NOT_STATED and int((grouping.members == len(grouping.names) - 1).sum())
    if missing:
        told.append(f"By {grouping.title}, {missing:,} of {len(grouping.members):,} photos state no value.")
    return told


def _worst(rates: GroupRates) -> str:
    best, worst = rates.best, rates.worst
    assert best is not None and worst is not None
    small = len(rates.groups) - len(rates.told)
    rest = f"; {small} of {len(rates.groups)} groups are too small to tell" if small else ""
    if best is worst or worst.to_best is None:
        return f"{rates.name}: no group differs from another{rest}."
    shown = "" if worst.to_best.shown else "; the interval holds 1, so this sample shows no difference"
    return (
        f"{rates.name}: worst for {worst.name!r}, {percent(worst.rate.value)} ({told_interval(worst.rate)}), "
        f"{_times(worst.to_best)} times the lowest, of {best.name!r}, and {_times(worst.to_mean)} times the mean"
        f"{shown}{rest}."
    )


def _times(ratio: Ratio | None) -> str:
    if ratio is None:
        return "-"
    if ratio.low is None or ratio.high is None:
        return f"{ratio.value:.2f}"
    return f"{ratio.value:.2f} ({ratio.low:.2f} to {ratio.high:.2f})"


def _section(grouping: Grouping, rates: Sequence[GroupRates], cut_off: float, chosen: str, explained: bool) -> Section:
    says = f"One cut-off for all groups: distance {cut_off:.4f}, {chosen}; intervals take it as given."
    if explained:
        says += " What each measure is stands above."
    else:
        says += "".join(f" {one.name}: {one.says}." for one in rates) + RATIOS
    rows = [_row(measured.name, one) for measured in rates for one in [measured.whole, *measured.groups]]
    return Section(f"By {grouping.title}", says, COLUMNS, rows, [_chart(grouping, one) for one in rates])


def _row(measure: str, one: GroupRate) -> list[str]:
    rate = one.rate
    return [
        *(measure, one.name, f"{one.subjects:,}"),
        one.lacks.split(":")[0] if one.lacks else percent(rate.value),
        "-" if one.lacks else told_interval(rate),
        f"{rate.errors:,} of {rate.trials:,}",
        "the lowest" if one.to_best and one.to_best.low is None and one.to_best.value == 1 else _times(one.to_best),
        _times(one.to_mean),
    ]


def _chart(grouping: Grouping, rates: GroupRates) -> Bars:
    bars = [
        Bar(one.name, one.lacks) if one.lacks else Bar(one.name, percent(one.rate.value), *_interval(one))
        for one in rates.groups
    ]
    whole = None if rates.whole.lacks else rates.whole.rate.value
    log = rates.name.startswith(LOGARITHMIC)
    scale = ", on a logarithmic axis" if log else ""
    return Bars(f"{rates.name} by {grouping.title}, with 95% intervals{scale}", bars, log, whole)


def _interval(one: GroupRate) -> tuple[float, float | None, float | None]:
    return one.rate.value, one.rate.low, one.rate.high
