"""What a stack takes from the environment, before anything is started."""

import os
from pathlib import Path

import pytest

from app.core.settings import PREFIX
from app.stack.credentials import Credentials
from app.stack.plan import Plan, UpOptions, effective

MADE = Credentials(
    tenant_key="ws_live_made", admin_key="a" * 64, secret_key="s" * 64, database_password="d", redis_password="r"
)


@pytest.fixture(autouse=True)
def nothing_set(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith((PREFIX, "PG")) or name in ("USER", "LOGNAME", "LNAME", "USERNAME"):
            monkeypatch.delenv(name)


def test_without_a_single_setting_a_stack_can_start() -> None:
    assert effective(MADE) == MADE


def test_nor_does_it_matter_that_the_user_has_no_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.getuid", lambda: 987_654)

    assert effective(MADE) == MADE


def test_a_process_is_given_the_time_its_settings_allow(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("WAYSTATION_SHUTDOWN_DELAY_SECONDS", "12.5")

    async def ready(_: int) -> bool:
        return True

    plan = Plan(options=UpOptions(), program=("waystation",), directory=tmp_path, environment={})
    [api], [worker] = plan.apis(3, 8080), plan.workers(ready)
    assert api.grace_seconds > 12.5 + 25
    assert 25 < worker.grace_seconds < 12.5 + 25
    monkeypatch.setenv("WAYSTATION_GRACE_SECONDS", "60")
    assert plan.apis(3, 8080)[0].grace_seconds > 12.5 + 60
