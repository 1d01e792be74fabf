"""Where a name leads: by weight, and the same way for a session as long as it lasts."""

from __future__ import annotations

import re

import pytest

from policy_engine.aliases import AliasError, alias_of, drawn, weighted

OLD, NEW, THIRD = ("0" * 64, "1" * 64, "2" * 64)


def test_a_whole_alias_draws_nothing(request_for):
    assert drawn(alias_of(OLD), "acme/support", request_for("label"), "d" * 32) == (OLD, 1_000_000)


def test_calls_without_a_session_are_shared_out_by_weight(request_for):
    alias = weighted([(OLD, 950_000), (NEW, 50_000)])
    found = [drawn(alias, "acme/support", request_for("label"), f"{number:032x}") for number in range(20_000)]
    assert {share for fingerprint, share in found if fingerprint == NEW} == {50_000}
    assert sum(fingerprint == NEW for fingerprint, _ in found) == pytest.approx(1_000, abs=100)


def test_a_session_keeps_its_version_on_every_turn(request_for):
    alias = weighted([(OLD, 500_000), (NEW, 500_000)])
    request = request_for("label", session="s1")
    assert len({drawn(alias, "acme/support", request, f"{number:032x}") for number in range(50)}) == 1


def test_a_share_that_grows_at_the_end_keeps_the_sessions_it_had(request_for):
    sessions = [request_for("label", session=f"s{number}") for number in range(2_000)]

    def moved(share):
        alias = weighted([(OLD, 1_000_000 - share), (NEW, share)])
        return {s.session for s in sessions if drawn(alias, "acme/support", s, "d" * 32)[0] == NEW}

    assert moved(50_000) < moved(200_000) < moved(500_000)


def test_names_draw_apart(request_for):
    alias = weighted([(OLD, 500_000), (NEW, 500_000)])
    sessions = [request_for("label", session=f"s{number}") for number in range(400)]
    together = sum(drawn(alias, "a", s, "d")[0] == drawn(alias, "b", s, "d")[0] for s in sessions)
    assert together == pytest.approx(200, abs=40)


@pytest.mark.parametrize(
    ("shares", "said"),
    [
        ([], "1 to 8 different fingerprints"),
        ([(OLD, 500_000), (OLD, 500_000)], "1 to 8 different fingerprints"),
        ([(f"{number:064x}", 100_000) for number in range(9)], "1 to 8 different fingerprints"),
        ([("0" * 63, 1_000_000)], "64 hexadecimal digits"),
        ([(OLD.replace("0", "A"), 1_000_000)], "64 hexadecimal digits"),
        ([(OLD, 950_000), (NEW, 40_000)], "add up to 100 % (1000000 parts per million), not to 99 %"),
        ([(OLD, 1_000_000), (NEW, 0)], "a share is more than 0 %, not 0 %"),
        ([(OLD, 1_100_000), (NEW, -100_000)], "a share is more than 0 %, not -10 %"),
    ],
)
def test_shares_that_are_no_alias_are_refused_with_what_would_be(shares, said):
    with pytest.raises(AliasError, match=re.escape(said)):
        weighted(shares)
