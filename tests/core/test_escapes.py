"""Foreign text steers no terminal and forges no line, wherever people read it; our own lines and JSON stay what they are."""

import json
import subprocess
import sys

import pytest

from app.core.commands.terminal import say, table
from app.core.escapes import json_text, lines, one_line
from tests.house.source import sources

HOSTILE = "\x1b[2J\x1b]0;pwn\x07\x9b31m\r\nevents  forged\x7f\u2028\u2029\u202e\u2066\x00\t"
SHOWN = r"\x1b[2J\x1b]0;pwn\x07\x9b31m\r\nevents  forged\x7f\u2028\u2029\u202e\u2066\x00\t"
LOGS = """
import logging, sys
from app.core.logs.log import configure_logging, get_logger
from app.core.logs.redaction import know
HOSTILE, KEY = {hostile!r}, "COMPANY-KEY"
know([KEY])
configure_logging(format=sys.argv[1], level="INFO")
log = get_logger("a")
log.info("bare", detail=HOSTILE.replace(" ", ""))
log.info("blank", detail=HOSTILE, nested={{"a": [HOSTILE, KEY]}}, key=KEY, error=ValueError(KEY))
logging.getLogger("library").warning("it said %s of %s", HOSTILE, KEY)
try:
    raise ValueError(HOSTILE + KEY)
except ValueError:
    log.exception("failed")
"""


def test_one_line_and_lines() -> None:
    assert one_line(HOSTILE) == SHOWN
    assert lines(HOSTILE) == SHOWN.replace(r"\n", "\n")
    assert one_line("café 漢字 👩‍💻 a\\b") == "café 漢字 👩‍💻 a\\b"
    assert one_line("\udc9b") == r"\udc9b"
    assert json.loads(json_text(json.dumps({"a": HOSTILE}, ensure_ascii=False))) == {"a": HOSTILE}


def test_what_commands_say(capsys: pytest.CaptureFixture[str]) -> None:
    say(HOSTILE, value=None, as_json=False)
    assert capsys.readouterr().out == SHOWN + "\n"
    say("", value={"a": HOSTILE}, as_json=True)
    told = capsys.readouterr().out
    assert json.loads(told) == {"a": HOSTILE}
    assert not {"\x1b", "\x9b", "\x07", "\r", "\x7f", "\u2028", "\u202e"} & set(told)
    assert table(("A", "B"), [(HOSTILE, "x")]).count("\n") == 1


@pytest.mark.parametrize("format", ["console", "json"])
def test_what_is_logged(format: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", LOGS.format(hostile=HOSTILE), format], capture_output=True, text=True, check=True
    )
    told = done.stderr
    assert "COMPANY-KEY" not in told
    assert told.count("***") == 5, "nested, as it is, in an error, in a library's words, in an exception"
    assert not {"\x1b", "\x9b", "\x07", "\r", "\x7f", "\u2028", "\u202e", "\x00"} & set(told)
    assert not any(line.startswith("events") for line in told.splitlines())
    if format == "console":
        assert SHOWN.replace(" ", "") in told, "written out once"
        assert "\n    Traceback" in told
    else:
        parsed = [json.loads(line) for line in told.splitlines()]
        assert parsed[1]["detail"] == HOSTILE
        assert parsed[1]["nested"] == {"a": [HOSTILE, "***"]}
        assert "Traceback" in parsed[3]["exception"]


def test_nothing_is_printed_but_through_the_terminal() -> None:
    printing = ("typer.echo(", "sys.stdout.write(", "sys.stderr.write(", "click.echo(")
    strangers = {
        source.path for source in sources("app") if any(one in source.text for one in printing)
    } - {"app/core/commands/terminal.py"}  # fmt: skip
    assert strangers == set()
