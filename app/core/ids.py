"""Ids: a UUIDv7 in the database, a prefix and 32 hex digits in the API (`job_0190…`)."""

from hashlib import sha256
from typing import Literal, get_args
from uuid import UUID

from uuid_utils.compat import uuid7

Prefix = Literal["job", "ten", "key", "opr", "trf", "whe", "evt", "dlv"]
PREFIXES: frozenset[str] = frozenset(get_args(Prefix))


def new_id() -> UUID:
    """Return a new id. It sorts after the earlier ids of the same process."""
    return uuid7()


def show_id(prefix: Prefix, id_: UUID) -> str:
    """Format an id as the API shows it."""
    return f"{prefix}_{id_.hex}"


def find_id(prefix: Prefix, shown: str) -> UUID | None:
    """Parse a shown id. Returns None if it cannot be an id of this kind."""
    head, _, digits = shown.partition("_")
    if head != prefix or len(digits) != 32 or not digits.isascii() or not digits.isalnum():
        return None
    try:
        return UUID(hex=digits)
    except ValueError:
        return None


def derived_id(parent: UUID, name: str) -> UUID:
    """Return the id of a thing that exists once per parent. The same arguments always give the same id.

    It has the parent's 48 bits of time, so it is near the parent in an index; then bits of SHA-256 (UUIDv8, RFC 9562).
    """
    digest = sha256(parent.bytes + name.encode()).digest()
    number = int.from_bytes(parent.bytes[:6] + digest[:10])
    return UUID(int=number & ~(0xF << 76) & ~(0x3 << 62) | 0x8 << 76 | 0x2 << 62)
