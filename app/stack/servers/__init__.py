"""Postgres and Valkey, run privately for one directory."""
