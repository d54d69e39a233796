"""Every page that the URLs name, in light, in the dark and on a phone, as axe sees it."""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
import redis
from django.contrib.auth.models import User
from django.urls import URLPattern, get_resolver
from django.utils import timezone
from playwright.sync_api import Page
from playwright.sync_api import TimeoutError as PlaywrightTimeoutError

from clipper_site.security.content_security import HEADER
from console.application_pages import APPLICATION_PAGES
from registry import services
from registry.models import Application, AuditEntry, ModelVersion, Release, Rollout
from registry.models.rollouts.rollout_plans import PLANS, definition_of
from registry.services import Actor
from selection.models import Feedback
from serving.alerts.channels import create_channel
from serving.alerts.models import Alert
from serving.capture.models import CapturedInput, TrafficReplay
from serving.capture.replay_sums import ReplayedRow, ReplaySums
from tests.browser.conftest import DESKTOP, PHONE, MakeVersion, SignIn, go_live
from tests.browser.test_contexts import learned
from tests.console.pages.test_review import captured
from tests.serving.traffic.month import keep_a_month

pytestmark = pytest.mark.browser

NOWHERE, SWAGGER = "/admin/nonsense/", "/api/v1/docs/"
PARTS = 4  # so that several processes share the work
AXE = Path(__file__).with_name("vendor") / "axe.min.js"
SHOTS = os.environ.get("CLIPPER_SHOTS", "")
# Django's, that the console leads nowhere, and what is data, a download or an act.
NO_PAGES = (
    *("autocomplete", "jsi18n", "logout", "view_on_site", "home", "app_list"),
    *("search", "console-search", "console-series", "console-live", "console-labelled"),
    *("console-pass", "console-label", "console-audit"),
    *("console-rollout", "console-rollout-answers", "console-keep-set", "registry_application_add"),
    # They lead elsewhere; nobody may delete what is kept for good.
    *("registry_application_change", "registry_model_upload_version", "console-roll-back"),
    *("registry_apikey_delete", "registry_release_delete", "selection_feedback_delete"),
    *("documentation", "documentation-page", "console-mute", "login", "password_change_done"),
    *("console-login", "console-query", "console-home"),
    *(f"registry_{each}_changelist" for each in ("apikey", "modelversion", "release")),
)
NEVER_ADDED = ("registry_release_add", "selection_feedback_add", "registry_modelversion_add")
BAD = "violations => violations.filter(v => ['serious', 'critical'].includes(v.impact))"
RUN = f"""async rules => ({BAD})((await axe.run(document, {{
    resultTypes: ['violations'], ...rules }})).violations).map(
    v => `${{v.id}}: ${{v.nodes.length}} x ${{v.nodes[0].html.slice(0, 300)}}
        ${{(v.nodes[0].any[0] || {{}}).message}}`)"""
# As theme.js does when it is pressed.
DARK = "dark => document.documentElement.classList.toggle('dark', dark)"
CONTRAST = {"runOnly": {"type": "rule", "values": ["color-contrast", "link-in-text-block"]}}


