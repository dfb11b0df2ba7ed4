"""Dumps of the database, and their restore into an empty server."""
