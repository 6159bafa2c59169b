"""Where a piece of personal text begins and ends, what beside it makes it none, and how sure its form alone is."""

import pytest

from bywire.gateway.sensitive import Detector, Hosts, detector, redact_text
from bywire.model.gateway_inspection import FindingClass, InspectionSettings, SensitivePattern

SETTINGS = InspectionSettings(
    patterns=(
        SensitivePattern("ward_number", r"MRN: [0-9]{8}", FindingClass.PHI),
        SensitivePattern("case_number", r"\bKD-[0-9]{4}\b"),
    ),
    internal_hosts=("build-*.example",),
)


def found(text):
    """(kind, the piece, whether its form alone tells it) of everything in `text`."""
    data = text.encode()
    hits = detector(SETTINGS, Hosts.ALL).find(data)
    return [(hit.kind, data[hit.start : hit.end].decode(), hit.certain) for hit in hits]


@pytest.mark.parametrize(
    ("text", "piece"),
    [
        ("Xena@example.com", "Xena@example.com"),
        ("X@example.com", "X@example.com"),
        ("'+ana@example.com", "ana@example.com"),
        ("ana@png.example", "ana@png.example"),
        ("ana@xv2.example", "ana@xv2.example"),
        ("x:/ana@example.com", "ana@example.com"),
        ("ana@db1.internal", "ana@db1.internal"),
        ("_ana [at] example [dot] com", "ana [at] example [dot] com"),
        ("a`ana(at)example.com", "ana(at)example.com"),
        # More than eight digits are more than a login: what they are is not left to the domain.
        ("123456789@logo.png", "123456789@logo.png"),
    ],
)
def test_an_address_is_found_from_its_first_letter_to_its_domain(text, piece):
    assert found(text) == [("email", piece, True)]


@pytest.mark.parametrize(
    "text",
    [
        "12345678@logo.png",
        "ana@example..com",
        "ana@.example.com",
        "ana@logo.large.png",
        "ana@gone.release",
        "ana@gone.png",
        "lodash@4.next",
        "lodash@v4.next",
        "git@example.com",
        "hg@example.com",
        "SVN@example.com",
        "-_@example.com",
        "https://ana@example.com",
        # The whole user of a URL is passed over, not only its first word.
        "https://ana.ito@example.com",
        "://ana@example.com",
    ],
)
def test_versions_files_logins_and_users_of_urls_are_no_addresses(text):
    assert found(text) == []


@pytest.mark.parametrize(
    ("text", "piece", "certain"),
    [
        ("tel 5551234", "5551234", True),
        ("phone: (555) 123-4567", "(555) 123-4567", True),
        # Its own label outweighs a word of serial numbers; so does the plus.
        ("phone id: 555-123-4567", "555-123-4567", True),
        ("order +49 170 1234567", "+49 170 1234567", True),
        ("12 +49 170 1234567", "+49 170 1234567", True),
        ("+49 170 1234567", "+49 170 1234567", True),
        ("+49 170 123", "+49 170 123", True),
        ("415-555-2671", "415-555-2671", True),
        ("(030 12345678", "(030 12345678", True),
        ("(415) 555 2672", "(415) 555 2672", True),
        ("415 555 2672", "415 555 2672", False),
        ("(call 415 555 2672)", "415 555 2672", False),
        ("415 555 2672-", "415 555 2672", False),
        ("0301 234567", "0301 234567", False),
    ],
)
def test_a_phone_number_is_certain_by_its_label_its_plus_or_its_marks(text, piece, certain):
    assert found(text) == [("phone", piece, certain)]


@pytest.mark.parametrize(
    "text",
    [
        "tel 555123",
        "+49 17 012",
        "0301 23456",
        "order 415 555 2672",
        "12 415 555 2672",
        "12-415 555 2672",
        "415-555-2671-9",
        "x+49 170 1234567",
        "call x+49 170 1234567",
        "++49 170 1234567",
        *(f"{mark}415-555-2671" for mark in "-./#"),
    ],
)
def test_too_few_digits_a_serial_label_and_the_rest_of_something_longer_are_no_phone(text):
    assert found(text) == []


def test_a_label_more_than_24_characters_before_a_number_is_not_its_label():
    assert found(f"order{' ' * 19}415 555 2672") == []
    assert found(f"order{' ' * 20}415 555 2672") == [("phone", "415 555 2672", False)]


@pytest.mark.parametrize("mark", ["-", ".", "/", ":", "#"])
def test_a_mark_makes_a_number_longer_only_before_a_letter_or_a_digit(mark):
    assert found(f"+49 170 1234567{mark}x y") == []
    assert found(f"+49 170 1234567{mark} y") == [("phone", "+49 170 1234567", True)]
    assert found(f"+49 170 1234567{mark}") == [("phone", "+49 170 1234567", True)]


@pytest.mark.parametrize(("follows", "longer"), [("x, ", True), ("_ ", True), ("_a", True), (",x", False), ("", False)])
def test_a_letter_or_a_line_below_makes_a_number_longer_at_once(follows, longer):
    assert found(f"+49 170 1234567{follows}") == ([] if longer else [("phone", "+49 170 1234567", True)])


