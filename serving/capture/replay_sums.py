"""Sums of a replay: how a version's answers differ from the live one's, and what labels say."""

from bisect import bisect_left
from contextlib import suppress
from typing import Any, NamedTuple

import msgspec

from core.errors import ClipperError
from selection.inference import ALPHA, Interval, Rewards, mean
from selection.rewards.losses import Loss
from serving.engine.stats import LATENCY_BOUNDS, quantile

CHANGED_ROWS = 100
# Answers of a matrix: longer ones, or more of them, aren't classes.
CLASS_CHARACTERS, CLASSES = 24, 12
_json = msgspec.json.decode


class ReplayedRow(NamedTuple):
    """A captured query and its answers as JSON: given then, by the live version, and now.

    Without an answer now it has the `error`; `label` is "" if nobody gave one.
    """

    number: int
    given: bytes
    live: bytes
    now: bytes
    error: str
    seconds: float
    label: str = ""


class ReplaySums(msgspec.Struct):
    """Counts of rows; `given` and `live` are of rows compared with those answers, and how many
    differ. `gained` and `lost` sum the differences of losses of rows with a label.
    """

    answered: int = 0
    failed: int = 0
    given: list[int] = msgspec.field(default_factory=lambda: [0, 0])
    live: list[int] = msgspec.field(default_factory=lambda: [0, 0])
    labels: int = 0
    gained: float = 0.0
    lost: float = 0.0
    # Rows by the seconds that the version took for each, by bucket of LATENCY_BOUNDS.
    times: dict[int, int] = {}
    # By the live version's answer, the answers now; None once they are no classes.
    matrix: dict[str, dict[str, int]] | None = {}
    changed: list[dict[str, Any]] = []
    errors: list[dict[str, Any]] = []

    def note(self, row: ReplayedRow, *, unlike: Any, loss: Loss) -> None:
        """Count a row; `unlike` says whether two answers differ."""
        if not row.now:
            self.failed += 1
            if len(self.errors) < 10:
                self.errors.append({"row": row.number, "error": row.error})
            return
        self.answered += 1
        bucket = bisect_left(LATENCY_BOUNDS, row.seconds)
        self.times[bucket] = self.times.get(bucket, 0) + 1
        differs = False
        for sums, other in ((self.given, row.given), (self.live, row.live)):
            if other:
                differs = unlike([_json(other), _json(row.now)])
                sums[0], sums[1] = sums[0] + 1, sums[1] + differs
        base = row.live or row.given
        if base:
            self._classify(base.decode(), row.now.decode())
            # A label that the loss can't judge by says nothing.
            with suppress(ClipperError):
                label = row.label.encode()
                gain = loss(label, base) - loss(label, row.now) if label else None
                if gain is not None:
                    self.labels += 1
                    self.gained += max(gain, 0.0)
                    self.lost += max(-gain, 0.0)
        if differs and len(self.changed) < CHANGED_ROWS:
            texts = {"given": row.given, "live": row.live, "now": row.now}
            shown = {name: text.decode()[:200] for name, text in texts.items()}
            self.changed.append({"row": row.number, **shown})

    def _classify(self, live: str, now: str) -> None:
        if self.matrix is None:
            return
        row = self.matrix.setdefault(live, {})
        row[now] = row.get(now, 0) + 1
        known = {*self.matrix, *(each for counts in self.matrix.values() for each in counts)}
        if len(known) > CLASSES or max(map(len, known)) > CLASS_CHARACTERS:
            self.matrix = None

    def gain(self, *, alpha: float = ALPHA) -> Interval | None:
        """Return the mean reward more than the live version's, None without labels.

        Gains and losses are bounded each for itself, which is sharp where few answers differ; the
        interval holds at any look.
        """
        gained = mean(Rewards(self.labels, self.gained), alpha=alpha / 2.0)
        lost = mean(Rewards(self.labels, self.lost), alpha=alpha / 2.0)
        if gained is None or lost is None:
            return None
        return Interval(gained.value - lost.value, gained.low - lost.high, gained.high - lost.low)

    def summary(self) -> dict[str, Any]:
        """Return what pages and the API show."""
        gain, counts = self.gain(), [0] * (len(LATENCY_BOUNDS) + 1)
        for bucket, count in self.times.items():
            counts[bucket] = count
        quantiles = {
            name: quantile(counts, bounds=LATENCY_BOUNDS, q=q)
            for name, q in (("p50_ms", 0.5), ("p99_ms", 0.99))
        }
        return {
            "words": self.words(),
            "answered": self.answered,
            "failed": self.failed,
            "agreement_with_given": _agreement(self.given),
            "agreement_with_live": _agreement(self.live),
            "labels": self.labels,
            "gain": None if gain is None else gain._asdict(),
            **{name: None if q is None else q * 1e3 for name, q in quantiles.items()},
            "matrix": self.matrix,
        }

    def words(self) -> str:
        """Say what was found in one line."""
        said = [f"{self.answered:,} answered, {self.failed:,} failed"]
        for sums, other in ((self.live, "the live version"), (self.given, "was answered then")):
            if sums[0]:
                said.append(f"{_agreement(sums):.1%} as {other}".replace("%", " %"))
        gain = self.gain()
        if gain is not None:
            low, high = gain.low * 100, gain.high * 100
            said.append(f"{low:+.1f} to {high:+.1f} points of reward over {self.labels:,} labels")
        return "; ".join(said)


def _agreement(sums: list[int]) -> float | None:
    return 1.0 - sums[1] / sums[0] if sums[0] else None


def sums_in(values: Any) -> ReplaySums:
    """Return sums from their JSON."""
    return msgspec.convert(values, ReplaySums, strict=False)
