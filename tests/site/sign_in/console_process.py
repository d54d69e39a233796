"""The console alone, as a process: its Django with a registry that has an admin and two models."""

import os
import sys

import django
from django.core.management import call_command
from django.core.wsgi import get_wsgi_application

from tests.site.sign_in.serving import serve

ADMIN, PASSWORD, EMAIL = "admin", "a password of some length", "admin@example.com"


def main(*, port: int) -> None:
    os.environ["DJANGO_SETTINGS_MODULE"] = "clipper_site.settings"
    django.setup()
    call_command("migrate", verbosity=0)
    from django.contrib.auth.models import User

    from registry.services import SYSTEM, create_application

    User.objects.create_superuser(ADMIN, EMAIL, PASSWORD)
    for name in ("digits", "letters"):
        create_application(name=name, input_type="doubles", slo_ms=50.0, routes=[], by=SYSTEM)
    serve(get_wsgi_application(), port=port)


if __name__ == "__main__":
    main(port=int(sys.argv[1]))
