"""What a check asks a model beyond whether it answers."""
