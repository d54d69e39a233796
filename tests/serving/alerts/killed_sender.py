"""Processes that find and send alerts, killed before a message is sent or before that is noted.

It is imported before Django is set up.
"""

import os
import signal
from typing import Any

import django
from django.conf import settings

# Statements of a message's try: a process dies once it has run the one, or instead of the other.
CLAIM, NOTE = '"attempts" = (', '"sent_at" = '


def drive(database: str, keys: list[int]) -> None:
    """Let a process find one more alert each time and be killed; then end the work."""
    settings.DATABASES["default"]["NAME"] = database
    settings.CLIPPER_ALERT_HOSTS = "127.0.0.1"
    django.setup()
    for number in range(len(keys)):
        for dies_at in (CLAIM, NOTE) if number % 4 == 0 else (CLAIM,):
            assert _ending(keys[: number + 1], dies_at=dies_at) == -signal.SIGKILL
    assert _ending(keys, dies_at="") == 0


def _ending(keys: list[int], *, dies_at: str) -> int:
    """Return how a process ends that looks and sends until nothing is left, or it is killed."""
    from django.db import connections
    from django.utils import timezone

    from serving.alerts.models import Message

    # The wait before the next try is over.
    Message.objects.filter(state="waiting").update(due_at=timezone.now())
    connections.close_all()
    if child := os.fork():
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    try:
        _look_and_send(keys, dies_at=dies_at)
    finally:
        os._exit(0)


def _look_and_send(keys: list[int], *, dies_at: str) -> None:
    from django.db import connection
    from django.utils import timezone

    from serving.alerts.alert_rules import ApplicationFacts
    from serving.alerts.alert_states import settle
    from serving.alerts.models import Message
    from serving.alerts.outbox import send_due

    def dying(execute: Any, sql: str, *asked: Any) -> Any:
        dies = dies_at and sql.startswith("UPDATE") and dies_at in sql
        if dies and dies_at == NOTE:
            os.kill(os.getpid(), signal.SIGKILL)
        answer = execute(sql, *asked)
        if dies:
            os.kill(os.getpid(), signal.SIGKILL)
        return answer

    stopped = {"silence": {"state": "alarm", "reason": "none for an hour"}}
    with connection.execute_wrapper(dying):
        while True:
            settle([ApplicationFacts(id=key, health=stopped) for key in keys])
            send_due()
            if not dies_at and not Message.objects.filter(state="waiting").exists():
                break
            Message.objects.filter(state="waiting", attempts=0).update(due_at=timezone.now())
