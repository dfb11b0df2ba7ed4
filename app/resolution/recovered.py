"""A result body made from the history, for a request whose own record has expired."""

import json
from collections.abc import Sequence

from app.upstream.history_rows import HistoryRow


def recovered_body(rows: Sequence[HistoryRow]) -> bytes | None:
    """Return a body in the upstream's shape from the rows of one completed request, one for each output. `output` is the URL of the
    file, or a list in the order of the rows. None if it has not completed, or no row names a file."""
    urls = list(dict.fromkeys(row.output_url for row in rows if row.output_url is not None))
    if not urls or rows[0].status != "COMPLETED":
        return None
    body = {"request_id": rows[0].upstream_id, "status": "COMPLETED", "output": urls[0] if len(urls) == 1 else urls}
    cost = next((row.cost_micro for row in rows if row.cost_micro is not None), None)
    if cost is not None:
        body["metrics"] = {"cost": cost / 1_000_000}  # type: ignore[assignment]
    return json.dumps(body).encode()
