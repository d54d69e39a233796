"""The queues: one for tasks of replicas for each kind of device, one for everything else."""

REPLICA_QUEUES = "replicas."
# Celery's default queue here: validations, and whoever serves it does the rounds.
CONTROL_QUEUE = "control"


def queue_of(device: str) -> str:
    return REPLICA_QUEUES + device


def queue_at(queue: str, *, host_id: str) -> str:
    """The queue of the workers of one host, for replicas that fail on others."""
    return f"{queue}.{host_id}"
