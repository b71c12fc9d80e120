"""
A receiver of OTLP over HTTP that decodes with the protocol's own published classes (`opentelemetry-proto`): prints its port, takes what comes
until a line of JSON on its input says what was asked of the server, and then says whether that is in it.
"""

import http.server
import json
import sys
import threading

from checks import check, run
from google.protobuf.unknown_fields import UnknownFieldSet
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span


received = []


class Receiver(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        body = b""
        # In chunks, as Node's client sends it.
        while size := int(self.rfile.readline(), 16):
            body += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        received.append((self.path, self.headers["Content-Type"], body))
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Receiver)
threading.Thread(target=server.serve_forever, daemon=True).start()
print(json.dumps({"port": server.server_address[1]}), flush=True)
asked = json.loads(sys.stdin.readline())
server.shutdown()


def unknown_fields(message):
    """Names of messages that have a field that their class has not."""
    own = [type(message).__name__] if len(UnknownFieldSet(message)) > 0 else []
    for field, value in message.ListFields():
        if field.message_type is not None:
            for each in value if not hasattr(value, "ListFields") else [value]:
                own += unknown_fields(each)
    return own


def requests():
    return [ExportTraceServiceRequest.FromString(body) for _, _, body in received]


def spans():
    return [span for each in requests() for of in each.resource_spans for scope in of.scope_spans for span in scope.spans]


def value_of(any_value):
    return getattr(any_value, any_value.WhichOneof("value"))


def attributes(span):
    return {each.key: value_of(each.value) for each in span.attributes}


def trace(trace_id):
    return [span for span in spans() if span.trace_id.hex() == trace_id]


@check("all of it decodes, and has no field that the protocol has not")
def _():
    assert received, "nothing came"
    assert {(path, kind) for path, kind, _ in received} == {("/v1/traces", "application/x-protobuf")}, received[0][:2]
    unknown = [name for each in requests() for name in unknown_fields(each)]
    assert unknown == [], unknown
    for each in requests():
        assert ExportTraceServiceRequest.FromString(each.SerializeToString()) == each


@check("says what it is of: a resource and a scope")
def _():
    for each in requests():
        (of,) = each.resource_spans
        resource = {attribute.key: value_of(attribute.value) for attribute in of.resource.attributes}
        assert resource["service.name"] == "sponge" and resource["service.instance.id"], resource
        assert [scope.scope.name for scope in of.scope_spans] == ["sponge"]


@check("each span has ids of 16 and 8 bytes, none of them twice, a name, a kind, and ends no sooner than it begins")
def _():
    found = spans()
    assert len({span.span_id for span in found}) == len(found)
    for span in found:
        assert (len(span.trace_id), len(span.span_id)) == (16, 8) and any(span.trace_id) and any(span.span_id), span
        assert len(span.parent_span_id) in (0, 8), span
        assert span.name and span.kind in (Span.SPAN_KIND_INTERNAL, Span.SPAN_KIND_SERVER), span
        assert 1.5e18 < span.start_time_unix_nano <= span.end_time_unix_nano, span
        keys = [each.key for each in span.attributes]
        assert len(set(keys)) == len(keys) and all(each.value.WhichOneof("value") for each in span.attributes), span


@check("a call over REST is one server span below its caller's, and what it waited for below that")
def _():
    of_call(asked["rest"], {"http.request.method": "POST", "http.response.status_code": 200})


@check("and one over gRPC, and one of text, with its steps")
def _():
    of_call(asked["grpc"], {"rpc.system.name": "grpc", "rpc.response.status_code": "OK"})
    names = of_call(asked["text"], {"http.route": "/v1/embeddings"})
    assert {"step tokenize", "step embed", "function", "run"} <= names, names


def of_call(call, expected):
    found = trace(call["traceId"])
    (own,) = [span for span in found if span.kind == Span.SPAN_KIND_SERVER]
    assert own.parent_span_id.hex() == call["spanId"] and own.trace_state == "vendor=of-its-own", own
    assert own.flags & 0x301 == 0x301, own.flags  # Sampled, and the parent is known to be remote.
    assert expected.items() <= attributes(own).items(), attributes(own)
    assert {"receive", "admission", "queue", "run", "reply"} <= {span.name for span in found}
    ids = {span.span_id for span in found}
    assert all(span.parent_span_id in ids for span in found if span is not own)
    return {span.name for span in found}


@check("a batch is linked with its members, both ways")
def _():
    by_id = {span.span_id: span for span in spans()}
    runs = [span for span in spans() if span.name == "run"]
    assert runs
    for each in runs:
        (link,) = each.links
        batch = by_id[link.span_id]
        assert batch.trace_id == link.trace_id and batch.name.startswith("batch "), batch
        back = {(member.trace_id, member.span_id) for member in batch.links}
        # Of a step that runs for each part its span is the member.
        assert back and all(member in {(span.trace_id, span.span_id) for span in spans()} for member in back)


@check("one that was refused is there, with the reason, and is an error only where it is the server's fault")
def _():
    (own,) = [span for span in trace(asked["refused"]["traceId"]) if span.kind == Span.SPAN_KIND_SERVER]
    said = attributes(own)
    assert said["http.response.status_code"] == 504 and said["error.type"], said
    assert own.status.code == 2, own.status


run()
