"""Every kind of sensitive text at its plainest, and beside each what only looks like it."""

import pytest

from bywire.gateway.sensitive import redact_text
from bywire.gateway.sensitive_kinds import Kind
from bywire.gateway.sensitive_personal import PERSONAL
from bywire.gateway.sensitive_secrets import SECRETS
from bywire.model.gateway_inspection import FindingClass, InspectionSettings, SensitivePattern

A20, A40, H32 = "aB3dE6gH9jK2mN5pQ8sT", "aB3dE6gH9jK2mN5pQ8sT" * 2, "0123456789abcdef" * 2
AWS_ID = "AKIA" + "A1" * 8
# (text, the same with marks)
MARKED = [
    ("AKIA" + "A1" * 8, "[aws_key]"),
    (f"{AWS_ID},{A20}+/{A20[2:]}", "[aws_key]"),
    (f"keys {AWS_ID} / /{A20}{A20[1:]}: use them", "keys [aws_key]: use them"),
    (f"{AWS_ID} {A20}{A20}x", f"[aws_key] {A20}{A20}x"),
    (f"{AWS_ID} 4e4a3cf025a7cfa20579594ed705d6e3497fe4b1", "[aws_key] 4e4a3cf025a7cfa20579594ed705d6e3497fe4b1"),
    ("AIza" + "aB3dE6-" * 5, "[gcp_key]"),
    (f"ya29.{A20}", "[gcp_token]"),
    (f"abc8Q~{A40}", "abc[azure_secret]"),
    (f"AccountName=x;AccountKey={A40}==;Suffix=y", "AccountName=x;[azure_key];Suffix=y"),
    (f"https://x.example/c?sv=1&sig={A40}%3D", "https://x.example/c?sv=1[azure_signature]"),
    (f"glpat-{A20}", "[gitlab_token]"),
    (f"xapp-1-{A20}", "[slack_token]"),
    (f"https://hooks.slack.com/services/T000/B000/{A20}", "https://[slack_webhook]"),
    (f"sk_live_{A20}", "[stripe_key]"),
    (f"npm_{A40}", "[npm_token]"),
    (f"pypi-{A40}{A20}", "[pypi_token]"),
    (f"dckr_pat_{A20}", "[docker_token]"),
    (f"hvs.{A20}", "[vault_token]"),
    (f"SG.{A20}.{A40}", "[sendgrid_key]"),
    (f"SK{H32}", "[twilio_key]"),
    (f"hf_{A20}{A20}", "[huggingface_token]"),
    (f"dop_v1_{H32}{H32}", "[digitalocean_token]"),
    (f"sk-proj-{A20}", "[model_key]"),
    (f"sk-ant-api03-{A40}", "[model_key]"),
    ("postgres://shop:hunter2@db/shop", "[connection_string]db/shop"),
    ("mongodb+srv://u:p/w@ss@cluster/x", "[connection_string]cluster/x"),
    ("app:hunter2@tcp(db:3306)/shop", "app[connection_string]db:3306)/shop"),
    ("jdbc:postgresql://h/db?user=a&password=hunter2", "jdbc:postgresql://h/db?user=a&[assigned_secret]"),
    ("Server=h;User Id=sa;Password=hunter2;", "Server=h;User Id=sa;[assigned_secret];"),
    ("Cookie: session=abcdefgh12345678", "[cookie]"),
    ("curl -u bot:hunter2 https://x", "curl[basic_login] https://x"),
    ("deploy --password hunter2 --now", "deploy [assigned_secret] --now"),
    ("the password is hunter2hunter2", "the [assigned_secret]"),
    (f"signing_key: {A40}", "[assigned_key]"),
    ("write to ana.ito@example.com.", "write to [email]."),
    ("zoë.o'neil+ci@mail.example.org", "[email]"),
    ("+49 170 1234567", "[phone]"),
    ("call (415) 555-2671 now", "call [phone] now"),
    ("020 7946 0958", "[phone]"),
    ("phone: 5551234567", "phone: [phone]"),
    ("4111 1111 1111 1111", "[payment_card]"),
    ("card=378282246310005", "card=[payment_card]"),
    ("DE89 3704 0044 0532 0130 00 AND MORE", "[iban] AND MORE"),
    ("GB82WEST12345698765432", "[iban]"),
    ("123-45-6789", "[us_ssn]"),
    ("SSN: 123456789", "SSN: [us_ssn]"),
    ("NHS number 943 476 5919", "NHS number [nhs_number]"),
    ("MRN: 00123456", "MRN: [medical_record]"),
    ("ICD-10: E11.9", "ICD-10: [icd_code]"),
    ("dob=1980-02-29", "dob=[birth_date]"),
    ("medicare 1EG4-TE5-MK73", "medicare [medicare_id]"),
    ("db1.prod.internal:5432", "[internal_host]:5432"),
    ("http://shop.default.svc.cluster.local/x", "http://[internal_host]/x"),
]
LEFT_ALONE = [
    "password: ${DB_PASSWORD}",
    "password=$DB_PASSWORD and token: process.env.TOKEN",
    'apiKey: "{{ .Values.apiKey }}"',
    "token=null secret: <redacted> password=[redacted]",
    "max_tokens: 4096, prompt_tokens=12, token_count: 7",
    "secretName: db-credentials",
    "secretKeyRef: {name: db, key: password}",
    "password_file=/run/secrets/db",
    "token_ttl=3600s token_expires_at: 2026-12-24T00:00:00Z",
    "the bearer certificate and the password is wrong",
    "sk-toggleable__label-arrow",
    "4e4a3cf025a7cfa20579594ed705d6e3497fe4b1",
    "0f8fad5b-d9cb-469f-a165-70867728950e",
    "registry.example/shop@sha256:" + "ab" * 32,
    "sha512-" + "aB3d" * 21 + "==",
    "git@github.com:owner/name.git and ssh://git@github.com/owner/name",
    "lodash@4.17.21 logo@2x.png getty@tty1.service",
    "v1.2.3-rc.1+build.20261121",
    "2026-11-21 15:22:08,114",
    "ts=1790000000123456 offset=17900000001",
    "order 4111111111111111 shipped",
    "4111111111111112",
    "1234 5678 9012 3456",
    "order no. 123-45-6789",
    "000-45-6789 and 666-45-6789",
    "143 476 5918",
    "DE89 3704 0044 0532 0130 01",
    "10.12.14.16 - - GET /health",
    "01-02-03-04-05-06",
    "gate B12, version A10.2",
    "lines 100-200-30 of 12345",
    "com.shop.internal.PaymentService",
    "src/app.local.yaml",
    "curl -u 1000:1000",
    "-----BEGIN PUBLIC KEY-----",
    "-----BEGIN CERTIFICATE-----",
]


