"""Replicas that move from a worker that retires to others."""
