"""Validates the constraints of the revision before, and builds indexes. No table is locked meanwhile."""

from alembic import op

revision = "0018"
down_revision = "0017"

CONSTRAINTS = {
    "attempts": ("attempts_resolution_check", "attempts_resolved_check"),
    "jobs": ("jobs_on_unknown_check", "jobs_running_check", "jobs_withdrawn_check"),
    "exposures": ("exposures_reason_check", "exposures_amount_check", "exposures_owner_check"),
}


def upgrade() -> None:
    with op.get_context().autocommit_block():
        op.execute("SET lock_timeout = '5s'")
        for table, constraints in CONSTRAINTS.items():
            for constraint in constraints:
                op.execute(f"ALTER TABLE {table} VALIDATE CONSTRAINT {constraint}")
        op.execute("RESET lock_timeout")  # building the index waits for older transactions, and locks nothing
        op.execute("DROP INDEX CONCURRENTLY IF EXISTS attempts_unknown_idx")
        op.execute("CREATE INDEX CONCURRENTLY attempts_unknown_idx ON attempts (sent_at) WHERE outcome = 'unknown'")
        op.execute("DROP INDEX CONCURRENTLY IF EXISTS attempts_resolved_idx")
        op.execute("CREATE INDEX CONCURRENTLY attempts_resolved_idx ON attempts (sent_at) WHERE resolution IS NOT NULL")
        op.execute("DROP INDEX CONCURRENTLY IF EXISTS exposures_once_idx")
        op.execute(
            "CREATE UNIQUE INDEX CONCURRENTLY exposures_once_idx ON exposures (job_id, reason, upstream_id)"
            " NULLS NOT DISTINCT WHERE reason <> 'corrected'"
        )
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.execute("ALTER TABLE exposures DROP CONSTRAINT IF EXISTS exposures_once_key")


def downgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.execute("DROP INDEX attempts_unknown_idx, attempts_resolved_idx, exposures_once_idx")
    op.execute("DELETE FROM exposures WHERE reason = 'corrected'")
    op.execute(
        "ALTER TABLE exposures ADD CONSTRAINT exposures_once_key UNIQUE NULLS NOT DISTINCT (job_id, reason, upstream_id)"
    )
