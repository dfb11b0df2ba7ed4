"""One table on standard output, a row as soon as it is known."""

from collections.abc import Mapping, Sequence


class Table:
    """Columns by heading; what a row does not have is left blank."""

    def __init__(self, headings: Sequence[str]) -> None:
        self._widths = {heading: max(8, len(heading)) for heading in headings}
        print("  ".join(f"{heading:>{width}}" for heading, width in self._widths.items()), flush=True)

    def row(self, cells: Mapping[str, object]) -> None:
        """Print one."""
        shown = (f"{_shown(cells.get(heading, '')):>{width}}" for heading, width in self._widths.items())
        print("  ".join(shown), flush=True)


def _shown(cell: object) -> str:
    if isinstance(cell, float):
        return f"{cell:.0f}" if abs(cell) >= 100 else f"{cell:.1f}" if abs(cell) >= 10 else f"{cell:.2f}"
    return str(cell)


def percentile(values: Sequence[float], share: float) -> float:
    """Of unsorted values; 0 when there are none."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else 0.0
