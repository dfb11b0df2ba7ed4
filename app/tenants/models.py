"""What API keys may do."""

from enum import StrEnum


class Scope(StrEnum):
    """What a key may do."""

    JOBS_WRITE = "jobs:write"
    JOBS_READ = "jobs:read"
    WEBHOOKS = "webhooks"
    BILLING_READ = "billing:read"


ALL_SCOPES = tuple(Scope)
