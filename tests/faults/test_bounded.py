"""What a caller waits for, and for how long, while what `route` needs is out of reach."""

from __future__ import annotations

import pytest

# Of the SDK's own: two attempts of half a second each and a pause of at most a second between them.
ONE_CALL_S = 2.0


@pytest.fixture
def warm(world):
    here = world("calm", seed=11)
    here.ask("acme")
    here.waits.clear()
    return here


def test_with_dynamodb_down_the_answer_comes_from_the_cache_with_its_age_and_is_bounded(warm):
    warm.wire.down = frozenset({"dynamodb"})
    warm.now += 60_000
    for seconds in range(0, 240, 10):
        warm.now += 10_000
        _, reply = warm.ask("acme")
        told = warm.receipts_waiting("acme")[-1]["circumstances"]
        assert (told["degraded"], told["state_age_ms"]) == (True, 70_000 + seconds * 1_000)
        if "error" not in reply:
            assert (reply["degraded"], reply["state_age_ms"], reply["explored"]) == (True, told["state_age_ms"], False)
    # A request may find both its state and its leases due for renewal.
    assert max(warm.waits) <= 2 * ONE_CALL_S
    assert warm.statuses[503] == 0


def test_with_sqs_down_the_receipt_is_spooled_and_the_answer_is_bounded(warm):
    warm.wire.down = frozenset({"sqs"})
    for _ in range(20):
        warm.ask("acme")
    assert max(warm.waits) <= ONE_CALL_S
    assert warm.statuses[503] == 0
    warm.wire.down = frozenset()
    warm.settle()
    assert warm.broken() == set()


def test_with_s3_down_a_warm_environment_notices_nothing(warm):
    warm.wire.down = frozenset({"s3"})
    for _ in range(20):
        warm.ask("acme")
    assert max(warm.waits) == 0
    assert warm.statuses[503] == 0


def test_a_cold_environment_without_dynamodb_serves_from_the_signed_copies(warm):
    warm.watch()
    warm.restart()
    warm.wire.down = frozenset({"dynamodb"})
    status, reply = warm.ask("acme")
    assert (status, reply["degraded"], reply["explored"]) == (200, True, False)
    assert max(warm.waits) <= 3 * ONE_CALL_S
    warm.wire.down = frozenset()
    warm.settle()
    assert warm.broken() == set()
