"""The upstream's errors as they came, for a dispute with it: sealed, and kept where something was left out of what is
shown. Never part of an answer or a view."""

from collections.abc import Sequence
from typing import Final
from uuid import UUID

from app.core.db import Session, columns
from app.core.errors import NotFound
from app.core.vault import Vault
from app.jobs.operations import JobNotFound

BYTES_MAX: Final = 64 * 1024
"""Of an original so much is kept."""
BATCH_MAX: Final = 500
NO_JOB: Final = UUID(int=0)
"""Before the first of them."""


class NoOriginal(NotFound):
    """404: nothing was left out of what the job shows, or its error is kept no longer."""

    code = "no_original"

    def __init__(self) -> None:
        super().__init__("no original is kept: nothing was left out of what the job shows of the upstream's error")


class OriginalsVault(Vault):
    """Seals and opens original errors."""

    def __init__(self, keys: Sequence[bytes]) -> None:
        super().__init__(keys, purpose="original error")


async def get_original(session: Session, *, vault: Vault, job_id: UUID) -> tuple[UUID, bytes]:
    """A job's tenant, and the upstream's error as it came. Raises JobNotFound, NoOriginal, SecretUnreadable."""
    row = await session.fetchrow(
        "SELECT job.tenant_id, result.original FROM jobs AS job LEFT JOIN job_results AS result ON result.job_id = job.id"
        " WHERE job.id = $1",
        job_id,
    )
    if row is None:
        raise JobNotFound
    if row["original"] is None:
        raise NoOriginal
    return row["tenant_id"], vault.open(job_id, row["original"])


async def reencrypt_originals(session: Session, *, vault: Vault, after: UUID) -> tuple[int, int, UUID | None]:
    """The next BATCH_MAX originals, by their jobs' ids, under the first key: how many they are, how many were moved, and
    after which job to go on; None at the end. Raises SecretUnreadable, and then none of these is changed."""
    rows = await session.fetch(
        "SELECT job_id, original FROM job_results WHERE job_id > $1 AND original IS NOT NULL ORDER BY job_id LIMIT $2"
        " FOR NO KEY UPDATE",
        after,
        BATCH_MAX,
    )
    moved = [
        (row["job_id"], vault.seal(row["job_id"], vault.open(row["job_id"], row["original"])))
        for row in rows
        if not vault.is_current(row["original"])
    ]
    await session.execute(
        "UPDATE job_results AS result SET original = asked.original"
        " FROM unnest($1::uuid[], $2::bytea[]) AS asked (job_id, original) WHERE result.job_id = asked.job_id",
        *columns(moved, 2),
    )
    return len(rows), len(moved), rows[-1]["job_id"] if len(rows) == BATCH_MAX else None
