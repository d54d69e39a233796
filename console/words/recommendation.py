"""Words for the best arm, and a picture of each arm's reward."""

from collections.abc import Mapping, Sequence
from typing import Any

from console.words import formats

# The state that styles a notice, by that of the recommendation.
STYLES = {"best": "live", "reopened": "starting", "undecided": ""}


def worded(found: Mapping[str, Any] | None) -> dict[str, str]:
    """Return the sentence, what it rests on, and its style; empty where there is no choice."""
    if found is None:
        return {"recommendation": "", "rests_on": "", "proof": ""}
    sure = formats.sure(found["confidence"])
    sentence = {
        "best": f"{found['arm']} is the best, {sure} sure",
        "undecided": f"No version is proved to be the best yet: {found['arm']} leads, {sure} sure",
        "reopened": f"Reopened, as a version has changed: {found['arm']} leads, {sure} sure",
    }[found["state"]]
    since = f" since {formats.day(found['since'])}" if found["since"] else ""
    return {
        "recommendation": sentence,
        "rests_on": f"It took {formats.count(found['labels'])} rewards{since}."
        if found["state"] == "best"
        else f"So far {formats.count(found['labels'])} rewards{since}.",
        "proof": STYLES[found["state"]],
    }


def pictured(intervals: Sequence[Mapping[str, float] | None]) -> list[dict[str, float] | None]:
    """Return each interval's bar (`left`, `width`) and mean (`at`) in percent of a common scale."""
    known = [interval for interval in intervals if interval is not None]
    low = min((interval["low"] for interval in known), default=0.0)
    span = max((interval["high"] for interval in known), default=1.0) - low

    def part(length: float) -> float:
        return round(100.0 * length / span, 1) if span > 0.0 else 0.0

    return [
        None
        if interval is None
        else {
            "left": part(interval["low"] - low),
            "width": part(interval["high"] - interval["low"]),
            "at": part(interval["value"] - low),
        }
        for interval in intervals
    ]
