"""`afterfact gallery`: what galleries there are, whether they are whole, earlier versions, other limits or model."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from foundation.errors import EXIT_ERROR
from foundation.terminal import (
    CONTEXT,
    as_json,
    credential_option,
    home_folder,
    print_json,
    print_table,
    read_credential,
)
from pipelines.duplicates_command import duplicates
from pipelines.reembed_command import reembed
from pipelines.requalify_command import requalify

if TYPE_CHECKING:
    from indexer.gallery import Gallery, Version
    from indexer.models import Model


@click.group(context_settings=CONTEXT)
def gallery() -> None:
    """List, show, verify, roll back, requalify and reembed galleries; find one person under two subjects.

    \b
    Example:
      afterfact gallery list
      afterfact gallery verify county
    """


gallery.add_command(requalify)
gallery.add_command(reembed)
gallery.add_command(duplicates)


def _read(context: click.Context, name: str, credential_file: Path | None) -> Gallery:
    """Returns a gallery to whoever may read it: operators, and tenants that it is granted to and nothing bars."""
    from access.gate import Gate, Request

    Gate.open(home_folder(context)).ask(read_credential(credential_file), Request("read", name))
    return _open(context, name)


def _open(context: click.Context, name: str) -> Gallery:
    from indexer.gallery import Gallery

    return Gallery(home_folder(context), name).require()


def _summary(version: Version) -> dict[str, Any]:
    about = version.about
    return {name: about[name] for name in ("gallery", "version", "published", "faces", "subjects", "outcomes")}


@gallery.command("list")
@credential_option
@as_json
@click.pass_context
def list_galleries(context: click.Context, credential_file: Path | None, as_json: bool) -> None:
    """List the galleries of this data home that you may read.

    \b
    Example:
      afterfact gallery list --json
    """
    from access.gate import Gate
    from indexer.gallery import Gallery, gallery_names

    home = home_folder(context)
    names = Gate.open(home).readable(read_credential(credential_file), gallery_names(home))
    galleries = [Gallery(home, name) for name in names]
    told = [
        _summary(one.version()) if one.version_numbers() else {"gallery": one.name, "version": None}
        for one in galleries
    ]
    if as_json:
        print_json(told)
    elif not told:
        click.echo("No galleries yet; afterfact index makes one.")
    else:
        columns = ["gallery", "version", "published", "faces", "subjects"]
        print_table(columns, [[one.get(name) for name in columns] for one in told])


@gallery.command("show")
@click.argument("name")
@click.option("--version", "number", type=int, help="An earlier version. Default: the present one.")
@credential_option
@as_json
@click.pass_context
def show(context: click.Context, name: str, number: int | None, credential_file: Path | None, as_json: bool) -> None:
    """Show one gallery version: faces, outcomes, model, and the accounting of the run that made it.

    \b
    Example:
      afterfact gallery show county
    """
    version = _read(context, name, credential_file).version(number)
    if as_json:
        print_json(version.about)
        return
    about, model = version.about, version.model
    rows: list[tuple[str, Any]] = [
        ("version", about["version"]),
        ("published", about["published"]),
        ("faces", about["faces"]),
        ("subjects", about["subjects"]),
        ("model", f"{model.name}, digest {model.digest}"),
        ("its network", f"SHA-256 {model.network}, {_network_at(context, model)}"),
        ("chips", f"{model.chip_pixels} x {model.chip_pixels} pixels, aligned for {model.alignment}"),
        ("embedding of", "chip and mirrored chip, their mean" if model.mirrored else "the chip alone"),
        ("distance", f"{model.distance_told}, of {model.dimension} dimensions"),
        ("files", str(version.folder)),
        ("made by", _made_by(about["account"])),
    ]
    print_table([f"gallery {name}", ""], rows)
    print_table(["photos by outcome", "count"], list(about["outcomes"].items()))
    if version.limits:
        print_table(["limits of quality", ""], [(name, f"{limit:g}") for name, limit in version.limits.items()])
    if accounting := about["account"].get("accounting"):
        flat = {**accounting, **{f"rejected: {k}": v for k, v in accounting["rejected"].items()}}
        print_table(["accounting of that run", "photos"], [(k, v) for k, v in flat.items() if k != "rejected"])


def _network_at(context: click.Context, model: Model) -> str:
    from indexer.models import ModelError, find_network, models_folder

    try:
        return f"at {find_network(model, models_folder(home_folder(context)))}"
    except ModelError as error:
        return f"which cannot be used here: {error}"


def _made_by(account: dict[str, Any]) -> str:
    if "rolled_back_to" in account:
        return f"rollback to version {account['rolled_back_to']} from {account['rolled_back_from']}"
    if "requalified" in account:
        return f"requalification of version {account['requalified']}, {account['changed']} photos changed"
    if "reembedded" in account:
        return f"run {account['run']}, which embedded version {account['reembedded']} anew"
    return f"run {account.get('run')} over {account.get('archive')}"


@gallery.command("versions")
@click.argument("name")
@credential_option
@as_json
@click.pass_context
def versions(context: click.Context, name: str, credential_file: Path | None, as_json: bool) -> None:
    """List a gallery's versions, oldest first. Numbers may leave gaps.

    \b
    Example:
      afterfact gallery versions county
    """
    opened = _read(context, name, credential_file)
    found = [opened.version(number) for number in opened.version_numbers()]
    if as_json:
        print_json([_summary(one) for one in found])
        return
    rows = [
        (one.number, one.about["published"], one.about["faces"], one.about["subjects"], _made_by(one.about["account"]))
        for one in found
    ]
    print_table(["version", "published", "faces", "subjects", "made by"], rows)


@gallery.command("verify")
@click.argument("name")
@credential_option
@as_json
@click.pass_context
def verify(context: click.Context, name: str, credential_file: Path | None, as_json: bool) -> None:
    """Recompute what can be recomputed: digests, counts, index against table, model. Exit 1 where something is wrong.

    \b
    Example:
      afterfact gallery verify county
    """
    from indexer.verify import verify_gallery

    findings = verify_gallery(_read(context, name, credential_file))
    wrong = [finding for finding in findings if finding.problem]
    if as_json:
        print_json(
            {"checked": len(findings), "problems": [{"checked": one.checked, "problem": one.problem} for one in wrong]}
        )
    else:
        for one in wrong:
            click.echo(f"WRONG  {one.checked}: {one.problem}")
        click.echo(f"{len(findings)} checks of gallery {name!r}: {f'{len(wrong)} wrong' if wrong else 'all right'}.")
    if wrong:
        context.exit(EXIT_ERROR)


@gallery.command("rollback")
@click.argument("name")
@click.argument("number", type=int, metavar="VERSION")
@click.option("--reason", required=True, help="Why; kept in the ledger.")
@credential_option
@as_json
@click.pass_context
def rollback(
    context: click.Context, name: str, number: int, reason: str, credential_file: Path | None, as_json: bool
) -> None:
    """Make an earlier version's photos the present ones, as a new version. Needs an operator's credential.

    \b
    Example:
      afterfact gallery rollback county 3 --reason "wrong archive indexed"
    """
    from access.gate import Gate
    from indexer.publish import finish_interrupted, require_earlier, roll_back

    opened = _open(context, name)
    gate = Gate.open(home_folder(context))
    with opened.only_publisher():
        finish_interrupted(opened, lambda torn: click.echo(f"afterfact gallery: {torn}", err=True))
        before = opened.version().number
        require_earlier(opened, number)  # before the ledger says that it was done
        gate.record(
            read_credential(credential_file),
            "gallery.rolled-back",
            name,
            {"from": before, "to": number, "reason": reason},
        )
        made = roll_back(opened, number)
    if as_json:
        print_json(_summary(made))
    else:
        click.echo(
            f"Gallery {name!r} is now version {made.number}: the {made.about['faces']:,} faces of version {number}."
        )
