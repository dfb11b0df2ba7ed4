"""A short cache of the secrets that one worker signs with."""

from collections.abc import Iterable
from uuid import UUID

from app.core import clock
from app.core.database.db import Database
from app.webhooks.operations import ensure_secret
from app.webhooks.queries import list_secrets
from app.webhooks.secrets import SecretUnreadable, Vault

Owner = tuple[UUID, UUID | None]
"""A tenant, and one of its endpoints. None: the secret for its jobs' own webhook URLs."""

KEPT_SECONDS = 2.0
"""How long a secret is cached. A new secret may begin to sign this late; the previous one signs for a day more."""


class SigningSecretCache:
    """Reads secrets in groups, caches and decrypts them."""

    def __init__(self, database: Database, vault: Vault) -> None:
        self._database = database
        self._vault = vault
        self._known: dict[Owner, tuple[list[tuple[UUID, bytes]], float]] = {}

    async def learn(self, owners: Iterable[Owner]) -> None:
        """Load these secrets. Creates a missing one for jobs' own webhook URLs."""
        now = clock.monotonic()
        stale = {owner for owner in owners if self._known.get(owner, ([], 0.0))[1] <= now}
        if not stale:
            return
        self._known = {owner: known for owner, known in self._known.items() if known[1] > now}
        async with self._database.snapshot() as session:
            found = await list_secrets(session, owners=sorted(stale, key=str))
        for tenant_id, endpoint_id in stale:
            sealed = found.get((tenant_id, endpoint_id), [])
            if not sealed and endpoint_id is None:
                async with self._database.transaction() as session:
                    await ensure_secret(session, vault=self._vault, tenant_id=tenant_id)
                    sealed = (await list_secrets(session, owners=[(tenant_id, None)]))[tenant_id, None]
            self._known[tenant_id, endpoint_id] = (sealed, now + KEPT_SECONDS)

    def secrets_of(self, tenant_id: UUID, endpoint_id: UUID | None) -> list[bytes]:
        """The secrets that sign now, newest first. Raises SecretUnreadable if there is none, or it cannot be decrypted."""
        sealed, _until = self._known[tenant_id, endpoint_id]
        if not sealed:
            raise SecretUnreadable(f"of endpoint {endpoint_id}")
        return [self._vault.open(row_id, text) for row_id, text in sealed]
