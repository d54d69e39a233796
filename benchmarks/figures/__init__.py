"""What charts, verdicts and records of every benchmark share."""
