"""A real HTTP server on a free port that answers as told and remembers what it was asked."""

from __future__ import annotations

import json
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

ARMS = ("anthropic/claude-haiku-4-5", "bedrock/us.amazon.nova-lite-v1:0")
REPLY: dict[str, Any] = {
    "arm": ARMS[0],
    "baseline": {"arm": ARMS[1], "cost_nanodollars": 9_000},
    "candidates": [],
    "cluster": "0123456789abcdef0123",
    "confidence_ppm": 910_000,
    "decision_id": "0" * 32,
    "degraded": False,
    "expected_cost_nanodollars": 1_200,
    "explored": False,
    "fingerprints": {},
    "floor": "cleared",
    "mode": "live",
    "model": "claude-haiku-4-5",
    "plan": [
        {
            "arm": arm,
            "floor": "cleared",
            "model": arm.partition("/")[2],
            "provider": arm.partition("/")[0],
            "role": role,
        }
        for arm, role in zip(ARMS, ("pick", "fallback"), strict=True)
    ],
    "propensity_ppm": 950_000,
    "provider": "anthropic",
    "route": "labelling",
    "state_age_ms": 40,
    "status": "served",
    "stream": False,
    "tier": "small",
    "token": "1.k1.payload.mac-mac-mac",
}


@dataclass
class Service:
    """`answers` are used up in order, the last one for good: (status, document or text, seconds to wait first)."""

    url: str
    answers: deque[tuple[int, Any, float]] = field(default_factory=deque)
    asked: list[tuple[str, dict[str, str], bytes]] = field(default_factory=list)
    peers: list[tuple[str, int]] = field(default_factory=list)
    hang_up: bool = False

    def answer(self, status: int, document: Any, wait: float = 0.0) -> None:
        self.answers.append((status, document, wait))

    def records(self) -> list[dict[str, Any]]:
        return [
            record
            for path, _, body in self.asked
            if path.endswith("telemetry")
            for record in json.loads(body)["records"]
        ]


@pytest.fixture
def service() -> Iterator[Service]:
    told = Service("")

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            told.asked.append((self.path, dict(self.headers.items()), body))
            told.peers.append(self.client_address)
            status, document, wait = told.answers[0] if len(told.answers) == 1 else told.answers.popleft()
            time.sleep(wait)
            content = document.encode() if isinstance(document, str) else json.dumps(document).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)
            self.close_connection = told.hang_up

        def log_message(self, *_: object) -> None: ...

    class Server(ThreadingHTTPServer):
        def handle_error(self, *_: object) -> None: ...  # a client that gave up is part of the tests

    with Server(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        server.block_on_close = False
        told.url = f"http://127.0.0.1:{server.server_address[1]}"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield told
        server.shutdown()
        thread.join()


@pytest.fixture
def reply_document() -> dict[str, Any]:
    return dict(REPLY)


@pytest.fixture
def eventually() -> Callable[[Callable[[], bool]], bool]:
    def wait(holds: Callable[[], bool], seconds: float = 5.0) -> bool:
        deadline = time.monotonic() + seconds
        while not holds() and time.monotonic() < deadline:
            time.sleep(0.005)
        return holds()

    return wait
