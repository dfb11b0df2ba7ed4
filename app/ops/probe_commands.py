"""`waystation doctor --probe`: one real job, to see how the upstream behaves."""

import asyncio
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from app.core.commands.terminal import progress, say_all, whoami

if TYPE_CHECKING:
    from app.core.commands.local import UpstreamAccess
    from app.core.database.db import Database
    from app.probe.report import Probed

PATIENCE_MAX = 86_400.0


@dataclass(frozen=True, slots=True)
class Wish:
    """The options of the command as they were given."""

    model: str | None
    max_cost: str | None
    pairs: tuple[str, ...]
    file: Path | None
    patience_seconds: float | None


def run_probe(wish: Wish, *, as_json: bool, data_dir: Path) -> None:
    """Send a probe and tell what it saw. Exits 0 only if the job completed and all was seen."""
    from app.probe.report import lines_of, value_of

    probed = asyncio.run(_run(wish, data_dir))
    say_all(lines_of(probed), value=value_of(probed), as_json=as_json)
    raise typer.Exit(0 if probed.ok else 1)


async def _run(wish: Wish, data_dir: Path) -> "Probed":
    from app.catalog.check import checked_slug
    from app.catalog.queries import list_models_by_slug
    from app.core.commands.local import find_upstream, opened
    from app.core.errors import Malformed
    from app.probe.decide import check_price, choose_body

    if wish.model is None or wish.max_cost is None:
        raise Malformed("expected --probe MODEL and --max-cost CREDITS together, such as --max-cost 0.05")
    slug, max_cost_micro, given = checked_slug(wish.model), _max_cost(wish.max_cost), _given(wish)
    patience_seconds = _patience(wish.patience_seconds)
    upstream = find_upstream(data_dir)
    async with opened(data_dir) as database:
        async with database.snapshot() as snapshot:
            model = (await list_models_by_slug(snapshot, slugs=[slug])).get(slug)
        check_price(slug, model, max_cost_micro=max_cost_micro)
        body = choose_body(given, slug=slug, schema=model.schema if model is not None else None)
        return await _probe(
            database, upstream, slug=slug, body=body, max_cost_micro=max_cost_micro, patience_seconds=patience_seconds
        )


async def _probe(
    database: "Database",
    upstream: "UpstreamAccess",
    *,
    slug: str,
    body: bytes,
    max_cost_micro: int,
    patience_seconds: float,
) -> "Probed":
    from app.probe.probing import Prober
    from app.probe.wire import ProbeWire

    wire = ProbeWire(url=upstream.url, history_url=upstream.history_url, api_key=upstream.api_key, proxy=upstream.proxy)
    try:
        prober = Prober(
            database=database, wire=wire, model=slug, body=body, max_cost_micro=max_cost_micro, asked_by=whoami(),
            patience_seconds=patience_seconds, say=progress,
        )  # fmt: skip
        return await prober.probe()
    finally:
        await wire.close()


def _max_cost(text: str) -> int:
    from app.core.credits import parse_credits
    from app.core.errors import Malformed

    try:
        return parse_credits(text)
    except ValueError as error:
        raise Malformed(f"--max-cost: {error}") from None


def _patience(seconds: float | None) -> float:
    from app.core.errors import Malformed
    from app.probe.models import PATIENCE_SECONDS

    if seconds is None:
        return PATIENCE_SECONDS
    if not 0 < seconds <= PATIENCE_MAX:
        raise Malformed(f"--patience: expected seconds above 0 and at most {PATIENCE_MAX:.0f}")
    return seconds


def _given(wish: Wish) -> bytes | None:
    """Return the input as it was given, or None. Raises Malformed, OSError."""
    from app.core.errors import Malformed
    from app.probe.decide import read_pairs
    from app.probe.models import BODY_BYTES_MAX

    if wish.pairs and wish.file is not None:
        raise Malformed("expected --input or --input-file, not both")
    if wish.file is not None:
        with wish.file.open("rb") as opened_file:
            return opened_file.read(BODY_BYTES_MAX + 1)
    return read_pairs(wish.pairs) if wish.pairs else None
