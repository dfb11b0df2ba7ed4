"""Makes the upstream's JSON valid for every reader, so that our own JSON can contain it.

`wire` also accepts invalid UTF-8, raw control characters in strings, NaN and Infinity. Other readers would refuse
the whole document for one of them.
"""

import re
from typing import Final

_CONTROL: Final = re.compile(r"[\x00-\x1f]")
_ESCAPES: Final = {code: f"\\u{code:04x}" for code in range(0x20)}
_TOKEN: Final = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*"|NaN|-?Infinity', re.DOTALL)
"""Strings, and numbers that JSON does not have. The name of such a number inside a string is part of the string."""


def plain_json(text: str) -> tuple[bytes, bool]:
    """Convert a JSON text from `wire.text_of` to valid JSON. Returns it, and whether something was lost.

    Lost: invalid UTF-8 becomes U+FFFD, NaN and Infinity become null. Raw control characters in strings become
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
