"""Virtual environments that versions bring: built once on each host, shared, and bounded."""
