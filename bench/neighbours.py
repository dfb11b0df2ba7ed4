"""What one tenant's flood costs another tenant: `python -m bench.neighbours`.

A quiet tenant submits at a steady rate that waits for nobody; alone, and beside one that submits thirty times as much.
Pairs alternate; the ratio of each pair is taken, and the median of the ratios told. The worker is stopped: what it does
with the flood's jobs would weigh on the half that follows.
"""

import argparse
import asyncio
import os
import signal
import time
from statistics import median
from urllib.parse import urlsplit

import uvloop

from bench.http_client import HttpClient, request_bytes
from bench.load import PADDING
from bench.stand import EIGHT_POLLS, MODEL, Stand, stand
from bench.table import Table, percentile

HEADINGS = ("pair", "beside /s", "quiet submits/s", "p50 ms", "p99 ms", "hot submits/s", "refused")


class Submitter:
    """One tenant's submits over connections of their own."""

    def __init__(self, on: Stand, key: str) -> None:
        parts = urlsplit(on.url)
        self._client = HttpClient(str(parts.hostname), int(parts.port or 80))
        self._netloc, self._key = parts.netloc, key
        self._number = 0
        self.took: list[float] = []
        self.refused = 0

    def submit(self, then: asyncio.Future[None]) -> None:
        """Send one; `then` is done when it is answered. Latency counts from now."""
        self._number += 1
        body = b'{"prompt":"%b","seed":%d,"steps":30}' % (PADDING.encode(), self._number)
        began_at = time.perf_counter()

        def answered(status: int, _answer: bytes) -> None:
            self.took.append(time.perf_counter() - began_at)
            self.refused += status != 200
            then.set_result(None)

        request = request_bytes("POST", f"/v2/{MODEL}", host=self._netloc, key=self._key, body=body)
        self._client.send(request, answered)

    async def steady(self, rate: float, until: float) -> None:
        """So many a second, whether they are answered or not."""
        loop = asyncio.get_running_loop()
        due, waiting = time.perf_counter(), []
        while due < until:
            await asyncio.sleep(max(0.0, due - time.perf_counter()))
            waiting.append(loop.create_future())
            self.submit(waiting[-1])
            due += 1 / rate
        await asyncio.gather(*waiting)

    def close(self) -> None:
        """Hang up."""
        self._client.close()


async def once(on: Stand, given: argparse.Namespace, *, beside: float) -> tuple[Submitter, Submitter, float]:
    """The quiet tenant's submits with so many a second of the other one's; and how long it took."""
    quiet, hot = Submitter(on, on.keys[0]), Submitter(on, on.keys[1])
    began_at = time.perf_counter()
    until = began_at + given.seconds
    floods = [hot.steady(beside, until)] if beside else []
    await asyncio.gather(quiet.steady(given.rate, until), *floods)
    quiet.close()
    hot.close()
    return quiet, hot, time.perf_counter() - began_at


async def run(given: argparse.Namespace) -> None:
    table = Table(HEADINGS)
    ratios: dict[str, list[float]] = {"p50": [], "p99": []}
    async with stand(EIGHT_POLLS, apis=given.apis) as on:
        for pid in on.parts["worker"]:
            os.kill(pid, signal.SIGSTOP)
        await once(on, given, beside=given.flood)  # every connection and plan is warm
        for pair in range(given.pairs):
            figures = {}
            for beside in (0, given.flood) if pair % 2 else (given.flood, 0):
                quiet, hot, took = await once(on, given, beside=beside)
                figures[beside] = percentile(quiet.took, 0.5), percentile(quiet.took, 0.99)
                table.row(
                    {
                        "pair": pair, "beside /s": beside, "quiet submits/s": len(quiet.took) / took,
                        "p50 ms": figures[beside][0] * 1e3, "p99 ms": figures[beside][1] * 1e3,
                        "hot submits/s": len(hot.took) / took, "refused": quiet.refused + hot.refused,
                    }
                )  # fmt: skip
            for name, with_it, alone in zip(ratios, figures[given.flood], figures[0], strict=True):
                ratios[name].append(with_it / alone)
        for pid in on.parts["worker"]:
            os.kill(pid, signal.SIGCONT)
    print(
        "beside / alone, median of pairs: " + ", ".join(f"{name} {median(all_):.2f}" for name, all_ in ratios.items())
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--flood", type=float, default=1500.0, help="submits a second of the other tenant")
    parser.add_argument("--rate", type=float, default=50.0, help="submits a second of the quiet tenant")
    parser.add_argument("--seconds", type=float, default=5.0, help="of each half of a pair")
    parser.add_argument("--apis", type=int, default=1)
    uvloop.run(run(parser.parse_args()))


if __name__ == "__main__":
    main()
