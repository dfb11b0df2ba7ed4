"""As for jobs: an empty database, a tenant, and a worker's hand without a worker."""

from tests.jobs.conftest import caller, database, engine, url

__all__ = ["caller", "database", "engine", "url"]
