"""`waystation pause` and `waystation resume`."""

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from app.admin.commands.tenant_commands import Force
from app.core.commands.terminal import DATA_DIR, AsJson, DataDir, operator_here, say, whoami

if TYPE_CHECKING:
    from app.pace.models import What
    from app.pace.pauses.schemas import PauseOut, PausesOut

Model = Annotated[str | None, typer.Option("--model", help="Only this model.")]
TenantOption = Annotated[str | None, typer.Option("--tenant", help="Only this tenant: name or ten_… id.")]
Submits = Annotated[bool, typer.Option("--submits", help="Only submits to the upstream (the default).")]
All = Annotated[bool, typer.Option("--all", help="Polls, too. The upstream deletes results after an hour.")]


def register(app: typer.Typer) -> None:
    """Register the commands."""
    app.command()(pause)
    app.command()(resume)


def pause(
    model: Model = None,
    tenant: TenantOption = None,
    submits: Submits = False,
    all_: All = False,
    note: Annotated[str, typer.Option(help="The reason, shown with the pause.")] = "",
    force: Force = False,
    as_json: AsJson = False,
    data_dir: DataDir = DATA_DIR,
) -> None:
    """Stop sending to the upstream: everything, a model, a tenant, or a model of a tenant.

    Tenants' submits are still accepted; their jobs wait, and nothing is lost. It takes effect within a second on all workers.
    A second pause of the same scope replaces the first.
    """
    from app.pace.models import What

    _one_of(submits, all_)
    done = asyncio.run(_change(data_dir, tenant, model, What.ALL if all_ else What.SUBMITS, note, force))
    assert done.changed is not None, "a pause always leaves one"
    _say(f"paused: {_scope(done.changed)}", done, as_json)


def resume(
    model: Model = None,
    tenant: TenantOption = None,
    submits: Submits = False,
    all_: All = False,
    force: Force = False,
    as_json: AsJson = False,
    data_dir: DataDir = DATA_DIR,
) -> None:
    """End the pause of exactly this scope.

    The whole pause ends, also with --submits: polls are never paused alone. A pause that the upstream has
    caused can be ended, too; it is set again if the upstream still answers 403.
    """
    _one_of(submits, all_)
    done = asyncio.run(_change(data_dir, tenant, model, None, "", force))
    line = "nothing was paused in this scope" if done.changed is None else f"resumed: {_scope(done.changed)}"
    _say(line, done, as_json)


def _one_of(submits: bool, all_: bool) -> None:
    if submits and all_:
        raise typer.BadParameter("expected either --submits or --all")


async def _change(
    data_dir: Path, tenant: str | None, model: str | None, what: "What | None", note: str, force: bool
) -> "PausesOut":
    """Pause the scope. If `what` is None, resume it."""
    from app.admin.actions import incidents
    from app.admin.names import check_models, tenant_named
    from app.core.commands.local import opened, ring
    from app.pace.pauses.queries import Pause, list_pauses
    from app.pace.pauses.schemas import PausesOut

    by = operator_here()
    changed: Pause | None
    async with opened(data_dir) as database, database.transaction() as session:
        if tenant is not None:
            tenant = (await tenant_named(session, tenant)).name
        if model is not None:
            paused = (
                [pause.model for pause in await list_pauses(session) if pause.model is not None] if what is None else []
            )
            await check_models(session, [model], force=force, besides=paused)
        if what is None:
            changed, count, pauses = await incidents.resume(session, by=by, tenant=tenant, model=model)
        else:
            changed, count, pauses = await incidents.pause(
                session, by=by, paused_by=whoami(), tenant=tenant, model=model, what=what, note=note
            )
    await ring(data_dir, "dispatch", "poll")
    return PausesOut.told(changed, count, pauses)


def _scope(pause: "PauseOut") -> str:
    stopped = "submits and polls" if pause.what == "all" else "submits"
    model = "everything" if pause.model is None else pause.model
    if pause.reason:
        return f"{stopped} of {model} (the database was restored: `waystation recover`)"
    by_upstream = " (paused by the upstream's 403s)" if pause.next_probe_at else ""
    return f"{stopped} of {model}" + (f" of tenant {pause.tenant}" if pause.tenant else "") + by_upstream


def _say(line: str, done: "PausesOut", as_json: bool) -> None:
    others = [_scope(pause) for pause in done.pauses if pause != done.changed]
    if others:
        line += f"; also paused: {', '.join(others)}"
    say(line, value=done.model_dump(mode="json"), as_json=as_json)
