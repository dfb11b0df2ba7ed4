"""Connections of outbound HTTP: kept ones that are still good, heads read one by one, and only addresses that a guard allows."""

import math
import select
from contextvars import ContextVar
from functools import partial
from socket import socket
from typing import Any, Final

import aiohttp
from aiohttp.abc import AbstractResolver
from aiohttp.client_proto import ResponseHandler
from aiohttp.connector import Connection

from app.http_client.exchange import CallBroken
from app.http_client.guard import Dialling

INTERIMS_MAX: Final = 1_000
"""Answers such as `102 Processing` that may come before the one that counts."""
_HUNG_UP: Final = getattr(select, "POLLRDHUP", select.POLLIN)
dialling_of_call: ContextVar[Dialling] = ContextVar("dialling")
"""Of the call that is being made."""


class Protocol(ResponseHandler):
    """A connection. used: it has been handed out. Since it was last: heads, how many were read; answered, with one that counts;
    content, the body of the latest one."""

    used = answered = False
    heads = 0
    watch: Any = None
    content: Any = None

    def untouched(self) -> bool:
        """Open, and neither we nor the kernel hold bytes or an end that nobody has asked for."""
        if self.transport is None or self.transport.is_closing() or self.should_close:
            return False
        if self.watch is None:
            # TLS sends tickets when it likes; what it hands on is in here
            secure = self.transport.get_extra_info("sslcontext") is not None
            self.watch = select.poll()
            self.watch.register(self.transport.get_extra_info("socket"), _HUNG_UP if secure else select.POLLIN)
        return not self.watch.poll(0) and not self.transport.get_write_buffer_size()

    def data_received(self, data: bytes) -> None:
        """A head is read by itself. aiohttp drops a whole answer where bytes that are no HTTP come in the same packet."""
        while not self.answered and (end := data.find(b"\r\n\r\n") + 4) > 3 and self.heads <= INTERIMS_MAX:
            super().data_received(data[:end])
            data = data[end:]
        super().data_received(data)  # empty, too: with it aiohttp goes on after a pause

    def feed_data(self, data: Any, size: int = 0) -> None:
        """A head was read. aiohttp takes any number of interim ones."""
        self.heads += 1
        self.answered, self.content = data[0].code >= 200, data[1]
        if self.heads <= INTERIMS_MAX:
            super().feed_data(data, size)
        elif self.transport is not None:
            self.set_exception(CallBroken("too_many_interims"))
            self.transport.abort()

    def set_exception(self, exc: BaseException, *cause: BaseException) -> None:
        """Tells the reader of a body, too: aiohttp leaves it waiting where bytes come that are no HTTP."""
        super().set_exception(exc, *cause)
        if self.content is not None and not self.content.is_eof() and self.content.exception() is None:
            self.content.set_exception(exc)


class Connector(aiohttp.TCPConnector):
    """Hands out no kept connection that its server has closed or written to meanwhile; aiohttp alone would."""

    def __init__(self, **given: Any) -> None:
        super().__init__(timeout_ceil_threshold=math.inf, **given)
        self._factory: Any = partial(Protocol, loop=self._loop)

    async def connect(self, req: Any, traces: Any, timeout: aiohttp.ClientTimeout) -> Connection:
        while True:
            connection = await super().connect(req, traces, timeout)
            protocol: Any = connection.protocol
            if not protocol.used or protocol.untouched():
                protocol.used, protocol.answered, protocol.heads, protocol.content = True, False, 0, None
                return connection
            connection.close()


class GuardResolver(AbstractResolver):
    """Asks the guard of the call that needs an address."""

    async def resolve(self, host: str, port: int = 0, family: Any = 0) -> Any:
        return await dialling_of_call.get().resolve(host, port)

    async def close(self) -> None:
        """Nothing is open."""


def guarded_socket(wanted: Any) -> socket:
    return dialling_of_call.get().socket(wanted)
