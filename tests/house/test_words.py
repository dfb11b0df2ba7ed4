"""Words of the product's former private language, which must not come back: a reader should understand every text at once."""

import io
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.house.source import ROOT

BANNED = {
    r"all is well": "no problems found",
    r"aside": "parked, or reserved",
    r"below nothing": "below zero",
    r"bit(?:e|es|ing)": "take effect",
    r"broken off": "aborted",
    r"dear(?:er|est|ly)?": "expensive; of a price: highest",
    r"faster than life": "faster than the real upstream",
    r"hands free": "automatically",
    r"heed(?:s|ed|ing)?": "handle, or name what is done",
    r"in front of your eyes": "show each step",
    r"in nobody's hands": "not claimed",
    r"in vain": "without effect",
    r"keepers": "name what is kept",
    r"last words": "last lines of the log",
    r"(?:lives|lived) on": "stay valid, or continue",
    r"nobody can (?:say|tell)": "unknown",
    r"of (?:its|their) own accord": "automatically",
    r"one for one": "in the same order",
    r"opens nothing": "is not accepted",
    r"patiently": "with retries",
    r"people of ours": "people who run the gateway",
    r"rous(?:e|es|ed|ing)": "notify",
    r"takes? heart|took heart": "continue",
    r"this once": "only once",
    r"what nobody": "say what is unknown",
}
"""A word, and what to write instead."""

STILL_TO_RENAME = {"dear": {"app/simulator/simulator.py"}, "roused": {"app/core/redis/doorbell.py"}}
"""Identifiers that still contain a banned word, and their files: the names of a fault and of a
channel that the release before knows. The list only becomes shorter."""

STAYS = {
    "app/pace/tables.py": {"all is well"},
    "app/jobs/tables.py": {"aside"},
    "app/ledger/tables.py": {"below nothing"},
    "app/tenants/tables.py": {"dearest"},
    "app/simulator/faults.py": {"dear"},
    "migrations/versions/0002_money.sql": {"below nothing", "dearest"},
    "migrations/versions/0004_catalogue.py": {"dear"},
    "migrations/versions/0006_queues.sql": {"aside"},
    "migrations/versions/0007_upstream_budget.sql": {"all is well"},
    "migrations/views/balances_v1.sql": {"below nothing"},
    "migrations/views/queue_now_v2.sql": {"aside"},
    "migrations/views/upstream_now_v2.sql": {"nobody can say"},
}
"""Released migrations do not change, nor do names and comments in `tables.py`, which must be equal to theirs; and the list of the
simulator's faults names one."""

DIRECTORIES = ("app", "docs", "deploy", "migrations")
SUFFIXES = {".py", ".sql", ".lua", ".md", ".html", ".js", ".conf", ".yaml", ".yml", ".ini", ".sh", ".env"}
_BANNED = re.compile(
    r"(?<![a-zA-Z])(?:" + "|".join(word.replace(" ", r"\s+") for word in BANNED) + r")(?![a-zA-Z])", re.IGNORECASE
)
_NAME_IN_TEXT = re.compile(r"`[^`\s]+`")


def _in_text(text: str) -> set[str]:
    """The banned words in a text for people; a name between backticks is no word."""
    return {" ".join(found[0].lower().split()) for found in _BANNED.finditer(_NAME_IN_TEXT.sub("", text))}


def _words(path: str, text: str) -> Iterator[tuple[set[str], set[str]]]:
    """The banned words of each piece of a file: those in texts for people, those in identifiers."""
    if not path.endswith(".py"):
        yield _in_text(text), set()
        return
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type == tokenize.NAME or (token.type == tokenize.STRING and not re.search(r"\s", token.string)):
            yield set(), {found[0].lower() for found in _BANNED.finditer(token.string)}
        elif token.type in (tokenize.COMMENT, tokenize.STRING):
            yield _in_text(token.string), set()


def banned_words(path: str, text: str) -> tuple[set[str], set[str]]:
    """The banned words of a file in texts for people, and in identifiers."""
    if not _BANNED.search(text):  # nearly every file; only the others are taken apart
        return set(), set()
    in_texts, in_names = set[str](), set[str]()
    for texts, names in _words(path, text):
        in_texts |= texts
        in_names |= names
    return in_texts, in_names


def files() -> Iterator[Path]:
    yield from (ROOT / "README.md", ROOT / "CONTRIBUTING.md")
    for directory in DIRECTORIES:
        yield from (path for path in sorted((ROOT / directory).rglob("*")) if path.suffix in SUFFIXES)


def test_no_private_word_comes_back() -> None:
    in_texts: dict[str, set[str]] = {}
    in_names: dict[str, set[str]] = {}
    for path in files():
        name = path.relative_to(ROOT).as_posix()
        texts, names = banned_words(name, path.read_text())
        if texts:
            in_texts[name] = texts
        for word in names - STAYS.get(name, set()):
            in_names.setdefault(word, set()).add(name)
    assert in_texts == STAYS, "write it in plain words; BANNED says how"
    assert in_names == STILL_TO_RENAME, "a new identifier needs a plain name; one that was renamed leaves the list"


@pytest.mark.parametrize(
    ("path", "text", "expected"),
    [
        ("a.py", '"""It bites at once."""\n', ({"bites"}, set())),
        ("a.py", "x = 1  # set aside\n", ({"aside"}, set())),
        ("a.py", 'raise Refusal(f"the dearest {job}")\n', ({"dearest"}, set())),
        ("a.py", '"""Goes on of its own\naccord."""\n', ({"of its own accord"}, set())),
        ("a.py", "def heed(): ...\nKEEPERS_MAX = 1\n", (set(), {"heed", "keepers"})),
        ("a.py", 'fault == "dear"\n', (set(), {"dear"})),
        ("a.py", "ones = [one for one in ones]\n", (set(), set())),
        ("a.py", '"""`dear`: a fault; a deal, a header."""\n', (set(), set())),
        ("a.sql", "-- Which are ROUSED?\nSELECT 1\n", ({"roused"}, set())),
        ("a.md", "Calls `patiently`, one for one, patiently.", ({"one for one", "patiently"}, set())),
    ],
)
def test_a_private_word_is_found(path: str, text: str, expected: tuple[set[str], set[str]]) -> None:
    assert banned_words(path, text) == expected
