from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policy_lang.diagnostics import NOWHERE, Diagnostic
from policy_lang.lowering.units import day, duration, milli, money, tokens_per
from policy_lang.text.syntax import Amount, Word


def amount(digits, unit):
    return Amount(digits, unit, digits + unit, NOWHERE)


@given(st.dates(date(1970, 1, 1), date(2243, 10, 16)))
def test_a_day_counts_from_1970(wanted):
    assert day(Word(wanted.isoformat(), NOWHERE)) == (wanted - date(1970, 1, 1)).days


@pytest.mark.parametrize("text", ["2026-02-29", "2026-13-01", "2026-00-10", "2026-04-31", "1969-12-31", "2243-10-18"])
def test_what_is_no_day_or_too_far_is_refused(text):
    assert isinstance(day(Word(text, NOWHERE)), Diagnostic)


@pytest.mark.parametrize(
    ("digits", "unit", "milliseconds"),
    [("200", "ms", 200), ("1.5", "s", 1_500), ("0.001", "s", 1), ("30", "m", 1_800_000), ("1", "d", 86_400_000)],
)
def test_durations_are_whole_milliseconds(digits, unit, milliseconds):
    assert duration(amount(digits, unit), "a pin", "30d") == milliseconds


@pytest.mark.parametrize(
    ("digits", "unit", "code"),
    [("0", "s", "P401"), ("31", "d", "P401"), ("0.0001", "s", "P402"), ("5", "", "P305"), ("5", "weeks", "P305")],
)
def test_what_is_no_duration_is_refused(digits, unit, code):
    assert duration(amount(digits, unit), "a pin", "30d").code == code


@pytest.mark.parametrize(("digits", "thousandths"), [("0.2", 200), ("-0.5", -500), ("4096", 4_096_000), ("0", 0)])
def test_parameters_count_in_thousandths(digits, thousandths):
    assert milli(amount(digits, "")) == thousandths


def test_money_and_tokens_name_their_period():
    assert money(amount("400", "$/month"), "month") == 400 * 10**9
    assert tokens_per(amount("2000000", "tokens/day"), "day") == 2_000_000
    assert money(amount("400", "$/month"), "day").code == "P305"
    assert tokens_per(amount("2", "tokens/day"), "month").code == "P305"
