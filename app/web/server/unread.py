"""Whether something has come on a connection that the event loop has not read yet: to close it would lose a request."""

import asyncio
import select


def has_unread(transport: asyncio.BaseTransport) -> bool:
    """Whether bytes, or the end of the other side, wait in the kernel."""
    found = transport.get_extra_info("socket")
    if found is None or found.fileno() < 0:
        return False
    poll = select.poll()
    poll.register(found.fileno(), select.POLLIN)
    return bool(poll.poll(0))
