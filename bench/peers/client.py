"""A client that waits for nobody: requests leave when they are due, each on a connection that is free or a new one, and a request is
given up at its deadline. Poisson arrivals; in bursts, one second in four has 2.5 times the mean rate and the others half of it.

client.py <url> <body file> <headers as JSON> <requests/s> <seconds> <SLO in ms> <steady|bursts> <seed>  →  JSON
"""

import asyncio
import json
import random
import sys
import time

import aiohttp


def arrivals(rate, seconds, is_bursty, seed):
    """When each request leaves, s from the start: of a Poisson process at the highest rate, those that a lower rate has too."""
    source, at = random.Random(seed), 0.0
    highest = rate * 2.5 if is_bursty else rate
    while True:
        at += source.expovariate(highest)
        if at >= seconds:
            return
        if not is_bursty or at % 4 < 1 or source.random() < 0.5 / 2.5:
            yield at


async def main():
    url, body_path, headers, rate, seconds, slo_ms, shape, seed = sys.argv[1:]
    with open(body_path, "rb") as file:
        body = file.read()
    slo = float(slo_ms) / 1000
    counts = {"inTime": 0, "left": 0, "refused": 0}
    latencies = []
    timeout = aiohttp.ClientTimeout(total=None)
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0), headers=json.loads(headers), timeout=timeout) as session:

        async def ask():
            async with session.post(url, data=body) as answer:
                await answer.read()
                return answer.status

        async def send(due):
            try:
                # From when it was due: a client that is late itself does not flatter the server.
                status = await asyncio.wait_for(ask(), due + slo - time.monotonic())
            except (asyncio.TimeoutError, TimeoutError):
                counts["left"] += 1
                return
            except aiohttp.ClientError:
                status = 0
            latency = time.monotonic() - due
            if status != 200:
                counts["refused"] += 1
            elif latency > slo:
                counts["left"] += 1
            else:
                counts["inTime"] += 1
                latencies.append(latency)

        began = time.monotonic() + 0.1
        waiting = []
        for at in arrivals(float(rate), float(seconds), shape == "bursts", int(seed)):
            await asyncio.sleep(max(0.0, began + at - time.monotonic()))
            waiting.append(asyncio.create_task(send(began + at)))
        await asyncio.gather(*waiting)
    latencies.sort()
    middle = 1000 * latencies[len(latencies) // 2] if latencies else None
    print(json.dumps({**counts, "sent": len(waiting), "p50Ms": middle}))


asyncio.run(main())
