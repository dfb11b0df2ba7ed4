"""The official SDK, installed as its users do, in a folder of its own per version; scripts run with it as they are."""

import asyncio
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

VERSIONS = ("1.1.0", "1.2.0", "1.3.0")
INSTALL_SECONDS = 120


@dataclass(frozen=True, slots=True)
class Ran:
    """What a script printed, and how it ended."""

    code: int
    output: str


class Sdk:
    """One version of it."""

    def __init__(self, directory: Path, *, url: str) -> None:
        self._directory = directory
        self._url = url

    async def run(self, script: str, *, api_key: str, seconds: float = 90) -> Ran:
        """Run a script; `BASE_URL` in it is the gateway's, and SEGMIND_API_KEY is set."""
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-c",
            script.replace("BASE_URL", repr(f"{self._url}/v1")),
            env={**os.environ, "PYTHONPATH": str(self._directory), "SEGMIND_API_KEY": api_key},
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        async with asyncio.timeout(seconds):
            output, _ = await process.communicate()
        assert process.returncode is not None
        return Ran(process.returncode, output.decode())


def install(version: str, cache: Path) -> Path:
    """The folder with this version, installed when first asked for."""
    target = cache / f"segmind-{version}"
    if not target.exists():
        partial = cache / f"segmind-{version}.{os.getpid()}"
        subprocess.run(
            [*_installer(), "--target", str(partial), "--no-deps", f"segmind=={version}"],
            check=True,
            timeout=INSTALL_SECONDS,
            capture_output=True,
        )
        try:
            partial.rename(target)
        except OSError:  # another process of this run was first
            shutil.rmtree(partial)
    return target


def _installer() -> list[str]:
    uv = shutil.which("uv")
    if uv is not None:
        return [uv, "pip", "install", "--python", sys.executable]
    for module in ("uv", "pip"):
        if (
            subprocess.run([sys.executable, "-m", module, "--version"], capture_output=True, check=False).returncode
            == 0
        ):
            python = ["--python", sys.executable] if module == "uv" else []
            return [sys.executable, "-m", *([module, "pip"] if module == "uv" else [module]), "install", *python]
    python3 = shutil.which("pip3") or shutil.which("pip")
    assert python3 is not None, "neither uv nor pip is there to install the SDK with"
    return [python3, "install"]
