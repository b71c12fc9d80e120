"""A model of text on mosec, as its own example of an embedding server has it: a batch is padded to its longest text.

mosec_text.py <folder of model.onnx and tokenizer.json> <batch> --port <port>; as many worker processes as cores, each with a session on one
thread. Speaks the part of OpenAI's embeddings that the bench asks for.
"""

import os
import sys

import numpy as np
import onnxruntime as ort
from mosec import Runtime, Server, Worker
from tokenizers import Tokenizer

# mosec reads the rest of the command line itself, in this process and in its workers.
if len(sys.argv) > 3 and not sys.argv[1].startswith("--"):
    os.environ["PEER_FOLDER"], os.environ["PEER_BATCH"] = sys.argv[1:3]
    del sys.argv[1:3]
FOLDER, BATCH = os.environ["PEER_FOLDER"], int(os.environ["PEER_BATCH"])
MOST_TOKENS = 256


class Embedder(Worker):
    def __init__(self):
        options = ort.SessionOptions()
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        self.session = ort.InferenceSession(f"{FOLDER}/model.onnx", options, providers=["CPUExecutionProvider"])
        self.tokenizer = Tokenizer.from_file(f"{FOLDER}/tokenizer.json")
        self.tokenizer.enable_truncation(MOST_TOKENS)
        self.tokenizer.enable_padding()

    def forward(self, data):
        requests = data if BATCH > 1 else [data]
        lists = [each["input"] if isinstance(each["input"], list) else [each["input"]] for each in requests]
        vectors = self.embed([text for texts in lists for text in texts])
        answers, start = [], 0
        for texts in lists:
            rows = vectors[start : start + len(texts)]
            answers.append({"data": [{"index": i, "embedding": row.tolist()} for i, row in enumerate(rows)]})
            start += len(texts)
        return answers if BATCH > 1 else answers[0]

    def embed(self, texts):
        encoded = self.tokenizer.encode_batch(texts)
        mask = np.array([each.attention_mask for each in encoded], np.int64)
        inputs = {
            "input_ids": np.array([each.ids for each in encoded], np.int64),
            "attention_mask": mask,
            "token_type_ids": np.array([each.type_ids for each in encoded], np.int64),
        }
        tokens = self.session.run(None, inputs)[0]
        weights = mask[:, :, None].astype(np.float32)
        mean = (tokens * weights).sum(axis=1) / weights.sum(axis=1)
        return mean / np.linalg.norm(mean, axis=1, keepdims=True)


if __name__ == "__main__":
    cores = os.cpu_count() or 1
    server = Server()
    # A batch waits for 10 ms at most, as in mosec's examples.
    options = {"num": cores, "max_batch_size": BATCH, "max_wait_time": 10} if BATCH > 1 else {"num": cores}
    server.register_runtime({"/v1/embeddings": [Runtime(Embedder, **options)]})
    server.run()
