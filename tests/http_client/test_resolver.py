"""Names that cannot be asked for now."""

import threading

import pytest

from app.http_client.resolver import Resolver


async def test_a_name_for_which_there_was_no_thread_is_asked_for_again(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    resolver = Resolver()
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", refuse)
        for _ in range(2):
            with pytest.raises(OSError, match="can't start new thread"):
                await resolver.lookup("localhost", 80)
    assert await resolver.lookup("localhost", 80)
