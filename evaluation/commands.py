"""`afterfact evaluate`: error rates, measured."""

from __future__ import annotations

import click

from evaluation.calibrate_command import calibrate
from foundation.terminal import CONTEXT


@click.group(context_settings=CONTEXT)
def evaluate() -> None:
    """Measure error rates: what a distance means in a gallery.

    \b
    Example:
      afterfact evaluate calibrate county --case EVAL-2026-1 --purpose testing
    """


evaluate.add_command(calibrate)
