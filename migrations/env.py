"""Alembic's entry: runs on the connection it is handed, a transaction for each migration, or in the one that is open.

So a migration keeps its locks no longer than itself, and may leave its transaction for what needs none, such as an index
that is built concurrently (`op.get_context().autocommit_block()`).
"""

from alembic import context

context.configure(connection=context.config.attributes["connection"], transaction_per_migration=True)
with context.begin_transaction():
    context.run_migrations()
