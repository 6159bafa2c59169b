"""Builds every concrete object from configuration; the only place that does."""
