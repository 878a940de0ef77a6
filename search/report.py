"""The lead sheet: one self-contained page for a case file."""

from __future__ import annotations

import base64
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from foundation.files import write_whole
from foundation.terminal import printable
from search.candidates import format_distance
from search.lead import Lead
from search.session import SearchSession


def write_lead_sheet(path: Path, lead: Lead, probe: Path, session: SearchSession) -> None:
    """Writes the lead as one HTML page with its pictures inside; it needs no network and no script.

    Raises OSError where path cannot be written.
    """
    crops = session.crops(lead.candidates)
    page = render_lead_sheet(lead, session.crop_probe(probe, lead.probe), crops)
    write_whole(path, page.encode(), mode=0o600)


def render_lead_sheet(lead: Lead, probe_picture: bytes | None, crops: list[bytes | None]) -> str:
    """Returns the page's HTML; probe_picture and crops (one a candidate) are JPEGs, None where there is none."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("search"),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_visible,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    template = environment.get_template("lead.html")
    rows = list(zip(lead.candidates, crops, strict=True))
    tools = {"picture": _picture, "moment": readable_moment, "distance": format_distance}
    return template.render(lead=lead, rows=rows, probe_picture=probe_picture, **tools)


def readable_moment(text: str) -> str:
    """Returns an ISO 8601 moment with a zone as "2018-11-15 13:46 UTC", with its seconds where it has any; any other
    text as it is."""
    try:
        at = datetime.fromisoformat(text)
        if at.tzinfo is None:
            return text
        form = "%Y-%m-%d %H:%M:%S UTC" if at.second else "%Y-%m-%d %H:%M UTC"
        return at.astimezone(UTC).strftime(form)
    except (ValueError, OverflowError):
        return text


def _visible(value: Any) -> Any:
    """Shows control and direction-changing characters in a name as escapes: on paper, too, a name cannot draw."""
    return printable(value) if type(value) is str else value


def _picture(jpeg: bytes | None, alternative: str) -> object:
    from markupsafe import Markup

    alternative = printable(alternative)
    if jpeg is None:
        label = f"{alternative}: photo not available"
        return Markup('<div class="gone" role="img" aria-label="{}">photo not available</div>').format(label)
    data = base64.b64encode(jpeg).decode("ascii")
    return Markup('<img src="data:image/jpeg;base64,{}" alt="{}">').format(data, alternative)
