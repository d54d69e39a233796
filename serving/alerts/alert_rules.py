"""The rules by which Clipper alerts: a function is a rule, its docstring what people should do.

Rules are functions of facts, without a clock or I/O. They yield what they find: the subject, a
sentence, and the ids of what to act on.
"""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from core.specs import VersionSpec
from registry.models import Release, Rollout
from selection.evaluation.health.finding import ALARM
from selection.evaluation.health.health_checks import CHECKS
from serving.alerts.burn_rates import FAST, SLOW, BadShare, Burn, burning, is_above, misses

PAGE, WARNING = "page", "warning"
# More of a version's calls than this may not fail.
MOST_FAILED = 0.05
# So many in a row are no chance, even where one query a minute comes.
IN_A_ROW = 5
CAUSES = {
    "unconnected": "found no replica",
    "overloaded": "were refused by overloaded models",
    "timed_out": "got no answer in time",
    "failed": "failed in the model",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class VersionFacts:
    """A version that an application asks; calls and model times are those of the last minute."""

    spec: VersionSpec
    ready: int = 1
    problem: str = ""
    loops: bool = False
    failed: int = 0
    calls: int = 0
    model_ms: float | None = None

    @property
    def is_down(self) -> bool:
        return self.spec.replicas > 0 and not self.ready


@dataclass(frozen=True, slots=True, kw_only=True)
class ApplicationFacts:
    """An application; `unanswered` counts, by cause, queries since a model last answered one."""

    id: int | None
    slo_ms: float = 100.0
    target: float = 0.99
    period_s: float = 28 * 86_400.0
    versions: Sequence[VersionFacts] = ()
    unanswered: Mapping[str, int] = field(default_factory=dict)
    within: Callable[[float], BadShare] = lambda seconds: BadShare(0, 0)
    health: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    releases: Sequence[Release] = ()
    # Those that a gate, a person or lost evidence holds: the others go on by themselves.
    held: Sequence[Rollout] = ()
    bypassed: Sequence[Rollout] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class StackFacts:
    """The stack itself: free bytes of its disk, and how its Redis stands."""

    id = None
    free_bytes: int
    reserve_bytes: int
    redis_error: str = ""
    redis_used: float = 0.0


class Symptom(NamedTuple):
    """A rule holds: in a sentence, about a subject, with the ids of what to act on."""

    sentence: str
    subject: str = ""
    links: Mapping[str, int] = {}

    @classmethod
    def of(cls, version: VersionFacts, sentence: str) -> "Symptom":
        spec = version.spec
        return cls(sentence.strip(), spec.arm, {"model": spec.model_id, "version": spec.id})


Facts = ApplicationFacts | StackFacts
Check = Callable[[Any], Iterator[Symptom]]


class Rule(NamedTuple):
    """A finding fires after `for_s`, and is resolved when it has been gone for `clear_s`.

    `action` is the button that helps. Nothing new is said while one of `unless` is found.
    """

    check: Check
    title: str
    severity: str
    action: str = ""
    for_s: float = 0.0
    clear_s: float = 30.0
    unless: Collection[str] = ()
    about: type[Facts] = ApplicationFacts

    @property
    def advice(self) -> str:
        return " ".join((self.check.__doc__ or "").split())


RULES: dict[str, Rule] = {}


def rule_of(name: str) -> Rule:
    """Return a rule; of one that another release had, nothing but its name."""
    return RULES.get(name) or Rule(lambda facts: iter(()), name, WARNING, clear_s=0.0)


def rule(title: str, severity: str, **options: Any) -> Callable[[Check], Check]:
    """Make a function the rule of its name."""

    def add(check: Check) -> Check:
        RULES[check.__name__] = Rule(check, title, severity, **options)
        return check

    return add


@rule("No model answers", PAGE, action="errors", for_s=3.0, clear_s=10.0)
def no_answer(facts: ApplicationFacts) -> Iterator[Symptom]:
    """Read the model's errors, or go back to the version before."""
    wanted = [version for version in facts.versions if version.spec.replicas > 0]
    number = sum(facts.unanswered.values())
    if wanted and all(version.is_down for version in wanted):
        names = ", ".join(version.spec.arm for version in wanted)
        problem = next((version.problem for version in wanted if version.problem), "")
        yield Symptom.of(wanted[0], f"No replica of {names} is ready. {problem}")._replace(
            subject=""
        )
    elif number >= IN_A_ROW:
        cause = max(facts.unanswered, key=lambda name: facts.unanswered[name])
        text = f"No model answered the last {number:,} queries: most {CAUSES[cause]}."
        links = dict(Symptom.of(wanted[0], "").links) if wanted else {}
        if wanted and cause == "overloaded":
            links["scale"] = wanted[0].spec.model_id
        yield Symptom(text, links=links)


@rule("Version failing", PAGE, action="errors", for_s=5.0, unless=("no_answer",))
def version_failing(facts: ApplicationFacts) -> Iterator[Symptom]:
    """Read its errors; go back to the version before if this one is new."""
    for version in facts.versions:
        if version.is_down:
            yield Symptom.of(version, f"It has no ready replica. {version.problem}")
        elif version.loops:
            yield Symptom.of(version, f"Its replicas end again and again. {version.problem}")
        elif is_above(BadShare(version.failed, version.calls), share=MOST_FAILED):
            yield Symptom.of(
                version, f"{version.failed:,} of its last {version.calls:,} calls failed."
            )


@rule("Too slow for its objective", PAGE, action="roll_back", for_s=15.0, clear_s=120.0)
def too_slow(facts: ApplicationFacts) -> Iterator[Symptom]:
    """Go back to a faster version, or set a longer objective."""
    for version in facts.versions:
        if version.model_ms is not None and version.model_ms > facts.slo_ms:
            text = f"Its model takes {version.model_ms:,.0f} ms (median), the objective is "
            text += f"{facts.slo_ms:g} ms: more replicas won't help."
            yield Symptom.of(version, text)


@rule("Error budget burns fast", PAGE, action="objective", clear_s=60.0, unless=("no_answer",))
def fast_burn(facts: ApplicationFacts) -> Iterator[Symptom]:
    """Look at what made queries bad, and at the suspect change."""
    return _burn(facts, FAST)


@rule("Error budget burns", WARNING, action="objective", clear_s=600.0, unless=("fast_burn",))
def slow_burn(facts: ApplicationFacts) -> Iterator[Symptom]:
    """Find the cause within days: the budget won't last for its period."""
    return _burn(facts, SLOW)


def _burn(facts: ApplicationFacts, burns: Sequence[Burn]) -> Iterator[Symptom]:
    found = burning(burns, target=facts.target, period_s=facts.period_s, within=facts.within)
    if found:
        rate, window_s, (bad, total) = found
        text = f"{bad:,} of {total:,} queries were bad within {_duration(window_s)}: "
        yield Symptom(f"{text}the error budget burns {rate:.1f} times as fast as it may.")


@rule("Objective missed", WARNING, action="objective", clear_s=600.0)
def objective_missed(facts: ApplicationFacts) -> Iterator[Symptom]:
    """See which causes and versions used up the budget, before anything else is released."""
    counted = facts.within(facts.period_s)
    if misses(counted, target=facts.target):
        good = 100.0 - 100.0 * counted.bad / counted.total
        text = f"{good:.2f} % of {counted.total:,} queries were good within "
        text += f"{_duration(facts.period_s)}; the objective is {100.0 * facts.target:g} %."
        yield Symptom(text)


@rule("Release failed or rolled back", WARNING, action="release")
def release_ended(facts: ApplicationFacts) -> Iterator[Symptom]:
    """Read why; the version before goes on serving."""
    for release in facts.releases:
        failed = release.state == Release.State.FAILED
        why = (release.error or release.reason).partition("\n")[0][:500]
        text = (
            f"The release {'failed' if failed else 'was rolled back'}: {why or 'no reason given'}"
        )
        yield Symptom(text, release.arm, {"model": release.model_id or 0, "release": release.pk})


@rule("Rollout held", WARNING, action="release", for_s=600.0)
def rollout_held(facts: ApplicationFacts) -> Iterator[Symptom]:
    """Read what its gates found; go on, promote or abort."""
    for rollout in facts.held:
        release = rollout.release
        links = {"model": rollout.model_id or 0, "release": release.pk}
        yield Symptom(f"It is held at {rollout.percent:g} %: {rollout.reason}", release.arm, links)


@rule("Approvals passed over", PAGE, action="release")
def approvals_bypassed(facts: ApplicationFacts) -> Iterator[Symptom]:
    """Ask who promoted it, and read why."""
    for rollout in facts.bypassed:
        release = rollout.release
        links = {"model": rollout.model_id or 0, "release": release.pk}
        text = f"{rollout.bypassed_by} promoted it without the approvals wanted: {rollout.reason}"
        yield Symptom(text, release.arm, links)


@rule("Labels stopped", WARNING, action="experiment")
def labels_stopped(facts: ApplicationFacts) -> Iterator[Symptom]:
    """Look at what sends feedback: trust no longer follows the models."""
    return _unsound(facts, ("silence",))


@rule("Experiment unsound", WARNING, action="experiment")
def experiment_unsound(facts: ApplicationFacts) -> Iterator[Symptom]:
    """Decide nothing by this experiment before the cause is known."""
    return _unsound(facts, CHECKS.keys() - {"silence"})


def _unsound(facts: ApplicationFacts, checks: Collection[str]) -> Iterator[Symptom]:
    for name, found in facts.health.items():
        if name in checks and found["state"] == ALARM:
            yield Symptom(f"{CHECKS[name].alarm.capitalize()}. {found['reason']}", subject=name)


@rule("Disk nearly full", PAGE, about=StackFacts)
def disk(facts: StackFacts) -> Iterator[Symptom]:
    """Make room: delete old versions and logs, or give it a larger disk."""
    if facts.free_bytes < 2 * facts.reserve_bytes:
        free, reserve = facts.free_bytes >> 20, facts.reserve_bytes >> 20
        yield Symptom(f"{free:,} MiB are free; uploads are refused below {reserve:,} MiB.")


@rule("Redis", PAGE, about=StackFacts, for_s=5.0)
def redis(facts: StackFacts) -> Iterator[Symptom]:
    """Look at its log: queries go on with what is known, but feedback is refused."""
    if facts.redis_error:
        yield Symptom(f"It doesn't answer: {facts.redis_error}")
    elif facts.redis_used > 0.9:
        yield Symptom(f"It uses {100.0 * facts.redis_used:.0f} % of the memory that it may.")


def _duration(seconds: float) -> str:
    """Return 60 s, 90 min, 6 h, 3 days."""
    for unit, size in (("days", 86_400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.3g} {unit}"
    return f"{seconds:.0f} s"
