"""Our own secrets are taken out of what others have written, however they have spelt them."""

import asyncio
import base64
import html
import json
from urllib.parse import quote

import pytest

from app.core.config.settings import load_settings
from app.core.logs.redaction import MARK, PIECE_BYTES, Redactor, is_telling, secrets_of_environment, secrets_of_url
from tests.stopwatch import Stopwatch

KEY = "COMPANY-KEY"
SLASHED = "pass/word+with \"signs'&=é\\1"
OURS = Redactor([KEY, SLASHED, "postgres", "short"])


def percent(text: str) -> str:
    return "".join(f"%{byte:02X}" for byte in text.encode())


def in_json(text: str) -> str:
    return "".join(f"\\u{ord(one):04x}" for one in text)


WAYS = {
    "as it is": lambda text: text,
    "lower case": str.lower,
    "upper case": lambda text: text.encode().upper().decode("utf-8"),
    "bearer": lambda text: f"Bearer {text}",
    "basic": lambda text: "Basic " + base64.b64encode(f"user:{text}".encode()).decode(),
    "base64": lambda text: base64.b64encode(text.encode()).decode(),
    "base64 for URLs": lambda text: base64.urlsafe_b64encode(b"xx" + text.encode()).decode(),
    "in a URL": lambda text: f"https://user:{quote(text, safe='')}@host/",
    "percent": percent,
    "percent twice": lambda text: quote(percent(text)),
    "percent in lower case": lambda text: percent(text).lower(),
    "HTML": lambda text: html.escape(text),
    "HTML in numbers": lambda text: "".join(f"&#{ord(one)};" for one in text),
    "HTML in hexadecimal": lambda text: "".join(f"&#x{ord(one):X};" for one in text),
    "hexadecimal escapes": lambda text: "".join(f"\\x{ord(one):02x}" for one in text),
}
"""Ways of writing a text that may then stand in JSON, too."""


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("secret", [KEY, SLASHED])
def test_a_secret_is_found_however_it_is_written(secret: str, way: str) -> None:
    written = WAYS[way](secret)
    for text in (
        f"before {written} after",
        json.dumps({"error": f"{written} after"}),
        json.dumps(json.dumps([written])),
    ):
        shown = OURS.clean_text(text)
        assert MARK in shown
        assert "after" in shown or "after" not in text
        assert not OURS._tells(shown.encode())
        if text.startswith(("{", '"')):
            json.loads(shown)


@pytest.mark.parametrize("secret", [KEY, SLASHED])
@pytest.mark.parametrize("first", [0, 1, 5])
def test_escapes_of_json_are_seen_through(secret: str, first: int) -> None:
    mixed = json.dumps(secret[:first])[1:-1] + in_json(secret[first:])
    for body in (f'{{"a":"{mixed}"}}', f'{{"a":"x{mixed}y"}}', json.dumps({"a": f'["{mixed}"]'})):
        shown = OURS.clean_text(body)
        assert MARK in json.loads(shown)["a"]
    slashes = OURS.clean_text(f'{{"a":"\\\\\\\\{mixed}"}}')
    assert MARK in json.loads(slashes)["a"], "backslashes before it go, or they would escape the mark"


def test_all_else_is_left_byte_for_byte() -> None:
    for data in (
        b"",
        b"postgres short",
        b'{"a":1e-400,"b":"\\ud800 \\u0043OMPANY","c":"\xff%41"}',
        b"COMPANY KEY" * 10,
    ):
        assert OURS.clean(data) is data
    assert (
        OURS.clean(b'{"a":"COMPANY-KEY","b":[1e-400,"\\u00e9%2f\xff"]}') == b'{"a":"***","b":[1e-400,"\\u00e9%2f\xff"]}'
    )
    assert OURS.clean_text("COMPANY-KEYCOMPANY-KEY\ud800") == "******\ud800"
    assert Redactor().clean(b"anything at all") == b"anything at all"


def test_a_secret_that_is_a_number_leaves_a_number() -> None:
    numbers = Redactor(["1234567890123456"])
    assert json.loads(numbers.clean(b'{"seed":-1234567890123456,"b":0.51234567890123456}')) == {
        "seed": -1111111111111111, "b": 0.51111111111111111,
    }  # fmt: skip


def test_what_may_be_a_word_is_no_telling_secret() -> None:
    assert not any(map(is_telling, ("", "a", "Short-1", "postgres", "waystation", "12345678", "simulator")))
    assert all(map(is_telling, ("COMPANY-KEY", "SG_3ec0a235721add59", "Passw0rd", "x" * 16)))


def test_passwords_of_urls() -> None:
    assert secrets_of_url("postgresql://user:p%40ss@host/db") == ["p%40ss", "p@ss"]
    assert secrets_of_url("redis://host:6379/0") == secrets_of_url("http://[") == []


@pytest.mark.parametrize("before", [0, 1, PIECE_BYTES - 5, PIECE_BYTES, 3 * PIECE_BYTES - 40])
@pytest.mark.parametrize("written", [KEY, in_json(KEY), percent(KEY), base64.b64encode(KEY.encode()).decode()])
def test_pieces_of_a_large_body_overlap(before: int, written: str) -> None:
    body = b"x" * before + written.encode() + b"y" * 2 * PIECE_BYTES
    assert OURS.clean(body).replace(MARK.encode(), b"") in (
        b"x" * before + b"y" * 2 * PIECE_BYTES,
        b"x" * before + b"=" + b"y" * 2 * PIECE_BYTES,
        b"x" * before + written.encode()[-2:] + b"y" * 2 * PIECE_BYTES,
    )


async def test_a_large_body_does_not_hold_up_the_loop() -> None:
    body = b'{"output":"' + base64.b64encode(bytes(range(256)) * 64 * 1024) + b"%2f" * 100_000 + KEY.encode() + b'"}'
    late = 0.0
    looking = asyncio.create_task(OURS.clean_body(body))
    while not looking.done():
        watch = Stopwatch()
        await asyncio.sleep(0.001)
        late = max(late, watch.own_seconds)
    shown = await looking
    assert shown.endswith(MARK.encode() + b'"}')
    assert late < 0.5, "a piece at a time"


def test_a_process_knows_all_of_its_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    given = {
        "DATABASE_URL": "postgresql://u:data-pass%2F1@h/db", "REDIS_URL": "redis://:redis-pass-1@h:1/0",
        "UPSTREAM_API_KEY": KEY, "ADMIN_KEY": "admin-key-" + "1" * 32, "PUBLIC_URL": "http://h",
        "SECRET_KEY": f"{'s' * 32},{'t' * 32}",
    }  # fmt: skip
    environment = {f"WAYSTATION_{name}": value for name, value in given.items()}
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    secrets = {"data-pass%2F1", "data-pass/1", "redis-pass-1", KEY, given["ADMIN_KEY"], "s" * 32, "t" * 32}
    assert secrets <= set(load_settings().own_secrets)
    assert secrets <= set(secrets_of_environment(environment))
