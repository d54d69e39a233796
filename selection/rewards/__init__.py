"""From what feedback says to a loss between 0 and 1: arithmetic alone."""
