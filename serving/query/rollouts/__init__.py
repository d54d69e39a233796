"""A canary, a shadow and their counts: what an open rollout adds to a query."""
