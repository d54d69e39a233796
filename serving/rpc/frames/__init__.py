"""Frames: the codec of what web processes and replicas exchange."""
