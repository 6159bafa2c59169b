"""SHA-256 in the one spelling the project uses: 64 lower-case hex digits."""

import hashlib
import hmac


def sha256_hex(data: bytes) -> str:
    """The SHA-256 of `data`, lower-case hex."""
    return hashlib.sha256(data).hexdigest()


def same_digest(left: str, right: str) -> bool:
    """Compare two digests in constant time. What is no text, as JSON may carry it, equals no digest."""
    return hmac.compare_digest(left.encode("utf-8", "surrogatepass"), right.encode("utf-8", "surrogatepass"))
