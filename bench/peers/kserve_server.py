"""The model on KServe's Python server: one process, as many threads as cores that run a session of one thread each.

kserve_server.py <model.onnx> --http_port <port> --grpc_port <port>
"""

import asyncio
import os
import sys
from concurrent.futures import ThreadPoolExecutor

import onnxruntime as ort
from kserve import InferOutput, InferResponse, Model, ModelServer, model_server

PATH = sys.argv.pop(1)


class Served(Model):
    def __init__(self):
        super().__init__("model")
        cores = os.cpu_count() or 1
        options = ort.SessionOptions()
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        # Calls of one session run side by side, each on the thread that calls.
        self.session = ort.InferenceSession(PATH, options, providers=["CPUExecutionProvider"])
        self.threads = ThreadPoolExecutor(cores)
        self.ready = True

    async def predict(self, payload, headers=None, response_headers=None):
        inputs = {each.name: each.as_numpy() for each in payload.inputs}
        loop = asyncio.get_running_loop()
        outputs = await loop.run_in_executor(self.threads, self.session.run, None, inputs)
        answer = []
        for spec, array in zip(self.session.get_outputs(), outputs):
            output = InferOutput(name=spec.name, shape=list(array.shape), datatype="FP32")
            output.set_data_from_numpy(array, binary_data=wants_bytes(payload))
            answer.append(output)
        return InferResponse(response_id=payload.id or "none", model_name="model", infer_outputs=answer)


def wants_bytes(payload):
    return payload.from_grpc or bool((payload.parameters or {}).get("binary_data_output"))


if __name__ == "__main__":
    arguments, _ = model_server.parser.parse_known_args()
    ModelServer(
        http_port=arguments.http_port, grpc_port=arguments.grpc_port, workers=1, access_log_format=None
    ).start([Served()])
