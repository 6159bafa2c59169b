"""Roles as contracts, and the built-in deterministic workers that can fill them."""
