"""What becomes of unknown submissions, as the engine stores it: set by hand, for tests of what tenants see of it."""

from uuid import UUID

from tests.gateway import Gateway


async def withdraw(stack: Gateway, shown: str) -> None:
    """The result of this COMPLETED job belonged to another request."""
    job_id = UUID(shown.removeprefix("job_"))
    await stack.sql("UPDATE job_results SET body = NULL WHERE job_id = $1", job_id)
    await stack.sql("UPDATE jobs SET withdrawn_at = now(), upstream_id = NULL, charged_micro = 0 WHERE id = $1", job_id)


async def recover(stack: Gateway, shown: str) -> None:
    """The result of this COMPLETED job came from the history."""
    await stack.sql("UPDATE jobs SET recovered = true WHERE id = $1", UUID(shown.removeprefix("job_")))


async def fail_with_late_result(stack: Gateway, shown: str, body: bytes | None) -> None:
    """This job, which has ended, FAILED because its submission stayed unknown. `body`: the result that came later; None: none."""
    job_id = UUID(shown.removeprefix("job_"))
    await stack.sql(
        "UPDATE jobs SET state = 'failed', error_code = 'submission_unknown', charged_micro = 0, upstream_id = NULL,"
        " late_result = $2, recovered = $2 WHERE id = $1",
        job_id,
        body is not None,
    )
    sql = "UPDATE job_results SET body = $2, message = 'it is not known whether it arrived' WHERE job_id = $1"
    await stack.sql(sql, job_id, body)
