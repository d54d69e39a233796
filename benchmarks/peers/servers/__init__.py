"""What runs in the peers' own environments: with NumPy, scikit-learn and nothing of ours."""
