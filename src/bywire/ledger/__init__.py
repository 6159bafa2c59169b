"""The transparency log: what was decided and done, in an order nobody can quietly change.

RFC 6962 Merkle tree over digests-only leaves, 256-wide tiles, C2SP signed checkpoints, offline proofs. No IO: storage
comes in through `ports`.
"""
