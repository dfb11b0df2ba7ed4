"""Make foreign text safe to show: characters that control a terminal or begin a new line become escapes (`\\x1b`)."""

import re
from typing import Final

_STEERING: Final = "\x00-\x09\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff"
"""C0 without the line feed, DEL, C1, the line breaks of Unicode, controls of the writing direction, lone surrogates."""
_IN_LINES: Final = re.compile(f"[{_STEERING}]")
_ANYWHERE: Final = re.compile(f"[\n{_STEERING}]")
_SHORT: Final = {"\n": r"\n", "\r": r"\r", "\t": r"\t"}


def one_line(text: str) -> str:
    """Escape a foreign value. Control characters and line breaks become visible escapes."""
    return _ANYWHERE.sub(_written_out, text)


def lines(text: str) -> str:
    """Escape a text of our own. Its line feeds stay. All other control characters become visible escapes."""
    return _IN_LINES.sub(_written_out, text)


def json_text(text: str) -> str:
    """Escape a JSON text for terminals. The value stays the same, since JSON's own escapes are used."""
    return _IN_LINES.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def _written_out(found: re.Match[str]) -> str:
    number = ord(found[0])
    return _SHORT.get(found[0]) or (f"\\x{number:02x}" if number < 0x100 else f"\\u{number:04x}")
