"""A client that waits for nobody: requests leave when they are due, over HTTP each on a connection that is free or a new one, and a
request is given up at its deadline. Poisson arrivals; in bursts, one second in four has 2.5 times the mean rate and the others half of it.

client.py <url> <body file> <headers as JSON> <requests/s> <seconds> <SLO in ms> <steady|bursts|uplinks|mixed> <seed>  →  JSON

uplinks: each body takes as long as a 4G-like link makes it, in pieces (over gRPC it leaves when it would have arrived). mixed: SLOs of a
quarter, half, once and twice the one given, equally often.

With a url of grpc://host:port/method the body is a message of gRPC, and the headers are metadata.
"""

import asyncio
import json
import math
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


MEAN_BYTES_PER_S, DEVIATION = 3.45e6, 0.363
PIECES = 16


def upload_seconds(source, size):
    """Log-normal bandwidth with the mean and the coefficient of variation (0.375) of the 4G log that the paper used."""
    return size / source.lognormvariate(math.log(MEAN_BYTES_PER_S) - DEVIATION**2 / 2, DEVIATION)


async def paced(body, seconds):
    """What a link of that speed lets through."""
    began, size = time.monotonic(), -(-len(body) // PIECES)
    for piece in range(PIECES):
        yield body[piece * size : (piece + 1) * size]
        await asyncio.sleep(max(0.0, began + (piece + 1) * seconds / PIECES - time.monotonic()))


class Http:
    def __init__(self, url, body, headers):
        self.url, self.body = url, body
        timeout = aiohttp.ClientTimeout(total=None)
        self.session = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0), headers=headers, timeout=timeout)

    async def ask(self, slo, upload):
        told = {"request-timeout-ms": str(round(1000 * slo)), "content-length": str(len(self.body))}
        body = self.body if upload == 0 else paced(self.body, upload)
        try:
            async with self.session.post(self.url, data=body, headers=told) as answer:
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

    async def ask(self, slo, upload):
        await asyncio.sleep(upload)
        told = ("request-timeout-ms", str(round(1000 * slo)))
        try:
            await self.call(self.body, metadata=[*self.metadata, told])
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

    source = random.Random(f"requests {seed}")

    async def send(due, slo, upload):
        try:
            # From when it was due: a client that is late itself does not flatter the server.
            is_answered = await asyncio.wait_for(client.ask(slo, upload), due + slo - time.monotonic())
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
        own_slo = slo * source.choice([0.25, 0.5, 1, 2]) if shape == "mixed" else slo
        upload = upload_seconds(source, len(body)) if shape == "uplinks" else 0
        waiting.append(asyncio.create_task(send(began + at, own_slo, upload)))
    await asyncio.gather(*waiting)
    await client.close()
    latencies.sort()
    middle = 1000 * latencies[len(latencies) // 2] if latencies else None
    print(json.dumps({**counts, "sent": len(waiting), "p50Ms": middle}))


asyncio.run(main())
