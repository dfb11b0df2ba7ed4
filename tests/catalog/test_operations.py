"""The catalogue in the database: shipped, set, imported, asked."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from app.catalog import check
from app.catalog.check import Catalog, ModelDisabled, ModelUnknown, ModelUnpriced, SlugInvalid
from app.catalog.decide import ModelChanges, Terms
from app.catalog.imports import ModelLine, read_models
from app.catalog.models import PriceRule
from app.catalog.operations import IMPORT_LINES_MAX, Imported, import_models, set_model
from app.catalog.queries import Model, ModelFilter, list_models
from app.core.database.db import Database
from app.core.database.session import ReadSession


async def change(database: Database, slug: str, changes: ModelChanges) -> Model:
    async with database.transaction() as session:
        return await set_model(session, slug=slug, changes=changes)


async def bring(database: Database, *lines: ModelLine, overwrite: bool = False) -> Imported:
    async with database.transaction() as session:
        return await import_models(session, lines=lines, overwrite=overwrite)


async def get(database: Database, slug: str) -> Model:
    async with database.snapshot() as session:
        [model] = await list_models(session, wanted=ModelFilter(slugs=[slug]))
    return model


async def test_the_published_models_are_shipped(database: Database) -> None:
    async with database.snapshot() as session:
        models = await list_models(session)
    assert len(models) == 503
    assert all(model.price_micro and model.cost_micro and model.enabled for model in models)
    seed = await get(database, "motionctrl-svd")
    assert (seed.run_seconds, seed.cost_micro, seed.price_micro) == (62.74, 89_282, 133_923)
    assert (seed.modality, seed.title) == ("Image-to-Video Generation", "Motion Control SVD")
    assert seed.schema is not None


async def test_a_model_is_made_and_changed_in_part(database: Database) -> None:
    made = await change(database, "new-model", {})
    assert (made.price_micro, made.price_rule, made.markup_micro, made.enabled) == (None, "metered", 10**6, True)
    everything: ModelChanges = {
        "price_micro": 5, "price_rule": PriceRule.FIXED, "markup_micro": 2, "schema": {"type": "object"}, "enabled": False,
    }  # fmt: skip
    changed = await change(database, "new-model", everything)
    assert (changed.price_micro, changed.price_rule, changed.markup_micro) == (5, PriceRule.FIXED, 2)
    assert (changed.schema, changed.enabled, changed.disabled_reason) == ({"type": "object"}, False, "an operator")
    again = await change(database, "new-model", {"enabled": True})
    assert (again.price_micro, again.schema, again.disabled_reason) == (5, {"type": "object"}, None)
    cleared = await change(database, "new-model", {"price_micro": None, "schema": None})
    assert (cleared.price_micro, cleared.schema, cleared.price_rule) == (None, None, PriceRule.FIXED)
    with pytest.raises(SlugInvalid):
        await change(database, "a/b", {})


async def test_switching_on_forgets_what_was_counted(database: Database) -> None:
    await change(database, "dear", {"price_micro": 5})
    async with database.transaction() as session:
        await session.execute(
            "UPDATE models SET above_hold_count = 3, enabled = false, disabled_reason = 'dear' WHERE slug = 'dear'"
        )
    assert (await change(database, "dear", {"markup_micro": 2})).disabled_reason == "dear"
    assert (await change(database, "dear", {"enabled": True})).enabled
    async with database.snapshot() as session:
        assert await session.fetchval("SELECT above_hold_count FROM models WHERE slug = 'dear'") == 0


async def test_an_import_keeps_what_an_operator_has_set(database: Database) -> None:
    lines = read_models(b"slug,cost,seconds\nm-1,0.1,5\nm-2,0.2,\nmotionctrl-svd,0.3,1\n").lines
    await change(database, "motionctrl-svd", {"price_micro": 777_777, "markup_micro": 5})
    assert await bring(database, *lines) == Imported(new=2, known=1, kept=1)
    seed = await get(database, "motionctrl-svd")
    assert (seed.price_micro, seed.markup_micro, seed.cost_micro, seed.run_seconds) == (777_777, 5, 300_000, 1.0)
    assert seed.schema is not None

    dearer = read_models(b"slug,cost,markup,enabled\nm-1,0.4,2,false\nm-2,,,\nmotionctrl-svd,0.4,,\n").lines
    assert await bring(database, *dearer) == Imported(new=0, known=3, kept=1)
    first, second = await get(database, "m-1"), await get(database, "m-2")
    assert (first.price_micro, first.cost_micro, first.markup_micro, first.enabled) == (600_000, 400_000, 10**6, True)
    assert (second.price_micro, second.cost_micro) == (300_000, 200_000), "what a file does not say stays"

    assert await bring(database, *dearer, overwrite=True) == Imported(new=0, known=3, kept=0)
    first, seed = await get(database, "m-1"), await get(database, "motionctrl-svd")
    assert (first.markup_micro, first.enabled) == (2 * 10**6, False)
    assert (seed.price_micro, seed.markup_micro) == (600_000, 5)


async def test_the_terms_of_a_job(database: Database) -> None:
    await change(database, "fixed", {"price_micro": 5, "price_rule": PriceRule.FIXED, "markup_micro": 7})
    await change(database, "no-price", {})
    await change(database, "off", {"price_micro": 1, "enabled": False})
    passing, refusing = Catalog(database, unpriced_models="pass"), Catalog(database, unpriced_models="refuse")
    nothing: dict[str, Any] = {}
    for catalog in (passing, refusing):
        assert await catalog.check("fixed", nothing) == Terms(5, PriceRule.FIXED, 7)
        assert await catalog.check("fixed", nothing, allowed=frozenset({"fixed"})) == Terms(5, PriceRule.FIXED, 7)
        for slug in ("fixed", "never-heard-of"):
            with pytest.raises(ModelDisabled):
                await catalog.check(slug, nothing, allowed=frozenset({"other"}))
        with pytest.raises(ModelDisabled):
            await catalog.check("off", nothing)
    assert await passing.check("no-price", nothing) == await passing.check("never-heard-of", nothing) == Terms()
    with pytest.raises(ModelUnpriced):
        await refusing.check("no-price", nothing)
    with pytest.raises(ModelUnknown):
        await refusing.check("never-heard-of", nothing)


async def test_an_import_is_written_in_statements_of_bounded_size(database: Database) -> None:
    lines = [ModelLine(f"many-{number}", price_micro=number) for number in range(2 * IMPORT_LINES_MAX + 1)]
    steps: list[int] = []
    async with database.transaction() as session:
        imported = await import_models(session, lines=lines, overwrite=False, on_progress=steps.append)
    assert imported == Imported(new=len(lines), known=0, kept=0)
    assert steps == [IMPORT_LINES_MAX, IMPORT_LINES_MAX, 1]
    assert (await get(database, lines[-1].slug)).price_micro == lines[-1].price_micro
    again = await bring(database, *(ModelLine(line.slug, price_micro=7) for line in lines))
    assert (again.new, again.known, again.kept) == (0, len(lines), len(lines) - 1)


class Counted:
    """A database that counts how often it is read."""

    def __init__(self, database: Database) -> None:
        self.reads = 0
        self._database = database

    @asynccontextmanager
    async def snapshot(self) -> AsyncIterator[ReadSession]:
        self.reads += 1
        async with self._database.snapshot() as session:
            yield session


async def test_invented_slugs_push_no_known_one_out(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(check, "KEPT_MAX", 20)
    counted = Counted(database)
    catalog = Catalog(counted, unpriced_models="pass")  # type: ignore[arg-type]
    seed = "motionctrl-svd"
    assert await catalog.find_slug(seed) == seed
    for number in range(50):
        assert await catalog.find_slug(f"invented-{number}") is None
    reads = counted.reads
    assert reads == 51
    assert await catalog.find_slug(seed) == seed
    assert await catalog.find_slug("invented-49") is None
    for none in ("a/b", "", "x" * 129, "\ud800", "a\0b"):
        assert await catalog.find_slug(none) is None
    assert counted.reads == reads, "the known one, the last invented one and what can be none are not asked for"
