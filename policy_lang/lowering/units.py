"""Numbers with units, exactly, as the whole numbers of the IR; what does not fit is a diagnostic, not a rounding."""

from __future__ import annotations

from dataclasses import replace
from typing import TypeVar

from policy_lang.canonical import MAX_SAFE_INTEGER
from policy_lang.diagnostics import Diagnostic, error
from policy_lang.ir import PPM
from policy_lang.text.syntax import Amount, Word

__all__ = ["day", "duration", "milli", "money", "plain", "price", "ratio", "share", "sure", "token_count", "tokens_per"]

_T = TypeVar("_T")
_LONGEST = 40
_MILLISECONDS = {"ms": 1, "s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}
_EPOCH = 719_528  # 1970-01-01, counted the same way
_LAST_DAY = 100_000
_PRICE_EXPONENTS = {"$/Mtok": 6, "$/Ktok": 9, "$/tok": 12}


def share(amount: Amount, what: str) -> int | Diagnostic:
    """`95%` or `0.95` in ppm; at most 100%."""
    if amount.unit not in ("%", ""):
        return _wrong_unit(amount, f"{what} is a share such as `95%`")
    ppm = _scaled(amount, 4 if amount.unit == "%" else 6, "four decimals of a percent")
    if isinstance(ppm, int) and ppm > PPM:
        meant = f"{amount.digits}%" if amount.unit == "" and ppm <= 100 * PPM else None
        return error("P401", amount.span, f"`{amount.text}` is more than 100%", None, meant)
    return ppm


def ratio(amount: Amount) -> int | Diagnostic:
    """The factor of `1.25 * field` in ppm; above 0, at most 1000."""
    if amount.unit != "":
        return _wrong_unit(amount, "a factor is a plain number such as `1.25`")
    ppm = _scaled(amount, 6, "six decimals")
    if isinstance(ppm, int) and not 0 < ppm <= 1000 * PPM:
        return error("P401", amount.span, f"the factor `{amount.text}` must lie above 0 and at most at 1000")
    return ppm


def token_count(amount: Amount) -> int | Diagnostic:
    """`4096` or `4096 tokens`."""
    if amount.unit not in ("", "tokens"):
        return _wrong_unit(amount, "a size is a number of tokens such as `4096`")
    return _scaled(amount, 0, "whole tokens")


def price(amount: Amount) -> int | Diagnostic:
    """`$15/Mtok` in pico-dollars per token."""
    if amount.unit not in _PRICE_EXPONENTS:
        return _wrong_unit(amount, "a price is written like `$15/Mtok`")
    return _scaled(amount, _PRICE_EXPONENTS[amount.unit], "whole pico-dollars per token")


def money(amount: Amount, per: str) -> int | Diagnostic:
    """`$2/day` (where `per` is `day`) in nano-dollars."""
    if amount.unit != f"$/{per}":
        return _wrong_unit(amount, f"this is money per {per}, as in `$2/{per}`")
    return _scaled(amount, 9, "whole nano-dollars")


def tokens_per(amount: Amount, per: str) -> int | Diagnostic:
    """`2_000_000 tokens/day` (where `per` is `day`)."""
    if amount.unit != f"tokens/{per}":
        return _wrong_unit(amount, f"this is tokens per {per}, as in `2_000_000 tokens/{per}`")
    return _scaled(amount, 0, "whole tokens")


def duration(amount: Amount, what: str, longest: str) -> int | Diagnostic:
    """`200ms`, `30s`, `30m`, `1.5h` or `7d` in milliseconds; more than nothing, at most `longest`."""
    if amount.unit not in _MILLISECONDS:
        return _wrong_unit(amount, f"{what} is a duration such as `30s`, in ms, s, m, h or d")
    thousandths = _scaled(amount, 3, "a millisecond")
    if isinstance(thousandths, Diagnostic):
        return thousandths
    value, rest = divmod(thousandths * _MILLISECONDS[amount.unit], 1_000)
    if rest:
        return error("P402", amount.span, f"`{amount.text}` is finer than a millisecond")
    most = int(longest.rstrip("mshd")) * _MILLISECONDS[longest.lstrip("0123456789")]
    if not 0 < value <= most:
        return error("P401", amount.span, f"{what} is more than nothing and at most {longest}")
    return value


def milli(amount: Amount) -> int | Diagnostic:
    """A plain number, perhaps signed, in thousandths."""
    if amount.unit != "":
        return _wrong_unit(amount, "a parameter is a plain number such as `0.2`")
    if not amount.digits.startswith("-"):
        return _scaled(amount, 3, "three decimals")
    value = _scaled(replace(amount, digits=amount.digits[1:]), 3, "three decimals")
    return value if isinstance(value, Diagnostic) else -value


def day(word: Word) -> int | Diagnostic:
    """`2026-12-31` in days since 1970 by the Gregorian calendar."""
    year, month, number = (int(part) for part in word.text.split("-"))
    leap = year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)
    lengths = (31, 29 if leap else 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)
    if not 1 <= month <= 12 or not 1 <= number <= lengths[month - 1]:
        return error("P401", word.span, f"`{word.text}` is not a day of the calendar", "as in `2026-12-31`")
    before = year - 1
    days = 365 * year + before // 4 - before // 100 + before // 400 + sum(lengths[: month - 1]) + number - _EPOCH
    if not 0 <= days <= _LAST_DAY:
        return error("P401", word.span, f"`{word.text}` lies outside the years 1970 to 2243")
    return days


def sure(value: _T | Diagnostic) -> _T:
    """A value that the checker has found convertible."""
    assert not isinstance(value, Diagnostic), "INVARIANT: the checker reports what cannot be converted"
    return value


def plain(amount: Amount) -> int | None:
    """The value of a whole number without a unit, else None."""
    return int(amount.digits) if amount.unit == "" and amount.digits.isdigit() and len(amount.digits) < 10 else None


def _wrong_unit(amount: Amount, accepted: str) -> Diagnostic:
    return error("P305", amount.span, f"`{amount.text}` has the wrong unit here: {accepted}")


def _scaled(amount: Amount, exponent: int, finest: str) -> int | Diagnostic:
    """digits x 10^exponent, which must be whole and a safe integer."""
    before, _, after = amount.digits.partition(".")
    after = after.rstrip("0")
    if len(before) > _LONGEST or len(after) > _LONGEST:
        return error("P402", amount.span, "this number has too many digits", f"at most {_LONGEST} are read")
    if len(after) > exponent:
        return error("P402", amount.span, f"`{amount.text}` is finer than {finest}")
    value: int = int(before + after) * 10 ** (exponent - len(after))
    if value > MAX_SAFE_INTEGER:
        return error("P401", amount.span, f"`{amount.text}` is too large", f"at most 2^53 - 1 {_base_unit(amount)}")
    return value


def _base_unit(amount: Amount) -> str:
    if amount.unit in _PRICE_EXPONENTS:
        return "pico-dollars per token"
    return "nano-dollars" if amount.unit.startswith("$") else "of the smallest unit"
