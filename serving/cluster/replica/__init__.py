"""What a worker's process does to be a replica."""
