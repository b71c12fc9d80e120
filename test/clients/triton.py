"""Triton's Python clients: HTTP and gRPC, synchronous and not. `triton.py <REST> <gRPC> http|grpc|http.aio|grpc.aio`"""

import importlib
import queue
import urllib.request

import numpy as np
from checks import arguments, check, refusal_of, run, settled

REST, GRPC, KIND = arguments()
is_http = KIND.startswith("http")
is_async = KIND.endswith("aio")
triton = importlib.import_module(f"tritonclient.{KIND.split('.')[0]}")
module = importlib.import_module(f"tritonclient.{KIND}")

_client = None


def client():
    """Made within the event loop, where there is one."""
    global _client
    if _client is None:
        _client = module.InferenceServerClient(REST if is_http else GRPC)
    return _client


def told(answer):
    """An answer of plain data: gRPC's are messages."""
    if is_http:
        return answer
    from google.protobuf.json_format import MessageToDict

    return MessageToDict(answer, preserving_proto_field_name=True, always_print_fields_with_no_presence=True)


def tensor(name, datatype, values, **how):
    made = triton.InferInput(name, list(values.shape), datatype)
    made.set_data_from_numpy(values, **(how if is_http else {}))
    return made


async def echo(datatype, values, in_json=False, **more):
    """What an identity model answers, both ways as binary or as JSON."""
    how = {"binary_data": not in_json} if is_http else {}
    given = tensor("x", datatype, values, **how)
    outputs = [triton.InferRequestedOutput("y", **how)]
    result = await settled(client().infer(f"identity_{datatype.lower()}", [given], outputs=outputs, **more))
    return result.as_numpy("y")


def same(got, expected):
    assert got.shape == expected.shape, (got.shape, expected.shape)
    assert np.array_equal(got, expected, equal_nan=expected.dtype.kind == "f"), (got, expected)


NON_FINITE = np.array([[np.nan, np.inf, -np.inf, -1.5]], np.float32)
LONGS = {
    "INT64": np.array([[9007199254740993, -(2**63), 2**63 - 1, 0]], np.int64),
    "UINT64": np.array([[9007199254740993, 2**64 - 1, 2**63, 0]], np.uint64),
}


@check("live, ready, model ready; not of an unknown model or version")
async def health():
    assert await settled(client().is_server_live())
    assert await settled(client().is_server_ready())
    assert await settled(client().is_model_ready("simple"))
    assert await settled(client().is_model_ready("simple", "1"))
    assert not await settled(client().is_model_ready("nope"))
    assert not await settled(client().is_model_ready("simple", "9"))


@check("metadata of server and model")
async def metadata():
    server = told(await settled(client().get_server_metadata()))
    assert "binary_tensor_data" in server["extensions"], server
    model = told(await settled(client().get_model_metadata("simple")))
    assert [each["name"] for each in model["inputs"]] == ["INPUT0", "INPUT1"], model
    assert [int(size) for size in model["outputs"][0]["shape"]] == [-1, 16], model


@check("model configuration")
async def config():
    answer = told(await settled(client().get_model_config("simple")))
    model = answer if is_http else answer["config"]
    assert model["max_batch_size"] == 16, model
    assert [int(version) for version in model["version_policy"]["specific"]["versions"]] == [1], model
    assert model["input"][0]["data_type"] == "TYPE_INT32" and "dynamic_batching" in model, model
    if is_http:
        assert model["input"][0]["format"] == "FORMAT_NONE", model


@check("statistics: inferences by rows, durations by requests")
async def statistics():
    async def of_simple():
        answer = told(await settled(client().get_inference_statistics("simple")))
        [model] = answer["model_stats"]
        stats = model["inference_stats"]
        assert int(stats["cache_hit"]["count"]) == 0, stats
        return [
            int(count)
            for count in (
                model["inference_count"],
                model["execution_count"],
                stats["success"]["count"],
                stats["compute_infer"]["count"],
            )
        ]

    before = await of_simple()
    rows = np.ones((3, 16), np.int32)
    await settled(client().infer("simple", [tensor("INPUT0", "INT32", rows), tensor("INPUT1", "INT32", rows)]))
    after = await of_simple()
    assert [b - a for a, b in zip(before, after)] == [3, 1, 1, 1], (before, after)
    everything = told(await settled(client().get_inference_statistics()))
    assert len(everything["model_stats"]) > 5


