"""Tail of a Beta posterior in basic operations only.

INVARIANT: replay depends on every platform giving the same bits, so nothing here calls libm's log, exp or lgamma: they
differ in the last place between builds. IEEE + - * / and frexp/ldexp do not.
"""

from __future__ import annotations

from functools import lru_cache
from math import factorial, frexp, ldexp

from policy_lang.ir import PPM

__all__ = ["logistic_ppm", "natural_log", "softplus", "tail_ppm"]

_LN2 = 0.6931471805599453
_HALF_LN_2PI = 0.9189385332046727
_SQRT_HALF = 0.7071067811865476
_TINY = 1e-300
#: A posterior of more outcomes counts as one of so many: the continued fraction needs terms like their square root, and
#: a wider posterior errs towards `unproven`.
_STRONGEST_MILLI = 10**9
#: Series of atanh(z) / z, highest power first.
_ATANH = tuple(1 / odd for odd in range(23, 0, -2))
#: Series of e^x, highest power first.
_EXP = tuple(1 / factorial(n) for n in range(17, -1, -1))


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
    front = _exp(_ln_gamma(a + b) - _ln_gamma(a) - _ln_gamma(b) + a * natural_log(x) + b * natural_log(1 - x))
    upper = 1 - front * _fraction(a, b, x) / a if x < (a + 1) / (a + b + 2) else front * _fraction(b, a, 1 - x) / b
    return min(PPM, max(0, int(upper * PPM + 0.5)))


def logistic_ppm(z: float) -> int:
    """1 / (1 + exp(-1.702 z)) in ppm: the normal distribution function to within 0.0095 (Camilli 1994)."""
    return int(PPM / (1 + _exp(min(700.0, max(-700.0, -1.702 * z)))) + 0.5)


def softplus(x: float) -> float:
    """ln(1 + e^x); x itself where the difference is below 1e-13."""
    return x if x > 30 else natural_log(1 + _exp(x))


def _fraction(a: float, b: float, x: float) -> float:
    """Modified Lentz evaluation (Thompson and Barnett 1986)."""
    c, d = 1.0, 1 - (a + b) * x / (a + 1)
    d = 1 / (d if abs(d) > _TINY else _TINY)
    result = d
    for m in range(1, 300):
        even = a + 2 * m
        for numerator in (
            m * (b - m) * x / ((even - 1) * even),
            -(a + m) * (a + b + m) * x / (even * (even + 1)),
        ):
            d = 1 + numerator * d
            d = 1 / (d if d > _TINY or -d > _TINY else _TINY)
            c = 1 + numerator / c
            c = c if c > _TINY or -c > _TINY else _TINY
            step = c * d
            result *= step
        if -1e-12 < step - 1 < 1e-12:
            break
    return result


def natural_log(x: float) -> float:
    """Natural logarithm of a positive double: 2 atanh((m - 1) / (m + 1)) of the mantissa plus exponent x ln 2."""
    mantissa, exponent = frexp(x)
    if mantissa < _SQRT_HALF:
        mantissa, exponent = mantissa * 2, exponent - 1
    z = (mantissa - 1) / (mantissa + 1)
    square, total = z * z, 0.0
    for weight in _ATANH:
        total = total * square + weight
    return 2 * z * total + exponent * _LN2


def _exp(x: float) -> float:
    """e^x by Taylor series after removing whole powers of two; 0 below the least double."""
    if x < -745:
        return 0.0
    whole = int(x / _LN2 + (0.5 if x >= 0 else -0.5))
    rest = x - whole * _LN2
    total = 0.0
    for weight in _EXP:
        total = total * rest + weight
    return ldexp(total, whole)


def _ln_gamma(x: float) -> float:
    """Stirling series (A&S 6.1.41) above 10, reached by the recurrence gamma(x + 1) = x gamma(x)."""
    product = 1.0
    while x < 10:
        product *= x
        x += 1
    inverse = 1 / x
    square = inverse * inverse
    series = inverse * (1 / 12 - square * (1 / 360 - square * (1 / 1260 - square / 1680)))
    whole = (x - 0.5) * natural_log(x) - x + _HALF_LN_2PI + series
    return whole if product == 1.0 else whole - natural_log(product)
