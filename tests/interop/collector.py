"""An OpenTelemetry receiver on the official protos: OTLP over gRPC and over HTTP, one JSON object per line on stdout.

First line: the two ports. Then every span and every data point, flattened to what a test asks for.
Not for: keeping anything.
"""

import json
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import grpc
from opentelemetry.proto.collector.metrics.v1 import metrics_service_pb2 as metrics_pb
from opentelemetry.proto.collector.metrics.v1 import metrics_service_pb2_grpc as metrics_grpc
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2 as trace_pb
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2_grpc as trace_grpc
from opentelemetry.proto.trace.v1.trace_pb2 import Span


def tell(**item):
    print(json.dumps(item), flush=True)


def attributes(pairs):
    return {pair.key: getattr(pair.value, pair.value.WhichOneof("value")) for pair in pairs}


def spans(request):
    for resource in request.resource_spans:
        service = attributes(resource.resource.attributes).get("service.name")
        for span in (span for scope in resource.scope_spans for span in scope.spans):
            tell(
                kind=Span.SpanKind.Name(span.kind).removeprefix("SPAN_KIND_"),
                name=span.name,
                service=service,
                trace=span.trace_id.hex(),
                span=span.span_id.hex(),
                parent=span.parent_span_id.hex(),
                attributes={name: str(value) for name, value in attributes(span.attributes).items()},
            )
    return trace_pb.ExportTraceServiceResponse()


def metrics(request):
    for metric in (m for r in request.resource_metrics for s in r.scope_metrics for m in s.metrics):
        shape = metric.WhichOneof("data")
        for point in getattr(metric, shape).data_points:
            named = {name: str(value) for name, value in attributes(point.attributes).items()}
            tell(kind=shape, name=metric.name, unit=metric.unit, attributes=named)
    return metrics_pb.ExportMetricsServiceResponse()


class Traces(trace_grpc.TraceServiceServicer):
    def Export(self, request, _context):
        return spans(request)


class Metrics(metrics_grpc.MetricsServiceServicer):
    def Export(self, request, _context):
        return metrics(request)


class Http(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    routes = {
        "/v1/traces": (trace_pb.ExportTraceServiceRequest, spans),
        "/v1/metrics": (metrics_pb.ExportMetricsServiceRequest, metrics),
    }

    def log_message(self, *_):
        pass

    def do_POST(self):
        message, receive = self.routes[self.path]
        body = self.rfile.read(int(self.headers["Content-Length"]))
        reply = receive(message.FromString(body)).SerializeToString()
        self.send_response(200)
        self.send_header("Content-Type", "application/x-protobuf")
        self.send_header("Content-Length", str(len(reply)))
        self.end_headers()
        self.wfile.write(reply)


def main():
    server = grpc.server(ThreadPoolExecutor(2))
    trace_grpc.add_TraceServiceServicer_to_server(Traces(), server)
    metrics_grpc.add_MetricsServiceServicer_to_server(Metrics(), server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    web = ThreadingHTTPServer(("127.0.0.1", 0), Http)
    print(json.dumps({"grpc": port, "http/protobuf": web.server_port}), flush=True)
    web.serve_forever()


if __name__ == "__main__":
    main()
