"""The settings of tests that run on PostgreSQL instead of SQLite."""

import os

from clipper_site.settings import *  # noqa: F403
from clipper_site.settings import database_of

DATABASES = {
    "default": database_of(os.environ["TESTS_DATABASE_URL"])
    | {
        "ENGINE": "tests.site.postgresql_backend",
        "TEST": {"TEMPLATE": os.environ["TESTS_TEMPLATE"]},
    }
}