@pytest.mark.parametrize(
    ("text", "piece"),
    [
        ("4222222222222", "4222222222222"),
        ("no. 4111111111111111", "4111111111111111"),
        ("no ,4111111111111111", "4111111111111111"),
        ("4111.1111-1111/1111", "4111.1111-1111/1111"),
        ("4111111111111111\u20ac", "4111111111111111"),
        ("4111 1111 1111 1111 003", "4111 1111 1111 1111 003"),
        # The digits behind it belong to something else.
        ("4111 1111 1111 1111 5", "4111 1111 1111 1111"),
        ("4111 1111 1111 1111 003x", "4111 1111 1111 1111"),
        ("DE89 4111 1111 1111 1111 XX", "4111 1111 1111 1111"),
        ("order 4111 1111 1111 1111", "4111 1111 1111 1111"),
        ("order card 4111111111111111", "4111111111111111"),
        ("card order 4111111111111111", "4111111111111111"),
    ],
)
def test_a_card_is_the_longest_run_of_digits_that_is_one(text, piece):
    assert found(text) == [("payment_card", piece, True)]


@pytest.mark.parametrize("before", [".", "-", "/", "0.", "rev -", "build/", "at ."])
def test_digits_behind_a_point_a_dash_or_a_slash_are_the_rest_of_something(before):
    assert found(f"{before}4111111111111111") == []


@pytest.mark.parametrize("follows", ["x", "x y", "_", "_ y"])
def test_digits_that_a_word_goes_on_from_are_no_card(follows):
    assert found(f"4111111111111111{follows}") == []


@pytest.mark.parametrize(
    ("text", "piece"),
    [
        ("DE89370400440532013000!", "DE89370400440532013000"),
        ("to DE89-3704-0044-0532-0130-00 now", "DE89-3704-0044-0532-0130-00"),
        ("de89370400440532013000", "de89370400440532013000"),
        ("MT12MALT011000012345XTLCAST001X", "MT12MALT011000012345XTLCAST001X"),
    ],
)
def test_an_account_number_is_found_without_what_follows(text, piece):
    assert found(text) == [("iban", piece, True)]


@pytest.mark.parametrize("text", ["DE8937040044053201300!", "DE89370400440532013000x", "DE89370400440532013000_"])
def test_an_account_number_one_character_off_is_none(text):
    assert found(text) == []


@pytest.mark.parametrize(
    ("text", "hit"),
    [
        ("SSN: 123456789", ("us_ssn", "123456789", True)),
        ("123-45-6789", ("us_ssn", "123-45-6789", True)),
        ("943 476 5919", ("nhs_number", "943 476 5919", False)),
        ("943 476 5919-", ("nhs_number", "943 476 5919", False)),
        ("943 476 5919.", ("nhs_number", "943 476 5919", False)),
        ("order nhs 943 476 5919", ("nhs_number", "943 476 5919", True)),
        ("nhs no. 9434765919", ("nhs_number", "9434765919", True)),
        ("MRN: 00123456", ("medical_record", "00123456", True)),
        ("dx E11.9", ("icd_code", "E11.9", True)),
        ("born, DOB: 29 Feb 1980", ("birth_date", "29 Feb 1980", True)),
        ("1EG4-TE5-MK73", ("medicare_id", "1EG4-TE5-MK73", False)),
    ],
)
def test_a_number_of_a_state_is_certain_by_its_label_or_its_dashes(text, hit):
    assert found(text) == [hit]


@pytest.mark.parametrize(
    "text",
    [
        "order 943 476 5919",
        "#943 476 5919",
        "943 476 5919.5",
        "123-45-6789-1",
        "x-1EG4-TE5-MK73",
        "1EG4-TE5-MK73-x",
    ],
)
def test_a_number_of_a_state_inside_something_longer_is_none(text):
    assert found(text) == []


@pytest.mark.parametrize(
    "host",
    ["db.internal", "db.corp", "db.local", "db.lan", "db.intranet", "db.localdomain", "db.home.arpa",
     "db.ns.svc.cluster.local", "DB.Internal", "_tcp.db-1.lan", "build-7.example"],
)  # fmt: skip
@pytest.mark.parametrize(("before", "after"), [("", ""), ("//", "/x"), ("x//", ":80"), ("on ", ". Then"), ("(", ".")])
def test_a_name_in_the_house_is_found_wherever_it_stands_alone(host, before, after):
    assert found(before + host + after) == [("internal_host", host, False)]


@pytest.mark.parametrize(
    "text",
    ["/db1.internal", "etc/db1.internal", ".db1.internal", "~-db1.internal", "db1.internal.x y", "db1.internal.xy",
     "db1.internal-x", "x_build-7.example", "x-build-7.example"],
)  # fmt: skip
def test_a_part_of_a_path_or_of_a_longer_name_is_no_host(text):
    assert found(text) == []


def test_what_an_operator_names_is_certain_and_keeps_its_name_inside_a_word():
    assert found("KD-1234") == [("case_number", "KD-1234", True)]
    assert found("xMRN: 00123456") == [("ward_number", "MRN: 00123456", True)]


def test_the_endings_of_the_house_the_listed_names_and_the_operators_kinds_are_looked_for_together():
    text = b"a.internal b.corp c.svc.cluster.local build-7.example KD-1234"
    shown = b"[internal_host] [internal_host] [internal_host] [internal_host] [case_number]"
    assert Detector(SETTINGS, Hosts.ALL).redacted(text)[0] == shown
    shown = b"a.internal b.corp c.svc.cluster.local [internal_host] [case_number]"
    assert Detector(SETTINGS, Hosts.LISTED).redacted(text)[0] == shown


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (f"x_sk_live_{'aB3d' * 5}", "x_[stripe_key]"),
        (f"x_hf_{'aB3d' * 9}", "x_[huggingface_token]"),
        (f"hf_{'aB3d' * 9}", "[huggingface_token]"),
    ],
)
def test_the_line_below_that_joins_a_token_to_a_name_is_not_part_of_it(text, shown):
    assert redact_text(text)[0] == shown
