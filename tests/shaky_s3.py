"""A proxy before an S3 server that answers with errors, or takes half of an upload and waits, when it is told to."""

import contextlib
import http.client
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

Behaviour = Callable[[str, str], str]
"""Takes a method and a path; answers `pass`, `stall`, or a status such as `500`."""


class Proxy(ThreadingHTTPServer):
    """Passes requests on, unless `behave` says another thing; `stalled` is set when half of an upload has come."""

    daemon_threads = True

    def __init__(self, endpoint: str) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.endpoint = endpoint
        self.behave: Behaviour = lambda method, path: "pass"
        self.stalled = threading.Event()
        self.ended = threading.Event()

    @property
    def query(self) -> str:
        return f"scheme=http&endpoint_override=127.0.0.1%3A{self.server_address[1]}&region=us-east-1"


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Proxy

    def _any(self) -> None:
        said = self.server.behave(self.command, self.path)
        if said == "stall":
            self.rfile.read(1000)
            self.server.stalled.set()
            self.server.ended.wait(120)
            self.close_connection = True
            return
        body = self._body()
        if said != "pass":
            self._answer(int(said), [], b"<Error><Code>InternalError</Code><Message>out of order</Message></Error>")
            return
        upstream = http.client.HTTPConnection(self.server.endpoint, timeout=60)
        with contextlib.closing(upstream):
            headers = {name: value for name, value in self.headers.items() if name.lower() != "transfer-encoding"}
            upstream.request(self.command, self.path, body, {**headers, "Content-Length": str(len(body))})
            answer = upstream.getresponse()
            self._answer(answer.status, answer.getheaders(), answer.read())

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding", "").lower() != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))
        parts = []
        while size := int(self.rfile.readline().partition(b";")[0], 16):
            parts.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(parts)

    do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = _any  # noqa: N815

    def _answer(self, status: int, headers: list[tuple[str, str]], body: bytes) -> None:
        self.send_response_only(status)
        kept = [(name, value) for name, value in headers if name.lower() not in ("transfer-encoding", "connection")]
        for name, value in kept:
            self.send_header(name, value)
        if "content-length" not in {name.lower() for name, _ in kept}:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


@contextlib.contextmanager
def shaky(endpoint: str) -> Iterator[Proxy]:
    """Run a proxy before the server at `host:port`."""
    proxy = Proxy(endpoint)
    thread = threading.Thread(target=proxy.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield proxy
    finally:
        proxy.ended.set()
        proxy.shutdown()
        proxy.server_close()
        thread.join(10)