@check("repository: index, loading as it is, with a configuration and with files, unloading")
async def repository():
    index = told(await settled(client().get_model_repository_index()))
    models = index if is_http else index["models"]
    assert {"simple", "identity_fp32"} <= {model["name"] for model in models}, models
    await settled(client().load_model("simple", config='{"max_batch_size": 3}'))
    assert (await config_of("simple"))["max_batch_size"] == 3
    assert "dims are" in await refusal_of(
        lambda: client().load_model("simple", config='{"input": [{"name": "INPUT0", "dims": [5]}]}')
    )
    await settled(client().load_model("simple"))
    assert (await config_of("simple"))["max_batch_size"] == 16
    name = f"sent_{KIND.replace('.', '_')}"
    await settled(client().load_model(name, config="{}", files={"file:3/model.onnx": identity_of_two_floats()}))
    values = np.array([[1.5, -2.5]], np.float32)
    same((await settled(client().infer(name, [tensor("x", "FP32", values)]))).as_numpy("y"), values)
    assert "need a config" in await refusal_of(lambda: client().load_model(name, files={"file:3/model.onnx": b"x"}))
    await settled(client().unload_model(name))


async def config_of(model):
    answer = told(await settled(client().get_model_config(model)))
    return answer if is_http else answer["config"]


def identity_of_two_floats():
    """An ONNX model of one node, `x` [n, 2] to `y`, field by field (onnx.proto)."""

    def field(number, value):
        if isinstance(value, int):
            return bytes([number << 3, value])
        data = value.encode() if isinstance(value, str) else value
        return bytes([number << 3 | 2, len(data)]) + data

    def value_info(value_name):
        shape = field(1, field(2, "n")) + field(1, field(1, 2))
        return field(1, value_name) + field(2, field(1, field(1, 1) + field(2, shape)))

    node = field(1, "x") + field(2, "y") + field(4, "Identity")
    graph = field(1, node) + field(2, "graph") + field(11, value_info("x")) + field(12, value_info("y"))
    return field(1, 8) + field(7, graph) + field(8, field(2, 13))


@check("inference, several inputs and outputs")
async def inference():
    first, second = np.arange(16, dtype=np.int32).reshape(1, 16), np.ones((1, 16), np.int32)
    inputs = [tensor("INPUT0", "INT32", first), tensor("INPUT1", "INT32", second)]
    result = await settled(client().infer("simple", inputs, request_id="mine"))
    same(result.as_numpy("OUTPUT0"), first + second)
    same(result.as_numpy("OUTPUT1"), first - second)
    assert (result.get_response()["id"] if is_http else result.get_response().id) == "mine"


@check("every element type that NumPy has")
async def datatypes():
    await echo_each(in_json=False)


@check("every element type that JSON has, in JSON", applies=is_http)
async def datatypes_in_json():
    await echo_each(in_json=True)


async def echo_each(in_json):
    flags = np.array([[True, False, True, True]])
    same(await echo("BOOL", flags, in_json), flags)
    floats = np.array([[0.1, -0.0, 1e-45, 3e38]], np.float32)
    same(await echo("FP32", floats, in_json), floats)
    if not in_json:
        halves = np.array([[0.5, 1, 2, 65504]], np.float16)
        same(await echo("FP16", halves), halves)
    text = np.array([["", "grüße", "a,]\"[", "x" * 1000]], dtype=object)
    got = await echo("BYTES", text, in_json)
    assert [each if isinstance(each, str) else each.decode() for each in got.flatten()] == list(text.flatten()), got


@check("64-bit integers beyond 2^53, exact")
async def long_integers():
    for datatype, values in LONGS.items():
        same(await echo(datatype, values), values)
        if is_http:
            same(await echo(datatype, values, in_json=True), values)


