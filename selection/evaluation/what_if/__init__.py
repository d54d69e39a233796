"""What if: how other policies, or single arms, would have done on feedback that was kept."""
