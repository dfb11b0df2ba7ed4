"""Faults of one input, gathered so that all of them are told at once."""

from types import TracebackType

from app.core.errors import Malformed, Problem, malformed_at


class Faults:
    """What is wrong with an input so far. In a `with` block of it a Malformed that names its place ends the block, is kept,
    and goes no further."""

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
        """Raises Malformed with all of them, where there are any."""
        if self.problems:
            raise malformed_at(*self.problems)
