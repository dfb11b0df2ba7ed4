"""Alembic's entry: runs on the connection it is handed, inside that connection's transaction."""

from alembic import context
from sqlalchemy import text

connection = context.config.attributes["connection"]
context.configure(connection=connection)
connection.execute(text("SET LOCAL lock_timeout = '5s'"))
context.run_migrations()
