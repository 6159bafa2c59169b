"""Tables of approvals beyond the first schema version."""

APPROVALS_V2: tuple[str, ...] = ()
