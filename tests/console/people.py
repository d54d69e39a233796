"""People who have signed in to the console."""

from django.contrib.auth.models import Permission, User
from django.test import Client


def staff(*permissions: str, name: str = "clerk") -> Client:
    """Return the browser of somebody on the staff with these permissions, by their code names."""
    user = User.objects.create_user(name, password="x", is_staff=True)
    user.user_permissions.set(Permission.objects.filter(codename__in=permissions))
    client = Client()
    client.force_login(user)
    return client
