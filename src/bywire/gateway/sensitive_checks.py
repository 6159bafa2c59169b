"""Check digits and shapes that tell a number from one that only looks like it.

Each function takes digits or text that a pattern already found, and says whether it may be what the pattern is for.
"""

import math
from collections import Counter

# ISO 13616 registry: how long an account number of each country is.
IBAN_CHARS = {
    country: int(length)
    for length, countries in (
        ("15", "NO"), ("16", "BE"), ("18", "DK FO FI GL NL"), ("19", "MK SI"),
        ("20", "AT BA EE KZ LT LU XK"), ("21", "CH HR LI LV"), ("22", "BG BH CR DE GB GE IE ME RS VA"),
        ("23", "AE GI IL IQ OM SO TL"), ("24", "AD CZ ES MD PK RO SA SE SK TN VG"), ("25", "LY PT ST"),
        ("26", "IS TR"), ("27", "BI DJ FR GR IT MC MR SM"), ("28", "AL AZ BY CY DO GT HU LB NI PL SV"),
        ("29", "BR EG PS QA UA"), ("30", "JO KW MU YE"), ("31", "MT SC"), ("33", "LC RU"),
    )
    for country in countries.split()
}  # fmt: skip
ENTROPY_BITS_MIN = 3.3
_DOUBLED = str.maketrans("0123456789", "0246813579")
_MAESTRO = ("5018", "5020", "5038", "5893", "6304", "6759", "6761", "6762", "6763")


def luhn(digits: str) -> bool:
    """ISO/IEC 7812-1 annex B."""
    return sum((digits[-1::-2] + digits[-2::-2].translate(_DOUBLED)).encode()) % 10 == len(digits) * ord("0") % 10


def is_card(digits: str) -> bool:
    """A primary account number: a known issuer's range, the length that issuer uses, and the check digit."""
    size, four = len(digits), int(digits[:4])
    two = four // 100
    issued = (
        (digits[0] == "4" and size in (13, 16, 19))
        or (size == 16 and (51 <= two <= 55 or 2221 <= four <= 2720))
        or (size == 15 and two in (34, 37))
        or (size == 16 and (four == 6011 or 6440 <= four <= 6499 or two == 65 or 3528 <= four <= 3589))
        or (size == 14 and (3000 <= four <= 3059 or two in (36, 38)))
        or (16 <= size <= 19 and two == 62)
        or (size in (16, 18, 19) and digits.startswith(_MAESTRO))
    )
    return issued and len(set(digits)) > 1 and luhn(digits)


def is_iban(text: str) -> bool:
    """ISO 7064 MOD 97-10 over an account number of its country's length, without spaces."""
    if len(text) != IBAN_CHARS.get(text[:2]):
        return False
    return int("".join(str(int(char, 36)) for char in text[4:] + text[:4])) % 97 == 1


def is_nhs_number(digits: str) -> bool:
    """The NHS data dictionary's modulus 11."""
    rest = 11 - sum(int(digit) * weight for digit, weight in zip(digits[:9], range(10, 1, -1), strict=True)) % 11
    return len(set(digits)) > 1 and rest != 10 and rest % 11 == int(digits[9])


def is_social_security_number(digits: str) -> bool:
    """What the Social Security Administration may have issued."""
    area, group, serial = digits[:3], digits[3:5], digits[5:]
    return area not in ("000", "666") and area < "900" and group != "00" and serial != "0000"


def is_phone(digits: str, *, least: int = 8) -> bool:
    """A plausible count of digits (ITU-T E.164 allows 15), not one digit over and over."""
    return least <= len(digits) <= 15 and len(set(digits)) > 2


def is_random(text: str) -> bool:
    """Whether it looks drawn rather than written: letters and digits mixed, and many of them different."""
    if not any(char.isdigit() for char in text) or not any(char.isalpha() for char in text):
        return False
    counts = Counter(text).values()
    bits = -sum(count / len(text) * math.log2(count / len(text)) for count in counts)
    return bits >= ENTROPY_BITS_MIN
