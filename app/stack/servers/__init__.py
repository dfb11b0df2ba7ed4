"""Postgres and Valkey, each with its own directory."""
