"""The gateway's own refusals. The outcome of a network call is a value (`upstream.wire.Outcome`), never one of these.

Refusal                     a request is refused; it has a code, a status and a message
├── StoreUnavailable        503: Postgres does not answer at present
│   ├── StoreFull           503: Postgres has no room: disk, memory or connections
│   ├── StatementTimedOut   503: Postgres stopped a statement that took too long
│   ├── TooManyReads        503: too many reads of this tenant wait already
│   ├── SchemaBehind        503: `waystation migrate` has not run yet
│   └── WrongConnection     503: a connection has another role or other timeouts than requested
│       └── WrongSchema     503: the schema does not serve this release
└── … the others are defined beside the function that raises them
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

PATH_LENGTH_MAX = 200


@dataclass(frozen=True, slots=True)
class Problem:
    """One fault of an input: its place (`$.fps`, `header Idempotency-Key`) and what was expected there."""

    path: str
    message: str


PROBLEMS_MAX = 50
"""The most faults of one input that are reported."""


def sentence(problems: Sequence[Problem]) -> str:
    """Join faults into one line for people."""
    words = "; ".join(f"{problem.path}: {problem.message}" for problem in problems[:PROBLEMS_MAX])
    more = len(problems) - PROBLEMS_MAX
    return words if more <= 0 else f"{words}; and {more} more"


def path_of(parts: Iterable[str | int], root: str = "$") -> str:
    """Return a place in a JSON document: `("scopes", 0)` is `$.scopes[0]`. The caller chooses the names, so a long path is
    cut, and lone surrogates, which have no UTF-8, become `?`."""
    path = root + "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in parts)
    return path[:PATH_LENGTH_MAX].encode("utf-8", "replace").decode()


class Refusal(Exception):
    """A refused request: `status` for HTTP, `code` for programs, `message` for people."""

    status: ClassVar[int] = 400
    code: ClassVar[str] = "bad_request"

    def __init__(
        self,
        message: str,
        *,
        problems: Sequence[Problem] = (),
        retry_after_seconds: int | None = None,
        extra: Mapping[str, object] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.problems = tuple(problems)
        self.retry_after_seconds = retry_after_seconds
        self.extra = dict(extra or {})
        self.headers = dict(headers or {})


class Malformed(Refusal):
    """400: the request cannot be parsed, or a field has an invalid value."""

    code = "invalid_request"


def malformed_at(*problems: Problem) -> Malformed:
    """Make a 400 with all faults of an input."""
    return Malformed(sentence(problems), problems=problems[:PROBLEMS_MAX])


def malformed_field(field: str, expected: str) -> Malformed:
    """Make a 400 that names one field of a body."""
    return Malformed(f"{field}: {expected}", problems=[Problem(f"$.{field}", expected)])


class Unauthorized(Refusal):
    """401: there is no key, or it is unknown, expired or revoked."""

    status = 401
    code = "unauthorized"


class Forbidden(Refusal):
    """403: the key is valid, but may not do this."""

    status = 403
    code = "forbidden"


class NotFound(Refusal):
    """404: this tenant has no such thing. Another tenant's gets the same answer."""

    status = 404
    code = "not_found"


class Conflict(Refusal):
    """409: the state of the thing does not allow this."""

    status = 409
    code = "conflict"


class StoreUnavailable(Refusal):
    """503: Postgres is unreachable, restarting or out of disk. Whether anything was stored is unknown."""

    status = 503
    code = "store_unavailable"

    def __init__(
        self, message: str = "the database is temporarily unavailable; try again", *, retry_after_seconds: int = 2
    ) -> None:
        super().__init__(message, retry_after_seconds=retry_after_seconds)


class StoreFull(StoreUnavailable):
    """503: Postgres reported that it has no disk, memory or connection left. Nothing was written."""


class StatementTimedOut(StoreUnavailable):
    """503: Postgres stopped a statement at its timeout. The same statement would take as long again."""

    code = "statement_timed_out"

    def __init__(self) -> None:
        super().__init__(
            "the query took too long and was stopped; narrow it: a shorter period (`created_after`, `created_before`, `since`,"
            " `until`), one more filter, or a smaller `limit`",
            retry_after_seconds=10,
        )


class TooManyReads(StoreUnavailable):
    """503: too many reads of this tenant wait, so this one gets no connection in time."""

    code = "too_many_reads"

    def __init__(self) -> None:
        super().__init__("too many concurrent reads of this tenant; send fewer at a time", retry_after_seconds=5)


class WrongConnection(StoreUnavailable):
    """503: a connection to Postgres lacks the requested role or a requested setting. The process must stop."""

    code = "store_misconfigured"
    exit_code: ClassVar[int] = 1


class WrongSchema(WrongConnection):
    """503: the database's schema does not serve this release. The process must stop with this exit code."""

    exit_code: ClassVar[int] = 78


class SchemaBehind(StoreUnavailable):
    """503: the schema is older than this release needs; `waystation migrate` may run soon. `detail` says more."""

    def __init__(self, detail: str) -> None:
        super().__init__()
        self.detail = detail
