"""Approvals: a second pair of eyes before a version meets queries, or everybody.

They are bound to a digest of version, plan and gates, so that any change revokes them. A rollback
and an abort never need one.
"""

import hashlib
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import msgspec
from django.apps import apps
from django.contrib.auth.models import User
from django.utils import timezone

from core.errors import Conflict, Forbidden, PreconditionFailed
from registry.following.recording import registry_write
from registry.models import Approval, AuditEntry, Model, Rollout
from registry.services.actor import Actor
from registry.services.audit_trail import audited, record_done, shown_state
from registry.services.rollouts import needs_reason, open_rollout

State = Rollout.State
For = Model.ApprovedStep
COUNT_FOR = timedelta(days=7)
APPROVE = "registry.approve_model"


@dataclass(frozen=True, slots=True, kw_only=True)
class Approvals:
    """Approvals of a rollout: how many are `wanted` now, and those that count."""

    wanted: int
    given: list[Approval]
    digest: str

    @property
    def missing(self) -> int:
        return max(0, self.wanted - len(self.given))


def approvals_of(rollout: Rollout, *, of_next_step: bool = False) -> Approvals:
    """Return the approvals that count before everybody gets the version, or its next step."""
    model = rollout.model
    if not rollout.is_open or model is None or not _wanted(rollout, model, of_next_step):
        return Approvals(wanted=0, given=[], digest="")
    digest, since = digest_of(rollout), timezone.now() - COUNT_FOR
    counted = rollout.approvals.filter(digest=digest, at__gt=since).select_related("user")
    given = [one for one in counted if one.user is not None and may_approve(one.user, rollout)]
    wanted = max(1, model.approvals)
    return Approvals(wanted=wanted, given=given, digest=digest)


def may_approve(user: User, rollout: Rollout) -> bool:
    """Say whether somebody has, today, what an approval takes."""
    return user.is_active and user.has_perm(APPROVE, rollout.model)


def digest_of(rollout: Rollout) -> str:
    """Return what an approval is bound to: the version as it is, its plan, gates passed over."""
    version = rollout.release.version
    state = {} if version is None else {"digest": version.digest, **shown_state(version)}
    state.pop("replicas", None)  # autoscaling moves them
    bound: dict[str, Any] = {
        "rollout": rollout.pk,
        "version": state,
        "plan": rollout.definition,
        "overruled": rollout.overruled,
    }
    return hashlib.sha256(msgspec.json.encode(bound, order="sorted")).hexdigest()


@registry_write
def approve_rollout(rollout: Rollout, *, by: Actor, digest: str) -> Rollout:
    """Record somebody's approval. Raises Forbidden, Conflict, or PreconditionFailed for a change.

    Neither a key approves nor who asked for the release, nor a person twice by two accounts.
    """
    current = open_rollout(rollout)
    if current is None:
        raise Conflict(f"The {rollout} has ended: nothing is left to approve.")
    if by.user is None:
        raise Forbidden("Keys and commands propose a rollout; people approve it.")
    if not may_approve(by.user, current):
        raise Forbidden("To approve takes the role approver, or a higher one.")
    if digest != digest_of(current):
        raise PreconditionFailed(
            "The version, its plan or its gates have changed since this page was read: look again.",
            expected=digest_of(current),
        )
    own = identities_of(by.user)
    asked = current.release.by
    same = current.release.by_label == by.label  # also if that account was removed
    if same or (asked is not None and own & identities_of(asked)):
        raise Forbidden("Who asked for a release does not approve it.")
    found = approvals_of(current)
    if not found.wanted:
        raise Conflict(f"The {current} waits for no approval.")
    if any(own & set(other.identities) for other in found.given):
        raise Conflict("This person has approved it already.")
    # One that no longer counts makes room.
    current.approvals.filter(user=by.user).delete()
    Approval.objects.create(
        rollout=current, user=by.user, by_label=by.label, identities=sorted(own), digest=digest
    )
    changes = {f"rollout of {current.release.arm}": ["", f"approved by {by.label}"]}
    if current.model is not None:
        action = AuditEntry.Action.ROLL_OUT
        record_done(current.model, by=by, action=action, changes=changes)
    return current


def check_approved(rollout: Rollout, *, by: Actor, bypass: bool, reason: str) -> None:
    """Raise Conflict where approvals are missing, unless an administrator passes them over."""
    found = approvals_of(rollout)
    if not found.missing:
        return
    if not bypass:
        raise Conflict(
            f"{found.missing} more approvals are wanted, by people other than who asked for it.",
            wanted=found.wanted,
            given=len(found.given),
        )
    needs_reason(reason)
    if by.user is None or not by.user.is_superuser:
        raise Forbidden("Only a superuser promotes without the approvals that are wanted.")
    Rollout.objects.filter(pk=rollout.pk).update(bypassed_by=by.label)
    if rollout.model is not None:
        given = f"{len(found.given)} of {found.wanted}"
        changes = {f"approvals of {rollout.release.arm}": [given, "passed over"]}
        action = AuditEntry.Action.ROLL_OUT
        record_done(rollout.model, by=by, action=action, changes=changes, reason=reason)


@registry_write
def want_approvals(*, model: Model, approvals: int, approved_step: str, by: Actor) -> Model:
    """Set how many approvals a model's rollouts want, and for what. Raises Forbidden, Conflict."""
    if by.user is None or not by.user.is_superuser:
        raise Forbidden("Only a superuser sets how many approvals are wanted.")
    if Rollout.objects.open().filter(model=model).exists():
        raise Conflict(f"A rollout of {model} is open: it keeps to what was set before it began.")
    with audited(model, by=by):
        model.approvals, model.approved_step = approvals, approved_step
        model.full_clean(exclude={"live_version"})
        model.save(update_fields=["approvals", "approved_step"])
    return model


def identities_of(user: User) -> set[str]:
    """Return all by which a person is known: account, e-mail address, subject at a provider."""
    found = {f"account {user.pk}"}
    for address in (user.email, user.username if "@" in user.username else ""):
        if address:
            found.add(f"mail {address.casefold()}")
    if apps.is_installed("allauth.socialaccount"):
        from allauth.socialaccount.models import SocialAccount  # where a provider is set

        accounts = SocialAccount.objects.filter(user=user)
        found |= {f"subject {uid}" for uid in accounts.values_list("uid", flat=True)}
    return found


def _wanted(rollout: Rollout, model: Model, of_next_step: bool) -> bool:
    """Return whether approvals are wanted on the way to everybody, or to the next step alone."""
    step = model.approved_step if model.approvals else ""
    if rollout.exposed_at is None:
        if step in (For.CANARY, For.BOTH):
            return True
        if of_next_step:
            return False
    left = rollout.plan.steps[rollout.step :]
    passed = left[:1] if of_next_step else left
    return any(each.approval for each in passed) or (
        len(passed) == len(left) and step in (For.PROMOTION, For.BOTH)
    )
