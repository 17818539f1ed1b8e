"""An S3 server on loopback: moto's, with a bucket of its own for each test."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from urllib.parse import quote

import pyarrow.fs as pafs

CREDENTIALS = {
    "AWS_ACCESS_KEY_ID": "testing",
    "AWS_SECRET_ACCESS_KEY": "testing",
    "AWS_EC2_METADATA_DISABLED": "true",
    "AWS_MAX_ATTEMPTS": "1",
}
"""They open nothing else."""


@dataclass(frozen=True)
class Bucket:
    """A bucket: its URI query and a way to put objects into it."""

    name: str
    query: str
    filesystem: pafs.S3FileSystem

    def put(self, key: str, data: bytes) -> str:
        """Store an object; return its URI."""
        with self.filesystem.open_output_stream(f"{self.name}/{key}") as stream:
            stream.write(data)
        return self.uri(key)

    def uri(self, key: str = "") -> str:
        """Return the URI of a key or of the whole bucket."""
        return f"s3://{self.name}/{quote(key)}".rstrip("/") + f"?{self.query}"


@contextmanager
def serve(monkeypatch: "object", name: str) -> Iterator[Bucket]:
    """Run a server with one bucket; the environment gets credentials that open nothing else."""
    from moto.server import ThreadedMotoServer

    for key, value in CREDENTIALS.items():
        monkeypatch.setenv(key, value)
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    try:
        host, port = server.get_host_and_port()
        filesystem = pafs.S3FileSystem(
            endpoint_override=f"{host}:{port}", scheme="http", region="us-east-1", allow_bucket_creation=True
        )
        filesystem.create_dir(name)
        yield Bucket(name, f"scheme=http&endpoint_override={host}%3A{port}&region=us-east-1", filesystem)
    finally:
        server.stop()
