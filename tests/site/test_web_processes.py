"""Each kind of web process loads what it serves, and those that answer queries little else."""

import os

from tests.interpreter import run_python

# What draws pages, describes or checks what comes to the management API, sends tasks, or trains.
# Django's models themselves load django.template, by way of its forms.
CONSOLE_ALONE = (
    "django.contrib.admin",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "django.shortcuts",
    "rest_framework",
    "drf_spectacular",
    "unfold",
    "whitenoise",
    "allauth",
    "jwt",
    "requests",
    "celery",
    "kombu",
    "yaml",
    "PIL",
    "pandas",
    "numpy",
    "markdown",
    "prometheus_client",
    "clipper_site.urls",
    "registry.api",
    "registry.artifacts",
    "console.admin",
)
LOADED = "import sys, {module}; print(*sys.modules)"


def loaded_by(module: str) -> set[str]:
    environment = os.environ | {"DJANGO_SECRET_KEY": "k" * 50}
    done = run_python("-c", LOADED.format(module=module), env=environment, check=True)
    return set(done.stdout.split())


def test_a_predict_process_loads_nothing_of_the_console() -> None:
    loaded = loaded_by("clipper_site.predict_asgi")
    assert "serving.web.runtime" in loaded
    # The settings name the console's look.
    assert {name for name in loaded if name.startswith("console")} == {"console", "console.theme"}
    for name in CONSOLE_ALONE:
        assert not [each for each in loaded if each == name or each.startswith(f"{name}.")]


def test_a_console_process_has_its_pages_at_hand() -> None:
    loaded = loaded_by("clipper_site.console_asgi")
    assert {
        "rest_framework",
        "clipper_site.uploads.admission",
        "console.admin",
        "console.pages.home",
    } <= loaded
    # Where nobody signs in no password is hashed.
    assert "argon2" not in loaded
    # What replicas are made of is the workers' to load.
    assert not {"serving.container.predictor", "serving.cluster.replica.tasks"} & loaded
