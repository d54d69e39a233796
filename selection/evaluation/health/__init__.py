"""Whether an experiment can be believed: what goes wrong in one without anybody noticing."""
