"""A job's state, its place in line and its owner are changed in `app/jobs` alone, each time with the event and the counts that
follow from it.

Such a statement has a CTE for each change, in one form: it locks the jobs and reads their `was` columns, it updates them from these
rows, and it puts in `events_of` and `counted`. See the parts of these names.
"""

import re
from collections.abc import Iterator
from functools import cache

import pytest

from app.core.database.sql import SqlFolder
from tests.house.source import ROOT
from tests.house.test_sql import statements

JOBS = SqlFolder(str(ROOT / "app/jobs/queries.py"))

OF_PLACES = {
    "jobs/open_queue.sql": "begins to count the jobs of a key",
    "jobs/reweigh.sql": "gives a tenant another weight; it counts nothing",
}
"""What else writes queues."""

LOCKED_BEFORE = "jobs/claiming/take_turns.sql"
"""Writes what was chosen of jobs that earlier statements of its transaction have locked."""

NO_MOVE = "state = 'running'"
"""What changes the owner of running jobs says so: a queue does not know who owns them, and nothing follows."""

EVENTS_OF_NEW = "INSERT INTO job_events (job_id, seq, to_state, reason) SELECT id, revision, state, 'submitted' FROM {}"

KEPT = {"state", "ready", "owner", "revision"}
_CTE = re.compile(r"(?:\bWITH\s+|,\s*)(\w+) AS (?:(?:NOT )?MATERIALIZED )?\(")
_UPDATE = re.compile(r"\bUPDATE\s+(?:ONLY\s+)?jobs\b(?:\s+(?:AS\s+)?(?!SET\b)\w+)?\s+SET\b", re.I)
_WRITES = {
    "jobs": re.compile(r"\b(?:(?:INSERT|MERGE)\s+INTO|DELETE\s+FROM)\s+jobs\b", re.I),
    "job_events": re.compile(r"\b(?:(?:INSERT|MERGE)\s+INTO|UPDATE(?:\s+ONLY)?|DELETE\s+FROM)\s+job_events\b", re.I),
    "queues": re.compile(r"\b(?:(?:INSERT|MERGE)\s+INTO|UPDATE(?:\s+ONLY)?|DELETE\s+FROM)\s+queues\b", re.I),
}


@cache
def part(name: str, **arguments: str) -> str:
    """What a part of jobs is put in as, in one line."""
    text = JOBS._expanded(
        "{{ NAME }}".replace("NAME", name + (f"({_listed(arguments)})" if arguments else "")), {}, deep=0
    )
    return one_line(text)


def _listed(arguments: dict[str, str]) -> str:
    return ", ".join(f"{name}={value}" for name, value in arguments.items())


def one_line(sql: str) -> str:
    """A statement in one line."""
    return re.sub(r"\s+", " ", sql).strip()


def _depths(sql: str) -> Iterator[tuple[int, int]]:
    """Each place of a text with the number of parentheses that are open there; those in strings are none."""
    depth, quoted = 0, False
    for place, letter in enumerate(sql):
        quoted ^= letter == "'"
        depth -= letter == ")" and not quoted
        yield place, depth
        depth += letter == "(" and not quoted


def _outside(sql: str) -> str:
    """A text with blanks where it has something in parentheses."""
    return "".join(sql[place] if depth == 0 else " " for place, depth in _depths(sql))


def ctes(sql: str) -> dict[str, str]:
    """The CTEs of a statement by their names, and the rest of it by none."""
    found, end = {}, 0
    for cte in _CTE.finditer(sql):
        if cte.end() > end:
            body = sql[cte.end() :]
            closed = next((place for place, depth in _depths(body) if depth < 0), len(body))
            found[cte[1]] = body[:closed]
            end = cte.end() + closed
    return {**found, "": sql[end:]}


def columns_set(update: str) -> set[str]:
    """Which columns an UPDATE sets."""
    sets = update[_UPDATE.search(update).end() :]  # type: ignore[union-attr]
    outside = re.split(r"(?<!DISTINCT )\bFROM\b|\bWHERE\b|\bRETURNING\b", _outside(sets))[0]
    ends = [place for place, letter in enumerate(outside) if letter == ","]
    parts = [sets[a:b] for a, b in zip([0, *(end + 1 for end in ends)], [*ends, len(outside)], strict=True)]
    return {name.lower() for one in parts for name in re.findall(r"\w+", one.split("=")[0])}


def _is_locked(name: str, found: dict[str, str]) -> bool:
    """Whether a CTE gives jobs as they were when it locked them, or as such CTEs give them."""
    body = found.get(name, "")
    if re.search(r"\bFROM (asked JOIN )?jobs\b", body) or " AS was_state" in body:
        return part("was") in body and bool(re.search(r"\bFOR UPDATE OF job\b", body))
    rows = re.findall(r"\bSELECT \* FROM (\w+)", body)
    return bool(rows) and all(_is_locked(one, found) for one in rows)


def _wrong_with_move(name: str, body: str, sql: str, found: dict[str, str], *, locked_before: bool) -> Iterator[str]:
    sets = columns_set(body)
    where = body[body.find(" WHERE ") :]
    if sets & KEPT == {"owner"} and NO_MOVE in where:
        return
    rows = re.search(r" FROM (\w+) AS before WHERE jobs\.id = before\.id\b", body)
    if rows is None or not re.search(r"\bRETURNING " + re.escape(part("moved_columns")), body):
        yield f"{name}: not in the form of a move"
        return
    if not (locked_before or _is_locked(rows[1], found)):
        yield f"{name}: {rows[1]} has not locked its jobs"
    if ("state" in sets) != ("revision" in sets):
        yield f"{name}: a state without a revision, or the other way round"
    if "state" in sets and part("events_of", rows=name) not in sql:
        yield f"{name}: no event"
    if part("changes_of", rows=name) not in found.get("changes", ""):
        yield f"{name}: not counted"


