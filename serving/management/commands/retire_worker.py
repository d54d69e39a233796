"""`manage.py retire_worker`: moves the replicas of a worker of this host to others."""

import signal
import sys
from functools import partial
from typing import Any

import redis
from django.core.management.base import CommandError, CommandParser

from core.redis.redis_client import redis_client
from registry.management.clipper_command import ClipperCommand
from serving.cluster.control.moves.retirement import Retirement, RetirementFailed
from serving.cluster.membership.directory import own_directory
from serving.cluster.membership.workers import worker_id
from serving.cluster.parent import process_lives


class Command(ClipperCommand):
    help = "Move the replicas of a worker of this host to others, one by one, so that it can end."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("pid", type=int, help="of its main process")

    def handle(self, *args: Any, **options: Any) -> None:
        retirement = Retirement(
            client=redis_client(),
            directory=own_directory(),
            worker=worker_id(options["pid"]),
            lives=partial(process_lives, options["pid"]),
        )
        # So that the worker takes replicas again at once.
        before = signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
        try:
            for line in retirement.run():
                self.stdout.write(line)
                self.stdout.flush()
        except RetirementFailed as error:
            raise CommandError(str(error)) from error
        except redis.RedisError as error:
            raise CommandError(f"Redis can't be asked: {error}") from error
        finally:
            signal.signal(signal.SIGTERM, before)
