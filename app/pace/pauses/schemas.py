"""Pauses as operators see them, over HTTP and in the commands' `--json`."""

from typing import Self

from pydantic import BaseModel, Field

from app.core.ids import show_id
from app.pace.models import What
from app.pace.pauses.queries import Pause
from app.web.fields import At


class PauseOut(BaseModel):
    """A pause: its scope, when it was set, by whom and why."""

    tenant_id: str | None = Field(description="null: every tenant")
    tenant: str | None = Field(description="the tenant's name")
    model: str | None = Field(description="null: every model")
    what: What
    since: At
    paused_by: str = Field(
        description="who set it last; `upstream`: the upstream answered submits of the model with 403"
    )
    note: str
    next_probe_at: At | None = Field(
        description="of a pause by the upstream: when one waiting job is sent to find out whether the pause can end;"
        " null: an operator ends it"
    )
    reason: str | None = Field(
        description="restored: the database may be older than what was sent; `waystation recover` ends it"
    )
    refused_probes: int = Field(description="how many of these jobs in a row were answered 403 and failed")

    @classmethod
    def of(cls, pause: Pause) -> Self:
        """Build the output for a pause."""
        return cls(
            tenant_id=None if pause.tenant_id is None else show_id("ten", pause.tenant_id),
            tenant=pause.tenant_name,
            model=pause.model,
            what=pause.what,
            since=pause.since,
            paused_by=pause.paused_by,
            note=pause.note,
            next_probe_at=pause.probe_at,
            refused_probes=pause.refusals,
            reason=pause.reason,
        )


class PausesOut(BaseModel):
    """The result of a pause or resume, and all pauses that are set now."""

    changed: PauseOut | None = Field(description="the pause that was set or ended; null: there was none to end")
    jobs: int = Field(description="accepted jobs that this parked or unparked; jobs with a later start do not count")
    pauses: list[PauseOut]

    @classmethod
    def told(cls, changed: Pause | None, jobs: int, pauses: list[Pause]) -> Self:
        """Build the output for a change of the pauses."""
        return cls(
            changed=None if changed is None else PauseOut.of(changed),
            jobs=jobs,
            pauses=[PauseOut.of(pause) for pause in pauses],
        )
