"""Remove this process's own secrets from texts of others: the upstream, receivers, libraries.

A secret is found in upper or lower case, verbatim, in base64 (of `user:secret`, too), and with characters written as
JSON, percent or HTML escapes. MARK replaces it, also inside JSON, which stays valid.

Secrets that could be ordinary words are not removed: see `is_telling`. A client that sends a text with one of our secrets
gets it back with MARK, and so learns that it guessed right. The required lengths make a right guess practically impossible.
"""

import base64
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Final
from urllib.parse import unquote, urlsplit

from app.core.off_loop import run_sized

MARK: Final = "***"
SECRET_CHARACTERS_MIN: Final = 8
SURE_CHARACTERS: Final = 16
"""A secret of this length may have characters of one kind only. A shorter one could be a word."""
PIECE_BYTES: Final = 128 * 1024
"""Searched at a time, for larger bodies in a thread. A piece holds the interpreter for at most 2 ms."""
ROUNDS_MAX: Final = 3
"""How deep escapes may be nested."""

_SIGNS: Final = "/\"'&<>=\\"
"""Characters that JSON and other formats may escape with a backslash."""
_NAMED: Final = {b"amp": b"&", b"lt": b"<", b"gt": b">", b"quot": b'"', b"apos": b"'"}
_PASSWORDS: Final = frozenset(("password", "sslpassword", "sentinel_password"))
"""Parameters of URLs that hold a password."""
_NUMBER: Final = re.compile(r"[0-9][0-9.eE+-]*")


def is_telling(secret: str) -> bool:
    """Return whether the secret is distinctive enough to be removed: 8 characters of two kinds (lower case, upper case,
    digits, others), or 16 of any. `postgres` is a word, and must not change a tenant's result."""
    if len(secret) < SECRET_CHARACTERS_MIN:
        return False
    kinds = {"a" if one.islower() else "A" if one.isupper() else "0" if one.isdigit() else "-" for one in secret}
    return len(kinds) > 1 or len(secret) >= SURE_CHARACTERS


