"""Vectors of texts by Python's ONNX Runtime and tokenizers, each text alone and without padding.

text_reference.py <model.onnx> <tokenizer.json> <most tokens>  <  JSON list of texts  →  JSON list of vectors of length 1
"""

import json
import sys

import numpy as np
import onnxruntime as ort
from tokenizers import Tokenizer


def main():
    model, tokenizer_path, most = sys.argv[1], sys.argv[2], int(sys.argv[3])
    session = ort.InferenceSession(model, providers=["CPUExecutionProvider"])
    tokenizer = Tokenizer.from_file(tokenizer_path)
    tokenizer.no_padding()
    tokenizer.enable_truncation(most)
    vectors = []
    for text in json.load(sys.stdin):
        encoded = tokenizer.encode(text)
        given = {"input_ids": encoded.ids, "attention_mask": encoded.attention_mask, "token_type_ids": encoded.type_ids}
        inputs = {each.name: np.array([given[each.name]], np.int64) for each in session.get_inputs()}
        tokens = session.run(None, inputs)[0][0]
        mean = tokens.mean(axis=0)
        vectors.append((mean / np.linalg.norm(mean)).tolist())
    json.dump(vectors, sys.stdout)


if __name__ == "__main__":
    main()
