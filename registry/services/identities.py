"""People as an OpenID Connect provider knows them: by issuer and subject, never by e-mail."""

import hashlib
import re

from django.contrib.auth.models import User

from core.errors import Forbidden
from registry.following.recording import registry_write
from registry.models import Application
from registry.security.grants import Grant, grant_of
from registry.security.identity_provider import RoleRule
from registry.services.actor import Actor
from registry.services.roles import add_person, set_role


@registry_write
def person_of(
    *, issuer: str, subject: str, name: str, rule: RoleRule | None, by: Actor
) -> User | None:
    """Return the person with this identity, whose role is from now on the rule's.

    Somebody new is made if there is a rule; None stands for somebody without a role, who loses the
    one that they had. Raises Forbidden for somebody who may not sign in.
    """
    from allauth.socialaccount.models import SocialAccount  # installed where a provider is set

    applications = None
    if rule is not None and rule.applications:
        applications = list(Application.objects.filter(name__in=rule.applications))
    role = "" if rule is None or applications == [] else rule.role
    known = SocialAccount.objects.select_related("user").filter(provider=issuer, uid=subject)
    if (account := known.first()) is None:
        if not role:
            return None
        name = _free(clean_name(name), identity=f"{issuer} {subject}")
        person = add_person(name=name, role=role, applications=applications, by=by)
        SocialAccount.objects.create(user=person, provider=issuer, uid=subject)
        return person
    person = account.user
    if not person.is_active:
        raise Forbidden(f"Your account {person} is disabled in Clipper: ask an admin to enable it.")
    reach = None if applications is None else frozenset(row.pk for row in applications)
    wanted = Grant(role=role, applications=reach if role else None)
    # A superuser was made one by another, who alone can undo it.
    if not person.is_superuser and grant_of(person) != wanted:
        set_role(person=person, role=role, applications=applications if role else None, by=by)
    return person if role else None


def clean_name(name: str) -> str:
    """Return a name as users may have it."""
    return re.sub(r"[^\w.@+-]", "-", name)[:140]


def _free(name: str, *, identity: str) -> str:
    """Return a name that nobody has: a taken one is no reason to be taken for somebody else."""
    digest = hashlib.sha256(identity.encode()).hexdigest()
    return f"{name}-{digest[:8]}" if User.objects.filter(username__iexact=name).exists() else name