def secrets_of_url(url: str) -> list[str]:
    """Return the passwords in a URL, also those in parameters, both as written there and decoded."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return []
    written = [value for name, _, value in (one.partition("=") for one in parts.query.split("&")) if name in _PASSWORDS]
    if parts.password is not None:
        written.append(parts.password)
    return [form for password in written for form in (password, unquote(password))]


def secrets_of_list(text: str) -> list[str]:
    """Return the secrets of a comma list, and the list itself."""
    return [text, *(part.strip() for part in text.split(","))]


def secrets_of_environment(environment: Mapping[str, str]) -> list[str]:
    """Return the secrets in our settings: keys by their names, and passwords in URLs. For commands."""
    found = []
    for name, value in environment.items():
        if name.startswith("WAYSTATION_"):
            found += (
                secrets_of_list(value) if name.endswith(("_KEY", "_SECRET", "_PASSWORD")) else secrets_of_url(value)
            )
    return found


class Redactor:
    """Removes secrets from texts. `secrets`: those for which `is_telling` is false are ignored."""

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        self.secrets = tuple(sorted({secret for secret in secrets if is_telling(secret)}, key=len, reverse=True))
        needles = {form for secret in self.secrets for form in _forms(secret)}
        # as text: Python searches text three times as fast as bytes
        self._needles = tuple(needle.decode("latin-1") for needle in needles)
        self._plain = tuple(secret.encode().lower().decode("latin-1") for secret in self.secrets)
        # the longest spelling has every character as \\u0063
        self._overlap = 16 * max((len(secret.encode()) for secret in self.secrets), default=0)
        written = [_written(secret) for secret in self.secrets] + [re.escape(needle) for needle in needles]
        self._pattern = re.compile(rb"\\*(?:" + b"|".join(written) + b")", re.IGNORECASE) if written else None
        self._escape = _escape({one for secret in self.secrets for one in secret if one in _SIGNS})

    def clean(self, data: bytes) -> bytes:
        """Return the data without secrets, or the same object if it holds none."""
        if self._pattern is None or len(data) < SECRET_CHARACTERS_MIN:
            return data
        found = list(self._find(data))
        if not found:
            return data
        parts, at = [], 0
        for start, end in found:
            if end > at:
                parts += [data[at:start], _mark(data[max(start, at) : end])]
                at = end
        cleaned = b"".join(parts) + data[at:]
        # a nested escape that `_written` does not match: no part of the data can be kept
        return MARK.encode() if any(self._tells(piece) for piece in _pieces(cleaned, self._overlap)) else cleaned

    def clean_text(self, text: str) -> str:
        """Return the text without secrets."""
        if len(text) < SECRET_CHARACTERS_MIN:
            return text
        data = text.encode("utf-8", "surrogatepass")
        cleaned = self.clean(data)
        return text if cleaned is data else cleaned.decode("utf-8", "surrogatepass")

    async def clean_body(self, data: bytes) -> bytes:
        """Like `clean`, without blocking the event loop for large data."""
        return await run_sized(len(data), self.clean, data)

    def _find(self, data: bytes) -> Iterator[tuple[int, int]]:
        assert self._pattern is not None
        for at in range(0, len(data), PIECE_BYTES):
            end = at + PIECE_BYTES + self._overlap
            if self._tells(data if end >= len(data) and at == 0 else data[at:end]):
                for found in self._pattern.finditer(data, at, end):
                    yield found.span()

    def _tells(self, piece: bytes) -> bool:
        """Return whether the piece holds a secret in any spelling. Every answer pays for this search."""
        lower = piece.lower()
        text = lower.decode("latin-1")
        for needle in self._needles:
            if needle in text:
                return True
        for _ in range(ROUNDS_MAX):
            if b"\\" not in lower and b"%" not in lower and b"&" not in lower:
                return False
            before, lower = lower, self._escape.sub(_unescaped, lower).lower()
            if lower == before:
                return False
            text = lower.decode("latin-1")
            for needle in self._plain:
                if needle in text:
                    return True
        return False


def _pieces(data: bytes, overlap: int) -> Iterator[bytes]:
    for at in range(0, len(data), PIECE_BYTES):
        yield data[at : at + PIECE_BYTES + overlap]


def _forms(secret: str) -> Iterator[bytes]:
    """Yield the secret itself and its base64 spellings, in lower case."""
    plain = secret.encode()
    yield plain.lower()
    for before in range(3):
        # only the characters that do not depend on the bytes before and after the secret
        encoded = base64.b64encode(b"\0" * before + plain).rstrip(b"=")
        inner = encoded[(0, 2, 3)[before] : -1 if (before + len(plain)) % 3 else None].lower()
        yield inner
        yield inner.replace(b"+", b"-").replace(b"/", b"_")
        yield inner.replace(b"/", rb"\/")


def _written(secret: str) -> bytes:
    """Return a pattern for the secret with any of its characters escaped."""
    return b"".join(_any_way(character) for character in secret)


def _any_way(character: str) -> bytes:
    number = ord(character)
    ways = [re.escape(character.encode())]
    if number < 0x10000:
        ways.append(rb"\\+u%04x" % number)
        ways.append(rb"&#(?:x0*%x|0*%d);" % (number, number))
    if number < 0x100:
        ways.append(rb"\\+x%02x" % number)
    ways.append(b"".join(rb"(?:%%|\\+u0025)(?:25)*%02x" % byte for byte in character.encode()))
    ways += [b"&%b;" % name for name, plain in _NAMED.items() if plain == character.encode()]
    if character in _SIGNS:
        ways.append(rb"\\+" + re.escape(character.encode()))
    if character == " ":
        ways.append(rb"\+")
    return b"(?:" + b"|".join(ways) + b")"


def _escape(signs: set[str]) -> re.Pattern[bytes]:
    """Return a pattern for one escaped character. `signs`: the characters that may follow a backslash."""
    sign = b"".join(re.escape(sign.encode()) for sign in sorted(signs)) or rb"/"
    return re.compile(
        rb"\\+(?:u([0-9a-f]{4})|x([0-9a-f]{2})|([" + sign + rb"]))|%([0-9a-f]{2})|&#x0{0,6}([0-9a-f]{2,4});"
        rb"|&#0{0,6}([0-9]{2,5});|&(amp|lt|gt|quot|apos);"
    )


def _unescaped(found: re.Match[bytes]) -> bytes:
    four, two, sign, percent, hexadecimal, decimal, named = found.groups()
    if percent is not None:
        return bytes((int(percent, 16),))
    if sign is not None:
        return sign
    if named is not None:
        return _NAMED[named]
    number = int(decimal) if decimal is not None else int(four or two or hexadecimal, 16)
    return chr(number).encode("utf-8", "surrogatepass")


def _mark(secret: bytes) -> bytes:
    """Return the replacement: MARK, or ones if the secret could be a number in JSON."""
    return b"1" * len(secret) if _NUMBER.fullmatch(secret.decode("latin-1")) else MARK.encode()


_own = Redactor()


def know(secrets: Iterable[str]) -> None:
    """Add secrets to those of this process."""
    global _own
    new = set(secrets) - set(_own.secrets)
    if any(is_telling(one) for one in new):
        _own = Redactor({*_own.secrets, *new})


def redacted(data: bytes) -> bytes:
    """Return the data without this process's secrets, or the same object if it holds none."""
    return _own.clean(data)


def redacted_text(text: str) -> str:
    """Return the text without this process's secrets."""
    return _own.clean_text(text)


def redacted_headers(headers: list[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    """Return headers without this process's secrets. Secrets are rare, so all values are searched together first."""
    values = b"\n".join([value for _, value in headers])
    return headers if _own.clean(values) is values else [(name, _own.clean(value)) for name, value in headers]


async def redacted_body(data: bytes) -> bytes:
    """Like `redacted`, without blocking the event loop for large data."""
    return await _own.clean_body(data)
