"""The model on mosec: as many worker processes as cores, each with a session on one thread. One route for JSON, one for bytes.

mosec_server.py <model.onnx> <batch> --port <port>; a batch of 1 is mosec's default.
"""

import os
import sys

import numpy as np
import onnxruntime as ort
from mosec import Runtime, Server, Worker

# mosec reads the rest of the command line itself, in this process and in its workers.
if len(sys.argv) > 3 and sys.argv[1].endswith(".onnx"):
    os.environ["PEER_MODEL"], os.environ["PEER_BATCH"] = sys.argv[1:3]
    del sys.argv[1:3]
MODEL, BATCH = os.environ["PEER_MODEL"], int(os.environ["PEER_BATCH"])


class Model(Worker):
    def __init__(self):
        options = ort.SessionOptions()
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        self.session = ort.InferenceSession(MODEL, options, providers=["CPUExecutionProvider"])
        spec = self.session.get_inputs()[0]
        self.input = spec.name
        self.row = spec.shape[1:]

    def forward(self, data):
        if BATCH == 1:
            return self.session.run(None, {self.input: data})[0]
        outputs = self.session.run(None, {self.input: np.concatenate(data)})[0]
        return np.split(outputs, len(data))


class OfJson(Model):
    def deserialize(self, data):
        return np.array(super().deserialize(data)["data"], np.float32).reshape(1, *self.row)

    def serialize(self, data):
        return super().serialize({"data": data.ravel().tolist()})


class OfBytes(Model):
    def deserialize(self, data):
        return np.frombuffer(data, np.float32).reshape(1, *self.row)

    def serialize(self, data):
        return data.tobytes()


if __name__ == "__main__":
    cores = os.cpu_count() or 1
    server = Server()
    # A batch waits for 1 ms at most.
    options = {"num": cores, "max_batch_size": BATCH, "max_wait_time": 1} if BATCH > 1 else {"num": cores}
    server.register_runtime({"/json": [Runtime(OfJson, **options)], "/bytes": [Runtime(OfBytes, **options)]})
    server.run()
