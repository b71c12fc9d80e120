"""The KServe SDK's clients. `kserve_sdk.py <REST> <gRPC> rest|grpc`"""

import logging

import numpy as np
from checks import arguments, check, refusal_of, run
from kserve import InferenceGRPCClient, InferenceRESTClient, InferInput, InferRequest
from kserve.inference_client import RESTConfig

REST, GRPC, KIND = arguments()
# It logs every refusal with a stack.
logging.disable(logging.CRITICAL)
_client = None


def client():
    """Made within the event loop."""
    global _client
    if _client is None:
        _client = InferenceRESTClient(RESTConfig(protocol="v2")) if KIND == "rest" else InferenceGRPCClient(GRPC)
    return _client


def at_server():
    return [f"http://{REST}"] if KIND == "rest" else []


async def ask(model, request):
    if KIND == "rest":
        return await client().infer(f"http://{REST}", request, model_name=model)
    return await client().infer(request)


def request_of(model, datatype, values, binary):
    given = InferInput("x", list(values.shape), datatype)
    given.set_data_from_numpy(values, binary_data=binary)
    return InferRequest(model, [given], request_id="mine")


async def echo(datatype, values, binary):
    model = f"identity_{datatype.lower()}"
    answer = await ask(model, request_of(model, datatype, values, binary))
    assert answer.id == "mine", answer.id
    got = answer.outputs[0].as_numpy()
    assert np.array_equal(got, values, equal_nan=values.dtype.kind == "f"), (got, values)


@check("live, ready, model ready")
async def health():
    assert await client().is_server_live(*at_server())
    assert await client().is_server_ready(*at_server())
    assert await client().is_model_ready(*at_server(), "simple")


@check("an unknown model is not ready")
async def unknown():
    try:
        is_ready = await client().is_model_ready(*at_server(), "nope")
    except Exception as error:
        assert "404" in str(error) or "NOT_FOUND" in str(error), error
    else:
        assert not is_ready


for is_binary in (False, True):

    @check(f"inference, {'binary' if is_binary else 'JSON or typed contents'}")
    async def inference(binary=is_binary):
        await echo("FP32", np.array([[0.1, -0.0, 1e-45, 3e38]], np.float32), binary)
        await echo("BOOL", np.array([[True, False, True, True]]), binary)

    @check(f"64-bit integers beyond 2^53, {'binary' if is_binary else 'JSON or typed contents'}")
    async def long_integers(binary=is_binary):
        await echo("INT64", np.array([[9007199254740993, -(2**63), 2**63 - 1, 0]], np.int64), binary)
        await echo("UINT64", np.array([[9007199254740993, 2**64 - 1, 0, 1]], np.uint64), binary)


@check("strings")
async def strings():
    text = np.array([["", "grüße", "a,]\"[", "x"]], dtype=object)
    answer = await ask("identity_bytes", request_of("identity_bytes", "BYTES", text, True))
    got = [each if isinstance(each, str) else bytes(each).decode() for each in answer.outputs[0].as_numpy().flatten()]
    assert got == list(text.flatten()), got


@check("errors say what is wrong")
async def errors():
    request = request_of("nope", "FP32", np.ones((1, 4), np.float32), True)
    assert "unknown model" in await refusal_of(lambda: ask("nope", request))


run()
