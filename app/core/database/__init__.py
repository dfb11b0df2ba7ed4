"""Postgres: connections, transactions, SQL files, schema and migrations, and encryption at rest."""
