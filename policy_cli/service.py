"""How the commands reach a deployed service: address and credentials from options or POINTSMAN_* variables."""

from __future__ import annotations

import functools
import json
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import click

from policy_cli.exits import ToolError
from policy_lang.frozen import frozen

if TYPE_CHECKING:
    from policy_client import Credentials

__all__ = ["Service", "policy_name", "refusal", "service_options"]

#: Error code -> what somebody at a command line can do about it.
_REMEDIES = {
    "bad_signature": "POINTSMAN_KEY and POINTSMAN_SECRET are a pair, as `pointsman tenant add` printed it",
    "no_history": "`--to FINGERPRINT` leads it to any version ever published",
    "stale_timestamp": "set the clock of this machine",
    "unknown_policy": "`pointsman publish FILE` publishes one",
    "unknown_tenant": "`pointsman tenant add NAME --principal ARN` enrols one",
}


@frozen
class Service:
    """Where requests go and who signs them."""

    url: str
    credentials: Credentials

    def post(self, path: str, document: Any) -> tuple[int, dict[str, Any]]:
        """Status and parsed reply of one POST. ToolError when there is no answer, or none of the service's."""
        from http.client import HTTPException
        from ssl import SSLError

        from policy_client.transport import Transport

        try:
            transport = Transport(self.url, connect_timeout=5.0, read_timeout=30.0)
        except ValueError as problem:
            raise ToolError(str(problem)) from None
        whole_path, body = transport.prefix + path, json.dumps(document).encode()
        headers = self.credentials.headers(transport.origin, whole_path, body, time.time_ns() // 1_000_000)
        try:
            status, content = transport.post(whole_path, body, headers)
            reply = json.loads(content)
        except SSLError as problem:
            raise ToolError(
                f"no answer from {self.url}: {problem}; an address without TLS begins with http://"
            ) from None
        except (OSError, HTTPException) as problem:
            raise ToolError(f"no answer from {self.url}: {problem}") from None
        except ValueError:
            reply = None
        finally:
            transport.close()
        if not isinstance(reply, dict):
            raise ToolError(f"{self.url} answered {status} with something other than a JSON object")
        return status, reply


def refusal(status: int, reply: Mapping[str, Any]) -> ToolError:
    """What the service answered in place of a result, with what to do about it."""
    found = reply.get("error", reply)
    code, message = found.get("code", status), found.get("message") or found.get("Message") or reply
    remedy = _REMEDIES.get(code)
    return ToolError(f"{code}: {message}" + (f"; {remedy}" if remedy else ""))


def policy_name(_: click.Context, __: click.Parameter, name: str) -> str:
    """Check an argument that names a policy."""
    from policy_cli.asking import is_of
    from policy_lang.ir import PolicyName

    if not is_of(name, PolicyName):
        accepted = "lower-case letters, digits, `-` and `_`, parted by `/`, as in team/name"
        raise click.BadParameter(f"`{name}` is no policy's name: {accepted}")
    return name


def service_options(command: Callable[..., None]) -> Callable[..., None]:
    """Add the options and hand the command `service`, which connects when it is called."""

    # The secret is hidden as an option: it belongs in the variable, arguments are visible to every process.
    @click.option("--url", envvar="POINTSMAN_URL", help="Address of the service. [POINTSMAN_URL]")
    @click.option("--key", envvar="POINTSMAN_KEY", help="Key id; POINTSMAN_SECRET holds its secret in hex.")
    @click.option("--secret", envvar="POINTSMAN_SECRET", hidden=True)
    @click.option("--region", envvar="AWS_REGION", help="Without --key: sign with the AWS identity in this region.")
    @click.option("--profile", help="AWS profile, with --region.")
    @functools.wraps(command)
    def with_service(
        url: str | None, key: str | None, secret: str | None, region: str | None, profile: str | None, **rest: Any
    ) -> None:
        command(service=lambda: _connected(url, key, secret, region, profile), **rest)

    return with_service


def _connected(
    url: str | None, key: str | None, secret: str | None, region: str | None, profile: str | None
) -> Service:
    if not url:
        raise ToolError("say where the service is: `--url` or POINTSMAN_URL")
    return Service(url, _credentials(key, secret, region, profile))


def _credentials(key: str | None, secret: str | None, region: str | None, profile: str | None) -> Credentials:
    from policy_client import HmacCredentials, SigV4Credentials

    if key:
        return HmacCredentials(key, _decoded(secret))
    if region:
        return SigV4Credentials(region, profile)
    raise ToolError("say who calls: `--key ID` with its secret in POINTSMAN_SECRET, or `--region` for AWS credentials")


def _decoded(secret: str | None) -> bytes:
    if not secret:
        raise ToolError("the secret of the key is missing: set POINTSMAN_SECRET")
    try:
        return bytes.fromhex(secret)
    except ValueError:
        raise ToolError("POINTSMAN_SECRET must be hexadecimal digits, as it was issued") from None
