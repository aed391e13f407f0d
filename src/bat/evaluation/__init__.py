"""Metrics, their uncertainty, and how they are shown."""
