"""Frozen value types and errors. No IO, no clock, nothing of bywire imported."""
