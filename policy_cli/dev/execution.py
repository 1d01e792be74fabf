"""The functions of the template in this process: imported afresh, under the template's environment, called in turn."""

from __future__ import annotations

import json
import os
import sys
import threading
import traceback
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from importlib import import_module
from typing import Any
from urllib.parse import unquote, urlsplit

from botocore.awsrequest import AWSResponse
from moto.core.botocore_stubber import MockRawResponse

from policy_cli.dev.events import function_arn
from policy_cli.dev.template import REGION, Template
from policy_lang.frozen import frozen

__all__ = ["Execution", "fresh_functions", "heard", "lambda_environment"]

_PACKAGE = "functions"


@frozen
class _Context:
    """What handlers and Powertools read of a Lambda context."""

    function_name: str
    aws_request_id: str
    memory_limit_in_mb: int = 512
    function_version: str = "live"

    @property
    def invoked_function_arn(self) -> str:
        return function_arn(self.function_name)


class Execution:
    """Calls handlers one at a time.

    INVARIANT: `turn` is held during every call. moto's transactions are not isolated from each other, and a signal or a
    second request must not find one half done. For the same reason `watch` looks at one tenant at a time.

    `asked`: what to do with an event that a handler hands to another function without waiting for it. By default that
    function is called as soon as the handler has returned, and what it raises is only printed.
    """

    def __init__(
        self, template: Template, variables: Mapping[str, str], asked: Callable[[str, Any], None] | None = None
    ) -> None:
        os.environ |= {**variables, "WATCH_WORKERS": "1"}
        self.turn = threading.RLock()
        self._entries = {function.name: _entry(function.module, function.entry) for function in template.functions}
        self._arns = {function_arn(function.name): function.name for function in template.functions}
        self._asked = asked or self._put_off
        self._waiting: deque[tuple[str, Any]] = deque()
        session = import_module(f"{_PACKAGE}.stores.clients")._session()
        session.register("before-send.lambda.Invoke", self._invoked)

    def call(self, function: str, event: Mapping[str, Any], request_id: str) -> Any:
        """The handler's answer; whatever it raises is the caller's to report."""
        with self.turn:
            try:
                return self._entries[function](event, _Context(function, request_id))
            finally:
                self._catch_up(request_id)

    def _put_off(self, function: str, event: Any) -> None:
        self._waiting.append((function, event))

    def _catch_up(self, request_id: str) -> None:
        while self._waiting:
            function, event = self._waiting.popleft()
            try:
                self._entries[function](event, _Context(function, f"{request_id}-asked"))
            except Exception:  # noqa: BLE001 - as in AWS, whoever asked is long gone
                traceback.print_exc()

    def _invoked(self, request: Any, **_: object) -> AWSResponse:
        """Lambda's answer to an invocation that nobody waits for."""
        arn = unquote(urlsplit(request.url).path).split("/")[3]
        self._asked(self._arns[arn], json.loads(request.body))
        # moto answers whatever looks like AWS as well, and knows no functions; the first answer counts.
        request.url = "http://lambda.invalid/"
        return AWSResponse(request.url, 202, {}, MockRawResponse(""))  # type: ignore[arg-type]


def _entry(module: str, name: str) -> Callable[[Mapping[str, Any], _Context], Any]:
    entry: Callable[[Mapping[str, Any], _Context], Any] = getattr(import_module(module), name)
    return entry


@contextmanager
def fresh_functions() -> Iterator[None]:
    """Inside, `functions` is imported anew: the clients and caches that handlers keep are one stack's."""
    modules = _taken(sys.modules)
    try:
        yield
    finally:
        _taken(sys.modules)
        sys.modules.update(modules)


@contextmanager
def heard(listener: Callable[[str, str], None]) -> Iterator[None]:
    """Inside, `listener` gets every line that a function logs, with the service's name, whether it is printed or not.

    Begin before the functions are imported: they take `observe` by its name.
    """
    observability: Any = import_module(f"{_PACKAGE}.observability")
    observe = observability.observe

    def observed(service: str, message: str, counts: Any, facts: Mapping[str, Any], **how: Any) -> None:
        listener(service, json.dumps({"message": message, "service": service, **counts, **facts}))
        observe(service, message, counts, facts, **how)

    observability.observe = observed
    try:
        yield
    finally:
        observability.observe = observe


def _taken(modules: dict[str, Any]) -> dict[str, Any]:
    found = {name: module for name, module in modules.items() if name.split(".")[0] == _PACKAGE}
    for name in found:
        del modules[name]
    return found


@contextmanager
def lambda_environment(*, verbose: bool) -> Iterator[None]:
    """An environment that knows no AWS account: the user's profile, endpoints and credentials are out of reach."""
    before = dict(os.environ)
    for name in before:
        if name.startswith(("AWS_", "POWERTOOLS_")):
            del os.environ[name]
    os.environ |= {
        "AWS_DEFAULT_REGION": REGION,
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        "AWS_EC2_METADATA_DISABLED": "true",
        "POWERTOOLS_METRICS_DISABLED": str(not verbose).lower(),
    }
    try:
        yield
    finally:
        for name in os.environ.keys() - before.keys():
            del os.environ[name]
        os.environ |= before
