"""Secrets at rest: AES-256-GCM under a key made from SECRET_KEY, bound to the id of the row that holds them.

A sealed secret: one byte of format, four that name the key, twelve of nonce, the rest. Bound to its row's id, a sealed
secret that is copied into another row opens nothing.
"""

import os
from collections.abc import Sequence
from hashlib import sha256
from uuid import UUID

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

FORMAT = b"\x01"
NAME_BYTES = 4
NONCE_BYTES = 12
SECRET_BYTES = 32
_PURPOSE = b"waystation webhook secret"


class SecretUnreadable(Exception):
    """No key of SECRET_KEY opens a secret at rest: a key was removed before `waystation reencrypt`, or it was tampered with."""


class Vault:
    """Seals under the first key of SECRET_KEY, opens under any."""

    def __init__(self, keys: Sequence[bytes]) -> None:
        self._keys = [_Key(key) for key in keys]

    def seal(self, row_id: UUID, secret: bytes) -> bytes:
        """The secret as it is kept in the row of this id."""
        key = self._keys[0]
        nonce = os.urandom(NONCE_BYTES)
        return FORMAT + key.name + nonce + key.cipher.encrypt(nonce, secret, _PURPOSE + row_id.bytes)

    def open(self, row_id: UUID, sealed: bytes) -> bytes:
        """The secret; raises SecretUnreadable."""
        name, nonce, rest = _parts(sealed)
        for key in self._keys:
            if key.name == name:
                try:
                    return key.cipher.decrypt(nonce, rest, _PURPOSE + row_id.bytes)
                except InvalidTag:
                    continue
        raise SecretUnreadable(f"webhook secret {row_id}")

    def is_current(self, sealed: bytes) -> bool:
        """Whether it is sealed under the first key."""
        return _parts(sealed)[0] == self._keys[0].name


class _Key:
    def __init__(self, key: bytes) -> None:
        derived = HKDF(algorithm=SHA256(), length=32, salt=None, info=_PURPOSE).derive(key)
        self.name = sha256(b"name of " + derived).digest()[:NAME_BYTES]
        self.cipher = AESGCM(derived)


def _parts(sealed: bytes) -> tuple[bytes, bytes, bytes]:
    name_end = 1 + NAME_BYTES
    return sealed[1:name_end], sealed[name_end : name_end + NONCE_BYTES], sealed[name_end + NONCE_BYTES :]


def new_secret() -> bytes:
    """A secret nobody can guess."""
    return os.urandom(SECRET_BYTES)
