"""Alembic's entry: runs on the connection it is handed, inside that connection's transaction."""

from alembic import context
from sqlalchemy import text

import app.admin.models
import app.admission.models
import app.catalog.models
import app.core.heartbeat
import app.jobs.models
import app.ledger.models
import app.reconciliation.models
import app.tenants.models
import app.webhooks.models  # noqa: F401
from app.core.db import metadata

connection = context.config.attributes["connection"]
context.configure(connection=connection, target_metadata=metadata, compare_type=True)
connection.execute(text("SET LOCAL lock_timeout = '5s'"))
context.run_migrations()
