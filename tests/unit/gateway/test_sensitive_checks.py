"""Which numbers a bank, a card issuer, a health service or a carrier may have given out, at the edges of each range.

Every number here has its check digits right unless its row says otherwise, so that only the asked rule decides.
"""

import pytest

from bywire.gateway.sensitive_checks import (
    IBAN_CHARS,
    is_card,
    is_iban,
    is_nhs_number,
    is_phone,
    is_random,
    is_social_security_number,
    luhn,
)

# The first and the last of each issuer's ranges, in each length that it uses.
ISSUED = [
    "4024681357907", "4024681357902460", "4024681357902468137", "5100024681357909", "5599024681357907",
    "2221024681357900", "2720024681357906", "340246813579024", "370246813579027", "6011024681357905",
    "6440024681357906", "6499024681357906", "6500024681357903", "6599024681357905", "3528024681357908",
    "3589024681357904", "30000246813574", "30590246813574", "36024681357909", "38024681357907",
    "6200024681357906", "62024681357902468", "620246813579024683", "6299024681357902460", "5018024681357900",
    "5020024681357906", "5038024681357906", "5893024681357900", "6304024681357901", "6759024681357901",
    "6761024681357907", "6762024681357906", "6763024681357905", "630402468135790241", "6763024681357902465",
    "4444444444000",
]  # fmt: skip
# One beside those ranges, or of a length that the issuer does not use.
NOT_ISSUED = [
    "402468135791", "40246813579027", "402468135790247", "40246813579024684", "402468135790246810",
    "40246813579024681356", "9024681357902", "1024681357902466", "9024681357902468132", "5099024681357902",
    "5600024681357904", "510002468135792", "55990246813579021", "2220024681357901", "2721024681357905",
    "230002468135791", "23000246813579027", "330246813579026", "350246813579021", "360102468135791",
    "380246813579025", "34000246813570", "3700024681357908", "6010024681357906", "6012024681357904",
    "6439024681357909", "6600024681357902", "601102468135790", "64990246813579023", "650002468135792",
    "3527024681357909", "3590024681357901", "352802468135796", "29990246813579", "30600246813571",
    "35024681357900", "37000246813577", "39000246813575", "3000024681352", "305902468135792",
    "3600024681357909", "620002468135799", "62024681357902468136", "61000246813579027", "63000246813579023",
    "501802468135796", "63040246813579025", "67630246813579024682", "5019024681357909", "676402468135790244",
]  # fmt: skip
# One number of each country of the registry.
IBANS = [
    "AD8701234567890123456789", "AE700123456789012345678", "AL14012345678901234567890123",
    "AT820123456789012345", "AZ69012345678901234567890123", "BA330123456789012345", "BE69012345678901",
    "BG80012345678901234567", "BH77012345678901234567", "BI5701234567890123456789012",
    "BR150123456789012345678901234", "BY63012345678901234567890123", "CH2901234567890123456",
    "CR38012345678901234567", "CY54012345678901234567890123", "CZ0301234567890123456789",
    "DE68012345678901234567", "DJ3601234567890123456789012", "DK2401234567890123",
    "DO75012345678901234567890123", "EE910123456789012345", "EG210123456789012345678901234",
    "ES0601234567890123456789", "FI1201234567890123", "FO9101234567890123", "FR9101234567890123456789012",
    "GB50012345678901234567", "GE41012345678901234567", "GI040123456789012345678", "GL9101234567890123",
    "GR8201234567890123456789012", "GT33012345678901234567890123", "HR5101234567890123456",
    "HU21012345678901234567890123", "IE23012345678901234567", "IL740123456789012345678",
    "IQ590123456789012345678", "IS820123456789012345678901", "IT5801234567890123456789012",
    "JO1101234567890123456789012345", "KW7501234567890123456789012345", "KZ710123456789012345",
    "LB42012345678901234567890123", "LC2101234567890123456789012345678", "LI4201234567890123456",
    "LT800123456789012345", "LU770123456789012345", "LV0301234567890123456", "LY17012345678901234567890",
    "MC7301234567890123456789012", "MD7601234567890123456789", "ME84012345678901234567", "MK83012345678901234",
    "MR2801234567890123456789012", "MT47012345678901234567890123456", "MU6301234567890123456789012345",
    "NI03012345678901234567890123", "NL2801234567890123", "NO5601234567890", "OM170123456789012345678",
    "PK2801234567890123456789", "PL73012345678901234567890123", "PS800123456789012345678901234",
    "PT93012345678901234567890", "QA280123456789012345678901234", "RO9501234567890123456789",
    "RS94012345678901234567", "RU1001234567890123456789012345678", "SA3101234567890123456789",
    "SC44012345678901234567890123456", "SE1901234567890123456789", "SI35012345678901234",
    "SK9801234567890123456789", "SM8601234567890123456789012", "SO720123456789012345678",
    "ST66012345678901234567890", "SV16012345678901234567890123", "TL720123456789012345678",
    "TN8001234567890123456789", "TR830123456789012345678901", "UA890123456789012345678901234",
    "VA15012345678901234567", "VG8301234567890123456789", "XK960123456789012345",
    "YE0301234567890123456789012345",
]  # fmt: skip


