"""Check that arms asked together agree as often as they used to: else inputs or a model changed.

Agreement is known without labels. A gambler who bets, query by query, on more unlike answers than
usual wins nothing in the long run unless there are (bets on bounded numbers: Waudby-Smith and
Ramdas 2024). As that may begin at any time, a small stake joins at each look: the procedure of
Shiryaev and Roberts, an e-detector of Shin, Ramdas and Rinaldo (2023). Stakes come to 1 in a week,
so that in a week without a change the gambler ever has a hundred with a chance of 1 % at most.
"""

import math
from collections.abc import Sequence

import msgspec

from selection.evaluation.health.finding import ALARM, GOOD, UNKNOWN, Finding, not_applicable

DAY_S = 86_400.0
WEEK_S = 7 * DAY_S
WANTED = 100.0
# The bets are on odds that are so many times the usual ones.
BETS = (2.0, 6.0, 20.0)

# A number of queries, and the sum over them of a share.
Shares = tuple[float, float]


class Rise(msgspec.Struct):
    """Bets on a share above the `highest` usual one."""

    highest: float = 0.0
    capital: tuple[float, ...] = (0.0,) * len(BETS)

    def bet(self, queries: float, *, total: float, margin: float, stake: float) -> None:
        usual = _at_odds(self.highest, times=margin)
        capital = []
        for known, times in zip(self.capital, BETS, strict=True):
            bet = _at_odds(usual, times=times)
            grown = total * math.log(bet / usual)
            grown += (queries - total) * math.log((1.0 - bet) / (1.0 - usual))
            # More would only make the alarm last.
            capital.append(min((known + stake) * math.exp(grown), 100.0 * WANTED))
        self.capital = tuple(capital)

    def learn(self, everything: Shares, *, stretch: Shares) -> None:
        """Take what is usual: the share of all queries, or of a stretch that is surely higher."""
        self.highest = max(self.highest, _bound(everything, 2.0), _bound(stretch, -2.0))


class Drift(msgspec.Struct):
    """Comparisons of answers within a query, and bets that more or fewer differ than usual."""

    began_at: float = 0.0
    last_at: float = 0.0
    everything: Shares = (0.0, 0.0)
    stretch: Shares = (0.0, 0.0)
    stretch_at: float = 0.0
    recent: Shares = (0.0, 0.0)
    unlike: Rise = msgspec.field(default_factory=Rise)
    alike: Rise = msgspec.field(default_factory=Rise)
    alarm_at: float | None = None

    def look(self, counts: Sequence[int], *, arms: int, now: float) -> None:
        """Take comparisons since the last look, and how many differed; `arms` may be compared."""
        compared, differed = counts
        if not compared:
            return
        asked = compared / max(arms - 1, 1)
        # Answers of one query depend on each other, and so do queries of one moment.
        queries = min(asked, 3.0)
        seen = queries, queries * differed / compared
        self.began_at = self.began_at or now
        self.recent = _sum(self.recent, seen, keep=0.5 ** (queries / 50.0))
        if self.unlike.highest:
            self._bet(seen, now=now)
        self.last_at = now
        if sum(self.unlike.capital) + sum(self.alike.capital) >= WANTED:
            self.alarm_at = self.alarm_at or now
        else:
            self.alarm_at = None
            self._learn((asked, asked * differed / compared), now=now)

    def _bet(self, seen: Shares, *, now: float) -> None:
        queries, unlike = seen
        # In the first days it isn't known yet how much nights and weekends differ.
        margin = max(5.0 / (1.0 + (now - self.began_at) / DAY_S), 1.5)
        stake = (now - self.last_at) / WEEK_S / (2 * len(BETS))
        self.unlike.bet(queries, total=unlike, margin=margin, stake=stake)
        self.alike.bet(queries, total=queries - unlike, margin=margin, stake=stake)

    def _learn(self, seen: Shares, *, now: float) -> None:
        """Take what is usual, for a week."""
        age_s = now - self.began_at
        if self.unlike.highest and age_s >= WEEK_S:
            return
        self.stretch_at = self.stretch_at or now
        self.stretch = _sum(self.stretch, seen)
        # The first ones are short, so that something is known soon.
        seconds = min(max(age_s / 4.0, 60.0), 3600.0)
        if self.stretch[0] >= 100.0 and now - self.stretch_at >= seconds:
            self.everything = _sum(self.everything, self.stretch)
            self.unlike.learn(self.everything, stretch=self.stretch)
            self.alike.learn(_others(self.everything), stretch=_others(self.stretch))
            self.stretch, self.stretch_at = (0.0, 0.0), now

    def has_become_usual(self, now: float) -> bool:
        """Return if the alarm has lasted for a week, after which usual is learned anew."""
        return self.alarm_at is not None and now - self.alarm_at > WEEK_S

    def finding(self) -> Finding:
        number, total = self.recent
        if not number:
            return not_applicable("No query so far was answered by several versions")
        share = total / number
        if not self.unlike.highest:
            return Finding(UNKNOWN, share, "Too few answers compared so far to know what is usual")
        usual = self.everything[1] / self.everything[0]
        words = f"{share * 100:.0f} % of the latest answers differ from the first version's"
        if self.alarm_at is not None:
            words = f"{words}, usually {usual * 100:.0f} %: inputs or a model have changed"
            return Finding(ALARM, share, words)
        if usual > 0.9:
            return not_applicable(f"Versions hardly ever agree here, which tells nothing: {words}")
        return Finding(GOOD, share, f"{words}, as usual")


def _sum(known: Shares, other: Shares, *, keep: float = 1.0) -> Shares:
    return known[0] * keep + other[0], known[1] * keep + other[1]


def _others(shares: Shares) -> Shares:
    return shares[0], shares[0] - shares[1]


def _bound(shares: Shares, deviations: float) -> float:
    """Return a share, so many standard deviations of its error away."""
    number, total = shares
    # By Laplace's rule of succession it is never 0 or 1.
    share = (total + 1.0) / (number + 2.0)
    error = math.sqrt(share * (1.0 - share) / (number + 2.0))
    return min(share + deviations * error, 0.999)


def _at_odds(share: float, *, times: float) -> float:
    """Return the share whose odds are so many times those of another."""
    return share * times / (1.0 - share + share * times)
