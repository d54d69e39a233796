"""The link between web processes and replicas; knows nothing of Django."""
