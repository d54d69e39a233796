"""What runs in the peers' own environments: they have NumPy and scikit-learn, and nothing of ours.

What each peer's library brings isn't there where types are checked.
"""
