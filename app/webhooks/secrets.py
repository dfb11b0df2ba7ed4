"""Webhook secrets: create them, and encrypt them for storage."""

import os
from collections.abc import Sequence

from app.core.database import vault
from app.core.database.vault import SecretUnreadable

__all__ = ["SECRET_BYTES", "SecretUnreadable", "Vault", "new_secret"]

SECRET_BYTES = 32


class Vault(vault.Vault):
    """Encrypts and decrypts the secrets that sign webhooks."""

    def __init__(self, keys: Sequence[bytes]) -> None:
        super().__init__(keys, purpose="webhook secret")


def new_secret() -> bytes:
    """Returns SECRET_BYTES random bytes."""
    return os.urandom(SECRET_BYTES)
