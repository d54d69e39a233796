"""What is kept of failures: how often, of what, and what the model wrote."""
