"""gRPC's own library for Python, taught by the server alone. `reflection.py <REST> <gRPC> -`"""

import grpc
import numpy as np
from checks import arguments, check, run
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message_factory import GetMessageClass
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase

_, GRPC, _ = arguments()
channel = grpc.insecure_channel(GRPC)
database = ProtoReflectionDescriptorDatabase(channel)
pool = DescriptorPool(database)


def call(path, **fields):
    service, method = path.split("/")
    described = pool.FindServiceByName(service).FindMethodByName(method)
    request = GetMessageClass(described.input_type)(**fields)
    send = channel.unary_unary(
        f"/{path}",
        request_serializer=lambda message: message.SerializeToString(),
        response_deserializer=GetMessageClass(described.output_type).FromString,
    )
    return send(request)


@check("services are listed")
def services():
    listed = set(database.get_services())
    assert {"inference.GRPCInferenceService", "grpc.health.v1.Health"} <= listed, listed


@check("every message of every service is described")
def messages():
    for service in database.get_services():
        for method in pool.FindServiceByName(service).methods:
            GetMessageClass(method.input_type)()
            GetMessageClass(method.output_type)()


@check("inference by what was described")
def inference():
    values = [9007199254740993, 2, 3, 4]
    tensor = {"name": "x", "datatype": "INT64", "shape": [1, 4], "contents": {"int64_contents": values}}
    answer = call(
        "inference.GRPCInferenceService/ModelInfer",
        model_name="identity_int64",
        inputs=[tensor],
        parameters={"timeout": {"int64_param": 5_000_000}},
    )
    assert list(np.frombuffer(answer.raw_output_contents[0], np.int64)) == values, answer
    assert answer.parameters["sponge_batch"].int64_param == 1, answer


@check("health")
def health():
    assert call("grpc.health.v1.Health/Check", service="simple").status == 1


run()
