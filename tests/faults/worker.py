"""A Lambda environment as a process: a program, no module of the tests. It forks for each invocation and may be killed.

Reads a JSON object a line: `{"module", "event", "die", "environment"}`; `die` is `[n, "before" | "after"]`, the boundary
of the n-th call to AWS (from 0) at which the fork ends itself with SIGKILL, or null. Answers each with a line
`{"killed", "answer", "calls"}`. AWS is wherever `AWS_ENDPOINT_URL` of that environment says, in another process.
"""

import json
import os
import signal
import sys
from importlib import import_module

from functions.stores import clients

for name in ("route", "ingest", "learn", "record", "watch"):
    import_module(f"functions.{name}.app")
for service in ("dynamodb", "s3", "secretsmanager", "sqs"):
    clients.impatient(service)  # read the services' models once, not in every fork


def invoked(module, event, die, environment, pipe):
    os.environ |= environment
    calls = []

    def here(when):
        if die is not None and [len(calls) - 1, when] == die:
            os.kill(os.getpid(), signal.SIGKILL)

    def before(event_name, **_):
        calls.append(event_name.removeprefix("before-send."))
        here("before")

    emitter = clients._session().get_component("event_emitter")
    emitter.register_first("before-send.*.*", before)
    emitter.register("response-received.*.*", lambda **_: here("after"))
    answer = import_module(module).handler(event, None)
    os.write(pipe, json.dumps({"killed": False, "answer": answer, "calls": calls}).encode())


for line in sys.stdin:
    asked = json.loads(line)
    read, write = os.pipe()
    child = os.fork()
    if not child:
        os.close(read)
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        invoked(**asked, pipe=write)
        os._exit(0)
    os.close(write)
    with os.fdopen(read, "rb") as pipe:
        told = pipe.read()
    _, status = os.waitpid(child, 0)
    killed = os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL
    sys.stdout.write(f"{told.decode() or json.dumps({'killed': killed, 'answer': None, 'calls': []})}\n")
    sys.stdout.flush()