def _wrong_with_new(name: str, sql: str, found: dict[str, str]) -> Iterator[str]:
    if EVENTS_OF_NEW.format(name) not in sql:
        yield f"{name}: no event"
    if part("changes_of_new", rows=name) not in found.get("changes", ""):
        yield f"{name}: not counted"


def wrong(text: str, *, name: str = "") -> list[str]:
    """What is wrong with how a statement changes jobs, events and queues."""
    sql = one_line(text)
    found, problems = ctes(sql), []
    known = {"job_events": 0, "queues": 0, "jobs": 0}
    for cte, body in found.items():
        if (update := _UPDATE.search(body)) and columns_set(body) & KEPT:
            problems += _wrong_with_move(cte, body[update.start() :], sql, found, locked_before=name == LOCKED_BEFORE)
            known["job_events"] += part("events_of", rows=cte) in sql
        elif re.match(r"\s*INSERT INTO jobs\b", body):
            problems += _wrong_with_new(cte, sql, found)
            known["job_events"] += EVENTS_OF_NEW.format(cte) in sql
            known["jobs"] += 1
    if "changes" in found:
        counted = [one for one in COUNTED if one in sql]
        known["queues"] = len(counted)
        problems += [] if counted else ["changes are not counted"]
    problems += [f"writes {table}" for table, writes in _WRITES.items() if len(writes.findall(sql)) != known[table]]
    return problems


COUNTED = (part("counted"), part("counted_of_claim"), part("counted_of_locked", held="places"))


def test_jobs_change_in_one_form() -> None:
    found = {one.name: found for one in statements() if (found := wrong(one.text, name=one.name))}
    assert {name: found.pop(name, None) for name in OF_PLACES} == {name: ["writes queues"] for name in OF_PLACES}
    assert found == {}


def test_jobs_change_in_their_own_room() -> None:
    moving = [one for one in statements() if part("moved_columns") in one_line(one.text)]
    assert len(moving) >= 17
    assert [one.name for one in moving if not one.path.is_relative_to(ROOT / "app/jobs")] == []
    text = next(one.text for one in moving if one.name == LOCKED_BEFORE)
    assert one_line(text).count(part("was")) == 3, "locked before: its jobs are those of three lists"


MOVE = (ROOT / "app/jobs/engine/sql/expire_sending.sql").read_text(encoding="utf-8")
NEW = (ROOT / "app/jobs/sql/submit_jobs.sql").read_text(encoding="utf-8")
OWNED = (ROOT / "app/jobs/admin/sql/free_running.sql").read_text(encoding="utf-8")


def sent(text: str) -> str:
    """A file's text as it is sent."""
    return JOBS._expanded(re.sub(r"--[^\n]*", "", text), {}, deep=0)


@pytest.mark.parametrize(
    ("file", "old", "new", "problems"),
    [
        (MOVE, "", "", []),
        (MOVE, ", moved_events AS ({{ events_of(rows=moved) }})", "", ["moved: no event"]),
        (MOVE, "events_of(rows=moved)", "events_of(rows=due)", ["moved: no event", "writes job_events"]),
        (MOVE, "{{ changes_of(rows=moved) }}", "{{ changes_of(rows=due) }}", ["moved: not counted"]),
        (MOVE, ", {{ counted }}", "", ["changes are not counted"]),
        (MOVE, "revision = before.was_revision + 1, ", "", ["moved: a state without a revision, or the other way round"]),
        (MOVE, "FOR UPDATE OF job SKIP LOCKED", "", ["moved: due has not locked its jobs"]),
        (MOVE, "FROM due AS before WHERE jobs.id = before.id", "FROM due WHERE jobs.id = due.id",
         ["moved: not in the form of a move"]),
        (NEW, "", "", []),
        (NEW, "{{ counted }}", "counted AS (SELECT)", ["changes are not counted"]),
        (OWNED, "", "", []),
        (OWNED, " AND state = 'running'", "", ["freed: not in the form of a move"]),
    ],
)  # fmt: skip
def test_a_planted_mistake_is_found(file: str, old: str, new: str, problems: list[str]) -> None:
    assert old in file
    assert wrong(sent(file.replace(old, new, 1))) == problems


@pytest.mark.parametrize(
    ("sql", "found"),
    [
        ("UPDATE jobs SET due_at = now() WHERE state = 'running'", []),
        ("UPDATE jobs AS job SET late_result = true\nFROM a WHERE job.owner = $1", []),
        ("UPDATE jobs SET due_at = now(), state = 'failed'", [": not in the form of a move"]),
        ("update jobs as job set READY = false where id = $1", [": not in the form of a move"]),
        ("UPDATE jobs job SET owner = NULL", [": not in the form of a move"]),
        ("UPDATE jobs SET (owner, ready) = (NULL, false)", [": not in the form of a move"]),
        ("WITH a AS (UPDATE jobs SET a = CASE WHEN b IS DISTINCT FROM c THEN f(1, 2) END, revision = 1) SELECT",
         ["a: not in the form of a move"]),
        ("INSERT INTO jobs (id) VALUES ($1)", [": no event", ": not counted"]),
        ("WITH a AS (SELECT 1) DELETE FROM jobs", ["writes jobs"]),
        ("INSERT INTO job_inputs (job_id) VALUES ($1)", []),
        ("INSERT INTO\n    job_events (job_id) SELECT id FROM moved", ["writes job_events"]),
        ("UPDATE queues SET ready = ready - 1", ["writes queues"]),
    ],
)  # fmt: skip
def test_another_form_is_found(sql: str, found: list[str]) -> None:
    assert wrong(sql) == found
