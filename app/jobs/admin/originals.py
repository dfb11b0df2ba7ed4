"""The upstream's original errors, for a dispute with it. They are stored, encrypted, if something was removed from what is
shown. No answer and no view has them."""

from collections.abc import Sequence
from typing import Final, NamedTuple
from uuid import UUID

from app.core.database.session import Session
from app.core.database.sql import SqlFolder, columns_of
from app.core.database.vault import Vault
from app.core.errors import NotFound
from app.jobs.operations import JobNotFound

BYTES_MAX: Final = 64 * 1024
"""At most this much of an original is stored."""
BATCH_MAX: Final = 500
NO_JOB: Final = UUID(int=0)
"""Lower than any job's id."""


class NoOriginal(NotFound):
    """404: nothing was removed from the shown error, or the original is no longer stored."""

    code = "no_original"

    def __init__(self) -> None:
        super().__init__(
            "no original error is stored: the job shows the upstream's error in full, or the original is no longer kept"
        )


class OriginalsVault(Vault):
    """Encrypts and decrypts original errors."""

    def __init__(self, keys: Sequence[bytes]) -> None:
        super().__init__(keys, purpose="original error")


class _OriginalOfJob(NamedTuple):
    """original: None if none is stored."""

    tenant_id: UUID
    original: bytes | None


class _Original(NamedTuple):
    job_id: UUID
    original: bytes


_SQL = SqlFolder(__file__)
_GET_ORIGINAL = _SQL.query("get_original", _OriginalOfJob)
_LOCK_ORIGINALS = _SQL.query("lock_originals", _Original)
_RESEAL_ORIGINALS = _SQL.command("reseal_originals")


async def get_original(session: Session, *, vault: Vault, job_id: UUID) -> tuple[UUID, bytes]:
    """Return a job's tenant, and the upstream's original error. Raises JobNotFound, NoOriginal or SecretUnreadable."""
    found = await session.find_row(_GET_ORIGINAL, job_id=job_id)
    if found is None:
        raise JobNotFound
    if found.original is None:
        raise NoOriginal
    return found.tenant_id, vault.open(job_id, found.original)


async def reencrypt_originals(session: Session, *, vault: Vault, after: UUID) -> tuple[int, int, UUID | None]:
    """Encrypt the next BATCH_MAX originals, by their jobs' ids, with the first key. Returns how many there are, how many were
    changed, and after which job to continue (None at the end). Raises SecretUnreadable; then none of these is changed."""
    originals = await session.rows(_LOCK_ORIGINALS, after=after, originals_max=BATCH_MAX)
    moved = [
        _Original(original.job_id, vault.seal(original.job_id, vault.open(original.job_id, original.original)))
        for original in originals
        if not vault.is_current(original.original)
    ]
    await session.run(_RESEAL_ORIGINALS, **columns_of(_Original, moved))
    return len(originals), len(moved), originals[-1].job_id if len(originals) == BATCH_MAX else None
