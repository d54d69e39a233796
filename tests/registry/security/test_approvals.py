"""Approvals: whoever tries to do without a second person is refused."""

from collections.abc import Callable
from datetime import timedelta

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from core.errors import BadRequest, ClipperError, Conflict, Forbidden, PreconditionFailed
from registry import services
from registry.models import (
    ApiKey,
    Application,
    Approval,
    AuditEntry,
    Model,
    OwnPlan,
    Release,
    Rollout,
)
from registry.services import Actor
from tests.serving.cluster.control.rounds import BY, make_version

pytestmark = pytest.mark.django_db

NOW = timezone.now


class World:
    """A rollout of version 2 that Ada asked for, at its last step, of a model that wants two."""

    def __init__(self) -> None:
        self.boss = User.objects.create_superuser("boss")
        self.ada = self.person("ada", role="deployer")
        self.eve = self.person("eve", role="approver")
        self.joe = self.person("joe", role="approver")
        live = make_version("ocr", "1", validated_at=NOW())
        self.version = make_version("ocr", "2", validated_at=NOW())
        self.model = live.model
        Model.objects.filter(pk=self.model.pk).update(live_version=live)
        self.model.refresh_from_db()
        services.want_approvals(
            model=self.model, approvals=2, approved_step="promotion", by=as_actor(self.boss)
        )
        self.rollout = self.rolled_out()

    def person(self, name: str, *, role: str, email: str = "") -> User:
        made = services.add_person(name=name, role=role, by=BY)
        User.objects.filter(pk=made.pk).update(email=email or f"{name}@example.com")
        return User.objects.get(pk=made.pk)

    def rolled_out(self, plan: str = "quick", *, steps: int = 1) -> Rollout:
        release = services.deploy(version=self.version, by=as_actor(self.ada), rollout=plan)
        services.begin_release(release=release)
        services.begin_rollout(release.rollout, now=NOW())
        for _ in range(steps):
            services.advance_rollout(release.rollout, now=NOW(), reason="proved")
        return Rollout.objects.with_release().get(release=release)

    @property
    def digest(self) -> str:
        return self.found.digest

    @property
    def found(self) -> "services.approvals.Approvals":
        return services.approvals_of(Rollout.objects.with_release().get(pk=self.rollout.pk))

    def approve(self, person: User, digest: str | None = None) -> None:
        services.approve_rollout(
            self.rollout, by=as_actor(person), digest=self.digest if digest is None else digest
        )

    def promote(
        self, person: User | None = None, *, bypass: bool = False, reason: str = "r"
    ) -> None:
        by = services.SYSTEM if person is None else as_actor(person)
        services.promote_rollout(self.rollout, reason=reason, by=by, bypass=bypass)


def as_actor(user: User) -> Actor:
    return Actor.of_user(User.objects.get(pk=user.pk))


@pytest.fixture
def world() -> World:
    return World()


def test_two_people_besides_who_asked_let_it_go_on(world: World) -> None:
    world.approve(world.eve)
    with pytest.raises(Conflict):
        world.promote()
    world.approve(world.joe)
    assert world.found.missing == 0
    world.promote()
    world.rollout.refresh_from_db()
    assert world.rollout.state == "promoted"


def by_oneself(world: World) -> None:
    world.approve(world.ada)


def by_a_second_account_with_the_same_address(world: World) -> None:
    world.approve(world.person("ada2", role="approver", email="ADA@example.com"))


def by_a_name_that_is_the_same_address(world: World) -> None:
    world.approve(world.person("ada@example.com", role="approver", email="other@example.com"))


def twice_by_the_same_person(world: World) -> None:
    world.approve(world.eve)
    world.approve(world.eve)


def twice_by_two_accounts_of_one_person(world: World) -> None:
    world.approve(world.eve)
    world.approve(world.person("eve2", role="approver", email="eve@example.com"))


def with_the_digest_of_another_rollout(world: World) -> None:
    old = world.digest
    services.abort_rollout(world.rollout, reason="again", by=as_actor(world.ada))
    world.rollout = world.rolled_out()
    world.approve(world.eve, old)


def with_no_digest(world: World) -> None:
    world.approve(world.eve, "")


def by_a_key(world: World) -> None:
    key, _ = services.create_api_key(name="k", scopes=["manage"], by=BY)
    services.approve_rollout(
        world.rollout, by=Actor.of_key(ApiKey.objects.get(pk=key.pk)), digest=world.digest
    )


