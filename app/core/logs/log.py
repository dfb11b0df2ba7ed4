"""Logging: each line is a constant event (`job.finished`) with keywords. Secrets that reach a log are removed here."""

import logging
import re
import sys
from collections.abc import Mapping, MutableMapping
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from app.core.escapes import json_text, one_line
from app.core.logs.redaction import redacted_text
from app.core.slim_import import without

with without("rich"):
    import structlog

LogFormat = Literal["json", "console"]
Event = MutableMapping[str, Any]

_OF_STRUCTLOG = frozenset({"_record", "_from_structlog", "exc_info"})

_SECRET = re.compile(
    r"(ws_(?:live|oper)_[0-9A-Za-z]+_)[0-9A-Za-z_-]+|(whsec_)[0-9A-Za-z+/=]+|(://[^/\s:@]*:)[^@\s/]+(?=@)"
)
"""Our keys, webhook secrets, and the password of a URL."""


def scrubbed(text: str) -> str:
    """Return the text without this process's secrets, and with all that looks like a key of the gateway masked."""
    return _SECRET.sub(lambda found: next(filter(None, found.groups())) + "***", redacted_text(text))


_PLAIN = (int, float, bool, UUID, datetime, type(None))


def _scrub(_logger: object, _name: str, event: Event) -> Event:
    for key, value in event.items():
        if key not in _OF_STRUCTLOG:
            event[key] = _scrubbed_value(value)
    return event


def _scrubbed_value(value: Any) -> Any:
    if isinstance(value, str):
        return scrubbed(value)
    if isinstance(value, _PLAIN):
        return value
    if isinstance(value, Mapping):
        return {scrubbed(str(name)): _scrubbed_value(item) for name, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_scrubbed_value(one) for one in value]
    return scrubbed(repr(value))


class _Shown(str):
    """An escaped value. Its repr stops the renderer from escaping its backslashes again."""

    __slots__ = ()

    def __repr__(self) -> str:
        return f"'{self}'"


def _show(_logger: object, _name: str, event: Event) -> Event:
    """Escape values, so that none controls a terminal or begins a line. Lines of an exception are indented."""
    for key, value in event.items():
        if key in ("exception", "stack"):
            event[key] = "\n".join("    " + one_line(line) for line in str(value).split("\n"))
        elif isinstance(value, str) and (shown := one_line(value)) != value:
            event[key] = _Shown(shown)
    return event


def _json(logger: Any, name: str, event: Event) -> str:
    return json_text(str(structlog.processors.JSONRenderer()(logger, name, event)))


def configure_logging(*, format: LogFormat, level: str) -> None:
    """Send structlog's logs and the libraries' stdlib logs through one pipeline to stderr."""
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
        _scrub,
    ]
    renderers: list[structlog.typing.Processor] = (
        [_json] if format == "json" else [_show, structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())]
    )
    structlog.configure(
        processors=[structlog.stdlib.filter_by_level, *shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *renderers],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    for noisy in ("arq", "uvicorn.access", "httpx", "httpcore", "asyncio"):
        logging.getLogger(noisy).setLevel(logging.WARNING)


def get_logger(name: str) -> structlog.stdlib.BoundLogger:
    """Return the logger of a module: `log = get_logger(__name__)`."""
    logger: structlog.stdlib.BoundLogger = structlog.stdlib.get_logger(name)
    return logger
