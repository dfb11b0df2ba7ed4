"""Settings in files: every setting takes `…_FILE`, everywhere, and an error names the setting and the file."""

import json
import os
import re
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from app.core.commands.local import find_database_url, find_redis_url, find_secrets, find_upstream_url
from app.core.config.setting_files import FILE_BYTES_MAX, replaced, with_files
from app.core.config.settings import PREFIX, Settings, SettingsError, load_settings, unknown_settings
from app.core.logs.redaction import secrets_of_environment
from tests.core.test_settings_history import REQUIRED
from tests.house.source import sources

KEY = "an-admin-key-of-tests-0123456789-abc"
OTHERS = {
    "upstream_url": "https://upstream.example.com",
    "upstream_history_url": "https://history.example.com",
    "upstream_proxy": "http://user:password@proxy.example.com:3128",
    "upstream_rpm": "600",
    "upstream_max_in_flight": "7",
    "admin_key": KEY,
    "webhook_allow_networks": "10.0.0.0/8",
    "output_allow_networks": "10.0.0.0/8",
    "trusted_proxies": "10.0.0.0/8",
    "unpriced_models": "pass",
    "default_price": "0.250000",
    "log_format": "json",
    "log_level": "DEBUG",
}
"""Values for the settings whose default is no example of them."""


@pytest.fixture(autouse=True)
def bare(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith(PREFIX)]:
        monkeypatch.delenv(name)


def in_file(monkeypatch: pytest.MonkeyPatch, path: Path, field: str, content: str | bytes) -> Path:
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    monkeypatch.setenv(f"{PREFIX}{field.upper()}_FILE", str(path))
    return path


