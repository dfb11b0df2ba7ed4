"""Another checkout against this one, in turn: `python -m bench.pairs OTHER -- bench.jobs --rates 150 --warm 20`.

Runs the same program in both checkouts, each with the Python of its own `.venv`, pair by pair; the order within a pair
alternates. Of each row that the program prints, the named columns are added up, and the ratio this / other is told.

    ratio      median of the pairs' ratios
    upper 95%  the median is below this with 95 % confidence: a rank of the sorted ratios, whatever their distribution
"""

import argparse
import re
import subprocess
from collections import defaultdict
from collections.abc import Iterator, Sequence
from math import comb
from pathlib import Path
from statistics import median

from bench.table import Table

HERE = Path(__file__).resolve().parent.parent
CPU_COLUMNS = ("api", "worker", "postgres", "valkey", "api us", "postgres us")
WIDTH_MIN = 8


def rows(printed: str) -> Iterator[dict[str, str]]:
    """The rows of the tables in a program's output, by heading. Raises ValueError where there is no table."""
    headings: list[str] = []
    for line in printed.splitlines():
        found = re.split(r"\s{2,}", line.strip())
        if any(column in found for column in CPU_COLUMNS):
            headings = found
        elif headings and len(found) > 2:
            yield dict(zip(headings, _cells(line, headings), strict=True))
    if not headings:
        raise ValueError(f"no table with a column of CPU in it: {printed[-500:]!r}")


def _cells(line: str, headings: Sequence[str]) -> list[str]:
    """Cells from the right, since only the first may be wider than its column."""
    cells = []
    for heading in reversed(headings[1:]):
        width = max(WIDTH_MIN, len(heading))
        cells.append(line[-width:].strip())
        line = line[:-width].removesuffix("  ")
    return [line.strip(), *reversed(cells)]


def run(checkout: Path, program: Sequence[str], columns: Sequence[str]) -> dict[str, float]:
    """Run it there; the sum of the columns for each row's first cell."""
    python = checkout / ".venv" / "bin" / "python"
    done = subprocess.run(
        [str(python), "-m", *program], cwd=checkout, check=True, stdout=subprocess.PIPE, text=True, timeout=600
    )
    first = next(rows(done.stdout))
    label = next(iter(first))
    return {row[label]: sum(float(row.get(column) or 0) for column in columns) for row in rows(done.stdout)}


def upper_bound(ratios: Sequence[float], confidence: float = 0.95) -> float:
    """The least of these that the median of their distribution is below with this confidence; infinite for too few."""
    ordered, below = sorted(ratios), 0.0
    for rank, ratio in enumerate(ordered):
        below += comb(len(ordered), rank) / 2 ** len(ordered)
        if below >= confidence:
            return ratio
    return float("inf")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("other", type=Path, help="the checkout to compare with, `uv sync` done")
    parser.add_argument("--pairs", type=int, default=10)
    parser.add_argument("--columns", nargs="+", default=list(CPU_COLUMNS), help="those that are added up")
    parser.add_argument("program", nargs="+", help="a program of bench/ with its arguments, after `--`")
    given = parser.parse_args()
    table = Table(("what", "pair", "other", "this", "ratio", "upper 95%"))
    ratios: dict[str, list[tuple[float, float]]] = defaultdict(list)
    for pair in range(given.pairs):
        order = [given.other.resolve(), HERE] if pair % 2 == 0 else [HERE, given.other.resolve()]
        found = {checkout: run(checkout, given.program, given.columns) for checkout in order}
        for what, this in found[HERE].items():
            other = found[given.other.resolve()][what]
            ratios[what].append((other, this))
            table.row({"what": what, "pair": pair + 1, "other": other, "this": this, "ratio": this / other})
    for what, pairs in ratios.items():
        each = [this / other for other, this in pairs]
        medians = {"other": median(other for other, _ in pairs), "this": median(this for _, this in pairs)}
        table.row({"what": what, "pair": "all", **medians, "ratio": median(each), "upper 95%": upper_bound(each)})


if __name__ == "__main__":
    main()
