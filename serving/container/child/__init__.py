"""The process that a model runs in: how it is started, confined, asked and ended."""
