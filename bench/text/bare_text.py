"""What the machine can do: one process a core, each with a session on one thread, tokenizes and embeds texts for so many seconds.

bare_text.py <folder> <batch> <seconds>  <  JSON list of texts  →  JSON: texts a second of all, CPU ms a text, and ms of a call
A batch is padded to its longest text; with a batch of 1 nothing is padded.
"""

import json
import multiprocessing
import os
import sys
import time

import numpy as np
import onnxruntime as ort
from tokenizers import Tokenizer

MOST_TOKENS = 256


def run(folder, batch, seconds, texts, start, results):
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    session = ort.InferenceSession(f"{folder}/model.onnx", options, providers=["CPUExecutionProvider"])
    tokenizer = Tokenizer.from_file(f"{folder}/tokenizer.json")
    tokenizer.enable_truncation(MOST_TOKENS)
    tokenizer.enable_padding()

    def embed(some):
        encoded = tokenizer.encode_batch(some)
        mask = np.array([each.attention_mask for each in encoded], np.int64)
        ids = np.array([each.ids for each in encoded], np.int64)
        tokens = session.run(None, {"input_ids": ids, "attention_mask": mask, "token_type_ids": np.zeros_like(ids)})[0]
        weights = mask[:, :, None].astype(np.float32)
        mean = (tokens * weights).sum(axis=1) / weights.sum(axis=1)
        return mean / np.linalg.norm(mean, axis=1, keepdims=True)

    embed(texts[:batch])
    start.wait()
    began, cpu_before, count, times = time.monotonic(), time.process_time(), 0, []
    while time.monotonic() < began + seconds:
        place = count % (len(texts) - batch + 1)
        at = time.monotonic()
        embed(texts[place : place + batch])
        times.append(time.monotonic() - at)
        count += batch
    results.put((count / (time.monotonic() - began), time.process_time() - cpu_before, count, times))


def main():
    folder, batch, seconds = sys.argv[1], int(sys.argv[2]), float(sys.argv[3])
    texts = json.load(sys.stdin)
    cores = os.cpu_count() or 1
    context = multiprocessing.get_context("spawn")
    start, results = context.Barrier(cores), context.Queue()
    workers = [context.Process(target=run, args=(folder, batch, seconds, texts[i:] + texts[:i], start, results)) for i in range(cores)]
    for worker in workers:
        worker.start()
    found = [results.get() for _ in workers]
    for worker in workers:
        worker.join()
    times = [1000 * each for _, _, _, some in found for each in some]
    count = sum(n for _, _, n, _ in found)
    print(json.dumps({"perSec": sum(rate for rate, *_ in found), "cpuMs": 1000 * sum(cpu for _, cpu, *_ in found) / count, "p50": float(np.percentile(times, 50)), "p99": float(np.percentile(times, 99))}))


if __name__ == "__main__":
    main()
