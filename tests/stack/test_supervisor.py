import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from app.core.clock import monotonic
from app.core.process.watchdog import EXIT_CODE
from app.stack.errors import StackError
from app.stack.processes import supervisor as supervising
from app.stack.processes.child import ChildSpec
from app.stack.processes.supervisor import BACKOFF_MAX_SECONDS, Supervisor, backoff_seconds, stop_leftovers
from tests.stack.until import alive, until, until_count

SLEEP = ("/bin/sleep", "60")
STUBBORN = (
    sys.executable,
    "-c",
    "import signal, time; signal.signal(15, signal.SIG_IGN); print('on', flush=True); time.sleep(60)",
)


class Changes:
    count = 0

    def __call__(self) -> None:
        self.count += 1


@pytest.fixture
def changes() -> Changes:
    return Changes()


@pytest.fixture
async def supervisor(tmp_path: Path, changes: Changes) -> AsyncIterator[Supervisor]:
    supervisor = Supervisor(tmp_path, changed=changes)
    yield supervisor
    supervisor.hurry()
    await supervisor.stop()


def sleeper(name: str = "api-0", kind: str = "api", **rest: object) -> ChildSpec:
    return ChildSpec(name=name, kind=kind, argv=SLEEP, **rest)  # type: ignore[arg-type]


def running(supervisor: Supervisor, kind: str = "api") -> Callable[[], bool]:
    return lambda: all(alive(pid) for pid in supervisor.pids(kind))


async def test_children_are_in_sessions_of_their_own(supervisor: Supervisor) -> None:
    await supervisor.add_children([sleeper("api-0"), sleeper("api-1")])
    pids = supervisor.pids("api")
    assert len(set(pids)) == 2
    assert {os.getsid(pid) for pid in pids} == set(pids)
    assert supervisor.pids("worker") == []


async def test_a_killed_child_is_replaced_at_once_however_often(
    supervisor: Supervisor, changes: Changes, monkeypatch: pytest.MonkeyPatch
) -> None:
    waited = []

    def backoff(failures: int) -> float:
        waited.append(backoff_seconds(failures))
        return waited[-1]

    monkeypatch.setattr(supervising, "backoff_seconds", backoff)
    await supervisor.add_children([sleeper()])
    for times in range(1, 6):
        (pid,) = supervisor.pids("api")
        os.kill(pid, signal.SIGKILL)
        await until_count(lambda: changes.count, times)
        assert waited == [0.0] * times
        assert supervisor.pids("api") != [pid]
        assert running(supervisor)()


@pytest.mark.slow
async def test_a_child_that_fails_at_once_is_started_less_and_less_often(
    supervisor: Supervisor, changes: Changes, tmp_path: Path
) -> None:
    log_path = tmp_path / "failing.log"
    fails_later = f"test -e {tmp_path}/broken && exit 3; echo > {tmp_path}/well; exec sleep 60"
    spec = ChildSpec(name="api-0", kind="api", argv=("/bin/sh", "-c", fails_later), log_path=log_path)
    await supervisor.add_children([spec])
    await until((tmp_path / "well").exists)
    (tmp_path / "broken").touch()
    os.kill(supervisor.pids("api")[0], signal.SIGTERM)
    began = monotonic()
    await until_count(lambda: changes.count, 4)
    assert monotonic() - began >= backoff_seconds(2) + backoff_seconds(3)
    (tmp_path / "well").unlink()
    (tmp_path / "broken").unlink()
    await until((tmp_path / "well").exists)
    await until_count(lambda: changes.count, 5)
    assert running(supervisor)()


@pytest.mark.parametrize(("failures", "seconds"), [(0, 0), (1, 0), (2, 0.2), (3, 0.4), (50, BACKOFF_MAX_SECONDS)])
def test_backoff(failures: int, seconds: float) -> None:
    assert backoff_seconds(failures) == seconds


