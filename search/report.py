"""The lead sheet: one self-contained page for a case file."""

from __future__ import annotations

import base64
from pathlib import Path

from foundation.files import write_whole
from search.lead import Lead
from search.session import SearchSession


def write_lead_sheet(path: Path, lead: Lead, probe: Path, session: SearchSession) -> None:
    """Writes the lead as one HTML page with its pictures inside; it needs no network and no script.

    Raises OSError where path cannot be written.
    """
    crops = [session.crop(candidate) for candidate in lead.candidates]
    page = render_lead_sheet(lead, session.crop_probe(probe, lead.probe), crops)
    write_whole(path, page.encode(), mode=0o600)


def render_lead_sheet(lead: Lead, probe_picture: bytes | None, crops: list[bytes | None]) -> str:
    """Returns the page's HTML; probe_picture and crops (one a candidate) are JPEGs, None where there is none."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(loader=PackageLoader("search"), autoescape=True, undefined=StrictUndefined)
    template = environment.get_template("lead.html")
    rows = list(zip(lead.candidates, crops, strict=True))
    return template.render(lead=lead, rows=rows, probe_picture=probe_picture, picture=_picture)


def _picture(jpeg: bytes | None, alternative: str) -> object:
    from markupsafe import Markup

    if jpeg is None:
        return Markup(
            '<div class="gone" role="img" aria-label="{}: photo not available">photo not available</div>'
        ).format(alternative)
    data = base64.b64encode(jpeg).decode("ascii")
    return Markup('<img src="data:image/jpeg;base64,{}" alt="{}">').format(data, alternative)
