"""Numbers in words: short, with units, never a false precision."""

import math
from collections.abc import Sequence
from datetime import datetime

# A number and the ends of its interval, or None where too little is known.
Estimate = Sequence[float] | None

NOTHING = "—"
MINUS = "\N{MINUS SIGN}"


def rate(per_second: float | None) -> str:
    """Return queries per second: 0.4, 12, 9,310."""
    if per_second is None:
        return NOTHING
    if 0 < per_second < 10:
        return f"{per_second:.1f}"
    return f"{per_second:,.0f}"


def milliseconds(value: float | None) -> str:
    if value is None:
        return NOTHING
    if value >= 1000:
        return f"{value / 1000:.1f} s"
    return f"{value:.1f} ms" if value < 100 else f"{value:.0f} ms"


def share(part: float | None) -> str:
    """Return a percentage; what is nearly none or nearly all doesn't read as none or all."""
    if part is None:
        return NOTHING
    percent = part * 100
    if 0 < percent < 0.1:
        return "< 0.1 %"
    if 99.9 < percent < 100:
        return "> 99.9 %"
    return f"{percent:.1f} %" if 0 < percent < 10 or 99 < percent < 100 else f"{percent:.0f} %"


def sure(confidence: float) -> str:
    """Return how sure something is, rounded down: 95 %, 99.9 %."""
    digits = 1000.0 if confidence >= 0.99 else 100.0
    return f"{min(math.floor(confidence * digits) / digits, 0.999) * 100.0:g} %"


def percent(part: float | None) -> str:
    """Return a share that is compared with others: always with a decimal."""
    return NOTHING if part is None else f"{part * 100:.1f} %"


def mean_reward(estimate: Estimate) -> str:
    return percent(None if estimate is None else estimate[0])


def interval(estimate: Estimate) -> str:
    """Return the ends in percent: 97.3 to 99.7."""
    return "" if estimate is None else f"{estimate[1] * 100:.1f} to {estimate[2] * 100:.1f}"


def points(estimate: Estimate) -> str:
    """Return a difference of shares in points, with its sign."""
    return NOTHING if estimate is None else signed(estimate[0] * 100)


def points_interval(estimate: Estimate) -> str:
    """Return the ends of a difference in points: +1.2 to +4.0."""
    return "" if estimate is None else f"{signed(estimate[1] * 100)} to {signed(estimate[2] * 100)}"


def signed(number: float) -> str:
    """Return +12.4, 0.0, and with a minus of the width of a plus -3.1."""
    return f"{number:+,.1f}".replace("-", MINUS) if round(number, 1) else "0.0"


def day(moment: str) -> str:
    """Return the date and the minute of a time in ISO 8601: 31 Jan, 12:00."""
    at = datetime.fromisoformat(moment)
    return f"{at.day} {at:%b, %H:%M}"


def mebibytes(size: int) -> str:
    return f"{size / (1 << 20):,.0f} MiB"


def count(number: int) -> str:
    """Return 950, 12.4k, 3.1M."""
    if number < 10_000:
        return f"{number:,}"
    return f"{number / 1e3:,.1f}k" if number < 1_000_000 else f"{number / 1e6:,.1f}M"


def mean(number: float) -> str:
    """Return 1, 3.4, 120."""
    return f"{number:,.0f}" if number >= 20 else f"{number:.1f}".removesuffix(".0")


def listed(*parts: str) -> str:
    """Join what there is to say with commas."""
    return ", ".join(part for part in parts if part)
