"""The life cycle of a job: its states and their transitions, its error codes, and the kinds of exchanges."""

from enum import StrEnum


class State(StrEnum):
    """The state of a job. Each arrow is one guarded UPDATE.

        queued ──open attempt──> sending ──accepted──> running ──> completed | failed
          │ ▲                      │  │                   ▲
          │ └──not sent, throttled─┘  └─may have arrived─> unknown ──time is up, absent──> failed (submission_unknown)
          │                                                 ├─ a late answer: running, failed, queued
          │                                                 ├─ found in the history: running; absent, resubmit: queued
          │                                                 └─ again, if the request proves to be another job's: from running
          ├──> canceled | failed (deadline_exceeded)        canceled also ends sending, unknown, running where asked for
          └──database restored──> unknown                   queued and running fail (poison) that kill their holders

    queued: waits until `due_at`; a worker may have claimed it, and nothing was sent. sending: an attempt is
    committed and may be under way. unknown: it may or may not have arrived. running: the upstream has returned
    an id. The last three are final and have `finished_at`.
    """

    QUEUED = "queued"
    SENDING = "sending"
    UNKNOWN = "unknown"
    RUNNING = "running"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELED = "canceled"


FINAL = frozenset({State.COMPLETED, State.FAILED, State.CANCELED})

TRANSITIONS: dict[State, frozenset[State]] = {
    State.QUEUED: frozenset({State.SENDING, State.UNKNOWN, State.FAILED, State.CANCELED}),
    State.SENDING: frozenset({State.QUEUED, State.UNKNOWN, State.RUNNING, State.FAILED, State.CANCELED}),
    State.UNKNOWN: frozenset({State.QUEUED, State.RUNNING, State.FAILED, State.CANCELED}),
    State.RUNNING: frozenset({State.UNKNOWN, State.COMPLETED, State.FAILED, State.CANCELED}),
    State.COMPLETED: frozenset(),
    State.FAILED: frozenset(),
    State.CANCELED: frozenset(),
}


class Status(StrEnum):
    """The status of a job as tenants see it: sending, unknown and running are PROCESSING."""

    QUEUED = "QUEUED"
    PROCESSING = "PROCESSING"
    COMPLETED = "COMPLETED"
    FAILED = "FAILED"
    CANCELED = "CANCELED"


STATUS: dict[State, Status] = {
    State.QUEUED: Status.QUEUED,
    State.SENDING: Status.PROCESSING,
    State.UNKNOWN: Status.PROCESSING,
    State.RUNNING: Status.PROCESSING,
    State.COMPLETED: Status.COMPLETED,
    State.FAILED: Status.FAILED,
    State.CANCELED: Status.CANCELED,
}


class Surface(StrEnum):
    """The surface by which a request was submitted."""

    SEGMIND = "segmind"
    SEGMIND_SYNC = "segmind_sync"
    NATIVE = "native"


class ErrorCode(StrEnum):
    """Why a job FAILED, for programs. The message for people is the upstream's if it sent one."""

    UPSTREAM_FAILED = "upstream_failed"
    CONTENT_BLOCKED = "content_blocked"
    UPSTREAM_REJECTED = "upstream_rejected"
    UPSTREAM_UNAVAILABLE = "upstream_unavailable"
    SUBMISSION_UNKNOWN = "submission_unknown"
    RESULT_LOST = "result_lost"
    RESULT_TOO_LARGE = "result_too_large"
    RESULT_UNREADABLE = "result_unreadable"
    DEADLINE_EXCEEDED = "deadline_exceeded"
    POISON = "poison"


class ExchangeKind(StrEnum):
    """One HTTP call to the upstream."""

    SUBMIT = "submit"
    POLL = "poll"
    FETCH = "fetch"


class Resolution(StrEnum):
    """How an attempt with an unknown outcome was resolved, other than by the upstream's own answer.

    ADOPTED: the upstream's history showed its request. PROVEN_ABSENT: the history showed that there is none. TIMED_OUT: neither
    was shown within UNKNOWN_MAX_SECONDS. OPERATOR: an operator decided.
    """

    ADOPTED = "adopted"
    PROVEN_ABSENT = "proven_absent"
    TIMED_OUT = "timed_out"
    OPERATOR = "operator"


class OnUnknown(StrEnum):
    """What a tenant wants if it is unknown whether its job arrived. HOLD: wait for the truth. RESUBMIT: also send it once more,
    after a proof that it did not arrive."""

    HOLD = "hold"
    RESUBMIT = "resubmit"
