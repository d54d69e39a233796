"""Replays: captured queries that a version's replicas are asked again, behind everything else."""
