"""Encrypt secrets at rest ("seal"): AES-256-GCM with a key derived from SECRET_KEY for one purpose, bound to a row's id.

Format: one byte of format, four that name the key, twelve of nonce, the ciphertext. In another row it cannot be decrypted.
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


class SecretUnreadable(Exception):
    """No key of SECRET_KEY decrypts the data: a key was removed before `waystation reencrypt`, or the data was changed."""


class Vault:
    """Encrypts with the first key of SECRET_KEY, decrypts with any. `purpose`: what is encrypted, such as `webhook secret`. A
    vault cannot decrypt data of another purpose."""

    def __init__(self, keys: Sequence[bytes], *, purpose: str) -> None:
        self._purpose = purpose
        self._prefix = f"waystation {purpose}".encode()
        self._keys = [_Key(key, self._prefix) for key in keys]

    def seal(self, row_id: UUID, secret: bytes) -> bytes:
        """Encrypt a secret for the row with this id."""
        key = self._keys[0]
        nonce = os.urandom(NONCE_BYTES)
        return FORMAT + key.name + nonce + key.cipher.encrypt(nonce, secret, self._prefix + row_id.bytes)

    def open(self, row_id: UUID, sealed: bytes) -> bytes:
        """Decrypt a secret. Raises SecretUnreadable."""
        name, nonce, rest = _parts(sealed)
        for key in self._keys:
            if key.name == name:
                try:
                    return key.cipher.decrypt(nonce, rest, self._prefix + row_id.bytes)
                except InvalidTag:
                    continue
        raise SecretUnreadable(f"{self._purpose} {row_id}")

    def is_current(self, sealed: bytes) -> bool:
        """Return whether it was encrypted with the first key."""
        return _parts(sealed)[0] == self._keys[0].name


class _Key:
    def __init__(self, key: bytes, purpose: bytes) -> None:
        derived = HKDF(algorithm=SHA256(), length=32, salt=None, info=purpose).derive(key)
        self.name = sha256(b"name of " + derived).digest()[:NAME_BYTES]
        self.cipher = AESGCM(derived)


def _parts(sealed: bytes) -> tuple[bytes, bytes, bytes]:
    name_end = 1 + NAME_BYTES
    return sealed[1:name_end], sealed[name_end : name_end + NONCE_BYTES], sealed[name_end + NONCE_BYTES :]