async def test_a_child_that_ends_before_it_is_ready_fails_the_start_in_its_own_words(
    supervisor: Supervisor, tmp_path: Path
) -> None:
    async def never(_: int) -> bool:
        return False

    argv = ("/bin/sh", "-c", "echo WAYSTATION_SECRET is wrong >&2; exit 2")
    failing = ChildSpec(name="api-1", kind="api", argv=argv, ready=never, log_path=tmp_path / "api-1.log")
    with pytest.raises(StackError, match="api-1 failed to start: WAYSTATION_SECRET is wrong"):
        await supervisor.add_children([sleeper("api-0", ready=never), failing])
    (other, _) = supervisor.pids("api")
    assert alive(other)
    await supervisor.stop()
    assert not alive(other)


async def test_a_child_that_its_watchdog_ends_while_it_starts_is_started_again(
    supervisor: Supervisor, tmp_path: Path
) -> None:
    tried, up = tmp_path / "tried", tmp_path / "up"

    async def ready(_: int) -> bool:
        return up.exists()

    program = f"test -e {tried} || {{ touch {tried}; exit {EXIT_CODE}; }}; touch {up}; exec sleep 60"
    spec = ChildSpec(name="worker-0", kind="worker", argv=("/bin/sh", "-c", program), ready=ready)
    await supervisor.add_children([spec])
    [pid] = supervisor.pids("worker")
    assert alive(pid)


async def test_a_child_that_takes_too_long_fails_the_start(supervisor: Supervisor) -> None:
    async def never(_: int) -> bool:
        return False

    with pytest.raises(StackError, match="api-0 is not ready after 0 s"):
        await supervisor.add_children([sleeper(ready=never, ready_seconds=0.1)])


async def test_the_last_added_is_stopped_first(supervisor: Supervisor, tmp_path: Path) -> None:
    order = tmp_path / "order"
    for kind in ("simulator", "worker", "api"):
        slow = f"trap 'sleep 0.2; echo {kind} >> {order}; exit' TERM; echo >> {tmp_path}/{kind}; while :; do sleep 0.05; done"
        spec = ChildSpec(name=f"{kind}-0", kind=kind, argv=("/bin/sh", "-c", slow))
        await supervisor.add_children([spec])
        await until((tmp_path / kind).exists)
    await supervisor.stop()
    assert order.read_text().split() == ["api", "worker", "simulator"]


@pytest.mark.parametrize(("grace_seconds", "hurried"), [(0.3, False), (200.0, True)])
async def test_a_child_that_ignores_sigterm_is_killed_after_its_grace_or_when_hurried(
    supervisor: Supervisor, tmp_path: Path, grace_seconds: float, hurried: bool
) -> None:
    log_path = tmp_path / "stubborn.log"
    await supervisor.add_children([ChildSpec("api-0", "api", STUBBORN, grace_seconds=grace_seconds, log_path=log_path)])
    (pid,) = supervisor.pids("api")
    await until_count(lambda: log_path.stat().st_size, 3)
    began = monotonic()
    stopping = asyncio.create_task(supervisor.stop())
    if hurried:
        await asyncio.sleep(0.1)
        assert alive(pid)
        supervisor.hurry()
    await stopping
    assert not alive(pid)
    took = monotonic() - began
    assert took < grace_seconds if hurried else took >= grace_seconds


async def test_a_paused_child_is_stopped_in_order(supervisor: Supervisor, tmp_path: Path) -> None:
    tells = f"trap 'echo told > {tmp_path}/told; exit' TERM; echo > {tmp_path}/on; while :; do sleep 0.05; done"
    await supervisor.add_children([ChildSpec("worker-0", "worker", ("/bin/sh", "-c", tells))])
    await until((tmp_path / "on").exists)
    os.kill(supervisor.pids("worker")[0], signal.SIGSTOP)
    await asyncio.wait_for(supervisor.stop(), 60)
    assert (tmp_path / "told").exists()


async def test_children_of_a_supervisor_that_is_gone_are_stopped(supervisor: Supervisor, tmp_path: Path) -> None:
    await supervisor.add_children([sleeper("api-0"), sleeper("worker-0", "worker")])
    pids = supervisor.pids("api") + supervisor.pids("worker")
    orphaned, supervisor._watchers = supervisor._watchers, []
    for watcher in orphaned:
        watcher.cancel()
    await stop_leftovers(tmp_path)
    assert not any(alive(pid) for pid in pids)
