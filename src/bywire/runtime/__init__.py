"""Ticks state machines: load, send what is pending, transition, commit by compare-and-swap."""
