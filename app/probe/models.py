"""Outcomes of probes, and names of what they learn.

unknown ──> completed | failed
   └──────> refused | not_sent
"""

from enum import StrEnum
from typing import Final

PATIENCE_SECONDS: Final = 600.0
"""How long a probe is watched if the operator does not say."""
POLL_FIRST_SECONDS: Final = 1.0
POLL_MOST_SECONDS: Final = 5.0
HISTORY_SECONDS: Final = 5.0
"""Between two reads of the history, and so the error of what is measured with it."""
HISTORY_FAILURES_MAX: Final = 5
"""After so many unreadable answers in a row, a history of a job that has ended is not read again."""
POLLS_MIN: Final = 3
"""So many polls must tell what is left of the limit before it is concluded whether they count."""
BODY_BYTES_MAX: Final = 1024 * 1024
"""The largest input of a probe."""


class ProbeOutcome(StrEnum):
    """What became of a probe. UNKNOWN: its end is not known; with an upstream id, it was accepted. COMPLETED, FAILED: how it
    ended at the upstream. REFUSED: the upstream did not start it. NOT_SENT: nothing of it was sent."""

    UNKNOWN = "unknown"
    COMPLETED = "completed"
    FAILED = "failed"
    REFUSED = "refused"
    NOT_SENT = "not_sent"


class FactName(StrEnum):
    """What a probe can learn. All seconds are upper bounds.

    HISTORY_LAG_SECONDS: from the submit until the history has its row. HISTORY_END_LAG_SECONDS: from the end of the job until
    its row shows the end. HISTORY_COST_LAG_SECONDS: from the end until the row shows the cost. HISTORY_SHOWS_PENDING: whether
    a job that runs has a row. HISTORY_BODY_FORM: `object`, `string` or `none`. HISTORY_ADDS_DEFAULTS: whether the body has
    parameters that were not sent. HISTORY_BODY_FITS: whether it has the values that were sent. HISTORY_INSTANT_FORM: how
    instants are written, each digit as 9. HISTORY_PAGING_KEYS: the keys of a page beside its rows. HISTORY_FINDS_BY_ID:
    whether one request can be asked for. HISTORY_ROWS: how many rows the request has.
    STATUS_CODE_…, RESULT_CODE_…: the HTTP status of the status and the result call of a job in this state.
    LIMIT_HEADERS: names of headers about limits. POLLS_ARE_COUNTED: whether polls count towards the limit.
    """

    HISTORY_LAG_SECONDS = "history_lag_seconds"
    HISTORY_END_LAG_SECONDS = "history_end_lag_seconds"
    HISTORY_COST_LAG_SECONDS = "history_cost_lag_seconds"
    HISTORY_SHOWS_PENDING = "history_shows_pending"
    HISTORY_BODY_FORM = "history_body_form"
    HISTORY_ADDS_DEFAULTS = "history_adds_defaults"
    HISTORY_BODY_FITS = "history_body_fits"
    HISTORY_INSTANT_FORM = "history_instant_form"
    HISTORY_PAGING_KEYS = "history_paging_keys"
    HISTORY_FINDS_BY_ID = "history_finds_by_id"
    HISTORY_ROWS = "history_rows"
    STATUS_CODE_WHILE_RUNNING = "status_code_while_running"
    STATUS_CODE_OF_COMPLETED = "status_code_of_completed"
    STATUS_CODE_OF_FAILED = "status_code_of_failed"
    RESULT_CODE_WHILE_RUNNING = "result_code_while_running"
    RESULT_CODE_OF_COMPLETED = "result_code_of_completed"
    RESULT_CODE_OF_FAILED = "result_code_of_failed"
    LIMIT_HEADERS = "limit_headers"
    POLLS_ARE_COUNTED = "polls_are_counted"
