"""Names and ids at the command line: what is not known is refused, with the name that may be meant."""

import json
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import UUID, uuid4

import pytest

from app.admin.names import find_any_id, parse_id
from app.cli import main
from app.core.errors import Malformed
from app.core.ids import new_id, show_id
from app.core.near import did_you_mean, nearest
from tests.factories.callers import SECRET
from tests.test_cli import Fails, fails_here

__all__ = ["fails_here"]
MODEL = "motionctrl-svd"


@pytest.fixture
def settings(database_url: str) -> dict[str, str]:
    return {"DATABASE_URL": database_url, "SECRET_KEY": SECRET.decode()}


Says = Callable[..., str]


@pytest.fixture
def says(settings: dict[str, str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Says:
    """What a command that succeeds prints, run in this process: a second of importing each is too dear here."""

    def call(*args: str) -> str:
        for name, value in settings.items():
            monkeypatch.setenv(f"WAYSTATION_{name}", value)
        monkeypatch.setattr(sys, "argv", ["waystation", *args])
        with ThreadPoolExecutor(1) as elsewhere:  # commands run event loops of their own, and this thread has one
            ended = elsewhere.submit(main).exception()
        said = capsys.readouterr()
        assert isinstance(ended, SystemExit)
        assert (ended.code, said.err) == (0, "")
        return said.out

    return call


@pytest.fixture
def shown(says: Says) -> Callable[..., Any]:
    return lambda *args: json.loads(says(*args, "--json"))


@pytest.fixture
def tenant(shown: Callable[..., Any]) -> str:
    return str(shown("tenant", "create", f"team-{uuid4().hex[:12]}")["name"])


def test_ids_in_every_form() -> None:
    job_id = new_id()
    for text in (show_id("job", job_id), str(job_id), job_id.hex, str(job_id).upper()):
        assert find_any_id("job", text) == job_id
        assert parse_id("job", text) == job_id
    for text in ("", "job_", job_id.hex[:-1], f"key_{job_id.hex}", f"{job_id.hex}-", "x" * 32, f"job_{job_id}", "\0"):
        assert find_any_id("job", text) is None, text
        with pytest.raises(Malformed, match="no such job"):
            parse_id("job", text)
    with pytest.raises(Malformed, match="is the id of a key"):
        parse_id("job", f"key_{job_id.hex}")


def test_near_names() -> None:
    known = ["motionctrl-svd", "Kling-v2", "seedance"]
    assert nearest("motionctrl-sdv", known) == "motionctrl-svd"
    assert nearest("kling_v2", known) == "Kling-v2"
    assert nearest("nothing like it", known) is None
    assert nearest("motionctrl-svd" * 1_000, known) is None
    assert did_you_mean("x", []) == ""


def test_models_that_there_are_not(
    settings: dict[str, str], tenant: str, fails_here: Fails, says: Says, shown: Callable[..., Any]
) -> None:
    said = "unknown model: motionctrl-sdv; did you mean motionctrl-svd?; --force accepts models that are not in the catalogue"
    for args in (
        ("pause", "--model", "motionctrl-sdv"),
        ("resume", "--model", "motionctrl-sdv"),
        ("tenant", "set", tenant, "models=motionctrl-sdv"),
        ("tenant", "set", tenant, f"models={MODEL},motionctrl-sdv"),
        ("tenant", "create", f"t{uuid4().hex}", "models=motionctrl-sdv"),
    ):
        assert said in fails_here(*args, **settings), args
    assert "nope" in fails_here("pause", "--model", "nope", "--tenant", tenant, **settings)
    assert shown("resume")["pauses"] == []
    assert shown("tenant", "set", tenant, f"models={MODEL}")["models"] == [MODEL]
    forced = shown("tenant", "set", tenant, "models=not-yet-there", "--force")
    assert forced["models"] == ["not-yet-there"]
    told = shown("pause", "--tenant", tenant, "--model", "not-yet-there", "--force")
    assert told["changed"]["model"] == "not-yet-there"
    told = shown("resume", "--tenant", tenant, "--model", "not-yet-there")
    assert told["changed"]["model"] == "not-yet-there", "what is paused may be resumed"
    assert "did you mean" not in says("model", "set", f"m-{uuid4().hex}", "--price", "1")


def test_a_model_that_is_added_is_told_as_new(says: Says) -> None:
    slug = f"motionctrl-svd-{uuid4().hex[:2]}"
    added = says("model", "set", slug, "--price", "1")
    assert (
        added
        == f"model {slug}, new in the catalogue: 1.000000 credits, metered, mark-up 1.000000; did you mean {MODEL}?\n"
    )
    assert says("model", "set", slug, "--price", "2").startswith(f"model {slug}: 2.000000 credits")


def test_tenants_operators_keys_and_jobs_that_there_are_not(
    settings: dict[str, str], tenant: str, fails_here: Fails, shown: Callable[..., Any]
) -> None:
    wrong = f"{tenant[:-2]}{'00' if tenant[-2:] != '00' else '11'}"
    for args in (
        ("tenant", "set", wrong, "suspended=true"),
        ("key", "create", wrong),
        ("key", "list", wrong),
        ("credits", "grant", wrong, "1", "--reference", "r"),
        ("credits", "adjust", wrong, "1", "--note", "n"),
        ("pause", "--tenant", wrong),
        ("resume", "--tenant", wrong),
    ):
        assert f"no such tenant: {wrong}; did you mean team-" in fails_here(*args, **settings), args
    operator = shown("operator", "create", f"op-{uuid4().hex[:12]}", "--role", "viewer")["name"]
    assert "; did you mean op-" in fails_here("operator", "revoke", operator[:-1], **settings)
    nobody = show_id("job", new_id())
    for args in (("job", "show", nobody), ("job", "resolve", nobody, "--release")):
        assert "no such job" in fails_here(*args, **settings)
    assert "is the id of a tenant" in fails_here("job", "show", show_id("ten", new_id()), **settings)
    for args in (("key", "revoke", "nothing"), ("key", "set", "nothing", "burst=1")):
        assert "expected an id such as key_" in fails_here(*args, **settings)
    assert "burts: unknown setting of a tenant; did you mean burst?" in fails_here(
        "tenant", "set", tenant, "burts=1", **settings
    )
    line = fails_here("tenant", "set", tenant, "burst=1", "burst=2", "weight=x", **settings)
    assert "burst: expected only once; weight: expected a number" in line


def test_names_and_ids_that_there_are(tenant: str, shown: Callable[..., Any]) -> None:
    made = shown("tenant", "set", tenant, "burst=7")
    plain = UUID(made["id"].removeprefix("ten_"))
    for text in (made["id"], str(plain), plain.hex):
        assert shown("tenant", "set", text, "burst=7") == made
    key = shown("key", "create", tenant)["id"]
    revoked = shown("key", "revoke", str(UUID(key.removeprefix("key_"))))
    assert revoked["id"] == key
