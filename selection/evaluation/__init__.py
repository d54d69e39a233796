"""Evaluation of stored feedback: monitoring, health of experiments, what-ifs, export."""