def by_an_operator(world: World) -> None:
    world.approve(world.person("op", role="operator"))


def by_an_approver_of_another_application(world: World) -> None:
    other = services.create_application(
        name="other", input_type="doubles", slo_ms=100.0, routes=[], by=BY
    )
    made = services.add_person(
        name="far", role="approver", by=BY, applications=[Application.objects.get(pk=other.pk)]
    )
    world.approve(made)


def after_its_end(world: World) -> None:
    digest = world.digest
    services.abort_rollout(world.rollout, reason="no", by=as_actor(world.ada))
    world.approve(world.eve, digest)


def promoted_from_its_shadow(world: World) -> None:
    services.abort_rollout(world.rollout, reason="again", by=as_actor(world.ada))
    world.rollout = world.rolled_out("usual", steps=0)
    assert world.rollout.state == "shadow"
    world.promote(world.ada)


def promoted_from_an_early_step(world: World) -> None:
    services.abort_rollout(world.rollout, reason="again", by=as_actor(world.ada))
    world.rollout = world.rolled_out(steps=0)
    world.promote(world.ada)


def promoted_before_a_step_that_wants_one(world: World) -> None:
    services.abort_rollout(world.rollout, reason="again", by=as_actor(world.ada))
    services.want_approvals(
        model=world.model, approvals=0, approved_step="promotion", by=as_actor(world.boss)
    )
    steps = [{"percent": 5.0}, {"percent": 50.0, "approval": True}]
    OwnPlan.objects.create(name="own", definition={"steps": steps})
    world.rollout = world.rolled_out("own", steps=0)
    world.promote(world.ada)


def approved_while_none_is_wanted(world: World) -> None:
    services.abort_rollout(world.rollout, reason="again", by=as_actor(world.ada))
    services.want_approvals(
        model=world.model, approvals=0, approved_step="promotion", by=as_actor(world.boss)
    )
    world.rollout = world.rolled_out()
    world.approve(world.eve, services.approvals.digest_of(world.rollout))


def promoted_by_a_deployer_without_them(world: World) -> None:
    world.promote(world.ada)


def passed_over_by_a_deployer(world: World) -> None:
    world.promote(world.ada, bypass=True)


def passed_over_without_a_reason(world: World) -> None:
    world.promote(world.boss, bypass=True, reason=" ")


def switched_off_while_one_is_open(world: World) -> None:
    services.want_approvals(
        model=world.model, approvals=0, approved_step="promotion", by=as_actor(world.boss)
    )


def switched_off_by_a_deployer(world: World) -> None:
    services.abort_rollout(world.rollout, reason="first", by=as_actor(world.ada))
    services.want_approvals(
        model=world.model, approvals=0, approved_step="promotion", by=as_actor(world.ada)
    )


def by_a_viewer(world: World) -> None:
    world.approve(world.person("op", role="viewer"))


def deployed_at_once(world: World) -> None:
    services.abort_rollout(world.rollout, reason="first", by=as_actor(world.ada))
    services.deploy(version=world.version, by=as_actor(world.ada), anyway=True)


def rolled_back_to_what_was_never_live(world: World) -> None:
    services.abort_rollout(world.rollout, reason="first", by=as_actor(world.ada))
    services.roll_back(model=world.model, to=world.version, by=as_actor(world.eve))


@pytest.mark.parametrize(
    "attack",
    [
        by_a_viewer,
        deployed_at_once,
        rolled_back_to_what_was_never_live,
        by_oneself,
        by_a_second_account_with_the_same_address,
        by_a_name_that_is_the_same_address,
        twice_by_the_same_person,
        twice_by_two_accounts_of_one_person,
        with_the_digest_of_another_rollout,
        with_no_digest,
        by_a_key,
        by_an_operator,
        by_an_approver_of_another_application,
        after_its_end,
        promoted_from_its_shadow,
        promoted_from_an_early_step,
        promoted_before_a_step_that_wants_one,
        approved_while_none_is_wanted,
        promoted_by_a_deployer_without_them,
        passed_over_by_a_deployer,
        passed_over_without_a_reason,
        switched_off_while_one_is_open,
        switched_off_by_a_deployer,
    ],
)
def test_an_attack_is_refused(world: World, attack: Callable[[World], None]) -> None:
    with pytest.raises((Forbidden, Conflict, PreconditionFailed, BadRequest)):
        attack(world)
    assert not Release.objects.filter(version=world.version, state="live").exists()
    assert Approval.objects.filter(by_label__in=("ada", "ada2", "op", "far")).count() == 0


