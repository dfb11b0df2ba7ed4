"""A stand-in for the paid upstream: its v2 and v1 API, request history and files, with a book to hold us to.

run: what the upstream does for one accepted submit; it costs money. book: the append-only list of facts (`started`,
`charged`, `failed`, `refused`, `fault`), written before the answer leaves, so that a test can count what really
happened. fault: a rule that spoils some answers. Everything a run does follows from its submit time and the clock:
no timer belongs to a run.
"""
