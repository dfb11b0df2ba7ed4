"""The submit writer while Postgres has no room: what was said to be refused is not stored."""

import dataclasses

import asyncpg
import pytest

from app.core.db import Database
from app.core.errors import StoreFull, StoreUnavailable
from app.core.ids import new_id
from app.jobs import writer
from app.jobs.operations import Submission
from app.jobs.writer import InDoubt, SubmitWriter
from tests.factories.callers import Caller
from tests.factories.jobs import SUBMISSION

_NO_ROOM = """
CREATE FUNCTION no_room() RETURNS trigger LANGUAGE plpgsql AS
$$ BEGIN RAISE EXCEPTION 'could not extend file' USING ERRCODE = 'disk_full'; END $$;
CREATE TRIGGER no_room BEFORE INSERT ON jobs EXECUTE FUNCTION no_room();
"""


def submission(caller: Caller) -> Submission:
    return dataclasses.replace(SUBMISSION, id=new_id(), tenant_id=caller.tenant.id, key_id=caller.key.id)


async def test_a_full_disk_refuses_and_leaves_no_doubt(
    url: str, database: Database, caller: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer, "UNREACHED_SECONDS", 0.2)
    submits = SubmitWriter(database, alerted=lambda: None)
    owner = await asyncpg.connect(url)
    try:
        await owner.execute(_NO_ROOM)
        with pytest.raises(StoreFull) as refused:
            await submits.submit(submission(caller))
        assert not isinstance(refused.value, InDoubt)
        assert (refused.value.status, refused.value.code) == (503, StoreUnavailable.code)
        await owner.execute("DROP TRIGGER no_room ON jobs")
        stored = await submits.submit(submission(caller))
        assert [row["id"] for row in await owner.fetch("SELECT id FROM jobs")] == [stored.job_id]
    finally:
        await owner.close()
