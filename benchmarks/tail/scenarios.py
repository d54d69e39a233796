"""The scenarios: a stack, at which shares of its capacity it is asked, and what is done beside."""

from typing import NamedTuple

from benchmarks.linear import LINEAR
from benchmarks.tail.disturbances import (
    OTHER_MODEL,
    Disturbance,
    change_applications,
    deploys,
    guess_passwords,
    open_consoles,
    scrape_metrics,
    send_feedback,
    upload_large,
)

# At half of what it can a stack loses nothing; beyond, a deploy may cost one query in a thousand.
HALF, HIGH = 0.5, 0.7
BOTH = (HALF, HIGH)


class Kind(NamedTuple):
    """The setup of a stack: settings beyond the defaults."""

    name: str
    settings: dict[str, str]


# Versions that were replaced are kept warm for a short time, so that every deploy starts a replica
# and no slot is short of them.
WARM = {"CLIPPER_WARM_SECONDS": "5"}
ORDINARY = Kind("ordinary", WARM)
MANY_APPLICATIONS = Kind("many applications", WARM)


class Scenario(NamedTuple):
    """`shares` are those of the capacity at which it is measured; `deploys` may lose a little."""

    name: str
    title: str
    disturb: Disturbance = lambda disturbed, stop: None
    kind: Kind = ORDINARY
    shares: tuple[float, ...] = BOTH
    deploys: bool = False


STEADY, FEEDBACK = "steady", "feedback"
DEPLOY_OTHER, DEPLOY_SAME = deploys(OTHER_MODEL), deploys(LINEAR)
SCENARIOS = {
    scenario.name: scenario
    for scenario in (
        Scenario(STEADY, "steady"),
        Scenario("consoles", "20 consoles open", open_consoles),
        Scenario("logins", "six login loops", guess_passwords),
        Scenario("metrics", "metrics scraped each second", scrape_metrics),
        Scenario("upload", "500 MB uploaded", upload_large),
        Scenario(FEEDBACK, "feedback, 500/s", send_feedback),
        Scenario("deploy-other", "another model deployed", DEPLOY_OTHER, deploys=True),
        Scenario("deploy-same", "the same model deployed", DEPLOY_SAME, ORDINARY, (HIGH,), True),
        Scenario("changes", "one of 200 applications changed twice a second", change_applications,
                 MANY_APPLICATIONS),
    )
}  # fmt: skip
