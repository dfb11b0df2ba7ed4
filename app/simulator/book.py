"""The book: what really happened at the upstream. One JSON line per fact, on disk before the answer is sent.

Every line has `sequence` (1, 2, …), `at` (seconds since 1970) and `fact`. If it is about a request: `request_id`,
`slug`, `body_sha256` (the exact bytes), `canonical_sha256` (see json_text), `key` (its last four characters).
started: a run began and will cost money; `body` is what was sent; `history_late_seconds` and `history_lies` tell how its row
will be wrong, `twin_of` the run beside which it was started, `answered_id` the other run that the answer named. charged: `cost_micros`. failed: `error`, no charge.
refused: `status`; nothing began. fault: `fault`; an answer was spoilt by a rule.
"""

import fcntl
import hashlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from app.simulator.http.json_text import MalformedJsonError, canonical


@dataclass(frozen=True, slots=True)
class BodyHash:
    """The two hashes of a request body."""

    exact: str
    canonical: str


def hash_object(body: bytes) -> BodyHash:
    """Return both SHA-256 in hex. Raises MalformedJsonError if the body is not a JSON object."""
    return BodyHash(hashlib.sha256(body).hexdigest(), hashlib.sha256(canonical(body)).hexdigest())


def hash_body(body: bytes) -> BodyHash:
    """Like hash_object, but if the body is not a JSON object both hashes are the same."""
    try:
        return hash_object(body)
    except MalformedJsonError:
        exact = hashlib.sha256(body).hexdigest()
        return BodyHash(exact, exact)


class BookError(ValueError):
    """The file is not a book of a simulator, or it is damaged."""


class Book:
    """Appends facts and answers questions about them. It has one writer; readers open the file with `Book.read`."""

    def __init__(self, path: Path | None = None) -> None:
        """Open a book and continue it from the file at `path`. Raises OSError if it cannot be opened."""
        self._lines: list[bytes] = []
        self._file: int | None = None
        if path is None:
            return
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            self.close()
            raise BlockingIOError(error.errno, "another simulator writes this book", str(path)) from None
        kept = path.read_bytes()
        self._lines = _whole_lines(kept)
        if kept and not kept.endswith(b"\n"):
            os.ftruncate(self._file, kept.rfind(b"\n") + 1)

    @classmethod
    def read(cls, path: Path) -> "Book":
        """Read the book from a file that another process may be writing."""
        book = cls()
        book._lines = _whole_lines(path.read_bytes())
        return book

    def close(self) -> None:
        """Close the file. The facts stay readable."""
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def write(self, fact: str, at: float, **members: object) -> None:
        """Append one fact. It is in the file when this returns."""
        line = orjson.dumps({"sequence": len(self._lines) + 1, "at": at, "fact": fact, **members}) + b"\n"
        if self._file is not None:
            left = memoryview(line)
            while left:
                left = left[os.write(self._file, left) :]
        self._lines.append(line)

    def __len__(self) -> int:
        return len(self._lines)

    def raw(self, after: int = 0) -> bytes:
        """The lines with a sequence number above `after`."""
        return b"".join(self._lines[max(after, 0) :])

    def facts(self, *kinds: str) -> Iterator[dict[str, Any]]:
        """Yield the facts in order; only those of the given kinds, if any are given."""
        marks = [b'"fact":"%b"' % kind.encode() for kind in kinds]
        for line in self._lines:
            if not marks or any(mark in line for mark in marks):
                fact: dict[str, Any] = orjson.loads(line)
                if not kinds or fact["fact"] in kinds:
                    yield fact

    def starts(self, body: bytes | str) -> list[str]:
        """The request ids of all runs that were started with this body. `body`: the body, or either of its hashes."""
        wanted = hash_body(body).canonical if isinstance(body, bytes) else body
        return [
            fact["request_id"]
            for fact in self.facts("started")
            if wanted in (fact["canonical_sha256"], fact["body_sha256"])
        ]

    def starts_by_body(self) -> dict[str, list[str]]:
        """The request ids of all runs by the canonical hash of their body. Reads the book once."""
        found: dict[str, list[str]] = {}
        for fact in self.facts("started"):
            found.setdefault(fact["canonical_sha256"], []).append(fact["request_id"])
        return found

    def started_ids(self) -> list[str]:
        """The request ids of all runs, oldest first."""
        return [fact["request_id"] for fact in self.facts("started")]

    def charged(self) -> dict[str, int]:
        """The micro-credits of every charged run, by request id."""
        return {fact["request_id"]: fact["cost_micros"] for fact in self.facts("charged")}

    def failed_ids(self) -> list[str]:
        """The request ids of the runs that ended FAILED."""
        return [fact["request_id"] for fact in self.facts("failed")]

    def refusals(self) -> list[dict[str, Any]]:
        """Submits that began nothing, each with its `status`."""
        return list(self.facts("refused"))


def _whole_lines(kept: bytes) -> list[bytes]:
    return [line + b"\n" for line in kept.split(b"\n")[:-1]]
