import asyncio
import fcntl
from pathlib import Path

import pytest

from app.stack.errors import AlreadyRunning, StackError
from app.stack.files import bound_log, last_lines, open_log, read_json, write_private
from app.stack.processes import interlock
from app.stack.processes.interlock import hold_directory, is_locked, signed, take_over, try_lock
from app.stack.running.plan import UpOptions, http_url, runs_simulator, upstream_url
from app.stack.servers.credentials import load_credentials, save_credentials


def test_a_private_file_is_replaced_whole_and_leaves_nothing_beside_it(tmp_path: Path) -> None:
    path = tmp_path / "file"
    for text in ("old", "new"):
        write_private(path, text)
        assert path.read_text() == text
    assert path.stat().st_mode & 0o777 == 0o600
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("text", ["", "{", "[1]"])
def test_what_is_no_object_is_none(tmp_path: Path, text: str) -> None:
    (tmp_path / "file").write_text(text)
    assert read_json(tmp_path / "file") is None
    assert read_json(tmp_path / "absent") is None


def test_a_log_is_moved_aside_while_it_is_written(tmp_path: Path) -> None:
    path = tmp_path / "api.log"
    with open_log(path) as log:
        log.write(b"first\n\nsecond\n")
        assert last_lines(path) == "first / second"
        bound_log(path, max_bytes=5)
        log.write(b"third\n")
    assert path.read_text() == "third\n"
    assert path.with_name("api.log.1").read_text() == "first\n\nsecond\n"


def test_credentials_are_made_once_and_kept(tmp_path: Path) -> None:
    path = tmp_path / "credentials.json"
    made = load_credentials(path)
    assert made == load_credentials(path)
    assert made.tenant_key is None
    assert {len(made.admin_key), len(made.secret_key)} == {64}
    assert made.admin_key not in repr(made)
    save_credentials(path, made.with_tenant_key("ws_live_x"))
    assert load_credentials(path).tenant_key == "ws_live_x"


@pytest.mark.parametrize("text", ["", "{}", '{"admin_key": 1}'])
def test_damaged_credentials_are_not_replaced(tmp_path: Path, text: str) -> None:
    path = tmp_path / "credentials.json"
    path.write_text(text)
    with pytest.raises(StackError, match="is damaged"):
        load_credentials(path)
    assert path.read_text() == text


async def test_an_interlock_that_nobody_holds_is_had_whatever_is_written_in_it(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    path.write_text("1")
    assert signed(path) == 1
    assert not is_locked(path)
    with open(await take_over(path, stop_signal=15, patience_seconds=1), "rb"):  # type: ignore[arg-type]
        assert is_locked(path)
        assert try_lock(path) is None
    assert not is_locked(path)


async def test_whoever_only_asks_for_a_lock_does_not_pass_for_its_holder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(interlock, "_OURS_SECONDS", 0.0)
    path = tmp_path / "lock"
    with path.open("w") as asking:
        fcntl.flock(asking, fcntl.LOCK_SH)  # as `is_locked` does, and is then held up
        holding = asyncio.create_task(hold_directory(path))
        await asyncio.wait([holding], timeout=0.2)
        assert not holding.done()
    with open(await holding, "rb"), pytest.raises(AlreadyRunning):
        await hold_directory(path)


def test_where_jobs_go(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("UPSTREAM_URL", "UPSTREAM_API_KEY"):
        monkeypatch.delenv(f"WAYSTATION_{name}", raising=False)
    assert runs_simulator(UpOptions())
    assert upstream_url(1234) == "http://127.0.0.1:1234"
    assert not runs_simulator(UpOptions(simulator=False))
    assert upstream_url(None) == "https://api.segmind.com"
    monkeypatch.setenv("WAYSTATION_UPSTREAM_API_KEY", "SG_x")
    assert not runs_simulator(UpOptions())
    monkeypatch.setenv("WAYSTATION_UPSTREAM_URL", "http://127.0.0.1:9")
    assert not runs_simulator(UpOptions())
    assert upstream_url(None) == "http://127.0.0.1:9"


@pytest.mark.parametrize(
    ("host", "url"),
    [("127.0.0.1", "http://127.0.0.1:80"), ("0.0.0.0", "http://127.0.0.1:80"), ("::", "http://[::1]:80")],
)
def test_the_url_is_one_that_can_be_opened(host: str, url: str) -> None:
    assert http_url(host, 80) == url
