"""Off-policy evaluation: what another policy, or one arm alone, would have earned (arithmetic)."""
