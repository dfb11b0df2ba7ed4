"""Connections of outbound HTTP: kept ones are checked before reuse, heads are parsed one by one, a guard allows addresses."""

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
"""The most interim answers, such as `102 Processing`, before the final one."""
_HUNG_UP: Final = getattr(select, "POLLRDHUP", select.POLLIN)
dialling_of_call: ContextVar[Dialling] = ContextVar("dialling")
"""The Dialling of the current call."""


class Protocol(ResponseHandler):
    """A connection. used: it has carried a call. In the current call: heads, how many were parsed; answered, one was final;
    content, the latest head's body."""

    used = answered = False
    heads = 0
    watch: Any = None
    content: Any = None

    def untouched(self) -> bool:
        """Return whether it is open, without unexpected bytes or an end in the kernel, and with nothing unsent."""
        if self.transport is None or self.transport.is_closing() or self.should_close:
            return False
        if self.watch is None:
            # TLS tickets may arrive at any time, so only a hang-up counts; decrypted bytes set `should_close`
            secure = self.transport.get_extra_info("sslcontext") is not None
            self.watch = select.poll()
            self.watch.register(self.transport.get_extra_info("socket"), _HUNG_UP if secure else select.POLLIN)
        return not self.watch.poll(0) and not self.transport.get_write_buffer_size()

    def data_received(self, data: bytes) -> None:
        """Parse each head separately. aiohttp drops a whole answer if invalid bytes arrive in the same packet."""
        while not self.answered and (end := data.find(b"\r\n\r\n") + 4) > 3 and self.heads <= INTERIMS_MAX:
            super().data_received(data[:end])
            data = data[end:]
        super().data_received(data)  # also if empty: that makes aiohttp continue after a pause

    def feed_data(self, data: Any, size: int = 0) -> None:
        """Handle a parsed head. Limits the interim ones, of which aiohttp accepts any number."""
        self.heads += 1
        self.answered, self.content = data[0].code >= 200, data[1]
        if self.heads <= INTERIMS_MAX:
            super().feed_data(data, size)
        elif self.transport is not None:
            self.set_exception(CallBroken("too_many_interims"))
            self.transport.abort()

    def set_exception(self, exc: BaseException, *cause: BaseException) -> None:
        """Raise the error in the reader of a body, too. aiohttp leaves it waiting after invalid bytes."""
        super().set_exception(exc, *cause)
        if self.content is not None and not self.content.is_eof() and self.content.exception() is None:
            self.content.set_exception(exc)


class Connector(aiohttp.TCPConnector):
    """Reuses no kept connection that its server has closed or written to. aiohttp alone would."""

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
    """Resolves names with the guard of the current call."""

    async def resolve(self, host: str, port: int = 0, family: Any = 0) -> Any:
        return await dialling_of_call.get().resolve(host, port)

    async def close(self) -> None:
        """Do nothing: nothing is open."""


def guarded_socket(wanted: Any) -> socket:
    return dialling_of_call.get().socket(wanted)
