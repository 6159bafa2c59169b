"""How a key shows itself: by the beginning of its id and by nothing else."""

from bywire.seal.keys import SigningKey

KEY = SigningKey.from_seed(b"1" * 32)


def test_a_key_shows_twelve_digits_of_its_id():
    assert repr(KEY) == f"SigningKey({KEY.public.key_id[:12]})"
