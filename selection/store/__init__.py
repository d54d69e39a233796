"""The state of selection in Redis, and copies of it in a web process."""
