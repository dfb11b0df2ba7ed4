"""What is sealed at rest: AES-256-GCM under a key made from SECRET_KEY for one purpose, bound to its row's id.

Sealed: one byte of format, four that name the key, twelve of nonce, the rest. Copied into another row it cannot be decrypted.
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
    """No key of SECRET_KEY opens what is sealed: a key was removed before `waystation reencrypt`, or it was tampered with."""


class Vault:
    """Seals under the first key of SECRET_KEY, opens under any. `purpose`: what is sealed, `webhook secret`; vaults of
    different purposes do not open each other's."""

    def __init__(self, keys: Sequence[bytes], *, purpose: str) -> None:
        self._purpose = purpose
        self._prefix = f"waystation {purpose}".encode()
        self._keys = [_Key(key, self._prefix) for key in keys]

    def seal(self, row_id: UUID, secret: bytes) -> bytes:
        """The secret as it is kept in the row of this id."""
        key = self._keys[0]
        nonce = os.urandom(NONCE_BYTES)
        return FORMAT + key.name + nonce + key.cipher.encrypt(nonce, secret, self._prefix + row_id.bytes)

    def open(self, row_id: UUID, sealed: bytes) -> bytes:
        """The secret; raises SecretUnreadable."""
        name, nonce, rest = _parts(sealed)
        for key in self._keys:
            if key.name == name:
                try:
                    return key.cipher.decrypt(nonce, rest, self._prefix + row_id.bytes)
                except InvalidTag:
                    continue
        raise SecretUnreadable(f"{self._purpose} {row_id}")

    def is_current(self, sealed: bytes) -> bool:
        """Whether it is sealed under the first key."""
        return _parts(sealed)[0] == self._keys[0].name


class _Key:
    def __init__(self, key: bytes, purpose: bytes) -> None:
        derived = HKDF(algorithm=SHA256(), length=32, salt=None, info=purpose).derive(key)
        self.name = sha256(b"name of " + derived).digest()[:NAME_BYTES]
        self.cipher = AESGCM(derived)


def _parts(sealed: bytes) -> tuple[bytes, bytes, bytes]:
    name_end = 1 + NAME_BYTES
    return sealed[1:name_end], sealed[name_end : name_end + NONCE_BYTES], sealed[name_end + NONCE_BYTES :]
