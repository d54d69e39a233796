"""What every layer may use and none of them owns: Redis, locks, tasks, logging."""
