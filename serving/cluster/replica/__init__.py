"""A worker's process as a replica."""
