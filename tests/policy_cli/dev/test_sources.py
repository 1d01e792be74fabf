import threading
import time
from types import SimpleNamespace

import pytest
from botocore.session import Session
from moto import mock_aws

from policy_cli.dev.sources import Poller
from policy_cli.dev.template import REGION, Source


@pytest.fixture
def queue():
    with mock_aws():
        sqs = Session().create_client("sqs", region_name=REGION)
        yield SimpleNamespace(sqs=sqs, url=sqs.create_queue(QueueName="q")["QueueUrl"])


def filled(queue, messages, invoke):
    for number in range(messages):
        queue.sqs.send_message(QueueUrl=queue.url, MessageBody=str(number))
    source = Source(function="F", queue="Q", batch_size=25, window_s=0.3, reports_failures=True)
    return Poller(source, queue.sqs, queue.url, invoke)


def waiting(queue, kind="ApproximateNumberOfMessages"):
    return int(queue.sqs.get_queue_attributes(QueueUrl=queue.url, AttributeNames=[kind])["Attributes"][kind])


def test_batches_are_as_large_as_the_mapping_says_and_deleted_when_done(queue):
    sizes = []
    poller = filled(queue, 60, lambda event: sizes.append(len(event["Records"])))
    assert poller.drain(retry=False) == 60
    assert sizes == [25, 25, 10]
    assert (waiting(queue), waiting(queue, "ApproximateNumberOfMessagesNotVisible")) == (0, 0)


@pytest.mark.parametrize(
    ("answered", "again"),
    [
        ({"batchItemFailures": [{"itemIdentifier": 2}]}, 1),
        ({"batchItemFailures": [{"itemIdentifier": "unheard of"}]}, 3),
        ({"batchItemFailures": []}, 0),
        (None, 0),
    ],
)
def test_only_what_the_function_names_comes_again_and_everything_if_it_names_nonsense(queue, answered, again):
    def invoke(event):
        for failure in (answered or {}).get("batchItemFailures", ()):
            if failure["itemIdentifier"] == 2:
                failure["itemIdentifier"] = event["Records"][2]["messageId"]
        return answered

    assert filled(queue, 3, invoke).drain(retry=False) == 3
    assert waiting(queue, "ApproximateNumberOfMessagesNotVisible") == again


def test_a_function_that_raises_has_the_whole_batch_delivered_again(queue, capsys):
    def invoke(event):
        raise RuntimeError("no")

    assert filled(queue, 3, invoke).drain(retry=False) == 3
    assert waiting(queue, "ApproximateNumberOfMessagesNotVisible") == 3
    assert "RuntimeError: no" in capsys.readouterr().err


def test_messages_wait_for_the_window_to_close(queue):
    arrived = []
    poller = filled(queue, 0, lambda _: arrived.append(time.monotonic()))
    stop, turn = threading.Event(), threading.RLock()
    thread = threading.Thread(target=poller.run, args=(turn, stop))
    thread.start()
    with turn:
        queue.sqs.send_message(QueueUrl=queue.url, MessageBody="x")
        sent = time.monotonic()
    while not arrived and time.monotonic() - sent < 10:
        time.sleep(0.02)
    stop.set()
    thread.join()
    assert arrived[0] - sent >= 0.3
