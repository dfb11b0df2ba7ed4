"""A crash plan in the hands of a test: `WAYSTATION_TEST_CRASH_PLAN` names its file."""

import json
from pathlib import Path

from app.core.crash import CARRIED_OUT


class Armed:
    """The plan file of one stack, and what has become of it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._carried_out = path.with_suffix(CARRIED_OUT)
        self._count = 0

    def arm(self, point: str, *, how: str, skip: int) -> None:
        """Whoever reaches the point next but `skip` carries it out."""
        self._count += 1
        self._carried_out.unlink(missing_ok=True)
        draft = self.path.with_suffix(".draft")
        draft.write_text(json.dumps({"id": self._count, "point": point, "how": how, "skip": skip}))
        draft.rename(self.path)

    def carried_out(self) -> bool:
        """Whether somebody has."""
        return self._carried_out.exists()

    def disarm(self) -> None:
        """Nobody will any more."""
        self.path.unlink(missing_ok=True)