@pytest.mark.parametrize("digits", ISSUED)
def test_a_number_in_an_issuers_range_and_length_is_a_card(digits):
    assert is_card(digits)
    assert not is_card(digits[:-1] + str((int(digits[-1]) + 1) % 10))


@pytest.mark.parametrize("digits", NOT_ISSUED)
def test_a_number_that_no_issuer_gives_out_is_no_card(digits):
    assert luhn(digits)
    assert not is_card(digits)


def test_every_country_of_the_registry_has_a_row():
    assert sorted(number[:2] for number in IBANS) == sorted(IBAN_CHARS)


@pytest.mark.parametrize("number", IBANS)
def test_an_account_number_has_its_countrys_length_and_its_check_digits(number):
    assert is_iban(number)
    assert not is_iban(number + "0")
    assert not is_iban(number[:-1])
    assert not is_iban(number[:-1] + str((int(number[-1]) + 1) % 10))


def test_letters_count_as_numbers_and_other_countries_have_no_length():
    assert is_iban("GB82WEST12345698765432")
    assert not is_iban("GB82TEST12345698765432")
    assert not is_iban("US82WEST12345698765432")


@pytest.mark.parametrize(
    ("digits", "may_be"),
    [
        ("9434765919", True),
        ("9434765918", False),
        ("4000000020", True),  # its rest is 11, which is written 0
        ("4000000021", False),
        ("4000000080", False),  # its rest is 10, which is never given out
        ("4444494999", True),
        ("0000000000", False),
    ],
)
def test_a_number_of_the_health_service_has_its_check_digit(digits, may_be):
    assert is_nhs_number(digits) is may_be


def test_a_number_with_a_digit_too_few_is_not_judged():
    with pytest.raises(ValueError, match="longer"):
        is_nhs_number("94347659")


@pytest.mark.parametrize(
    ("digits", "may_be"),
    [
        ("001010001", True),
        ("000010001", False),
        ("665010001", True),
        ("666010001", False),
        ("667010001", True),
        ("899999999", True),
        ("900010001", False),
        ("999010001", False),
        ("123006789", False),
        ("123016789", True),
        ("123106789", True),
        ("123450000", False),
        ("123450001", True),
        ("123451000", True),
    ],
)
def test_some_areas_groups_and_serials_were_never_issued(digits, may_be):
    assert is_social_security_number(digits) is may_be


@pytest.mark.parametrize(
    ("digits", "least", "may_be"),
    [
        ("4155526", 7, True),
        ("4155526", 8, False),
        ("41555267", 8, True),
        ("415552671234567", 8, True),
        ("4155526712345678", 8, False),
        ("4444444444", 8, False),
        ("4141414141", 8, False),
        ("4141414142", 8, True),
    ],
)
def test_a_phone_number_has_a_count_of_digits_and_three_different_ones(digits, least, may_be):
    assert is_phone(digits, least=least) is may_be


def test_a_phone_number_has_eight_digits_where_nothing_else_is_said():
    assert is_phone("41555267")
    assert not is_phone("4155526")


@pytest.mark.parametrize(
    ("text", "drawn"),
    [
        ("aB3dE6gH9jK2", True),
        ("abcdefghi1", True),
        ("abcdefgha1", False),  # 3.12 bits a character
        ("abcdefhii12", False),  # 3.28 bits
        ("abcd1234", False),  # three bits: all eight are different
        ("aaaa1111", False),
        ("abcdefghijkl", False),
        ("123456789012", False),
        ("", False),
    ],
)
def test_what_looks_drawn_mixes_letters_and_digits_and_repeats_few(text, drawn):
    assert is_random(text) is drawn
