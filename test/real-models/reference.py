"""ONNX Runtime as Python users have it: answers a job's requests one by one and as one batch, and tells its own memory.

usage: reference.py <job.json>; the job's answers are written where it says. Arrays are raw little-endian files.
"""

import json
import sys

import numpy
import onnxruntime

BATCH_RUNS = 10


def memory_mb() -> dict:
    with open("/proc/self/status", encoding="ascii") as status:
        fields = dict(line.split(":", 1) for line in status)
    return {name: int(fields[key].split()[0]) / 1024 for name, key in (("resident", "VmRSS"), ("anonymous", "RssAnon"))}


def main(job_path: str) -> None:
    with open(job_path, encoding="utf-8") as file:
        job = json.load(file)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = job["threads"]
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(job["model"], options, providers=["CPUExecutionProvider"])
    requests = [
        {tensor["name"]: numpy.fromfile(tensor["file"], tensor["dtype"]).reshape(tensor["shape"]) for tensor in request}
        for request in job["requests"]
    ]
    names = [output.name for output in session.get_outputs()]
    answers = []
    for index, feeds in enumerate(requests):
        answer = []
        for place, array in enumerate(session.run(names, feeds)):
            path = f"{job['answers']}/{index}-{place}.bin"
            array.tofile(path)
            answer.append({"name": names[place], "shape": list(array.shape), "dtype": str(array.dtype), "file": path})
        answers.append(answer)
    members = requests[: job["batch"]]
    whole = {name: numpy.concatenate([feeds[name] for feeds in members]) for name in members[0]} if len(members) > 1 else members[0]
    for _ in range(BATCH_RUNS):
        session.run(names, whole)
    print(json.dumps({"answers": answers, "memoryMb": memory_mb(), "version": onnxruntime.__version__}))


main(sys.argv[1])
