"""What the commands that look at photos share: Beam's flags behind --, and limits."""

from __future__ import annotations

import click

from foundation.errors import InputError

BEAM_FLAGS = "afterfact.beam_flags"


class WithBeamFlags(click.Command):
    """Leaves whatever follows the first -- to Beam, so that click still refuses what neither knows."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Takes Beam's flags out and puts them into the context's meta under BEAM_FLAGS."""
        if "--" in args:
            ctx.meta[BEAM_FLAGS] = args[args.index("--") + 1 :]
            args = args[: args.index("--")]
        return super().parse_args(ctx, args)

    def collect_usage_pieces(self, ctx: click.Context) -> list[str]:
        """Returns what the usage line says, Beam's flags last."""
        return [*super().collect_usage_pieces(ctx), "[-- BEAM_FLAGS]"]


def parse_limits(limits: tuple[str, ...]) -> dict[str, float] | None:
    """Returns the limits given as NAME=NUMBER, None where there is none. Raises InputError."""
    parsed: dict[str, float] = {}
    for limit in limits:
        name, _, text = limit.partition("=")
        try:
            number = float(text)
        except ValueError:
            raise InputError(f"--limit is {limit!r}; give NAME=NUMBER, say min_eye_distance=40") from None
        parsed[name.strip()] = int(number) if number.is_integer() else number
    return parsed or None
