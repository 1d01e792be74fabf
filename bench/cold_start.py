"""Cold start of the route function, beside a naive one and an empty one, under Lambda's own runtime and its emulator.

    make cold-start

The emulator is the binary inside the aws-sam-cli wheel, the runtime is awslambdaric. Milliseconds of wall clock from
the line `INIT REPORT`, nine rounds (or as many as the first argument says) in which the variants take turns; what an
empty handler needs is taken off. The emulator's own `Init Duration` counts something else. "route" is compiled as its
artifact is (infra/artifacts/route); "no bytecode" is what it would need without: /var/task cannot be written to. The
naive variant's libraries have bytecode, which a deployment would not give them. SnapStart takes its image after INIT.
"""

from __future__ import annotations

import os
import platform
import re
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from http.client import HTTPConnection
from pathlib import Path

import aws_lambda_powertools

ROOT = Path(__file__).resolve().parents[1]
ROUNDS = int(sys.argv[1]) if len(sys.argv) > 1 else 9
LIMIT_MS = 200
PORTS = 2
INIT = re.compile(r"INIT REPORT\(durationMs: ([0-9.]+)")
PACKAGES = ("functions", "policy_engine", "policy_lang")
LIBRARIES = ("aws_lambda_powertools", "jmespath")

# Every tutorial's function: the resource layer, all of Powertools, models and a grammar, made at import.
NAIVE = """
import json, os
import boto3, jsonschema, lark
from aws_lambda_powertools import Logger, Metrics, Tracer
from aws_lambda_powertools.event_handler import APIGatewayHttpResolver
from aws_lambda_powertools.utilities import parameters
from aws_lambda_powertools.utilities.idempotency import DynamoDBPersistenceLayer, IdempotencyConfig
from aws_lambda_powertools.utilities.validation import validator
from pydantic import BaseModel, create_model

tracer, logger, metrics = Tracer(), Logger(), Metrics(namespace="naive")
app = APIGatewayHttpResolver(enable_validation=True)
models = [create_model(f"Model{n}", **{f"field{f}": (int | None, None) for f in range(8)}) for n in range(10)]
table, bucket = boto3.resource("dynamodb").Table("table"), boto3.resource("s3").Bucket("bucket")
queue, store = boto3.client("sqs"), DynamoDBPersistenceLayer(table_name="idempotency")
grammar = lark.Lark.open(os.environ["GRAMMAR"], parser="lalr", start="start") if "GRAMMAR" in os.environ else None

def handler(event, context):
    return {}
"""
EMPTY = "def handler(event, context):\n    return {}\n"


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        variants = prepared(folder)
        emulator = Path(shutil.copy(emulator_binary(), folder / "rie"))
        emulator.chmod(0o755)
        measured: dict[str, list[float]] = {name: [] for name in variants}
        for number in range(-1, ROUNDS):
            for variant, (task, handler, settings) in variants.items():
                took = init_ms(emulator, task, handler, settings)
                # The first round warms the disk for all.
                if number >= 0:
                    measured[variant].append(took)
    print(
        f"{'INIT in ms, ' + str(ROUNDS) + ' rounds':32}{'median':>8}{'above empty':>14}{'best':>8}{'above empty':>14}"
    )
    for variant, times in measured.items():
        row = f"{variant:32}"
        for figure, width in ((statistics.median, 8), (min, 8)):
            took = figure(times)
            row += f"{took:{width}.0f}{took - figure(measured['empty']):14.0f}"
        print(row)
    above = statistics.median(measured["route"]) - statistics.median(measured["empty"])
    naive = statistics.median(measured["naive"]) - statistics.median(measured["empty"])
    print(f"route is {'within' if above <= LIMIT_MS else 'OVER'} its {LIMIT_MS} ms above an empty handler")
    print(f"and needs {above / naive:.2f} of what the naive one does")


