"""HTTP on the loopback interface, in place of the Function URLs. One port: the path says which function is meant."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable, Iterable
from typing import Any
from urllib.parse import urlsplit

from werkzeug.exceptions import HTTPException
from werkzeug.serving import WSGIRequestHandler, make_server
from werkzeug.wrappers import Request, Response

from policy_cli.dev.events import HttpRequest

__all__ = ["MAX_BODY", "Answer", "HttpServer"]

#: Lambda's own limit on a request.
MAX_BODY = 6 * 1024 * 1024
_HOST = "127.0.0.1"

#: What a handler returned, in payload format 2.0.
Answer = dict[str, Any]


class HttpServer:
    """Answers requests in threads of its own from the moment it is made until `close`."""

    def __init__(self, answer: Callable[[HttpRequest], Answer], port: int) -> None:
        self._answer = answer
        self._closing = False
        self._in_work = 0
        self._changed = threading.Condition()
        # Bound here because werkzeug ends the process where a port is taken; this raises OSError.
        with socket.create_server((_HOST, port)) as bound:
            self._server = make_server(
                _HOST, port, self._application, threaded=True, request_handler=_Quiet, fd=bound.fileno()
            )
        self.url = f"http://{_HOST}:{self._server.port}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), name="http", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Take no more requests; return when those already taken have been answered."""
        with self._changed:
            self._closing = True
            self._changed.wait_for(lambda: self._in_work == 0)
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def _application(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        with self._changed:
            refused = self._closing
            self._in_work += not refused
        if refused:
            return _json(503, {"Message": "the local server is shutting down"})(environ, start_response)
        try:
            return self._respond(environ)(environ, start_response)
        finally:
            with self._changed:
                self._in_work -= 1
                self._changed.notify_all()

    def _respond(self, environ: dict[str, Any]) -> Response:
        incoming = Request(environ)
        incoming.max_content_length = MAX_BODY
        try:
            body = incoming.get_data()
        except HTTPException as problem:
            return _json(problem.code or 400, {"Message": problem.description})
        target = urlsplit(environ["REQUEST_URI"])
        answer = self._answer(
            HttpRequest(
                method=incoming.method,
                path=target.path,
                query=target.query,
                headers={name.lower(): value for name, value in incoming.headers.items()},
                body=body,
                source_ip=incoming.remote_addr or _HOST,
            )
        )
        return Response(answer.get("body", ""), answer["statusCode"], answer.get("headers"))


class _Quiet(WSGIRequestHandler):
    def log(self, type: str, message: str, *args: Any) -> None:  # noqa: A002 - werkzeug's name
        """The handlers log requests; the transport has nothing to add."""


def _json(status: int, document: dict[str, Any]) -> Response:
    return Response(json.dumps(document), status, content_type="application/json")
