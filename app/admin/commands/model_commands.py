"""`waystation model …`."""

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from app.core.commands.terminal import DATA_DIR, AsJson, DataDir, operator_here, progress_bar, say, say_all, table

if TYPE_CHECKING:
    from collections.abc import Callable

    from app.catalog.decide import ModelChanges
    from app.catalog.operations import Imported
    from app.catalog.queries import Model

models = typer.Typer(help="The catalogue: models with their schemas and prices.")


@models.command("list")
def list_models(as_json: AsJson = False, data_dir: DataDir = DATA_DIR) -> None:
    """List the catalogue."""
    from app.catalog import queries
    from app.catalog.schemas import ModelOut
    from app.core.commands.local import opened

    async def run() -> "list[Model]":
        async with opened(data_dir) as database, database.snapshot() as session:
            return await queries.list_models(session)

    shown = [ModelOut.of(model).model_dump(mode="json", by_alias=True) for model in asyncio.run(run())]
    heads = ("SLUG", "PRICE", "RULE", "MARKUP", "MEAN COST", "MEAN SECONDS", "ENABLED")
    rows = [
        (
            each["slug"],
            each["price"] or "-",
            each["price_rule"],
            each["markup"],
            each["mean_cost"] or "-",
            "-" if each["mean_run_seconds"] is None else f"{each['mean_run_seconds']:.1f}",
            "retired" if each["retired_at"] else "yes" if each["enabled"] else f"no: {each['disabled_reason']}",
        )
        for each in shown
    ]
    say_all(table(heads, rows), value=shown, as_json=as_json)


@models.command("set")
def set_model(
    slug: Annotated[str, typer.Argument(metavar="SLUG")],
    price: Annotated[str | None, typer.Option(help="Price of a job, in credits; null: no price is set.")] = None,
    rule: Annotated[
        str | None,
        typer.Option(
            help="metered: the charge is the upstream's cost times the mark-up; fixed: the charge is the price."
        ),
    ] = None,
    markup: Annotated[str | None, typer.Option(help="Factor by which the upstream's cost is multiplied.")] = None,
    enabled: Annotated[
        bool | None, typer.Option("--enabled/--disabled", help="Whether jobs of the model are accepted.")
    ] = None,
    schema: Annotated[
        Path | None, typer.Option(help="A file with the JSON Schema of the input.", exists=True, dir_okay=False)
    ] = None,
    as_json: AsJson = False,
    data_dir: DataDir = DATA_DIR,
) -> None:
    """Add a model to the catalogue, or change the settings that are given."""
    from app.admin.actions import pricing
    from app.catalog.queries import list_slugs
    from app.catalog.schemas import ModelOut
    from app.core.commands.local import opened
    from app.core.near import did_you_mean

    changes = _changes(price, rule, markup, enabled, schema)

    async def run() -> "tuple[Model, list[str]]":
        async with opened(data_dir) as database, database.transaction() as session:
            known = await list_slugs(session)
            return await pricing.set_model(session, by=operator_here(), slug=slug, changes=changes), known

    found, known = asyncio.run(run())
    model = ModelOut.of(found)
    cost = "no price" if model.price is None else f"{model.price} credits"
    state = "" if model.enabled else ", disabled"
    new, meant = ("", "") if slug in known else (", new in the catalogue", did_you_mean(slug, known))
    line = f"model {model.slug}{new}: {cost}, {model.price_rule}, mark-up {model.markup}{state}{meant}"
    say(line, value=model.model_dump(mode="json", by_alias=True), as_json=as_json)


def _changes(
    price: str | None, rule: str | None, markup: str | None, enabled: bool | None, schema: Path | None
) -> "ModelChanges":
    """The settings that were given; raises Malformed naming the option."""
    import orjson

    from app.catalog.decide import ModelChanges, checked_schema, parse_markup
    from app.catalog.models import PriceRule
    from app.core.credits import parse_credits
    from app.core.errors import malformed_field
    from app.core.strict_json import without_bom

    changes = ModelChanges()
    if rule is not None:
        if rule not in tuple(PriceRule):
            raise malformed_field("rule", f"expected {' or '.join(PriceRule)}")
        changes["price_rule"] = PriceRule(rule)
    if enabled is not None:
        changes["enabled"] = enabled
    field = "price"
    try:
        if price is not None:
            changes["price_micro"] = None if price == "null" else parse_credits(price)
        field = "markup"
        if markup is not None:
            changes["markup_micro"] = parse_markup(markup)
        field = "schema"
        if schema is not None:
            changes["schema"] = checked_schema(orjson.loads(without_bom(schema.read_bytes())))
    except ValueError as error:
        raise malformed_field(field, str(error)) from None
    return changes


@models.command("import")
def import_models(
    file: Annotated[Path, typer.Argument(metavar="FILE.csv", exists=True, dir_okay=False)],
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Overwrite prices that an operator has set, too.")
    ] = False,
    as_json: AsJson = False,
    data_dir: DataDir = DATA_DIR,
) -> None:
    """Import models from a CSV with a column slug, and any of: title, modality, run seconds, cost, price, price rule,
    markup, enabled. With a single fault in the file, nothing is imported.

    A model without a price gets 1.5 times its cost. Prices that an operator has set stay as they are.
    """
    from app.admin.actions import pricing
    from app.catalog.imports import read_models
    from app.core.commands.local import opened

    found = read_models(file.read_bytes())

    async def run(on_progress: "Callable[[int], None]") -> "Imported":
        async with opened(data_dir) as database, database.transaction() as session:
            return await pricing.import_models(
                session,
                by=operator_here(),
                file=file.name,
                lines=found.lines,
                overwrite=overwrite,
                on_progress=on_progress,
            )

    with progress_bar("models", total=len(found.lines)) as on_progress:
        imported = asyncio.run(run(on_progress))
    line = f"{imported.new + imported.known} models imported, {imported.new} of them new"
    if imported.kept:
        line += f"; {imported.kept} keep the price that an operator has set"
    if found.ignored:
        line += f"; unknown columns, ignored: {', '.join(found.ignored)}"
    told = {"new": imported.new, "known": imported.known, "kept": imported.kept, "ignored_columns": found.ignored}
    say(line, value=told, as_json=as_json)
