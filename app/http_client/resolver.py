"""The system's resolver in background threads, so that a name that is never answered does not delay the others."""

import asyncio
import contextlib
import socket
import threading
from collections import OrderedDict

from app.core import clock

THREADS_MAX = 256
KEPT_SECONDS = 5.0
KEPT_MAX = 1000


class Resolver:
    """Resolves names, and keeps each result for KEPT_SECONDS. Concurrent lookups of a name share one answer."""

    def __init__(self) -> None:
        self._asked: dict[str, asyncio.Future[list[str]]] = {}
        self._kept: OrderedDict[str, tuple[list[str], float]] = OrderedDict()

    async def lookup(self, host: str, port: int) -> list[str]:
        """Return all addresses of a name, without duplicates. Raises socket.gaierror, and OSError while too many names wait
        or no thread is available."""
        found, until = self._kept.get(host, ([], 0.0))
        if until > clock.monotonic():
            return found
        asked = self._asked.get(host)
        if asked is None:
            if len(self._asked) >= THREADS_MAX:
                raise OSError("too many names wait for an answer")
            asked = asyncio.get_running_loop().create_future()
            # daemon: the process can end while the resolver still waits
            try:
                threading.Thread(target=_ask, args=(asked, host, port), name="resolve", daemon=True).start()
            except RuntimeError as error:  # the process can start no more threads
                raise OSError(str(error)) from None
            self._asked[host] = asked
            asked.add_done_callback(lambda done: self._answered(host, done))
        return await asyncio.shield(asked)

    def _answered(self, host: str, asked: "asyncio.Future[list[str]]") -> None:
        del self._asked[host]
        if asked.cancelled() or asked.exception() is not None:
            return
        self._kept[host] = (asked.result(), clock.monotonic() + KEPT_SECONDS)
        self._kept.move_to_end(host)
        if len(self._kept) > KEPT_MAX:
            self._kept.popitem(last=False)


def _ask(asked: "asyncio.Future[list[str]]", host: str, port: int) -> None:
    found: list[str] = []
    failure: Exception | None = None
    try:
        entries = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, proto=socket.IPPROTO_TCP, flags=socket.AI_ADDRCONFIG
        )
        found = list(dict.fromkeys(str(entry[4][0]) for entry in entries))
    except (OSError, UnicodeError) as error:
        failure = error
    with contextlib.suppress(RuntimeError):  # the loop is closed
        asked.get_loop().call_soon_threadsafe(_tell, asked, found, failure)


def _tell(asked: "asyncio.Future[list[str]]", found: list[str], failure: Exception | None) -> None:
    if asked.done():
        return
    if failure is not None:
        asked.set_exception(failure)
    else:
        asked.set_result(found)
