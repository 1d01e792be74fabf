"""The request that the front page shows, made for real."""

from __future__ import annotations

import json
import re
from pathlib import Path

from policy_cli.dev.clocks import VirtualClock
from policy_cli.dev.stack import LocalStack
from policy_client import HmacCredentials
from policy_client.transport import Transport

ROOT = Path(__file__).parents[3]


def test_the_python_of_the_front_page_gets_a_decision_and_reports_it():
    (text,) = re.findall(r"^```python\n(.*?)^```$", (ROOT / "README.md").read_text(), re.MULTILINE | re.DOTALL)
    clock = VirtualClock(1_800_000_000_000)
    with LocalStack(clock=clock, seed=1) as stack:
        tenant = stack.enrol("acme")
        credentials = HmacCredentials(tenant.key_id, tenant.secret)
        path, source = "/v1/policies/acme/support", (ROOT / "samples/acme/support.policy").read_text()
        body = json.dumps({"source": source}).encode()
        transport = Transport(stack.url, connect_timeout=5, read_timeout=30)
        assert transport.post(path, body, credentials.headers(stack.url, path, body, clock()))[0] == 200
        shown = '"https://…lambda-url…on.aws", HmacCredentials("key-id", bytes.fromhex("…"))'
        assert shown in text
        real = f'"{stack.url}", HmacCredentials("{tenant.key_id}", bytes.fromhex("{tenant.secret.hex()}")), clock=clock'
        names = {"clock": clock}
        exec(text.replace(shown, real), names)
        assert names["reply"].model
        assert names["client"].flush(30)
        stack.pump()
        assert names["client"].stats().accepted == 1
        names["client"].close()
