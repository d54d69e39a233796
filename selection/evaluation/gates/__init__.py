"""Gates of rollouts: tests of a new version beside the live one, valid however often one looks."""
