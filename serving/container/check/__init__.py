"""Sample answers, times and agreement that a check reports."""
