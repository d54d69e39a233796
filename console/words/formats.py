"""Numbers in words: short, with units, never a false precision."""

import math
from collections.abc import Sequence
from datetime import UTC, datetime

from django.utils import timezone
from django.utils.timesince import timesince

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


def moment(at: datetime) -> str:
    """Return a time for text that no script draws in the viewer's zone: 31 Jan 2026, 12:00 UTC."""
    exact = at.astimezone(UTC)
    return f"{exact.day} {exact:%b %Y, %H:%M} UTC"


def ago(moment: datetime | None) -> str:
    """Tell a time in words: "just now", "3 minutes ago", "in 2 days"."""
    if moment is None:
        return ""
    now = timezone.now()
    if abs((now - moment).total_seconds()) < 60:
        return "just now" if moment <= now else "in a moment"
    if moment > now:
        return f"in {timesince(now, moment, depth=1)}"
    return f"{timesince(moment, now, depth=1)} ago"


def duration(seconds: float) -> str:
    """Return the two largest units: 40 s, 12 min, 3 h 20 min, 2 days 4 h."""
    if seconds < 60:
        return milliseconds(seconds * 1000) if seconds < 10 else f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    hours, days = minutes // 60, minutes // (60 * 24)
    if not hours:
        return f"{minutes} min"
    if not days:
        return f"{hours} h {minutes % 60} min".removesuffix(" 0 min")
    return f"{days} day{'s' * (days > 1)} {hours % 24} h".removesuffix(" 0 h")


def size(number: int | None) -> str:
    """Return bytes: 812 B, 9.5 KiB, 66 MiB, 2.0 GiB."""
    if number is None:
        return NOTHING
    if number < 1024:
        return f"{number} B"
    power = min((int(number).bit_length() - 1) // 10, 4)
    shown = number / (1 << 10 * power)
    return f"{shown:,.{int(shown < 10)}f} {'KMGT'[power - 1]}iB"


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
