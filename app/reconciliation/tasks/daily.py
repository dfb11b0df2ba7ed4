"""The daily reconciliation. Every worker checks whether it is due, and one of them runs it."""

import asyncio
from collections.abc import Callable

from app.core import clock
from app.core.config.settings import Settings
from app.core.database.db import Database
from app.core.database.schema import SchemaGate
from app.core.errors import StoreUnavailable, WrongConnection
from app.core.logs.log import get_logger
from app.core.process.pump import Pump
from app.reconciliation.models import Result
from app.reconciliation.runs import RunLost, begin_due
from app.reconciliation.tasks.history_of import history_of
from app.reconciliation.tasks.run import Reconciler
from app.upstream.account import AccountClient

log = get_logger(__name__)

LOOK_SECONDS = 600.0
STATEMENT_SECONDS = 1800.0
"""The comparison of all balances reads all transfers."""


class DailyReconciliation:
    """The part of one worker. It checks every ten minutes, first after HISTORY_SETTLE_SECONDS."""

    def __init__(self, settings: Settings, *, on_wrong: Callable[[WrongConnection], None] | None = None) -> None:
        self.pump = Pump("reconcile", self._step)
        self._settings = settings
        self._on_wrong = on_wrong
        self._look_at = clock.monotonic() + max(LOOK_SECONDS, settings.history_settle_seconds)

    async def _step(self) -> float:
        wait_seconds = self._look_at - clock.monotonic()
        if wait_seconds > 0:
            return wait_seconds
        self._look_at = clock.monotonic() + LOOK_SECONDS
        await self.look()
        return LOOK_SECONDS

    async def look(self) -> bool:
        """Run it if it is due and unclaimed. Return whether it ran to its end."""
        settings = self._settings
        database = await Database.open(
            settings.database_url,
            name="reconcile",
            writers_max=1,
            readers_max=1,
            statement_seconds=STATEMENT_SECONDS,
            on_wrong=self._on_wrong,
            schema=SchemaGate(self._on_wrong),
            proven=True,  # the worker's other connections report a wrong setting
        )
        key = settings.upstream_api_key.get_secret_value()
        account = AccountClient(url=settings.upstream_url, api_key=key, proxy=settings.upstream_proxy)
        history = history_of(settings)
        try:
            async with database.transaction() as session:
                run = await begin_due(session, settle_seconds=settings.history_settle_seconds)
            if run is None:
                return False
            log.info("reconciliation.started", number=run.id)
            report = await Reconciler(database=database, account=account, history=history).reconcile(run)
        except (StoreUnavailable, RunLost) as error:
            log.warning("reconciliation.aborted", cause=repr(error))
            return False
        finally:
            await asyncio.gather(*(part.close() for part in (database, account, history) if part is not None))
        say = log.info if report.result is Result.AGREES else log.warning
        say(
            "reconciliation.finished", number=run.id, result=report.result, detail=report.detail, open=report.open,
            compared=report.tally.compared, found=report.tally.found, settled=report.tally.settled,
        )  # fmt: skip
        return True
