"""Our own refusals. What the network tells us is a value (`upstream.wire.Outcome`), never one of these.

Refusal                     somebody asked for what cannot be had; has a code, a status and a sentence
├── StoreUnavailable        503: Postgres does not answer just now
│   ├── StoreFull           503: it answers that its disk is full
│   ├── StatementTimedOut   503: it stopped a statement that took too long
│   ├── TooManyReads        503: too many reads of this tenant wait already
│   ├── SchemaBehind        503: it answers, and `waystation migrate` has not run yet
│   └── WrongConnection     503: it answers, but not with the role and time-outs asked for
│       └── WrongSchema     503: it answers, and its schema does not serve this release
└── … the others stand beside the function that raises them
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

PATH_LENGTH_MAX = 200


@dataclass(frozen=True, slots=True)
class Problem:
    """One fault of an input: where (`$.fps`, `header Idempotency-Key`) and what was expected there."""

    path: str
    message: str


PROBLEMS_MAX = 50
"""Faults of one input that are told at once."""


def sentence(problems: Sequence[Problem]) -> str:
    """Faults in one line for people."""
    words = "; ".join(f"{problem.path}: {problem.message}" for problem in problems[:PROBLEMS_MAX])
    more = len(problems) - PROBLEMS_MAX
    return words if more <= 0 else f"{words}; and {more} more"


def path_of(parts: Iterable[str | int], root: str = "$") -> str:
    """Where in a JSON document: `("scopes", 0)` is `$.scopes[0]`. Names are the caller's own: a long path is cut, and lone
    surrogates, which have no UTF-8, are taken out."""
    path = root + "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in parts)
    return path[:PATH_LENGTH_MAX].encode("utf-8", "replace").decode()


class Refusal(Exception):
    """A request that is turned down: `status` for HTTP, `code` for programs, `message` for people."""

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
    """400: the request cannot be understood, or a field is not what it must be."""

    code = "invalid_request"


def malformed_at(*problems: Problem) -> Malformed:
    """400 with all faults of an input."""
    return Malformed(sentence(problems), problems=problems[:PROBLEMS_MAX])


def malformed_field(field: str, expected: str) -> Malformed:
    """400 naming one field of a body."""
    return Malformed(f"{field}: {expected}", problems=[Problem(f"$.{field}", expected)])


class Unauthorized(Refusal):
    """401: no key, or one that is unknown, expired or revoked."""

    status = 401
    code = "unauthorized"


class Forbidden(Refusal):
    """403: the key is good, but not for this."""

    status = 403
    code = "forbidden"


class NotFound(Refusal):
    """404: no such thing for this tenant; another tenant's looks the same."""

    status = 404
    code = "not_found"


class Conflict(Refusal):
    """409: the thing is not in a state that allows it."""

    status = 409
    code = "conflict"


class StoreUnavailable(Refusal):
    """503: Postgres is away, restarting or out of disk. Nothing is known to be stored."""

    status = 503
    code = "store_unavailable"

    def __init__(
        self, message: str = "the database is temporarily unavailable; try again", *, retry_after_seconds: int = 2
    ) -> None:
        super().__init__(message, retry_after_seconds=retry_after_seconds)


class StoreFull(StoreUnavailable):
    """503: Postgres itself said that it has no room: no disk, no memory, no connection. Nothing was written."""


class StatementTimedOut(StoreUnavailable):
    """503: Postgres stopped a statement that took longer than it may. The same would take as long again."""

    code = "statement_timed_out"

    def __init__(self) -> None:
        super().__init__(
            "the query took too long and was stopped; narrow it: a shorter period (`created_after`, `created_before`, `since`,"
            " `until`), one more filter, or a smaller `limit`",
            retry_after_seconds=10,
        )


class TooManyReads(StoreUnavailable):
    """503: so many reads of this tenant wait for a connection that this one cannot have one in time."""

    code = "too_many_reads"

    def __init__(self) -> None:
        super().__init__("too many concurrent reads of this tenant; send fewer at a time", retry_after_seconds=5)


class WrongConnection(StoreUnavailable):
    """503: a connection to Postgres lacks the role or a setting that was asked for. The process must stop."""

    code = "store_misconfigured"
    exit_code: ClassVar[int] = 1


class WrongSchema(WrongConnection):
    """503: the schema of the database does not serve this release. The process must stop, with an exit code of its own."""

    exit_code: ClassVar[int] = 78


class SchemaBehind(StoreUnavailable):
    """503: the schema is older than this release needs; `waystation migrate` may be about to run. `detail` says more."""

    def __init__(self, detail: str) -> None:
        super().__init__()
        self.detail = detail
