"""A client that waits for nobody: requests leave when they are due, over HTTP each on a connection that is free or a new one, and a
request is given up at its deadline. Poisson arrivals; in bursts, one second in four has 2.5 times the mean rate and the others half of it.

client.py <url> <body file> <headers as JSON> <requests/s> <seconds> <SLO in ms> <steady|bursts> <seed>  →  JSON

With a url of grpc://host:port/method the body is a message of gRPC, and the headers are metadata.
"""

import asyncio
import json
import random
import sys
import time

import aiohttp
import grpc


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


class Http:
    def __init__(self, url, body, headers):
        self.url, self.body = url, body
        timeout = aiohttp.ClientTimeout(total=None)
        self.session = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0), headers=headers, timeout=timeout)

    async def ask(self):
        try:
            async with self.session.post(self.url, data=self.body) as answer:
                await answer.read()
                return answer.status == 200
        except aiohttp.ClientError:
            return False

    async def close(self):
        await self.session.close()


class Grpc:
    def __init__(self, url, body, headers):
        _, _, host, method = url.split("/", 3)
        self.body, self.metadata = body, list(headers.items())
        self.channel = grpc.aio.insecure_channel(host)
        self.call = self.channel.unary_unary(f"/{method}")

    async def ask(self):
        try:
            await self.call(self.body, metadata=self.metadata)
            return True
        except grpc.aio.AioRpcError:
            return False

    async def close(self):
        await self.channel.close()


async def main():
    url, body_path, headers, rate, seconds, slo_ms, shape, seed = sys.argv[1:]
    with open(body_path, "rb") as file:
        body = file.read()
    slo = float(slo_ms) / 1000
    counts = {"inTime": 0, "left": 0, "refused": 0}
    latencies = []
    client = (Grpc if url.startswith("grpc:") else Http)(url, body, json.loads(headers))

    async def send(due):
        try:
            # From when it was due: a client that is late itself does not flatter the server.
            is_answered = await asyncio.wait_for(client.ask(), due + slo - time.monotonic())
        except asyncio.TimeoutError:
            counts["left"] += 1
            return
        latency = time.monotonic() - due
        if not is_answered:
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
    await client.close()
    latencies.sort()
    middle = 1000 * latencies[len(latencies) // 2] if latencies else None
    print(json.dumps({**counts, "sent": len(waiting), "p50Ms": middle}))


asyncio.run(main())
