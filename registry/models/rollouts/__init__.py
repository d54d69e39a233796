"""The rows of a rollout: itself, its plan, and who approved it."""