@pytest.mark.parametrize(("text", "marked"), MARKED)
def test_each_kind_is_replaced_by_its_mark_and_nothing_else_is(text, marked):
    assert redact_text(text)[0] == marked
    assert redact_text(text.encode())[0] == marked.encode()
    assert sum(redact_text(text)[1].values()) == 1


@pytest.mark.parametrize("text", LEFT_ALONE)
def test_what_only_looks_like_it_is_left_alone(text):
    assert redact_text(text) == (text, {})


def test_every_kind_of_personal_text_is_shown_to_be_found():
    told = " ".join(marked for _, marked in MARKED)
    assert {kind.name for kind in PERSONAL if f"[{kind.name}]" not in told} == set()


def test_no_kind_has_captures_and_every_one_has_a_class():
    for kind in (*SECRETS, *PERSONAL):
        assert isinstance(kind, Kind)
        assert kind.family in FindingClass
        assert "(?P" not in kind.pattern


@pytest.mark.parametrize(
    "value",
    ["$hunter2", "<hunter2", "<hunter2>", "{hunter2", "{{hunter2", "secrets.hunter2", "os.environ.hunter2",
     "$(hunter2)", "nullhunter2", "none.such", "xxxx7", "[hunter2]", "${hunter2", "%hunter2%"],
)  # fmt: skip
def test_what_only_begins_like_a_placeholder_is_a_secret(value):
    assert "hunter2" not in redact_text(f"password={value}")[0] or value == "none.such"
    assert redact_text(f"password: {value}")[1] == {"assigned_secret": 1}


def test_a_code_is_no_count_of_tokens():
    assert redact_text("token=123456")[1] == redact_text("password: 123456")[1] == {"assigned_secret": 1}
    assert redact_text("tokens=123456 token_count: 12 max_tokens=4096")[1] == {}


def test_a_kind_that_is_kept_stays_readable_and_a_secret_never_does():
    settings = InspectionSettings(kept=("email", "internal_host", "aws_key"))
    text = f"ana@example.com on db.prod.internal with {'AKIA' + 'A1' * 8}"
    assert redact_text(text, settings)[0] == "ana@example.com on db.prod.internal with [aws_key]"


def test_the_operators_own_kinds_and_hosts():
    settings = InspectionSettings(
        patterns=(SensitivePattern("customer_id", r"\bCUST-[0-9]{6}\b"), SensitivePattern("case_line", r"^case .*$")),
        internal_hosts=("*.shop.example", "build-*.example"),
    )
    text = "CUST-123456 on api.shop.example\ncase 7 of 9\nbuild-7.example not shop.example, no case here"
    shown = "[customer_id] on [internal_host]\n[case_line]\n[internal_host] not shop.example, no case here"
    assert redact_text(text, settings)[0] == shown
    assert redact_text(text)[0] == text


def test_an_address_of_a_person_is_no_way_to_hide_a_number():
    assert "4111" not in redact_text("4111.1111.1111.1111@x.png")[0]
    assert "4111" not in redact_text("mail 4111-1111-1111-1111@example.com")[0]
