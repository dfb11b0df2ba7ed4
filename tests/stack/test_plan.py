"""What a stack takes from the environment, before anything is started."""

import os

import pytest

from app.core.settings import PREFIX
from app.stack.credentials import Credentials
from app.stack.plan import effective

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
