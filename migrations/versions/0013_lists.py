"""Indexes for lists: a tenant's jobs by metadata, by status and by model, newest first.

Processes of the version before may run meanwhile; a trigger keeps what they submit. Submits and changes of jobs wait
while the indexes of `jobs` are built, some seconds for each million jobs.
"""

from pathlib import Path

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"

HERE = Path(__file__).parent


def _run(path: Path) -> None:
    for part in path.read_text(encoding="utf-8").split("\n\n"):
        if part.strip():
            op.execute(sa.text(part.replace(":", r"\:")))


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    _run(HERE / "0013_lists.sql")


def downgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.execute("DROP INDEX jobs_parked_idx")
    op.execute("DROP INDEX jobs_status_idx")
    op.execute("DROP INDEX jobs_model_idx")
    op.execute("DROP TRIGGER job_inputs_metadata ON job_inputs")
    op.execute("DROP FUNCTION keep_job_metadata")
    op.execute("DROP TABLE job_metadata")
    op.execute("DROP FUNCTION metadata_term")
