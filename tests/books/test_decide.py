"""Whether a database may be older than what was sent: every finding, and every false alarm that must not be one."""

from dataclasses import replace
from datetime import UTC, datetime
from uuid import UUID

import pytest

from app.books.decide import Found, ProcessKnowledge, doubt_of, speaking
from app.books.models import Doubt

BOOKS = UUID(int=1)
HERE, THERE = "7/00000001/5", "7/00000002/5"
WELL = Found(
    BOOKS, HERE, HERE, 0, None,
    stopped=False, missing=0, waiting=True, alive=False, unaccounted=False, now=datetime(2030, 1, 1, tzinfo=UTC),
)  # fmt: skip
ENDED = ProcessKnowledge(BOOKS, UUID(int=2), ended=True)
KILLED = ProcessKnowledge(BOOKS, UUID(int=3))


@pytest.mark.parametrize(
    ("found", "witnesses", "first", "sends", "doubt"),
    [
        pytest.param(replace(WELL, missing=1), [], False, True, Doubt.OLDER, id="what it wrote is missing"),
        pytest.param(WELL, [replace(ENDED, recoveries=1)], True, True, Doubt.OLDER, id="a recovery is missing"),
        pytest.param(replace(WELL, server=THERE), [], False, True, Doubt.MOVED, id="a running process, a new timeline"),
        pytest.param(replace(WELL, server=THERE), [KILLED], True, True, Doubt.MOVED, id="a process was killed before"),
        pytest.param(replace(WELL, server=THERE), [], True, False, Doubt.MOVED, id="moved, and no witness"),
        pytest.param(
            replace(WELL, server=THERE, unaccounted=True), [ENDED], True, True, Doubt.MOVED, id="one did not end"
        ),
        pytest.param(WELL, [], True, True, Doubt.UNVOUCHED, id="jobs wait, and nobody knows the books"),
        pytest.param(replace(WELL, server=THERE), [ENDED], True, True, None, id="pg_upgrade while all is stopped"),
        pytest.param(WELL, [], False, True, None, id="a new connection"),
        pytest.param(WELL, [KILLED], True, True, None, id="an ordinary restart after a kill"),
        pytest.param(replace(WELL, alive=True), [], True, True, None, id="a rolling restart, Redis emptied"),
        pytest.param(replace(WELL, waiting=False), [], True, True, None, id="nothing waits"),
        pytest.param(WELL, [], True, False, None, id="an API process sends nothing"),
        pytest.param(replace(WELL, stamped=None, books_id=None), [], True, True, None, id="the first to open them"),
        pytest.param(
            replace(WELL, recoveries=2), [replace(KILLED, recoveries=1)], False, True, None, id="recovered since"
        ),
    ],
)
def test_doubt(found: Found, witnesses: list[ProcessKnowledge], first: bool, sends: bool, doubt: Doubt | None) -> None:
    assert doubt_of(found, witnesses=witnesses, first=first, sends=sends) is doubt


def test_who_was_killed_long_ago_speaks_no_more() -> None:
    old, young = replace(KILLED, at=1_000.0), replace(ENDED, at=10_000.0)
    assert speaking([old, young]) == [young]
    assert speaking([replace(ENDED, at=1_000.0), young]) == [replace(ENDED, at=1_000.0), young]
    assert speaking([]) == []