@pytest.mark.parametrize("what", ["version", "gates", "plan", "time", "role", "account"])
def test_what_changes_afterwards_revokes(world: World, what: str) -> None:
    world.approve(world.eve)
    world.approve(world.joe)
    match what:
        case "version":
            services.configure_version(version=world.version, by=BY, threads=4)
        case "gates":
            services.hold_rollout(world.rollout, reason="x", by=BY, paused=True)
            worse = {"gate": "metric clicks", "verdict": "worse"}
            Rollout.objects.update(evidence={"gates": [worse]})
            services.resume_rollout(world.rollout, by=BY)
        case "plan":
            plan = {**world.rollout.definition, "margin": 9.0}
            Rollout.objects.update(definition=plan)
        case "role":
            for person in (world.eve, world.joe):
                services.set_role(person=person, role="viewer", by=BY)
        case "account":
            User.objects.filter(pk__in=(world.eve.pk, world.joe.pk)).update(is_active=False)
        case "time":
            Approval.objects.update(at=NOW() - timedelta(days=8))
    assert world.found.missing == 2
    with pytest.raises(ClipperError):
        world.promote()


def test_to_pass_over_them_is_recorded(world: World) -> None:
    world.promote(world.boss, bypass=True, reason="the old one leaks")
    world.rollout.refresh_from_db()
    assert (world.rollout.state, world.rollout.bypassed_by) == ("promoted", "boss")
    entry = AuditEntry.objects.filter(reason="the old one leaks").earliest("id")
    assert entry.changes == {"approvals of ocr:2": ["0 of 2", "passed over"]}


def test_an_approval_that_has_expired_can_be_given_again(world: World) -> None:
    world.approve(world.eve)
    Approval.objects.update(at=NOW() - timedelta(days=8))
    world.approve(world.eve)
    assert world.found.missing == 1


def test_a_way_back_needs_nobody(world: World) -> None:
    services.roll_back_rollout(world.rollout, reason="worse")
    world.rollout.refresh_from_db()
    assert world.rollout.state == "rolled_back"


def test_approvals_are_looked_at_again_under_the_lock(world: World) -> None:
    """As if one were revoked between a look of the judge and the step that it decides on."""
    services.abort_rollout(world.rollout, reason="again", by=BY)
    boss = as_actor(world.boss)
    services.want_approvals(model=world.model, approvals=1, approved_step="canary", by=boss)
    for plan, state in (("usual", "shadow"), ("quick", "planned")):
        release = services.deploy(version=world.version, by=as_actor(world.ada), rollout=plan)
        services.begin_release(release=release)
        services.begin_rollout(release.rollout, now=NOW())
        services.advance_rollout(release.rollout, now=NOW(), reason="proved")
        world.rollout = Rollout.objects.with_release().get(release=release)
        assert (world.rollout.state, world.rollout.exposed_at) == (state, None)
        if plan == "usual":
            services.abort_rollout(world.rollout, reason="again", by=BY)
    world.approve(world.eve)
    services.begin_rollout(world.rollout, now=NOW())
    world.rollout.refresh_from_db()
    assert world.rollout.state == "canary"


def test_nobody_ends_a_rollout_that_others_queries_meet(world: World) -> None:
    for name in ("mine", "theirs"):
        routes = [services.RouteRequest(model="ocr")]
        services.create_application(
            name=name, input_type="doubles", slo_ms=100.0, routes=routes, by=BY
        )
    own = [Application.objects.get(name="mine")]
    person = services.add_person(name="near", role="deployer", by=BY, applications=own)
    client = Client()
    client.force_login(person)
    act = reverse("console-rollout", args=[world.rollout.pk])
    for name in ("promote", "abort"):
        assert client.post(act, {"action": name, "reason": "mine"}).status_code == 403
    page = client.get(reverse("admin:registry_release_change", args=[world.rollout.release_id]))
    assert page.status_code == 200
    assert 'value="abort"' not in page.content.decode()
    world.rollout.refresh_from_db()
    assert world.rollout.is_open
