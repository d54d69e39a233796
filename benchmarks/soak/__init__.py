"""A stack under load for half a million queries, while one part after another is disturbed."""
