"""Rollouts: evidence from what web processes count, and the ruling that it leads to."""
