"""Jobs change by one door, `app/jobs/transitions.py`; what else there is writes none of the columns that follow from it."""

import re
from importlib import import_module

import pytest

from tests.house.source import ROOT, sources

DOOR = "app/jobs/transitions.py"
PLACES = ("app/jobs/sql/open_queue.sql", "app/jobs/sql/reweigh.sql")
"""Begin to count a key's jobs, and give a tenant another weight."""

LOCKED_BEFORE = "app.jobs.turns._TAKE"
"""Writes what was chosen of jobs that earlier statements of its transaction have locked."""

_SET = re.compile(r"\bUPDATE\s+(?:ONLY\s+)?jobs\b(?:\s+AS\s+\w+|\s+(?!SET\b)\w+)?\s+SET\b(.*?)(?:\bFROM\b|\bWHERE\b|\bRETURNING\b|\"\"\"|\Z)", re.I | re.S)  # fmt: skip
_KEPT = re.compile(r"\b(state|ready|owner|revision)\s*=|\(\s*(state|ready|owner|revision)\b", re.I)
_WRITTEN = {
    "jobs": re.compile(r"\b(INSERT|MERGE)\s+INTO\s+jobs\b", re.I),
    "job_events": re.compile(r"\b((INSERT|MERGE)\s+INTO|UPDATE(\s+ONLY)?|DELETE\s+FROM)\s+job_events\b", re.I),
    "queues": re.compile(r"\b((INSERT|MERGE)\s+INTO|UPDATE(\s+ONLY)?|DELETE\s+FROM)\s+queues\b", re.I),
}


def by_another_door(text: str) -> list[str]:
    """What of this source writes what only the door may write."""
    sets = [sets for sets in _SET.findall(text) if _KEPT.search(sets) or "{" in sets]
    return ["jobs"] * len(sets) + [table for table, writes in _WRITTEN.items() if writes.search(text)]


def test_jobs_change_by_one_door() -> None:
    texts = {source.path: source.text for source in sources("app")}
    texts |= {
        str(path.relative_to(ROOT)): path.read_text(encoding="utf-8") for path in (ROOT / "app").rglob("sql/**/*.sql")
    }
    found = {path: found for path, text in texts.items() if (found := by_another_door(text))}
    assert found.pop(DOOR) == ["jobs", "jobs", "jobs", "job_events", "queues"]
    assert found == {path: ["queues"] for path in PLACES}


@pytest.mark.parametrize(
    ("sql", "found"),
    [
        ("UPDATE jobs SET due_at = now() WHERE state = 'running'", []),
        ("UPDATE jobs AS job SET late_result = true\nFROM a WHERE job.owner = $1", []),
        ("UPDATE jobs SET due_at = now(), state = 'failed'", ["jobs"]),
        ("update jobs as job set READY = false where id = $1", ["jobs"]),
        ("UPDATE jobs job SET owner = NULL", ["jobs"]),
        ("UPDATE jobs SET (owner, ready) = (NULL, false)", ["jobs"]),
        ("UPDATE jobs SET {sets} WHERE id = $1", ["jobs"]),
        ("INSERT INTO jobs (id) VALUES ($1)", ["jobs"]),
        ("INSERT INTO job_inputs (job_id) VALUES ($1)", []),
        ("INSERT INTO\n    job_events (job_id) SELECT id FROM moved", ["job_events"]),
        ("UPDATE queues SET ready = ready - 1", ["queues"]),
    ],
)
def test_another_door_is_found(sql: str, found: list[str]) -> None:
    assert by_another_door(f'X = """{sql}"""') == found


def test_what_moves_is_locked_first() -> None:
    """Counts are taken from the row before: it must be the last one, and stay so."""
    statements = {
        f"{module.__name__}.{name}": sql
        for source in sources("app/jobs")
        if source.path != DOOR
        for module in [import_module(source.path.removesuffix(".py").replace("/", "."))]
        for name, sql in vars(module).items()
        if isinstance(sql, str) and "AS was_state" in sql and sql.lstrip().startswith("WITH")
    }
    assert len(statements) >= 14
    assert statements.pop(LOCKED_BEFORE).count(" AS was_state") == 3
    assert [
        name
        for name, sql in statements.items()
        if sql.count(" AS was_state") != len(re.findall(r"\bFOR UPDATE OF job\b", sql))
    ] == []
