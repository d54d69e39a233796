"""Alerts: rules over every application, what fires, and the messages about it."""
