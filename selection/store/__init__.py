"""What selection keeps in Redis, and what a web process has of it at hand."""
