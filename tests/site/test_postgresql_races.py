"""Changes that meet on PostgreSQL: none waits in a circle, and no upload loses its file."""

import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.long import beginning_of
from tests.site import manage
from tests.site.postgresql_server import MigratedServer

pytestmark = [pytest.mark.postgres, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def database_url(postgresql: MigratedServer) -> str:
    """Return the URL of a database with the tables, which the tests here fill each with its own."""
    return postgresql.new_database("races")


def ran(program: str, *, times: int, var: Path, **settings: str) -> str:
    """Return the output of a program that does its work that many times; it must succeed."""
    done = manage.run("-c", BEGINNING + program, str(times), var=var, timeout_s=200, **settings)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("times", beginning_of([20, 60], rows=1))
@pytest.mark.parametrize("vendor", ["postgresql", "sqlite"])
def test_an_upload_that_meets_a_delete_of_the_same_bytes_keeps_its_file(
    database_url: str, django_db_setup: Path, tmp_path: Path, vendor: str, times: int
) -> None:
    settings: dict[str, Any] = {"DATABASE_URL": database_url} if vendor == "postgresql" else {}
    if vendor == "sqlite":
        shutil.copy(django_db_setup, tmp_path / "clipper.sqlite3")
    said = ran(UPLOADS_AND_DELETES, times=times, var=tmp_path, **settings)
    assert said == f"{times} uploads 0 lost\n"


@pytest.mark.parametrize("times", beginning_of([100, 300], rows=1))
def test_changes_that_meet_never_wait_in_a_circle(
    database_url: str, tmp_path: Path, times: int
) -> None:
    said = ran(CHANGES_AT_ONCE, times=times, var=tmp_path, DATABASE_URL=database_url)
    assert said == f"{times} changes []\n"


@pytest.mark.parametrize("times", beginning_of([20, 60], rows=1))
def test_checks_of_declarations_that_meet_never_wait_in_a_circle(
    database_url: str, tmp_path: Path, times: int
) -> None:
    said = ran(CHECKS_AT_ONCE, times=times, var=tmp_path, DATABASE_URL=database_url)
    assert said == f"{times} asked []\n"


def test_what_refers_to_an_application_that_goes_doesnt_keep_it_from_going(
    database_url: str, tmp_path: Path
) -> None:
    said = ran(REFERRED_TO_WHILE_IT_GOES, times=1, var=tmp_path, DATABASE_URL=database_url)
    assert said == "the reset waited and the application is gone\nthe model is gone\n"


# Each program goes on from here.
BEGINNING = """
import io, json, random, sys, threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
import django
django.setup()
from django.db import connections
from django.utils import timezone
from registry import services
from registry.models import Application, Model, ModelVersion

by = services.Actor.of_command("test")
"""

# A reset is written after the delete has looked at all that refers to the application. A version
# is changed while its model goes: the delete waits for it, and it for nobody.
REFERRED_TO_WHILE_IT_GOES = """
from django.db import OperationalError, connection, transaction
from django.db.models.signals import pre_delete
from selection.models import StateReset

going = services.create_application(name="going", input_type="json", slo_ms=50.0, by=by)
said, number = [], going.pk

def write():
    try:
        with transaction.atomic():
            with connection.cursor() as cursor:
                cursor.execute("SET LOCAL lock_timeout = 200")
            at = timezone.now()
            StateReset.objects.create(application_id=number, position=1, at=at, by="test")
        said.append("the reset was written")
    except OperationalError:
        said.append("the reset waited")
    finally:
        connections.close_all()

def meet(**_):
    thread = threading.Thread(target=write)
    thread.start()
    thread.join()

pre_delete.connect(meet, sender=Application)
services.delete_application(application=going, by=by)
gone = not Application.objects.filter(name="going").exists()
print(said[0], "and the application is", "gone" if gone else "there")

model = services.create_model(name="going", input_type="json", by=by)
version = services.create_version(
    model=model, version="1", runtime="python", artifact=io.BytesIO(b"x"), by=by)

def delete():
    services.delete_model(model=model, by=by)
    connections.close_all()

thread = threading.Thread(target=delete)
with transaction.atomic():
    services.configure_version(version=version, threads=2, by=by)
    thread.start()
    with connection.cursor() as cursor:
        waiting = 0
        while not waiting:
            cursor.execute("SELECT count(*) FROM pg_locks WHERE NOT granted")
            waiting = cursor.fetchone()[0]
thread.join()
print("the model is", "there" if Model.objects.filter(name="going").exists() else "gone")
"""

# Two threads, many times: one uploads bytes, the other deletes the version that has the same.
UPLOADS_AND_DELETES = """
from registry.artifacts.artifact_store import ArtifactStore

model = services.create_model(name="race", input_type="json", by=by)
other = services.create_model(name="other", input_type="json", by=by)

def upload(model, name):
    return services.create_version(
        model=model, version=name, runtime="python", artifact=io.BytesIO(b"the same"), by=by
    )

def together(*works):
    gate = threading.Barrier(len(works))
    def run(work):
        gate.wait()
        try:
            work()
        finally:
            connections.close_all()
    threads = [threading.Thread(target=run, args=(work,)) for work in works]
    for thread in threads: thread.start()
    for thread in threads: thread.join()

lost, times = 0, int(sys.argv[1])
for number in range(times):
    old = upload(other, f"old-{number}")
    together(
        lambda: upload(model, f"v{number}"),
        lambda: services.delete_version(version=old, by=by),
    )
    new = ModelVersion.objects.get(model=model, version=f"v{number}")
    try:
        ArtifactStore.default().path_of(new.digest)
    except Exception:
        lost += 1
    services.delete_version(version=new, by=by)
print(times, "uploads", lost, "lost")
"""

# Ten threads change what hangs together, each in an order of its own.
CHANGES_AT_ONCE = """
from core.errors import ClipperError

names = ("m1", "m2", "m3")
for name in names:
    model = services.create_model(name=name, input_type="json", by=by)
    for version in ("1", "2"):
        made = services.create_version(model=model, version=version, runtime="python",
            artifact=io.BytesIO(b"x"), by=by)
        release = services.deploy(version=made, by=by)
        services.begin_release(release=release)
        services.complete_release(release=release)

def routes(rng):
    chosen = rng.sample(names, 3)
    return [services.RouteRequest(model=name) for name in chosen]

def change(number):
    rng = random.Random(number)
    name = rng.choice(("a", "b"))
    found = Application.objects.filter(name=name).first()
    ids = list(ModelVersion.objects.values_list("pk", flat=True))
    rng.shuffle(ids)
    model = Model.objects.get(name=rng.choice(names))
    try:
        match rng.randrange(11):
            case 0 if found is None:
                services.create_application(
                    name=name, input_type="json", slo_ms=50.0, routes=routes(rng), by=by)
            case 0 if rng.random() < 0.3:
                services.delete_application(application=found, by=by)
            case 1 | 2 if found is not None:
                services.replace_routes(application=found, routes=routes(rng), by=by)
            case 3 if found is not None:
                services.set_objective(application=found, latency_ms=rng.uniform(10, 90), by=by)
            case 4:
                services.keep_warm(ids, until=timezone.now() + timedelta(minutes=1))
            case 5:
                services.note_load_error(ids, error=str(number))
            case 6 | 7:
                version = ModelVersion.objects.select_related("model").get(pk=ids[0])
                services.configure_version(version=version, by=by, threads=number + 1)
            case 8 | 9:
                version = ModelVersion.objects.select_related("model").get(pk=ids[0])
                services.deploy(version=version, by=by)
                services.pass_check(check=services.request_check(version))
            case _:
                services.roll_back(model=model, by=by)
    except ClipperError:
        return None
    except Exception as error:
        return type(error).__name__ + ": " + str(error)
    finally:
        connections.close_all()

with ThreadPoolExecutor(10) as threads:
    outcomes = list(threads.map(change, range(int(sys.argv[1]))))
print(len(outcomes), "changes", sorted({o for o in outcomes if o}))
"""

# Eight threads ask whether declarations can be, each in an order of its own, or make changes.
CHECKS_AT_ONCE = """
from django.test import Client

_, key = services.create_api_key(
    name="checks", scopes=("manage",), can_run_code=True, by=by)
names = ("c1", "c2", "c3")
for name in names:
    model = services.create_model(name=name, input_type="json", by=by)
    services.create_version(model=model, version="1", runtime="python",
        artifact=io.BytesIO(b"x"), by=by)
    services.create_application(name=f"app-{name}", input_type="json", slo_ms=50.0, by=by)

def step(rng, kind, name):
    routes = [{"model": each} for each in rng.sample((*names, "new1", "new2"), 2)]
    declared = {
        "model": {"input_type": "json", "description": str(rng.random())},
        "version": {"threads": rng.randint(1, 99)},
        "application": {"input_type": "json", "slo_ms": rng.randint(5, 99), "routes": routes},
    }[kind]
    return {"kind": kind, "name": name, "declared": declared}

def check(rng):
    steps = [step(rng, "model", name) for name in (*names, "new1", "new2")]
    steps += [step(rng, "version", f"{name}:1") for name in names]
    steps += [step(rng, "application", f"app-{name}") for name in (*names, "new")]
    kinds = [steps[:5], steps[5:8], steps[8:]]
    for kind in kinds: rng.shuffle(kind)
    rng.shuffle(kinds)
    found = Client().post("/api/v1/declarations/check", json.dumps({"steps": sum(kinds, [])}),
        content_type="application/json",
        headers={"Authorization": f"Api-Key {key}", "Host": "127.0.0.1"})
    if found.status_code != 200:
        return f"{found.status_code} {found.content}"
    wrong = [each for each in found.json()["refused"] if each["code"] != "not_found"]
    return str(wrong) if wrong else None

def change(rng):
    app = Application.objects.get(name=f"app-{rng.choice(names)}")
    routes = [services.RouteRequest(model=each) for each in rng.sample(names, 2)]
    services.declare_application(name=app.name, application=app, fields={}, routes=routes, by=by)

def run(number):
    rng = random.Random(number)
    try:
        return check(rng) if number % 3 else change(rng)
    except Exception as error:
        return type(error).__name__ + ": " + str(error)
    finally:
        connections.close_all()

with ThreadPoolExecutor(8) as threads:
    outcomes = list(threads.map(run, range(int(sys.argv[1]))))
print(len(outcomes), "asked", sorted({o for o in outcomes if o}))
"""