@pytest.fixture
def world(
    digits: Application, make_version: MakeVersion, owner: User, server_redis: redis.Redis
) -> Any:
    """One of everything; return what stands in URLs."""
    by = Actor(user=None, label="a test", may_run_code=True, may_grant_manage=True)
    now = timezone.now()
    keep_a_month(digits, arms=("svm:1", "forest:1"), now=now, days=2.0)
    for context in ("", "ann"):
        learned(server_redis, digits, context, svm=0.0, forest=2.0)
    for number in range(3):
        captured(digits, json.dumps([1.0] * 64).encode(), answer="7", disagreed=bool(number))
    arms = [{"arm": "svm:1", "propensity": 0.5, "output": "7", "loss": 0.0}]
    fields: dict[str, Any] = {"issued_at": now, "received_at": now, "kind": "receipt"}
    said = Feedback.objects.create(
        application=digits, nonce="a" * 24, label="7", arms=arms, context="ann", **fields
    )
    channel, _ = create_channel(name="ops", kind="chat", target="https://8.8.8.8/", by=by)
    alert = Alert.objects.create(
        application=digits, rule="burn_fast", since=now, updated_at=now, state="firing"
    )
    key, _ = services.create_api_key(name="web", scopes=["predict"], by=by)
    services.update_application(application=digits, changes={"confidence_threshold": 0.1}, by=by)
    for version in ("2", "3"):
        go_live(make_version(model="svm", version=version), by=owner)
    idle = make_version(model="svm", version="4")
    rolled_out(idle, by=by)
    replayed(idle, digits)
    objects = {
        # Before the model: its name begins another's.
        "registry_modelversion": idle.pk,
        "registry_application": digits.pk,
        "registry_model": idle.model_id,
        "registry_release": idle.model.releases.latest("pk").pk,
        "registry_apikey": key.pk,
        "alerts_channel": channel.pk,
        "selection_feedback": said.pk,
        "auth_user": User.objects.create_user("reader", is_staff=True).pk,
    }
    entry = AuditEntry.objects.filter(action="change", application_id=digits.pk).latest("pk").pk
    ids = {"entry_id": entry, "alert_id": alert.pk, "version_id": idle.pk}
    return objects, ids | {"person_id": objects["auth_user"]}


def replayed(version: ModelVersion, application: Application) -> None:
    """A replay in its middle, and one that has ended, with something for each part of its page."""
    row = CapturedInput.objects.latest("pk")
    sums = ReplaySums(errors=[{"row": row.pk, "error": "ValueError: expected 64 numbers"}])

    def loss(label: bytes, output: bytes) -> float:
        return float(label != output)

    for number in range(200):
        answer = b"9" if number % 20 == 0 else b"7"
        one = ReplayedRow(row.pk, b"7", b"7", answer, "", 0.002, label="7")
        sums.note(one, unlike=lambda outputs: outputs[0] != outputs[1], loss=loss)
    found = msgspec.to_builtins(sums, str_keys=True)
    fields: dict[str, Any] = {"version": version, "last_row": row.pk, "by": "ada", "sums": found}
    for state, done in (("running", 120), ("done", 200)):
        TrafficReplay.objects.create(
            application=application, state=state, total=200, done=done, **fields
        )


def rolled_out(version: ModelVersion, *, by: Actor) -> None:
    """Roll a version out, with something for each part of its page."""
    live = version.model.live_version_id
    release = Release.objects.create(
        model=version.model,
        version=version,
        previous_version_id=live,
        kind="deploy",
        state="starting",
    )
    gate = {
        **{"name": "errors", "gate": "errors", "application": "digits", "action": "roll back"},
        **{"verdict": "open", "words": "errors: a loss above 5 points is excluded", "margin": 2.0},
        "canary": {"calls": 40, "bad": 1},
        "live": {"calls": 3960, "bad": 4},
        "evidence": 1.2,
    }
    failure = {"rollout_id": 1, "application": "digits", "input": "[1]", "error": "boom"}
    Rollout.objects.create(
        release=release,
        model=version.model,
        plan_name="usual",
        definition=definition_of(PLANS["usual"]),
        state="canary",
        began_at=timezone.now(),
        exposed_at=timezone.now(),
        step_at=timezone.now(),
        evidence={
            "gates": [
                gate,
                {**gate, "verdict": "worse", "evidence": 446.0},
                {**gate, "verdict": "no_worse"},
            ],
            "history": [[1.0, {"errors": 0.0}], [2.0, {"errors": 1.2}]],
            "failures": [failure],
            "answers": 40,
            "classes": [['"cat"', 600, "99.5 %"], ['"dog"', 290, "98.0 %"], ["*", 10, "80.0 %"]],
            "shadow": "900 answers compared, 1.0 % differ",
            "waits": "20 s until this step may end",
        },
    )


