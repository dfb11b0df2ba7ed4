"""What large bodies took is given back to the system, whatever small things are kept between them."""

import subprocess
import sys

import pytest

PROGRAM = """
import resource, sys
from pathlib import Path
from app.core.process.memory import return_large_blocks

def resident_mb():
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize() / 1e6

if sys.argv[1] == "set":
    return_large_blocks()
del_first = bytes(20_000_000)
del del_first  # from here on glibc keeps what is smaller, by default
before, kept = resident_mb(), []
bodies = []
for number in range(60):
    bodies.append(bytearray(b"x" * 1_000_000))
    kept.append(bytearray(b"y" * 2_000))
del bodies
print(resident_mb() - before)
"""


def grown_mb(how: str) -> float:
    """How much larger a process is after it has held 60 MB of bodies."""
    done = subprocess.run([sys.executable, "-c", PROGRAM, how], capture_output=True, text=True, check=True, timeout=60)
    return float(done.stdout)


def test_large_blocks_go_back_to_the_system() -> None:
    if grown_mb("unset") < 20:
        pytest.skip("this C library gives them back by itself")
    assert grown_mb("set") < 10
