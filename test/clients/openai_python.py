"""OpenAI's Python client: `openai_python.py <REST> <gRPC> sync|async`. The vectors themselves are compared with those of the protocol's own path."""

import json
import math
import urllib.request

import openai
from checks import arguments, check, refusal_of, run, settled

REST, _, KIND = arguments()
_client = None


def client():
    """Made within the event loop, where there is one."""
    global _client
    if _client is None:
        kind = openai.AsyncOpenAI if KIND == "async" else openai.OpenAI
        _client = kind(base_url=f"http://{REST}/v1", api_key="none", max_retries=0)
    return _client


def expected(texts):
    """What the Open Inference Protocol answers."""
    tensor = {"name": "text", "datatype": "BYTES", "shape": [len(texts)], "data": texts}
    request = urllib.request.Request(f"http://{REST}/v2/models/words/infer", json.dumps({"inputs": [tensor]}).encode())
    with urllib.request.urlopen(request) as answer:
        vectors = next(each for each in json.load(answer)["outputs"] if each["name"] == "embedding")
    size = vectors["shape"][1]
    return [vectors["data"][i * size : (i + 1) * size] for i in range(len(texts))]


def same(got, wanted):
    assert len(got) == len(wanted), (len(got), len(wanted))
    for one, other in zip(got, wanted):
        assert all(math.isclose(a, b, abs_tol=1e-6) for a, b in zip(one, other)), (one, other)


TEXTS = ["hello world", "a", "the quick brown fox " * 20, ""]


@check("a text")
async def _():
    answer = await settled(client().embeddings.create(model="words", input=TEXTS[0]))
    same([answer.data[0].embedding], expected(TEXTS[:1]))
    assert answer.usage.prompt_tokens == answer.usage.total_tokens == 4, answer.usage
    assert answer.model == "words" and answer.object == "list"


@check("a list of texts, in base64 as it asks by itself, and as floats")
async def _():
    for how in ({}, {"encoding_format": "float"}):
        answer = await settled(client().embeddings.create(model="words", input=TEXTS, user="somebody", **how))
        assert [each.index for each in answer.data] == [0, 1, 2, 3]
        same([each.embedding for each in answer.data], expected(TEXTS))


@check("tokens, and lists of them")
async def _():
    one = await settled(client().embeddings.create(model="words", input=[4]))
    many = await settled(client().embeddings.create(model="words", input=[[4], [4, 5]]))
    same([one.data[0].embedding, many.data[0].embedding], expected(["a", "a"]))


@check("the list of models")
async def _():
    listed = [each.id async for each in client().models.list()] if KIND == "async" else [each.id for each in client().models.list()]
    assert "words" in listed and "simple" not in listed, listed
    assert (await settled(client().models.retrieve("words"))).id == "words"


@check("errors of its own kinds")
async def _():
    for kind, call in {
        openai.NotFoundError: lambda: client().embeddings.create(model="nobody", input="a"),
        openai.BadRequestError: lambda: client().embeddings.create(model="words", input=[]),
    }.items():
        try:
            await settled(call())
        except kind as error:
            assert error.body["message"], error.body
        else:
            raise AssertionError(f"no {kind.__name__}")


@check("a deadline that cannot be met, which is not tried again")
async def _():
    late = client().with_options(max_retries=2)
    text = await refusal_of(
        lambda: late.embeddings.create(model="words", input="a", extra_headers={"Request-Timeout-Ms": "0.001"})
    )
    assert "504" in text and "deadline" in text, text


run()
