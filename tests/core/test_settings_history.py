"""Where the request history is: the upstream's own, another, or nowhere."""

from pathlib import Path

import pytest

from app.core.commands.local import find_history_settle_seconds, find_upstream
from app.core.config.settings import SettingsError, find_history_url, load_settings

REAL = "https://api.segmind.com"
REQUIRED = {
    "database_url": "postgresql://localhost/x", "redis_url": "redis://localhost", "public_url": "http://localhost",
    "secret_key": "s" * 32,
}  # fmt: skip


@pytest.mark.parametrize(
    ("upstream", "given", "found"),
    [
        (REAL, None, "https://api.spotprod.segmind.com"),
        (REAL, "", ""),
        (REAL, "http://elsewhere", "http://elsewhere"),
        ("http://127.0.0.1:1", None, ""),
        ("http://127.0.0.1:1", "http://127.0.0.1:2", "http://127.0.0.1:2"),
    ],
)
def test_where_it_is(upstream: str, given: str | None, found: str) -> None:
    assert find_history_url(upstream, given) == found
    settings = load_settings(**REQUIRED, upstream_url=upstream, upstream_history_url=given)
    assert settings.history_url == found


@pytest.mark.parametrize(("name", "value"), [("upstream_history_url", "ftp://x"), ("history_settle_seconds", -1)])
def test_wrong_ones_are_named(name: str, value: object) -> None:
    with pytest.raises(SettingsError, match=f"WAYSTATION_{name.upper()}"):
        load_settings(**REQUIRED, **{name: value})


def test_as_a_command_finds_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("URL", "HISTORY_URL", "API_KEY"):
        monkeypatch.delenv(f"WAYSTATION_UPSTREAM_{name}", raising=False)
    with pytest.raises(SettingsError, match="WAYSTATION_UPSTREAM_API_KEY"):
        find_upstream(tmp_path)
    monkeypatch.setenv("WAYSTATION_UPSTREAM_API_KEY", "SG_secret")
    access = find_upstream(tmp_path)
    assert (access.url, access.history_url) == (REAL, "https://api.spotprod.segmind.com")
    assert "SG_secret" not in repr(access)
    monkeypatch.delenv("WAYSTATION_UPSTREAM_API_KEY")
    (tmp_path / "stack.json").write_text('{"upstream_url":"http://127.0.0.1:7"}')
    access = find_upstream(tmp_path)
    assert (access.url, access.history_url) == ("http://127.0.0.1:7", "http://127.0.0.1:7"), "the stack's simulator"
    for text in ("x", "-1", "1e9"):
        monkeypatch.setenv("WAYSTATION_HISTORY_SETTLE_SECONDS", text)
        with pytest.raises(SettingsError, match="HISTORY_SETTLE_SECONDS"):
            find_history_settle_seconds()