def patterns(resolver: Any = None, *, before: str = "") -> Iterator[tuple[str, str]]:
    """The route and the name of each URL for people."""
    for pattern in (resolver or get_resolver()).url_patterns:
        route = before + str(pattern.pattern)
        if not isinstance(pattern, URLPattern):
            yield from patterns(pattern, before=route)
        elif pattern.name and not route.startswith("api/") and "/history/" not in route:
            yield route, pattern.name


def pages(world: Any) -> list[str]:
    objects, ids = world
    found: dict[str, None] = {}
    for route, name in patterns():
        if (
            name in NO_PAGES
            or name in NEVER_ADDED
            or "<path:path>" in route
            or "<slug:path>" in route
        ):
            continue
        of_model = next((pk for model, pk in objects.items() if name.startswith(model)), "")
        row = {"id": of_model, "path:object_id": of_model, "str:name": "digits"}
        if "models/<str:name>" in route:
            row["str:name"] = "svm"
        for holder, value in (row | {f"int:{known}": pk for known, pk in ids.items()}).items():
            route = route.replace(f"<{holder}>", str(value))
        assert "<" not in route, f"{route}: nothing is known that stands there"
        found[f"/{route}"] = None
    tabs = [
        f"/admin/applications/digits/{page.path}/".replace("//", "/") for page in APPLICATION_PAGES
    ]
    del found["/admin/applications/digits/"], found["/admin/versions/compare/"]
    return [*tabs, *found, "/admin/versions/compare/?v=svm:1&v=svm:2", NOWHERE, SWAGGER]


@pytest.mark.parametrize("part", range(PARTS))
def test_every_page_can_be_read_by_everybody(
    sign_in: SignIn, open_page: Any, owner: User, world: Any, part: int
) -> None:
    page, faults = sign_in(owner), []
    page.on("console", lambda said: faults.append(said.text) if "Policy" in said.text else None)
    page.context.add_init_script(path=AXE)
    for url in pages(world)[part::PARTS]:
        faults.extend(f"{url} {complaint}" for complaint in complaints_of(page, url))
    # Chromium complains of the page that isn't there.
    open_page.complaints[:] = [said for said in open_page.complaints if "404" not in said]
    assert not faults, "\n".join(faults)


def complaints_of(page: Page, url: str) -> Iterator[str]:
    """Load it once, and look at it in three ways."""
    page.set_viewport_size(DESKTOP)  # type: ignore[arg-type]  # a plain dict
    answer = page.goto(url, wait_until="load")
    assert answer is not None
    if answer.status != (404 if url == NOWHERE else 200):
        yield f"is answered with {answer.status}"
        return
    if page.evaluate("location.pathname") != url.partition("?")[0]:
        yield f"leads to {page.url}"
        return
    policy = answer.headers.get(HEADER.lower(), "")
    script = policy.partition("script-src")[2].partition(";")[0]
    strict = "default-src 'none'" in policy and "frame-ancestors 'none'" in policy
    if not strict or "unsafe-inline" in script:
        yield f"has the policy {policy!r}"
    if url == SWAGGER:  # another's, who has faults of that kind
        return
    page.evaluate("document.querySelectorAll('*').forEach(e => e.style.transition = 'none')")
    yield from (f"light {bad}" for bad in page.evaluate(RUN, {}))
    shot(page, url, "light")
    page.evaluate(DARK, True)
    yield from (f"dark {bad}" for bad in page.evaluate(RUN, CONTRAST))
    shot(page, url, "dark")
    page.evaluate(DARK, False)
    page.set_viewport_size(PHONE)  # type: ignore[arg-type]  # as above
    try:  # charts are drawn anew in the next frame
        page.wait_for_function(f"document.documentElement.scrollWidth <= {PHONE['width']}")
    except PlaywrightTimeoutError:
        yield "is wider than a phone"
    yield from (f"phone {bad}" for bad in page.evaluate(RUN, {}))
    shot(page, url, "phone")


def shot(page: Page, url: str, mode: str) -> None:
    if SHOTS:
        name = url.strip("/").replace("/", "_") or "root"
        page.screenshot(path=f"{SHOTS}/{name}.{mode}.png", full_page=mode != "phone")
