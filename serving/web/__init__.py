"""The parts of a web process."""
