"""The text of a key: what is issued is understood, what is mistyped is not."""

from hypothesis import given
from hypothesis import strategies as st

from app.core.logs.log import scrubbed
from app.tenants.keys import ALPHABET, KEY_LENGTH, PREFIX_LENGTH, checksum, hash_key, issue_key, parse_key

PRINTABLE = ALPHABET + "-_ .\u00e9"


def test_what_is_issued_is_understood() -> None:
    keys = [issue_key() for _ in range(200)]
    assert len({key.text for key in keys}) == 200
    for key in keys:
        assert len(key.text) == KEY_LENGTH == 66
        assert key.text.startswith("ws_live_")
        assert key.prefix == key.text[:PREFIX_LENGTH]
        assert parse_key(key.text) == key


@given(position=st.integers(0, KEY_LENGTH - 1), replacement=st.sampled_from(PRINTABLE))
def test_one_changed_character_is_noticed(position: int, replacement: str) -> None:
    text = issue_key().text
    changed = text[:position] + replacement + text[position + 1 :]
    assert (parse_key(changed) is None) == (changed != text)


@given(position=st.integers(0, KEY_LENGTH - 2))
def test_two_swapped_characters_are_noticed(position: int) -> None:
    text = issue_key().text
    swapped = text[:position] + text[position + 1] + text[position] + text[position + 2 :]
    assert (parse_key(swapped) is None) == (swapped != text)


@given(st.text(max_size=KEY_LENGTH + 2))
def test_other_text_is_no_key(text: str) -> None:
    assert parse_key(text) is None
    assert parse_key("ws_live_" + text) is None


@given(st.text(ALPHABET + "-_", max_size=60))
def test_a_checksum_is_six_base62_digits(body: str) -> None:
    digits = checksum(body)
    assert len(digits) == 6
    assert set(digits) <= set(ALPHABET)


def test_a_newline_behind_a_key_is_no_part_of_it() -> None:
    assert parse_key(issue_key().text + "\n") is None


def test_a_hash_depends_on_the_secret_and_on_the_whole_key() -> None:
    key, other = issue_key().text, issue_key().text
    assert len({hash_key(secret, text) for secret in (b"a" * 32, b"b" * 32) for text in (key, other)}) == 4
    assert hash_key(b"a" * 32, key) == hash_key(b"a" * 32, key)
    assert len(hash_key(b"a" * 32, key)) == 32


def test_a_key_shows_neither_in_its_repr_nor_in_a_scrubbed_log() -> None:
    for key in (issue_key() for _ in range(50)):
        assert key.text[PREFIX_LENGTH:] not in repr(key)
        assert scrubbed(f"key={key.text}.") == f"key={key.prefix}_***."
