"""The upstream's JSON as a part of our own, which every reader of JSON must be able to read.

`wire` is tolerant: it takes bytes that are no UTF-8, raw control characters in strings, NaN and Infinity. Other readers
refuse a whole document for one of them.
"""

import re
from typing import Final

_CONTROL: Final = re.compile(r"[\x00-\x1f]")
_ESCAPES: Final = {code: f"\\u{code:04x}" for code in range(0x20)}
_TOKEN: Final = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*"|NaN|-?Infinity', re.DOTALL)
"""Strings, and numbers that JSON does not have; a number's name within a string is part of the string."""


def plain_json(text: str) -> tuple[bytes, bool]:
    """A JSON text as `wire.text_of` reads it, in plain JSON, and whether something of it was lost.

    Bytes that are no UTF-8 become U+FFFD, NaN and Infinity null: these are lost. Raw control characters in strings become
    escapes, which mean the same. All else stays byte for byte.
    """
    lossy = False

    def plain(found: re.Match[str]) -> str:
        nonlocal lossy
        if found[0].startswith('"'):
            return found[0].translate(_ESCAPES)
        lossy = True
        return "null"

    if "NaN" in text or "Infinity" in text or _CONTROL.search(text):
        text = _TOKEN.sub(plain, text)
    try:
        return text.encode(), lossy
    except UnicodeEncodeError:
        return text.encode("utf-8", "surrogateescape").decode("utf-8", "replace").encode(), True
