"""Webhook secrets: made here, sealed at rest."""

import os
from collections.abc import Sequence

from app.core.database import vault
from app.core.database.vault import SecretUnreadable

__all__ = ["SECRET_BYTES", "SecretUnreadable", "Vault", "new_secret"]

SECRET_BYTES = 32


class Vault(vault.Vault):
    """Seals and opens the secrets that sign webhooks."""

    def __init__(self, keys: Sequence[bytes]) -> None:
        super().__init__(keys, purpose="webhook secret")


def new_secret() -> bytes:
    """A secret nobody can guess."""
    return os.urandom(SECRET_BYTES)
