"""Collect the faults of one input, to report all of them in one answer."""

from types import TracebackType

from app.core.errors import Malformed, Problem, malformed_at


class Faults:
    """The faults of an input. As a context manager it ends its block at a Malformed with `problems`, and keeps these instead
    of raising it."""

    def __init__(self) -> None:
        self.problems: list[Problem] = []

    def __enter__(self) -> None:
        return None

    def __exit__(
        self, _kind: type[BaseException] | None, error: BaseException | None, _trace: TracebackType | None
    ) -> bool:
        if not isinstance(error, Malformed) or not error.problems:
            return False
        self.problems.extend(error.problems)
        return True

    def check(self) -> None:
        """Raise Malformed with all faults, if there are any."""
        if self.problems:
            raise malformed_at(*self.problems)
