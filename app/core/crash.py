"""Named points at which a test makes a process die or fail. Otherwise a point costs one comparison.

WAYSTATION_TEST_CRASH_PLAN names a JSON file that may appear and disappear while the process runs: `id`; `point`, one of
POINTS or RESOLUTION_POINTS; `how`: `kill`, `stop` (SIGSTOP) or `raise`; `skip`: how many times a process first passes the point. A process renames
the file before it carries out the plan, so only one process does it, once.
"""

import json
import os
import signal
from pathlib import Path
from typing import Final

POINTS: Final = (
    # submits and cancels, in an API process
    "submit.before_store",
    "submit.after_store",
    "submit.before_ring",
    "submit.before_answer",
    "refusal.before_store",
    "refusal.after_store",
    "cancel.before_store",
    "cancel.after_store",
    # sending to the upstream, in a worker
    "dispatch.before_claim",
    "dispatch.in_claim",
    "dispatch.after_claim",
    "attempt.before_open",
    "attempt.after_open",
    "send.before_first_byte",
    "send.after_first_byte",
    "send.after_answer",
    "send.before_record",
    "send.after_record",
    # poll and fetch, in a worker
    "poll.before_claim",
    "poll.in_claim",
    "poll.after_claim",
    "poll.after_answer",
    "fetch.before_send",
    "fetch.after_answer",
    "poll.before_record",
    "poll.after_record",
    # deliver webhooks, in a worker
    "deliver.before_claim",
    "deliver.after_claim",
    "deliver.before_first_byte",
    "deliver.after_answer",
    "deliver.before_record",
    "deliver.after_record",
    # sweep and renew leases, in a worker
    "sweep.before_expire",
    "sweep.after_expire",
    "lease.before_renew",
    "lease.after_renew",
)

RESOLUTION_POINTS: Final = (
    "resolve.before_read",
    "resolve.after_read",
    "adopt.before",
    "adopt.after",
    "prove.before",
    "prove.after",
    "resubmit.after",
    "late.before",
    "late.after",
    "evict.before",
    "evict.before_record",
    "evict.after",
)
"""Where a worker finds out what became of unknown attempts. They are reached only with a history to read."""

CARRIED_OUT: Final = ".carried-out"
_PLAN = os.environ.get("WAYSTATION_TEST_CRASH_PLAN")
_passed: dict[str, int] = {}


class Crash(RuntimeError):
    """The error of `raise`. It stands for an unexpected error."""


def crash_point(name: str) -> None:
    """Carry out the plan if it is for this point."""
    if _PLAN is not None:
        _reach(name, Path(_PLAN))


def _reach(name: str, path: Path) -> None:
    try:
        plan = json.loads(path.read_bytes())
    except (FileNotFoundError, ValueError):  # there is no plan, or a test is writing it
        return
    if plan["point"] != name:
        return
    key = f"{plan['id']} {name}"
    _passed[key] = _passed.get(key, 0) + 1
    if _passed[key] <= plan["skip"]:
        return
    try:
        path.rename(path.with_suffix(CARRIED_OUT))
    except FileNotFoundError:  # another process was first
        return
    if plan["how"] == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    if plan["how"] == "stop":
        os.kill(os.getpid(), signal.SIGSTOP)
        return
    raise Crash(name)
