"""What the machine can do: one process a core, each with a session on one thread, runs the model for so many seconds.

bare_run.py <model.onnx> <shape as 1,3,224,224> <seconds>  →  JSON: requests a second of all, CPU ms a request
"""

import json
import multiprocessing
import os
import sys
import time

import numpy as np
import onnxruntime as ort


def session_of(path):
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    return ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def run(path, shape, seconds, start, results):
    session = session_of(path)
    inputs = {session.get_inputs()[0].name: np.full(shape, 0.5, np.float32)}
    session.run(None, inputs)
    start.wait()
    began, cpu_before, count = time.monotonic(), time.process_time(), 0
    while time.monotonic() < began + seconds:
        session.run(None, inputs)
        count += 1
    results.put((count / (time.monotonic() - began), time.process_time() - cpu_before, count))


def main():
    path, shape, seconds = sys.argv[1], [int(size) for size in sys.argv[2].split(",")], float(sys.argv[3])
    cores = os.cpu_count() or 1
    context = multiprocessing.get_context("spawn")
    start, results = context.Barrier(cores), context.Queue()
    workers = [context.Process(target=run, args=(path, shape, seconds, start, results)) for _ in range(cores)]
    for worker in workers:
        worker.start()
    found = [results.get() for _ in workers]
    for worker in workers:
        worker.join()
    print(json.dumps({"perSec": sum(rate for rate, _, _ in found), "cpuMs": 1000 * sum(cpu for _, cpu, _ in found) / sum(n for _, _, n in found)}))


if __name__ == "__main__":
    main()
