"""A real server that speaks S3, in a process of its own, and a proxy before it that answers where a test says so.

The server is moto's. AFTERFACT_S3_SERVER names a versitygw binary to be used in its place: an S3 server that people
run, and that proves who asks.
"""

from __future__ import annotations

import contextlib
import http.client
import itertools
import os
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote

HOST = "127.0.0.1"
START_SECONDS = 60.0
KEYS = {"AWS_ACCESS_KEY_ID": "AKIATESTTESTTESTTEST", "AWS_SECRET_ACCESS_KEY": "a-secret-that-nobody-may-see"}


@dataclass(frozen=True)
class S3Server:
    """A running server. environment(): what a process needs to reach it, and nothing else of AWS."""

    port: int
    proves_who_asks: bool
    host: str = HOST
    _numbers: Iterator[int] = field(default_factory=itertools.count)

    def environment(self, port: int | None = None) -> dict[str, str]:
        """port: a proxy's."""
        return {
            **KEYS,
            "AWS_ENDPOINT_URL": f"http://{self.host}:{port or self.port}",
            "AWS_REGION": "us-east-1",
            "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_CONFIG_FILE": os.devnull,
            "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        }

    def new_bucket(self) -> str:
        """Makes a bucket and returns its location, s3://NAME."""
        from pyarrow.fs import S3FileSystem

        name = f"bucket-{next(self._numbers)}"
        S3FileSystem(
            access_key=KEYS["AWS_ACCESS_KEY_ID"],
            secret_key=KEYS["AWS_SECRET_ACCESS_KEY"],
            region="us-east-1",
            scheme="http",
            endpoint_override=f"{self.host}:{self.port}",
            allow_bucket_creation=True,
        ).create_dir(name)
        return f"s3://{name}"


def upload(folder: Path, url: str) -> str:
    """Writes the files of a folder below a URL, which is returned."""
    from foundation.object_store import open_store

    store = open_store(url)
    for one in folder.rglob("*"):
        if one.is_file():
            store.write(str(one.relative_to(folder)), one.read_bytes())
    return url


@contextlib.contextmanager
def running_s3_server(host: str = HOST) -> Iterator[S3Server]:
    """Starts a server of its own and ends it. host: the address that it is reached at."""
    real = os.environ.get("AFTERFACT_S3_SERVER")
    port = _free_port(host)
    with tempfile.TemporaryDirectory(prefix="afterfact-s3-") as folder:
        command = [sys.executable, "-m", "moto.server", "-H", host, "-p", str(port)]
        environment = dict(os.environ)
        if real:
            command = [real, "--port", f"{host}:{port}", "--quiet", "posix", folder]
            environment |= {"ROOT_ACCESS_KEY": KEYS["AWS_ACCESS_KEY_ID"]}
            environment |= {"ROOT_SECRET_KEY": KEYS["AWS_SECRET_ACCESS_KEY"]}
        with open(Path(folder).with_suffix(".log"), "wb") as log:
            process = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
        try:
            _wait_for((host, port), process, Path(log.name))
            yield S3Server(port, bool(real), host)
        finally:
            process.kill()
            process.wait()
            Path(log.name).unlink()


def _free_port(host: str) -> int:
    with socket.socket() as one:
        one.bind((host, 0))
        return int(one.getsockname()[1])


def _wait_for(address: tuple[str, int], process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while process.poll() is None and time.monotonic() < deadline:
        with contextlib.suppress(OSError), socket.create_connection(address, timeout=1):
            return
        time.sleep(0.05)
    raise RuntimeError(f"the S3 server did not start: {log.read_text(errors='replace')[-2000:]}")


@dataclass(frozen=True)
class Asked:
    """One request. path: with its query, decoded."""

    method: str
    path: str


Answer = Callable[[Asked], tuple[int, bytes] | None]
"""Given a request, the status and body to answer it with, or None to let it through."""


class Proxy:
    """Stands before a server. asked: every request so far; answer: may be set at any time.

    It runs in the test's process, and some of deltalake's calls let no other thread run: have commands of their own
    processes use the table through it.
    """

    def __init__(self, port: int) -> None:
        self.asked: list[Asked] = []
        self.answer: Answer = lambda _asked: None
        proxy = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def _pass_on(self) -> None:
                body = self._body()
                asked = Asked(self.command, unquote(self.path))
                proxy.asked.append(asked)
                answered = proxy.answer(asked)
                if answered is not None:
                    self._reply(answered[0], [("Content-Type", "application/xml")], answered[1])
                    return
                upstream = http.client.HTTPConnection(HOST, port, timeout=60)
                headers = {n: v for n, v in self.headers.items() if n.lower() not in ("transfer-encoding", "expect")}
                if body or self.command in ("PUT", "POST"):
                    headers["Content-Length"] = str(len(body))
                upstream.request(self.command, self.path, body, headers)
                reply = upstream.getresponse()
                dropped = ("transfer-encoding", "connection", "content-length")
                kept = [(n, v) for n, v in reply.getheaders() if n.lower() not in dropped]
                self._reply(reply.status, kept, reply.read(), reply.getheader("Content-Length"))
                upstream.close()

            do_GET = do_PUT = do_POST = do_HEAD = do_DELETE = _pass_on

            def _body(self) -> bytes:
                if "chunked" not in self.headers.get("Transfer-Encoding", ""):
                    return self.rfile.read(int(self.headers.get("Content-Length", 0)))
                parts = []
                while size := int(self.rfile.readline().split(b";")[0], 16):
                    parts.append(self.rfile.read(size))
                    self.rfile.readline()
                while self.rfile.readline().strip():
                    pass
                return b"".join(parts)

            def _reply(self, status: int, headers: list[tuple[str, str]], body: bytes, size: str | None = None) -> None:
                self.send_response_only(status)
                for name, value in headers:
                    self.send_header(name, value)
                if status != 204:
                    head = self.command == "HEAD"
                    self.send_header("Content-Length", (size or "0") if head else str(len(body)))
                self.end_headers()
                if self.command != "HEAD" and status != 204:
                    self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                pass

        class Quiet(ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, *_: object) -> None:  # a killed client is no news
                pass

        self._server = Quiet((HOST, 0), Handler)
        self.port = int(self._server.server_address[1])
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


def refusal(code: str, message: str) -> bytes:
    """Returns the body with which S3 refuses."""
    return f'<?xml version="1.0"?><Error><Code>{code}</Code><Message>{message}</Message></Error>'.encode()


BUSY = 503, refusal("SlowDown", "Please reduce your request rate.")
EXPIRED = 400, refusal("ExpiredToken", "The provided token has expired.")


def busy(times: int | None = None) -> Answer:
    """Returns an answer of 503 so many times, or for ever."""
    left = itertools.count() if times is None else iter(range(times))
    return lambda _asked: BUSY if next(left, None) is not None else None
