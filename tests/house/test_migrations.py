"""No migration stops the release before: none locks a table for long, and none but a contract migration takes away anything."""

import re

import pytest

from app.core.database.migrate import open_engine
from app.core.database.schema import head_revision
from tests.house.migrations import faults, said_by_revision
from tests.house.source import sources
from tests.servers import Urls, temporary_database

FIRST = "0009"
"""Older ones were applied before anybody had data."""
BEFORE_THE_RULE = {
    "0009": {"constraint-missing-not-valid"},
    "0011": {"constraint-missing-not-valid"},
    "0013": {"require-concurrent-index-creation", "trigger-on-existing-table"},
}
"""Released before this test was written. There will be no further entry."""
TOLERATED = {"0017": {"ban-drop-not-null"}}
"""Breaks a rule, and the release before lives with it: it only reads exposures with a join to their job or tenant."""


async def test_no_migration_stops_the_release_before(servers: Urls) -> None:
    async with temporary_database(servers.database) as url:
        engine = open_engine(url)
        said = await said_by_revision(engine)
        await engine.dispose()
    assert max(said) == head_revision()
    found = {revision: broken for revision in sorted(said) if revision >= FIRST and (broken := faults(said[revision]))}
    assert found == BEFORE_THE_RULE | TOLERATED


@pytest.mark.parametrize(
    ("statement", "rule"),
    [
        ("CREATE INDEX jobs_bad_idx ON jobs (model)", "require-concurrent-index-creation"),
        ("-- squawk-ignore require-concurrent-index-creation\nCREATE INDEX a ON jobs (model)", "require-concurrent-index-creation"),
        ("DROP INDEX jobs_status_idx", "require-concurrent-index-deletion"),
        ("ALTER TABLE jobs ADD COLUMN more integer NOT NULL", "adding-required-field"),
        ("ALTER TABLE jobs ADD COLUMN at timestamptz NOT NULL DEFAULT clock_timestamp()", "adding-field-with-default"),
        ("ALTER TABLE jobs ADD CONSTRAINT more CHECK (attempt > 1)", "constraint-missing-not-valid"),
        ("ALTER TABLE jobs ADD CONSTRAINT more UNIQUE (upstream_id)", "disallowed-unique-constraint"),
        ("ALTER TABLE jobs ALTER COLUMN attempt TYPE bigint", "changing-column-type"),
        ("ALTER TABLE jobs ALTER COLUMN model SET NOT NULL", "adding-not-nullable-field"),
        ("ALTER TABLE jobs DROP COLUMN model", "ban-drop-column"),
        ("ALTER TABLE jobs RENAME COLUMN model TO slug", "renaming-column"),
        ("ALTER TABLE jobs RENAME TO tasks", "renaming-table"),
        ("DROP TABLE job_results", "ban-drop-table"),
        ("LOCK TABLE jobs", "lock-by-hand"),
        ("CREATE TRIGGER t AFTER INSERT ON jobs FOR EACH ROW EXECUTE FUNCTION f()", "trigger-on-existing-table"),
        ("CREATE OR REPLACE TRIGGER t AFTER INSERT ON public.jobs FOR EACH ROW EXECUTE FUNCTION f()", "trigger-on-existing-table"),
        ("ALTER TABLE jobs ADD COLUMN n bigserial", "table-rewritten"),
        ("ALTER TABLE jobs ADD COLUMN n bigint GENERATED ALWAYS AS IDENTITY", "table-rewritten"),
        ("ALTER TABLE jobs ADD COLUMN n integer CHECK (n > 0)", "table-rewritten"),
        ("ALTER TABLE ONLY public.jobs SET UNLOGGED", "table-rewritten"),
        ("UPDATE jobs SET model = lower(model)", "rows-changed-at-once"),
        ("DELETE FROM job_events", "rows-changed-at-once"),
        ("DROP VIEW ops.jobs", "taken-away"),
        ("DROP FUNCTION keep_job_metadata", "taken-away"),
        ("DROP TRIGGER job_inputs_metadata ON job_inputs", "taken-away"),
        ("TRUNCATE jobs", "taken-away"),
        ("REVOKE SELECT ON jobs FROM waystation_service", "taken-away"),
        ("ALTER TABLE jobs ALTER COLUMN polls DROP DEFAULT", "taken-away"),
        ("ALTER VIEW ops.jobs RENAME COLUMN model TO slug", "taken-away"),
    ],
)  # fmt: skip
def test_a_bad_migration_is_refused(statement: str, rule: str) -> None:
    assert rule in faults([(statement, True)])


def test_a_good_migration_passes() -> None:
    assert faults([
        ("ALTER TABLE jobs ADD COLUMN more text NOT NULL DEFAULT ''", True),
        ("ALTER TABLE jobs ADD CONSTRAINT more CHECK (more <> 'x') NOT VALID", True),
        ("CREATE TABLE job_more (job_id uuid NOT NULL, CONSTRAINT job_more_pkey PRIMARY KEY (job_id))", True),
        ("CREATE INDEX job_more_idx ON job_more (job_id)", True),
        ("CREATE TRIGGER t AFTER INSERT ON job_more FOR EACH ROW EXECUTE FUNCTION f()", True),
        ("UPDATE job_more SET job_id = job_id", True),
        ("CREATE OR REPLACE VIEW ops.jobs AS SELECT 1 AS n", True),
        ("UPDATE alembic_version SET version_num = '0017' WHERE version_num = '0016'", True),
        ("CREATE INDEX CONCURRENTLY IF NOT EXISTS jobs_more_idx ON jobs (more)", False),
        ("ALTER TABLE jobs VALIDATE CONSTRAINT more", False),
    ]) == set()  # fmt: skip


def test_only_a_contract_migration_takes_something_away() -> None:
    drop = ("ALTER TABLE jobs DROP COLUMN model", True)
    assert faults([drop]) == {"ban-drop-column"}
    contract = ("UPDATE alembic_version SET serves_from = '0016'", True)
    assert faults([drop, contract]) == set()
    assert faults([("DROP VIEW ops.jobs", True), contract]) == set()


def test_revisions_are_numbers_that_rise() -> None:
    """Processes compare them to tell an older schema from a newer one."""
    numbered = {}
    for source in sources("migrations/versions"):
        named = dict(re.findall(r'^(revision|down_revision) = "?(\w+)"?$', source.text, re.MULTILINE))
        numbered[named["revision"]] = named["down_revision"]
        for serves in re.findall(r"serves_from = '(\w+)'", source.text):
            assert serves <= named["revision"], source.path
    assert all(re.fullmatch(r"\d{4}", revision) for revision in numbered)
    assert all(before == "None" or before < revision for revision, before in numbered.items())