@pytest.mark.parametrize("field", sorted(Settings.model_fields))
def test_every_setting_is_read_from_a_file(field: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    value = {**REQUIRED, **OTHERS}.get(field) or str(Settings.model_fields[field].default)
    in_file(monkeypatch, tmp_path / field, field, f"{value}\n")
    others = {name: one for name, one in REQUIRED.items() if name != field}
    given = load_settings(**others, **{field: value})
    assert getattr(load_settings(**others), field) == getattr(given, field)
    assert unknown_settings() == []


def test_the_three_that_are_required_may_all_be_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for field, value in REQUIRED.items():
        in_file(monkeypatch, tmp_path / field, field, value)
    assert load_settings().secrets == (str(REQUIRED["secret_key"]).encode(),)


@pytest.mark.parametrize("end", ["", "\n", "\r\n", "\n\n"])
def test_line_ends_at_the_end_and_a_mark_at_the_start_do_not_count(
    end: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    in_file(monkeypatch, tmp_path / "key", "admin_key", "\ufeff" + KEY + end)
    key = load_settings(**REQUIRED).admin_key
    assert key is not None
    assert key.get_secret_value() == KEY


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (None, "No such file or directory"), (b"a\nb", "it has more than one line"), (b"a\0b", "it has more than one line"),
        (b"\xff\xfe", "it is not UTF-8"), (b"a" * (FILE_BYTES_MAX + 1), "it has more than 65536 bytes"),
    ],
)  # fmt: skip
def test_a_file_that_cannot_be_read_is_named(
    content: bytes | None, reason: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = in_file(monkeypatch, tmp_path / "key", "admin_key", content or b"")
    if content is None:
        path.unlink()
    with pytest.raises(SettingsError) as error:
        load_settings(**REQUIRED)
    assert str(error.value) == (
        f"WAYSTATION_ADMIN_KEY_FILE: {path} cannot be read: {reason};"
        " expected the path of a file that holds the value of WAYSTATION_ADMIN_KEY, such as /run/secrets/admin_key"
    )


def test_a_wrong_value_is_named_with_its_file_and_not_quoted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = in_file(monkeypatch, tmp_path / "key", "admin_key", "too-short-secret")
    rpm = in_file(monkeypatch, tmp_path / "rpm", "upstream_rpm", "many")
    with pytest.raises(SettingsError) as error:
        load_settings(**REQUIRED)
    said = str(error.value)
    assert f"WAYSTATION_ADMIN_KEY (in the file {path}): expected at least 32 characters" in said
    assert f"WAYSTATION_UPSTREAM_RPM (in the file {rpm}): expected requests a minute" in said
    assert "too-short-secret" not in said


def test_a_secret_in_place_of_its_file_is_not_quoted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WAYSTATION_ADMIN_KEY_FILE", KEY)
    with pytest.raises(SettingsError, match=r"WAYSTATION_ADMIN_KEY_FILE: what it names cannot be read") as error:
        load_settings(**REQUIRED)
    assert KEY not in str(error.value)


def test_a_setting_is_given_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    in_file(monkeypatch, tmp_path / "key", "admin_key", KEY)
    monkeypatch.setenv("WAYSTATION_ADMIN_KEY", KEY)
    with pytest.raises(SettingsError, match=r"WAYSTATION_ADMIN_KEY: is set twice; set either it or WAYSTATION_ADMIN_K"):
        load_settings(**REQUIRED)
    monkeypatch.setenv("WAYSTATION_ADMIN_KEY", "")
    key = load_settings(**REQUIRED).admin_key
    assert key is not None


def test_a_pipe_may_be_read_by_whoever_asks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As `<(…)` of a shell, whose content is there only once."""
    path = tmp_path / "pipe"
    os.mkfifo(path)
    monkeypatch.setenv("WAYSTATION_ADMIN_KEY_FILE", str(path))
    writer = threading.Thread(target=path.write_text, args=(KEY,))
    writer.start()
    assert load_settings(**REQUIRED).admin_key == load_settings(**REQUIRED).admin_key
    writer.join()


def test_what_replaces_a_setting_replaces_its_file() -> None:
    environment = {"WAYSTATION_REDIS_URL_FILE": "/a", "WAYSTATION_ADMIN_KEY_FILE": "/b", "PATH": "/bin"}
    assert replaced(environment, {"WAYSTATION_REDIS_URL": "redis://host"}) == {
        "WAYSTATION_ADMIN_KEY_FILE": "/b", "PATH": "/bin", "WAYSTATION_REDIS_URL": "redis://host",
    }  # fmt: skip


def test_a_command_reads_files_too(database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    in_file(monkeypatch, tmp_path / "url", "database_url", database_url + "\n")
    created = subprocess.run(
        [sys.executable, "-m", "app.cli", "tenant", "create", "filed", "--json"],
        text=True,
        capture_output=True,
        timeout=100,
    )
    assert created.returncode == 0, created.stderr
    assert json.loads(created.stdout)["name"] == "filed"


@pytest.mark.parametrize("field", ["database_url", "redis_url", "upstream_url"])
def test_what_commands_look_up_is_named_with_its_file(
    field: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = in_file(monkeypatch, tmp_path / field, field, "gopher://owner:pass-word-0815@host")
    find = {"database_url": find_database_url, "redis_url": find_redis_url, "upstream_url": find_upstream_url}[field]
    with pytest.raises(SettingsError) as error:
        find(tmp_path)
    assert str(error.value).startswith(f"WAYSTATION_{field.upper()} (in the file {path}): expected a URL such as ")
    assert "0815" not in str(error.value)


def test_the_secret_keys_of_a_file_are_those_of_commands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    in_file(monkeypatch, tmp_path / "keys", "secret_key", f"{'a' * 40},{'b' * 40}\n")
    assert find_secrets(tmp_path) == (b"a" * 40, b"b" * 40)


def test_secrets_in_files_are_known_as_those_of_the_environment(tmp_path: Path) -> None:
    (tmp_path / "url").write_text("postgresql://owner:pass-word-0815@host/db\n")
    (tmp_path / "key").write_text(KEY)
    files = {
        "WAYSTATION_DATABASE_URL_FILE": "url",
        "WAYSTATION_ADMIN_KEY_FILE": "key",
        "WAYSTATION_SECRET_KEY_FILE": "none",
    }
    known = secrets_of_environment(with_files({name: str(tmp_path / file) for name, file in files.items()}))
    assert {"pass-word-0815", KEY} <= set(known)


def test_our_variables_are_read_in_one_place() -> None:
    """Whoever reads a setting of ours past `find_setting` does not see files."""
    read = re.compile(r"environ\b[^\n]*(WAYSTATION_|PREFIX)|getenv")
    readers = {source.path for source in sources("app") if read.search(source.text)}
    assert readers == {
        "app/core/crash.py",  # the tests' own
        "app/core/config/setting_files.py",
        "app/core/config/settings.py",  # names that are none of ours
    }