def prepared(folder: Path) -> dict[str, tuple[Path, str, dict[str, str]]]:
    """Task root, handler and settings of each variant."""
    for name, text in (("empty", EMPTY), ("naive", NAIVE)):
        (folder / name).mkdir()
        (folder / name / "app.py").write_text(text)
    bare = folder / "bare"
    libraries = Path(aws_lambda_powertools.__file__).parents[1]
    for task in (folder / "route", bare):
        for path in [ROOT / package for package in PACKAGES] + [libraries / package for package in LIBRARIES]:
            shutil.copytree(path, task / path.name, ignore=shutil.ignore_patterns("__pycache__"))
    compiled = (ROOT / ".ci" / "bytecode.py", folder / "route", "functions.route.app")
    subprocess.run([sys.executable, *map(str, compiled)], check=True)
    settings = {
        "STATE_TABLE": "state",
        "LEDGER_TABLE": "ledger",
        "STATE_BUCKET": "state",
        "RECORDS_QUEUE_URL": "https://sqs.us-east-1.amazonaws.com/123456789012/records",
        "SIGNING_SECRET_ARN": "secret",
        "STATE_MAX_AGE_MS": "15000",
        "STATE_COPY_LIMIT_MS": "86400000",
    }
    return {
        "empty": (folder / "empty", "app.handler", {}),
        "route": (folder / "route", "functions.route.app.handler", settings),
        "route, no bytecode": (bare, "functions.route.app.handler", settings),
        "naive": (folder / "naive", "app.handler", {}),
    }


def init_ms(emulator: Path, task: Path, handler: str, settings: dict[str, str]) -> float:
    """INIT of one fresh environment, in milliseconds."""
    gateway, runtime = free_ports()
    environment = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(task),
        "PYTHONDONTWRITEBYTECODE": "1",
        "AWS_LAMBDA_FUNCTION_NAME": "measured",
        "AWS_REGION": "us-east-1",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ACCESS_KEY_ID": "none",
        "AWS_SECRET_ACCESS_KEY": "none",
        "AWS_EC2_METADATA_DISABLED": "true",
        "POWERTOOLS_SERVICE_NAME": "measured",
        "POWERTOOLS_METRICS_NAMESPACE": "measured",
        **settings,
    }
    command = [
        str(emulator),
        *("--log-level", "info"),
        *("--runtime-interface-emulator-address", f"127.0.0.1:{gateway}"),
        *("--runtime-api-address", f"127.0.0.1:{runtime}"),
        *(sys.executable, "-m", "awslambdaric", handler),
    ]
    with tempfile.TemporaryFile("w+") as log:
        process = subprocess.Popen(
            command, env=environment, cwd=task, stdout=log, stderr=subprocess.STDOUT, start_new_session=True
        )
        try:
            invoke(gateway)
        finally:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        log.seek(0)
        said = log.read()
    found = INIT.search(said)
    if found is None or "INIT RTDONE(status: success" not in said:
        sys.exit(f"{handler} did not start:\n{said}")
    return float(found[1])


def invoke(port: int) -> None:
    """One invocation, which is what makes the emulator start the runtime; its answer does not matter."""
    until = time.monotonic() + 30
    while True:
        connection = HTTPConnection("127.0.0.1", port, timeout=30)
        try:
            connection.request("POST", "/2015-03-31/functions/function/invocations", b"{}")
            connection.getresponse().read()
            return
        except ConnectionError:
            if time.monotonic() > until:
                raise
            time.sleep(0.02)
        finally:
            connection.close()


def free_ports() -> list[int]:
    held = [socket.create_server(("127.0.0.1", 0)) for _ in range(PORTS)]
    ports = [each.getsockname()[1] for each in held]
    for each in held:
        each.close()
    return ports


def emulator_binary() -> Path:
    machine = {"aarch64": "arm64", "arm64": "arm64", "x86_64": "x86_64"}.get(platform.machine(), "none")
    found = list(ROOT.glob(f".venvs/sam/lib/python*/site-packages/samcli/local/rapid/aws-lambda-rie-{machine}"))
    if sys.platform != "linux" or not found:
        sys.exit(
            f"not run: the emulator in aws-sam-cli is for Linux on x86-64 and arm64; this is {platform.platform()}"
        )
    return found[0]


if __name__ == "__main__":
    main()
