"""A replacement for the paid upstream, for tests and the demo: its v2 and v1 API, request history and files.

run: what the upstream does for one accepted submit. It costs money. Its state follows only from its submit time and
    the clock; no timer belongs to it.
book: the append-only list of facts (`started`, `charged`, `failed`, `refused`, `fault`). A fact is written before
    the answer is sent, so that a test can count what really happened.
fault: a rule that spoils some answers.
"""
