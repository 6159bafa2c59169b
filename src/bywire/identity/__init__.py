"""Principals, key roles and sessions: who may be believed for what, and when."""
