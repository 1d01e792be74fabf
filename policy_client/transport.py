"""HTTP/1.1 from the standard library: kept-alive connections, short time-outs, nothing to install."""

from __future__ import annotations

import http.client
import select
import ssl
from collections import deque
from collections.abc import Mapping
from urllib.parse import urlsplit

__all__ = ["Response", "Transport"]

Response = tuple[int, bytes]
_IDLE_KEPT = 8
_MAX_REPLY = 4 * 1024 * 1024


class Transport:
    """POSTs to one origin. Safe to share between threads: a connection belongs to one request at a time.

    `connect_timeout` and `read_timeout` in seconds. After a fork the child needs a Transport of its own.
    """

    def __init__(self, url: str, *, connect_timeout: float, read_timeout: float) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment:
            raise _no_address(url)
        try:
            self._host, self._port = parts.hostname, parts.port
        except ValueError:  # a port that is no number, or none there can be
            raise _no_address(url) from None
        self.origin = f"{parts.scheme}://{parts.netloc}"
        self.prefix = parts.path.rstrip("/")
        self._tls = ssl.create_default_context() if parts.scheme == "https" else None
        self._timeouts = connect_timeout, read_timeout
        self._most_idle = _IDLE_KEPT
        self._idle: deque[http.client.HTTPConnection] = deque()

    def post(self, path: str, body: bytes, headers: Mapping[str, str]) -> Response:
        """Status and body of the reply. OSError or http.client.HTTPException when there is none."""
        kept = self._reusable()
        if kept is not None:
            try:
                return self._exchange(kept, path, body, headers)
            except (http.client.RemoteDisconnected, ConnectionResetError, BrokenPipeError):
                # The server may close an idle connection at the very moment it is used. Sending again is harmless: a
                # decision nobody follows leaves a receipt, and telemetry counts once per token and hop.
                kept.close()
        return self._exchange(self._opened(), path, body, headers)

    def close(self) -> None:
        """Close what is idle, and from now on every connection once it was used."""
        self._most_idle = 0
        self.let_go()

    def let_go(self) -> None:
        """Close what is idle."""
        while self._idle:
            self._idle.pop().close()

    def _exchange(
        self, connection: http.client.HTTPConnection, path: str, body: bytes, headers: Mapping[str, str]
    ) -> Response:
        try:
            connection.request("POST", path, body, {"Content-Type": "application/json", **headers})
            reply = connection.getresponse()
            content = reply.read(_MAX_REPLY)
            whole = reply.isclosed()
        except BaseException:
            connection.close()
            raise
        if whole and not reply.will_close:
            self._keep(connection)
        else:
            connection.close()
        return reply.status, content

    def _opened(self) -> http.client.HTTPConnection:
        connect, read = self._timeouts
        connection = (
            http.client.HTTPSConnection(self._host, self._port, timeout=connect, context=self._tls)
            if self._tls
            else http.client.HTTPConnection(self._host, self._port, timeout=connect)
        )
        connection.connect()
        connection.sock.settimeout(read)
        return connection

    def _keep(self, connection: http.client.HTTPConnection) -> None:
        if len(self._idle) < self._most_idle:
            self._idle.append(connection)
        else:
            connection.close()

    def _reusable(self) -> http.client.HTTPConnection | None:
        while True:
            try:
                connection = self._idle.pop()
            except IndexError:
                return None
            # An idle connection that is readable has been closed from the other side.
            if connection.sock is not None and not _readable(connection.sock.fileno()):
                return connection
            connection.close()


def _no_address(url: str) -> ValueError:
    return ValueError(f"`{url}` must be an http(s) address such as https://abc.lambda-url.eu-central-1.on.aws")


def _readable(descriptor: int) -> bool:
    if hasattr(select, "poll"):
        poller = select.poll()
        poller.register(descriptor, select.POLLIN)
        return bool(poller.poll(0))
    return bool(select.select([descriptor], [], [], 0)[0])
