"""Canonical JSON, digests, DSSE envelopes, Ed25519 keys: how bytes become something that can be believed."""
