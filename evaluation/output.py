"""What an evaluation leaves: results.json, scores.csv and report.html, readable by their owner alone."""

from __future__ import annotations

import base64
import csv
import io
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from evaluation.measured import Error, Measured
from evaluation.session import Evaluation
from foundation.chart import draw_bars, draw_charts
from foundation.errors import InputError
from foundation.files import write_whole
from foundation.terminal import printable
from indexer.extractor import FaceExtractor
from indexer.limits import Limits

RESULTS, SCORES, REPORT = "results.json", "scores.csv", "report.html"


def require_folder(folder: Path | None) -> None:
    """Raises InputError where outputs could not be written into folder, before work begins."""
    place = folder or Path()
    if folder is not None and folder.is_dir() and any(folder.iterdir()):
        raise InputError(f"--out {folder} is not empty; name a folder that is, or one that is not there yet")
    if not place.is_dir() and (place.exists() or not place.absolute().parent.is_dir()):
        raise InputError(f"--out {folder} cannot be made a folder; name one whose parent folder is there")


def as_json(evaluation: Evaluation) -> dict[str, Any]:
    """Returns everything that results.json holds."""
    return {
        "format": 1,
        **evaluation.measured.result,
        "model": evaluation.model,
        "galleries": evaluation.galleries,
        "entries": [{"entry": one.number, "time": one.time, "head": one.head} for one in evaluation.receipts],
        "cannot_say": list(evaluation.measured.cannot),
    }


def write_outputs(folder: Path, evaluation: Evaluation) -> None:
    """Writes the three files into folder, made where it is absent. Raises OSError."""
    folder.mkdir(mode=0o700, exist_ok=True)
    results = json.dumps(as_json(evaluation), indent=2) + "\n"
    for name, content in (
        (RESULTS, results),
        (SCORES, _csv(evaluation)),
        (REPORT, render_report(evaluation)),
    ):
        write_whole(folder / name, content.encode("utf-8", "backslashreplace"), mode=0o600)


def _csv(evaluation: Evaluation) -> str:
    """Returns the scores. Of a gallery neither the list's columns nor the order tells who is who."""
    measured = evaluation.measured
    columns, rows = list(measured.columns), [list(row) for row in measured.scores]
    if evaluation.galleries:
        kept = len(columns) - len(_further(measured))
        columns, rows = columns[:kept], sorted((row[:kept] for row in rows), key=lambda row: str(row[0]))
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows([_harmless(value) for value in row] for row in rows)
    return stream.getvalue()


def _further(measured: Measured) -> list[str]:
    names = {name for one in measured.samples for name in one.columns}
    return [one for one in measured.columns if one in names or one[:-2] in names]


def _harmless(value: Any) -> Any:
    """Keeps a spreadsheet from taking a name for a formula."""
    return f"'{value}" if isinstance(value, str) and value[:1] in "=+-@\t\r" else value


def render_report(evaluation: Evaluation) -> str:
    """Returns the page: one file, with plots and pictures inside; it needs no network and no script."""
    from jinja2 import Environment, PackageLoader, StrictUndefined
    from markupsafe import Markup

    environment = Environment(
        loader=PackageLoader("evaluation"),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=lambda value: printable(value) if type(value) is str else value,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    measured = evaluation.measured
    with _cropping(evaluation) as picture:
        worst = [
            (
                one.title,
                [(error, [picture(place) for place in error.places], _named(measured, error)) for error in one.errors],
            )
            for one in measured.worst
            if one.errors
        ]
    return environment.get_template("evaluation.html").render(
        evaluation=evaluation,
        measured=measured,
        sections=[(one, [Markup(draw_bars(chart)) for chart in one.charts]) for one in measured.sections],
        panels=[(panel.title, Markup(draw_charts([panel]))) for panel in measured.panels],
        worst=worst,
        pictures=not evaluation.galleries,
    )


def _named(measured: Measured, error: Error) -> list[str]:
    return [
        sample.name
        if sample.subject is None or sample.name.startswith(sample.subject)
        else f"{sample.name} ({sample.subject})"
        for sample in (measured.samples[place] for place in error.places)
    ]


@contextmanager
def _cropping(evaluation: Evaluation) -> Iterator[Any]:
    """Gives what returns a sample's face as a data: address; None where it may not, or cannot be shown."""
    if evaluation.galleries:
        yield lambda _: None
        return
    with FaceExtractor(None, Limits()) as extractor:

        def picture(place: int) -> str | None:
            template, sample = evaluation.templates[place], evaluation.measured.samples[place]
            if template.box is None:
                return None
            jpeg = extractor.crop_face(sample.path, template.box, evaluation.digests[place])
            return None if jpeg is None else "data:image/jpeg;base64," + base64.b64encode(jpeg).decode("ascii")

        yield picture
