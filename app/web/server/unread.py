"""Check for bytes on a connection that the event loop has not read yet. Closing it then would lose a request."""

import asyncio
import select


def has_unread(transport: asyncio.BaseTransport) -> bool:
    """Return whether the kernel holds unread bytes, or the end of the other side."""
    found = transport.get_extra_info("socket")
    if found is None or found.fileno() < 0:
        return False
    poll = select.poll()
    poll.register(found.fileno(), select.POLLIN)
    return bool(poll.poll(0))