@check("NaN and the infinities")
async def non_finite():
    same(await echo("FP32", NON_FINITE), NON_FINITE)
    if is_http:
        same(await echo("FP32", NON_FINITE, in_json=True), NON_FINITE)


@check("inputs and outputs that are used again, with other values and other forms")
async def reuse():
    given, wanted = triton.InferInput("x", [1, 4], "FP32"), triton.InferRequestedOutput("y")
    for value in (1, 2):
        values = np.full((1, 4), value, np.float32)
        given.set_data_from_numpy(values)
        same((await settled(client().infer("identity_fp32", [given], outputs=[wanted]))).as_numpy("y"), values)
    if is_http:
        given.set_data_from_numpy(values, binary_data=False)
        same((await settled(client().infer("identity_fp32", [given], outputs=[wanted]))).as_numpy("y"), values)
    rows = np.arange(12, dtype=np.float32).reshape(3, 4)
    given.set_shape([3, 4])
    given.set_data_from_numpy(rows)
    same((await settled(client().infer("identity_fp32", [given], outputs=[wanted]))).as_numpy("y"), rows)


@check("a channel with keepalive, and with arguments of one's own", applies=not is_http)
async def channels():
    values = np.ones((1, 4), np.float32)
    keepalive = triton.KeepAliveOptions(keepalive_time_ms=10_000, keepalive_permit_without_calls=True)
    arguments_of_its_own = [("grpc.max_receive_message_length", 1 << 20), ("grpc.primary_user_agent", "mine")]
    for how in ({"keepalive_options": keepalive}, {"channel_args": arguments_of_its_own}):
        other = module.InferenceServerClient(GRPC, **how)
        result = await settled(other.infer("identity_fp32", [tensor("x", "FP32", values)]))
        same(result.as_numpy("y"), values)
        await settled(other.close())


@check("compression both ways")
async def compression():
    values = np.zeros((16, 4), np.float32)
    for algorithm in ("gzip", "deflate"):
        how = (
            {"request_compression_algorithm": algorithm, "response_compression_algorithm": algorithm}
            if is_http
            else {"compression_algorithm": algorithm}
        )
        same(await echo("FP32", values, **how), values)


@check("timeout and priority of a request")
async def deadlines():
    values = np.ones((1, 4), np.float32)
    same(await echo("FP32", values, timeout=5_000_000, priority=1), values)
    assert "deadline" in (await refusal_of(lambda: echo("FP32", values, timeout=1))).lower()


@check("parameters of one's own are taken, sequences refused")
async def parameters():
    values = np.ones((1, 4), np.float32)
    same(await echo("FP32", values, parameters={"mine": "kept"}), values)
    text = await refusal_of(lambda: echo("FP32", values, sequence_id=7, sequence_start=True))
    assert "'sequence_id' is not supported" in text, text


@check("classification, with labels and without")
async def classification():
    scores = np.array([[0.1, 0.7, 0.15, 0.05], [4, 3, 2, 1]], np.float32)
    given = [tensor("x", "FP32", scores)]
    for model, labels in (("identity_fp32", ["", "", "", ""]), ("classes", [":ant", ":bee", ":cat", ":dog"])):
        output = triton.InferRequestedOutput("y", class_count=2)
        got = (await settled(client().infer(model, given, outputs=[output]))).as_numpy("y")
        expected = [
            [f"0.700000:1{labels[1]}", f"0.150000:2{labels[2]}"],
            [f"4.000000:0{labels[0]}", f"3.000000:1{labels[1]}"],
        ]
        assert [[each.decode() for each in row] for row in got] == expected, got


@check("errors say what is wrong")
async def errors():
    text = await refusal_of(lambda: client().infer("nope", [tensor("x", "FP32", NON_FINITE)]))
    assert "unknown model" in text, text
    text = await refusal_of(lambda: client().infer("identity_fp32", [tensor("x", "INT64", LONGS["INT64"])]))
    assert "expected FP32" in text, text


@check("shared memory: no regions, and none to be had")
async def shared_memory():
    for kind in ("system", "cuda"):
        status = told(await settled(getattr(client(), f"get_{kind}_shared_memory_status")()))
        assert (status if is_http else status["regions"]) in ([], {}), status
        await settled(getattr(client(), f"unregister_{kind}_shared_memory")())
    text = await refusal_of(lambda: client().register_system_shared_memory("region", "/region", 64))
    assert "shared memory is not supported" in text, text


