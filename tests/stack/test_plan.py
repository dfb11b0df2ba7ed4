"""What a stack takes from the environment, before anything is started."""

import os
from pathlib import Path

import pytest

from app.core.config.setting_files import replaced
from app.core.config.settings import PREFIX
from app.stack.errors import StackError
from app.stack.running.plan import Addresses, Plan, UpOptions, effective, environment, setting
from app.stack.servers.credentials import Credentials

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


def test_settings_in_files_count_and_reach_our_processes_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    database_url = "postgresql://owner@database.example.com/books"
    for name, value in (("DATABASE_URL", database_url), ("ADMIN_KEY", "f" * 64), ("UPSTREAM_RPM", "600")):
        (tmp_path / name).write_text(value + "\n")
        monkeypatch.setenv(f"{PREFIX}{name}_FILE", str(tmp_path / name))
    credentials = effective(MADE)
    assert credentials.admin_key == "f" * 64
    assert setting("DATABASE_URL") == database_url

    addresses = Addresses("http://127.0.0.1:8080", database_url, "redis://127.0.0.1", "http://127.0.0.1:8090")
    given = replaced(os.environ, environment(UpOptions(), addresses, credentials))
    assert given["WAYSTATION_DATABASE_URL"] == database_url
    assert given["WAYSTATION_ADMIN_KEY"] == "f" * 64
    assert [name for name in given if name.startswith(PREFIX) and name.endswith("_FILE")] == [
        "WAYSTATION_UPSTREAM_RPM_FILE"
    ]


def test_a_file_that_cannot_be_read_stops_a_stack_before_anything_starts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WAYSTATION_ADMIN_KEY_FILE", "/nowhere/admin_key")
    with pytest.raises(StackError, match=r"WAYSTATION_ADMIN_KEY_FILE: /nowhere/admin_key cannot be read: No such file"):
        effective(MADE)
