"""What stops submits: reasons and scopes of a pause."""

from enum import StrEnum


class PauseReason(StrEnum):
    """Why submits wait, beside the budget: our account there is in trouble."""

    ACCOUNT = "account"


class What(StrEnum):
    """What an operator's pause stops: submits to the upstream, or polls as well. Tenants' submits are taken anyway."""

    SUBMITS = "submits"
    ALL = "all"
