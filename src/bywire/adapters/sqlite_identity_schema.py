"""Tables of identities beyond the first schema version."""

IDENTITY_V2: tuple[str, ...] = ()
