"""Types of events, and the states of a delivery."""

from enum import StrEnum


class EventType(StrEnum):
    """Types of events. An endpoint receives the first three unless it asks for others."""

    JOB_COMPLETED = "job.completed"
    JOB_FAILED = "job.failed"
    JOB_CANCELED = "job.canceled"
    JOB_PROCESSING = "job.processing"
    WEBHOOK_TEST = "webhook.test"
    BUDGET_ALERT = "budget.alert"
    ENDPOINT_DISABLED = "endpoint.disabled"


OF_JOBS = (EventType.JOB_COMPLETED, EventType.JOB_FAILED, EventType.JOB_CANCELED, EventType.JOB_PROCESSING)

OF_TENANTS = (EventType.BUDGET_ALERT, EventType.ENDPOINT_DISABLED)

BY_DEFAULT = OF_JOBS[:3]


class TargetKind(StrEnum):
    """An endpoint, or the server of jobs' own webhook URLs."""

    ENDPOINT = "endpoint"
    JOB_URLS = "job_urls"


class DisabledReason(StrEnum):
    """Why an endpoint is disabled: the receiver answered 410, it failed for days, or its tenant disabled it."""

    GONE = "gone"
    FAILING = "failing"
    TENANT = "tenant"


class DeliveryStatus(StrEnum):
    """The status of a delivery. Each arrow is one guarded UPDATE.

    pending ──claim──> sending ──2xx──> delivered
      ▲ ▲                │  └──last step, 410──> exhausted
      │ └──other answers─┘                         ▲
      ├──endpoint disabled or deleted──────────────┘
      └── redeliver, recover: from delivered and exhausted
    """

    PENDING = "pending"
    SENDING = "sending"
    DELIVERED = "delivered"
    EXHAUSTED = "exhausted"


class AttemptOutcome(StrEnum):
    """The outcome of one POST. forbidden: the address is not allowed. interrupted: its worker died; it may have arrived."""

    DELIVERED = "delivered"
    REFUSED = "refused"
    TIMED_OUT = "timed_out"
    UNREACHABLE = "unreachable"
    FORBIDDEN = "forbidden"
    INTERRUPTED = "interrupted"
