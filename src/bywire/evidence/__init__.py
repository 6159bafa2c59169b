"""What must be believed and how it is read: reports, provenance, artifacts, and facts from verified envelopes."""
