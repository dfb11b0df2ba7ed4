"""What the pages for platform teams tell people to type is there."""

import re

import asyncpg
import pytest
import typer

from app.cli import app
from tests.house.source import ROOT

PAGES = ["docs/deploying.md", "docs/first-contact.md", "docker-compose.yml"]


@pytest.mark.parametrize("page", PAGES)
def test_every_command_exists(page: str) -> None:
    commands = typer.main.get_command(app).commands  # type: ignore[attr-defined]
    named = re.findall(r"(?:`|exec api |/bin/)waystation ([a-z]+)(?: ([a-z]+))?", (ROOT / page).read_text())
    assert named
    for name, verb in named:
        assert name in commands, f"{page}: waystation {name}"
        verbs = getattr(commands[name], "commands", None)
        assert verbs is None or verb in verbs, f"{page}: waystation {name} {verb}"


async def test_every_query_runs_as_a_dashboard(database_url: str) -> None:
    text = (ROOT / "docs/deploying.md").read_text()
    queries = re.findall(r"`(SELECT [^`]*)`", text)
    assert len(queries) >= 4
    views = set(re.findall(r"`(ops\.\w+)`", text))
    connection = await asyncpg.connect(database_url)
    try:
        await connection.execute("SET ROLE waystation_readonly")
        for query in [*queries, *(f"SELECT * FROM {view}" for view in views)]:
            await connection.execute(query)
    finally:
        await connection.close()
