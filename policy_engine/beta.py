"""Tail of a Beta posterior in basic operations only.

INVARIANT: replay depends on every platform giving the same bits, so nothing here calls libm's log, exp or lgamma: they
differ in the last place between builds. IEEE + - * / and frexp/ldexp do not.
"""

from __future__ import annotations

from functools import lru_cache
from math import factorial, frexp, ldexp, sqrt

from policy_lang.ir import PPM

__all__ = ["logistic_ppm", "natural_log", "softplus", "tail_ppm"]

_LN2 = 0.6931471805599453
_TWO_PI = 6.283185307179586
_SQRT_HALF = 0.7071067811865476
#: A posterior of more outcomes counts as one of so many: the continued fraction needs terms like their square root, and
#: a wider posterior errs towards `unproven`.
_STRONGEST_MILLI = 10**9
# The series below are written out: a loop over their coefficients takes four times as long.
#: atanh(z) / z in z^2, highest power first.
_A19, _A17, _A15, _A13, _A11, _A9, _A7, _A5, _A3 = (1 / odd for odd in range(19, 1, -2))
#: e^x, highest power first.
_E14, _E13, _E12, _E11, _E10, _E9, _E8, _E7, _E6, _E5, _E4, _E3 = (1 / factorial(n) for n in range(14, 2, -1))


@lru_cache(maxsize=65_536)
def tail_ppm(alpha_milli: int, beta_milli: int, at_least_ppm: int) -> int:
    """P(X >= at_least) for X ~ Beta(alpha, beta), in ppm; parameters in thousandths, both positive.

    Regularised incomplete beta by its continued fraction (Abramowitz and Stegun 26.5.8), evaluated on the side where it
    converges fast (26.5.2: I_x(a,b) = 1 - I_{1-x}(b,a)).
    """
    strength = alpha_milli + beta_milli
    if strength > _STRONGEST_MILLI:
        alpha_milli = max(1, alpha_milli * _STRONGEST_MILLI // strength)
        beta_milli = max(1, _STRONGEST_MILLI - alpha_milli)
    a, b, x = alpha_milli / 1000, beta_milli / 1000, at_least_ppm / PPM
    if x <= 0:
        return PPM
    if x >= 1:
        return 0
    front = _front(a, b, *_logs(at_least_ppm))
    upper = 1 - front * _fraction(a, b, x) / a if x < (a + 1) / (a + b + 2) else front * _fraction(b, a, 1 - x) / b
    return min(PPM, max(0, int(upper * PPM + 0.5)))


def logistic_ppm(z: float) -> int:
    """1 / (1 + exp(-1.702 z)) in ppm: the normal distribution function to within 0.0095 (Camilli 1994)."""
    return int(PPM / (1 + _exp(min(700.0, max(-700.0, -1.702 * z)))) + 0.5)


def softplus(x: float) -> float:
    """ln(1 + e^x); x itself where the difference is below 1e-13."""
    return x if x > 30 else natural_log(1 + _exp(x))


@lru_cache(maxsize=1_024)
def _logs(at_least_ppm: int) -> tuple[float, float]:
    """ln x and ln (1 - x) of a floor."""
    x = at_least_ppm / PPM
    return natural_log(x), natural_log(1 - x)


def _front(a: float, b: float, log_x: float, log_rest: float) -> float:
    """x^a (1 - x)^b / B(a, b).

    B is taken to arguments above 10 by B(a, b) = B(a, b + 1) (a + b) / b, and there by Stirling's series (A&S 6.1.41).
    """
    power = a * log_x + b * log_rest
    both, product = a + b, 1.0
    while b < 10:
        product *= both / b
        b, both = b + 1, both + 1
    while a < 10:
        product *= both / a
        a, both = a + 1, both + 1
    power -= (a - 0.5) * natural_log(a / both) + (b - 0.5) * natural_log(b / both)
    return _exp(power - _beyond(a) - _beyond(b) + _beyond(both)) / (product * sqrt(_TWO_PI / both))


def _beyond(x: float) -> float:
    """What Stirling's series adds to (x - 1/2) ln x - x + ln(2 pi) / 2."""
    inverse = 1 / x
    square = inverse * inverse
    return inverse * (1 / 12 - square * (1 / 360 - square * (1 / 1260 - square / 1680)))


def _fraction(a: float, b: float, x: float) -> float:
    """Successive convergents, two terms a turn, over the denominator of the last, until a turn moves the value by less
    than 1e-10 of it.
    """
    both, place, m = a + b, a, 0.0
    numerator = 1 / (1 - both * x / (a + 1))
    before, under = numerator, numerator
    while m < 300:
        m += 1
        place += 2
        term = m * (b - m) * x / ((place - 1) * place)
        before, under = numerator + term * before, 1 + term * under
        term = -(a + m) * (both + m) * x / (place * (place + 1))
        last = numerator
        numerator, scale = before + term * numerator, under + term
        numerator, before, under = numerator / scale, before / scale, under / scale
        if -1e-10 * numerator < numerator - last < 1e-10 * numerator:
            break
    return numerator


def natural_log(x: float) -> float:
    """Natural logarithm of a positive double: 2 atanh((m - 1) / (m + 1)) of the mantissa plus exponent x ln 2."""
    mantissa, exponent = frexp(x)
    if mantissa < _SQRT_HALF:
        mantissa, exponent = mantissa * 2, exponent - 1
    z = (mantissa - 1) / (mantissa + 1)
    w = z * z
    high = (((_A19 * w + _A17) * w + _A15) * w + _A13) * w + _A11
    return 2 * z * (((((high * w + _A9) * w + _A7) * w + _A5) * w + _A3) * w + 1) + exponent * _LN2


def _exp(x: float) -> float:
    """e^x by Taylor series after removing whole powers of two; 0 below the least double."""
    if x < -745:
        return 0.0
    whole = int(x / _LN2 + (0.5 if x >= 0 else -0.5))
    r = x - whole * _LN2
    high = ((((_E14 * r + _E13) * r + _E12) * r + _E11) * r + _E10) * r + _E9
    low = (((((high * r + _E8) * r + _E7) * r + _E6) * r + _E5) * r + _E4) * r + _E3
    return ldexp(((low * r + 0.5) * r + 1) * r + 1, whole)