@check("trace and log settings")
async def settings():
    trace = told(await settled(client().get_trace_settings("simple")))
    level = trace["trace_level"] if is_http else trace["settings"]["trace_level"]["value"]
    assert level == ["OFF"], trace
    text = await refusal_of(lambda: client().update_trace_settings(settings={"trace_level": ["TIMESTAMPS"]}))
    assert "cannot be changed" in text, text

    async def verbosity():
        log = told(await settled(client().get_log_settings()))
        return log["log_verbose_level"] if is_http else log["settings"]["log_verbose_level"]["uint32_param"]

    for level in (1, 0):
        await settled(client().update_log_settings({"log_verbose_level": level}))
        assert await verbosity() == level


@check("asynchronous inference", applies=not is_async)
async def asynchronous():
    values = np.ones((1, 4), np.float32)
    inputs = [tensor("x", "FP32", values)]
    if is_http:
        pending = client().async_infer("identity_fp32", inputs)
        same(pending.get_result().as_numpy("y"), values)
        return
    done = queue.Queue()
    client().async_infer("identity_fp32", inputs, lambda result, error: done.put((result, error)))
    result, error = done.get(timeout=30)
    assert error is None, error
    same(result.as_numpy("y"), values)


@check("streams, and their final response", applies=not is_http)
async def streams():
    values = np.ones((1, 4), np.float32)
    if is_async:

        async def requests():
            for count in range(3):
                # This one has no way to ask for the word on the final response.
                yield {"model_name": "identity_fp32", "inputs": [tensor("x", "FP32", count * values)]}

        answers = []
        async for result, error in client().stream_infer(requests()):
            answers.append((result, error))
    else:
        done = queue.Queue()
        client().start_stream(lambda result, error: done.put((result, error)))
        for count in range(3):
            inputs = [tensor("x", "FP32", count * values)]
            client().async_stream_infer("identity_fp32", inputs, enable_empty_final_response=True)
        answers = [done.get(timeout=30) for _ in range(3)]
        client().stop_stream()
    for count, (result, error) in enumerate(answers):
        assert error is None, error
        same(result.as_numpy("y"), count * values)
        assert is_async or result.get_response().parameters["triton_final_response"].bool_param


@check("many at a time, in no order", applies=not is_async)
async def many():
    batches = [np.full((1, 4), count, np.float32) for count in range(40)]
    if is_http:
        parallel = module.InferenceServerClient(REST, concurrency=8)
        pending = [parallel.async_infer("identity_fp32", [tensor("x", "FP32", values)]) for values in batches]
        results = [each.get_result() for each in pending]
        parallel.close()
    else:
        done = queue.Queue()
        for count, values in enumerate(batches):
            inputs = [tensor("x", "FP32", values)]
            client().async_infer("identity_fp32", inputs, lambda result, error, at=count: done.put((at, result, error)))
        answers = sorted((done.get(timeout=30) for _ in batches), key=lambda answer: answer[0])
        assert all(error is None for _, _, error in answers), answers
        results = [result for _, result, _ in answers]
    for result, values in zip(results, batches):
        same(result.as_numpy("y"), values)


@check("bodies made and read by the client's own functions", applies=KIND == "http")
async def bodies():
    values = np.ones((1, 4), np.float32)
    body, length = triton.InferenceServerClient.generate_request_body([tensor("x", "FP32", values)])
    headers = {"Inference-Header-Content-Length": str(length)}
    request = urllib.request.Request(f"http://{REST}/v2/models/identity_fp32/infer", body, headers)
    with urllib.request.urlopen(request) as answer:
        length = int(answer.headers["Inference-Header-Content-Length"])
        result = triton.InferenceServerClient.parse_response_body(answer.read(), header_length=length)
    same(result.as_numpy("y"), values)


async def close():
    """Without it the asynchronous HTTP client complains."""
    await settled(client().close())


run(close)
