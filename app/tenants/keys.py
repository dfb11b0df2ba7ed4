"""The text of a key: its mark + 8 base62 (public) + `_` + 43 base64url (256 random bits) + 6 base62 (checksum).

The mark is `ws_live_` for an API key of a tenant, and `ws_oper_` for an operator key.

The checksum is the CRC-32 of everything before it. It lets the gateway refuse a mistyped key without the database, and a
scanner for leaked secrets recognise a real key.
"""

import hmac
import re
import secrets
import zlib
from dataclasses import dataclass, field

ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
MARK = "ws_live_"
OPERATOR_MARK = "ws_oper_"
PUBLIC_LENGTH = 8
SECRET_LENGTH = 43
CHECKSUM_LENGTH = 6
PREFIX_LENGTH = len(MARK) + PUBLIC_LENGTH
KEY_LENGTH = PREFIX_LENGTH + 1 + SECRET_LENGTH + CHECKSUM_LENGTH

_SHAPE = re.compile(
    f"(?:{MARK}|{OPERATOR_MARK})[0-9A-Za-z]{{{PUBLIC_LENGTH}}}_[0-9A-Za-z_-]{{{SECRET_LENGTH}}}[0-9A-Za-z]{{{CHECKSUM_LENGTH}}}"
)


@dataclass(frozen=True, slots=True)
class ParsedKey:
    """A key with a correct checksum. prefix: the part that may be shown. text: the whole key, not in its repr (for logs)."""

    prefix: str
    text: str = field(repr=False)


def issue_key(mark: str = MARK) -> ParsedKey:
    """Returns a new random key. `mark`: MARK or OPERATOR_MARK."""
    public = "".join(secrets.choice(ALPHABET) for _ in range(PUBLIC_LENGTH))
    body = f"{mark}{public}_{secrets.token_urlsafe(32)}"
    return ParsedKey(prefix=body[:PREFIX_LENGTH], text=body + checksum(body))


def parse_key(text: str, mark: str = MARK) -> ParsedKey | None:
    """Parses a presented key. None if it has another mark, another form, or a wrong checksum."""
    if len(text) != KEY_LENGTH or not text.startswith(mark) or _SHAPE.fullmatch(text) is None:
        return None
    if checksum(text[:-CHECKSUM_LENGTH]) != text[-CHECKSUM_LENGTH:]:
        return None
    return ParsedKey(prefix=text[:PREFIX_LENGTH], text=text)


def checksum(body: str) -> str:
    """CRC-32 as six base62 digits. A change of any one character changes it."""
    number = zlib.crc32(body.encode())
    digits = []
    for _ in range(CHECKSUM_LENGTH):
        number, digit = divmod(number, len(ALPHABET))
        digits.append(ALPHABET[digit])
    return "".join(reversed(digits))


def hash_key(secret: bytes, key: str) -> bytes:
    """The hash of a key, as stored: 32 bytes. Only with the SECRET_KEY `secret` can it be computed or checked."""
    pepper = hmac.digest(secret, b"waystation api key", "sha256")
    return hmac.digest(pepper, key.encode(), "sha256")
