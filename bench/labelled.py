"""A labelled set for the redactor: lines of logs, files and prose of our own making; what must go, what must stay.

Everything is drawn from a fixed seed; no line is copied from anywhere and no value was ever issued. `sensitive()` gives
(kind, line, what must not remain); `harmless()` gives (what it looks like, line): numbers, digests and words that a
careless pattern takes for something. Check digits are computed here once more, apart from the code that is measured.
"""

import base64
import json
import string
from random import Random

EACH = 24
HARMLESS_EACH = 30
ALNUM = string.ascii_letters + string.digits
UPPER = string.ascii_uppercase + string.digits
HEX = "0123456789abcdef"
FRAMES = (
    "{v}",
    "2026-11-21T15:22:08.114Z INFO  checkout-7d9f8b6c5-x2k4p client said {v} and hung up",
    '{{"ts":1790000000123,"level":"warn","msg":"bad input","value":"{v}","attempt":3}}',
    "level=error service=billing detail='{v}' duration_ms=12.7",
    "  note: {v}  # copied from the ticket",
    "we saw {v}, twice, on the 3rd of May.",
    "[worker-3] rejected ({v}) after 2 retries",
    "output:\n    line one\n    {v}\n    line three",
)


def _of(random, alphabet, count):
    return "".join(random.choice(alphabet) for _ in range(count))


def _b64url(data):
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def _luhn_digit(digits):
    total = 0
    for index, digit in enumerate(reversed(digits)):
        value = int(digit) * (2 if index % 2 == 0 else 1)
        total += value - 9 if value > 9 else value
    return str(-total % 10)


def _card(random):
    prefix, size = random.choice(
        (("4", 16), ("51", 16), ("54", 16), ("2720", 16), ("34", 15), ("37", 15), ("6011", 16))
    )
    body = prefix + _of(random, string.digits, size - 1 - len(prefix))
    number = body + _luhn_digit(body)
    if size == 15:
        return random.choice((number, f"{number[:4]} {number[4:10]} {number[10:]}"))
    return random.choice(
        (
            number,
            " ".join(number[i : i + 4] for i in range(0, 16, 4)),
            "-".join(number[i : i + 4] for i in range(0, 16, 4)),
        )
    )


def _iban(random):
    country, bban = random.choice(
        (
            ("DE", _of(random, string.digits, 18)),
            ("GB", _of(random, string.ascii_uppercase, 4) + _of(random, string.digits, 14)),
            ("FR", _of(random, string.digits, 10) + _of(random, UPPER, 11) + _of(random, string.digits, 2)),
            ("NL", _of(random, string.ascii_uppercase, 4) + _of(random, string.digits, 10)),
            ("CH", _of(random, string.digits, 5) + _of(random, UPPER, 12)),
        )
    )
    value = "".join(str(ord(char) - 55) if char.isalpha() else char for char in f"{bban}{country}00")
    number = f"{country}{98 - int(value) % 97:02d}{bban}"
    return random.choice((number, " ".join(number[i : i + 4] for i in range(0, len(number), 4))))


def _nhs(random):
    while True:
        body = _of(random, string.digits, 9)
        check = 11 - sum(int(digit) * (10 - index) for index, digit in enumerate(body)) % 11
        if check != 10:
            number = body + str(check % 11)
            return random.choice(
                (f"NHS number {number}", f"nhs no: {number[:3]} {number[3:6]} {number[6:]}", f"NHS: {number}")
            )


def _phone(random):
    d = lambda count: _of(random, string.digits, count)  # noqa: E731
    return random.choice(
        (
            f"+49 170 {d(7)}", f"+1 415 555 {d(4)}", f"+4420794{d(5)}", f"+1-212-555-{d(4)}", f"(415) 555-{d(4)}",
            f"415-555-{d(4)}", f"+33 6 {d(2)} {d(2)} {d(2)} {d(2)}", f"phone: 0{random.randint(20, 99)}{d(8)}",
            f"020 7946 0{d(3)}", f"tel. {random.randint(100, 999)}{d(6)}", f"06 {d(2)} {d(2)} {d(2)} {d(2)}",
        )
    )  # fmt: skip


def _email(random):
    first, last = (
        random.choice(("ana", "li", "omar", "j.smith", "m_o", "zoë", "k")),
        random.choice(("ito", "berg", "x", "o'neil")),
    )
    domain = random.choice(
        ("example.com", "mail.example.org", "shop.example", "example.co.uk", "uni-example.de", "example.io")
    )
    return f"{first}.{last}{random.choice(('', '+ci', '99'))}@{domain}"


def _jwt(random):
    head = json.dumps({"alg": random.choice(("ES256", "HS256")), "typ": "JWT"}).encode()
    body = json.dumps({"sub": _of(random, ALNUM, 8), "exp": random.randint(1_790_000_000, 1_800_000_000)}).encode()
    return f"{_b64url(head)}.{_b64url(body)}.{_b64url(random.randbytes(32))}"


def _pem(random):
    name = random.choice(("", "RSA ", "EC ", "OPENSSH "))
    body = base64.encodebytes(random.randbytes(150)).decode()
    return f"-----BEGIN {name}PRIVATE KEY-----\n{body}-----END {name}PRIVATE KEY-----"


def _password(random):
    return _of(random, ALNUM + "!#%*+", random.randint(8, 20)) + random.choice(string.digits)


def _tokens(random):
    """(kind, text, the part that must not remain) of what issuers gave a form of its own."""
    a, u, h = (lambda n, alphabet=alphabet: _of(random, alphabet, n) for alphabet in (ALNUM, UPPER, HEX))
    whole = {
        "aws_key": random.choice(("AKIA", "ASIA")) + u(16),
        "gcp_key": "AIza" + a(35),
        "gcp_token": "ya29." + a(60),
        "azure_secret": f"{a(3)}8Q~{a(34)}",
        "github_token": random.choice((f"gh{random.choice('pousr')}_{a(36)}", f"github_pat_{a(22)}_{a(59)}")),
        "gitlab_token": f"glpat-{a(20)}",
        "slack_token": f"xoxb-{_of(random, string.digits, 12)}-{a(24)}",
        "stripe_key": f"{random.choice(('sk', 'rk'))}_live_{a(24)}",
        "npm_token": f"npm_{a(36)}",
        "pypi_token": f"pypi-{a(60)}",
        "docker_token": f"dckr_pat_{a(27)}",
        "vault_token": f"hvs.{a(90)}",
        "sendgrid_key": f"SG.{a(22)}.{a(43)}",
        "twilio_key": f"SK{h(32)}",
        "model_key": random.choice((f"sk-proj-{a(48)}", f"sk-ant-api03-{a(60)}", f"sk-{a(48)}")),
        "huggingface_token": f"hf_{a(34)}",
        "digitalocean_token": f"dop_v1_{h(64)}",
        "grafana_token": f"glsa_{a(32)}_{h(8)}",
        "jwt": _jwt(random),
        "private_key": _pem(random),
        "slack_webhook": f"https://hooks.slack.com/services/T{u(8)}/B{u(8)}/{a(24)}",
        "telegram_token": f"{_of(random, '123456789', 9)}:AA{a(33)}",
    }
    return [(kind, text, text.split("/")[-1] if kind == "slack_webhook" else text) for kind, text in whole.items()]


def _carried(random):
    """Secrets that are told by what they stand in."""
    p = _password(random)
    q = _of(random, ALNUM, 16) + "7x"
    key, login = (
        base64.b64encode(part).decode() for part in (random.randbytes(64), f"{random.randint(0, 9)}:{q}".encode())
    )
    user = random.choice(("app", "shop_rw", "svc"))
    scheme = random.choice(("postgres", "postgresql", "mysql", "mongodb+srv", "redis", "amqp"))
    name = random.choice(("password", "DB_PASSWORD", "client_secret", "API_KEY", "access_token", "secretKey", "passwd"))
    return [
        ("connection_string", f"{scheme}://{user}:{q}@db.example.com:5432/shop", q),
        ("connection_string", f"jdbc:postgresql://db.example.com/shop?user={user}&password={q}", q),
        ("connection_string", f"Server=db.example.com;Database=shop;User Id={user};Password={q};", q),
        ("azure_key", f"DefaultEndpointsProtocol=https;AccountName=shop;AccountKey={key};Suffix=x", key),
        ("url_credential", f"https://{user}:{q}@git.example.com/shop.git", q),
        ("authorization", f"Authorization: Bearer {q}.{q}", q),
        ("authorization", f'"authorization": "Basic {login}"', login),
        ("assigned_secret", f"{name}={p}", p),
        ("assigned_secret", f'"{name}": "{p}"', p),
        ("assigned_secret", f"{name}: {p}", p),
        ("assigned_secret", f"deploy --password {q} --verbose", q),
        ("assigned_secret", f"export {name.upper()}='{q}'", q),
        ("assigned_key", f'signing_key = "{_of(random, ALNUM, 40)}9aZ"', "9aZ"),
        ("basic_login", f"curl -u {user}:{q} https://example.com/x", q),
        ("cookie", f"Cookie: session={_of(random, ALNUM, 40)}; theme=dark", "session="),
    ]  # fmt: skip


def _personal(random):
    area = random.choice([n for n in range(101, 899) if n != 666])
    code = random.choice("ABCDEFGHIJKLMNOPQRST") + _of(random, string.digits, 2) + "." + _of(random, string.digits, 1)
    record = _of(random, string.digits, random.randint(6, 9))
    born = f"{random.randint(1940, 2010)}-{random.randint(1, 12):02d}-{random.randint(1, 28):02d}"
    nhs = _nhs(random)
    phone = _phone(random)
    return [
        ("email", *[_email(random)] * 2),
        ("phone", phone, phone.split(": ")[-1].split("tel. ")[-1]),
        ("payment_card", *[_card(random)] * 2),
        ("iban", *[_iban(random)] * 2),
        ("us_ssn", *[f"{area}-{random.randint(1, 99):02d}-{random.randint(1, 9999):04d}"] * 2),
        ("nhs_number", nhs, nhs.split("number ")[-1].split(": ")[-1]),
        ("medical_record", f"MRN: {record}", record),
        ("medical_record", f"patient_id={record}", record),
        ("icd_code", f"ICD-10: {code}", code),
        ("icd_code", f"diagnosis code {code}", code),
        ("birth_date", f"DOB: {born}", born),
        (
            "internal_host",
            *[
                f"{_of(random, HEX, 5)}-db."
                + random.choice(("prod.internal", "shop.svc.cluster.local", "lan", "ops.corp"))
            ]
            * 2,
        ),
    ]


def _hard(random):
    """What people write without any form or label; some of it nobody can tell from a number or a word."""
    q, d = _of(random, ALNUM, 14) + "7x", lambda count: _of(random, string.digits, count)
    key = base64.b64encode(f"{_password(random)}".encode()).decode()
    card = _card(random).replace(" ", "").replace("-", "")
    return [
        ("phone", *[f"0170{d(7)}"] * 2),
        ("us_ssn", *[f"{random.randint(101, 599)} {random.randint(10, 99)} {random.randint(1000, 9999)}"] * 2),
        ("assigned_secret", f"use pw {q} for the staging box", q),
        ("assigned_secret", f"data:\n  db-password: {key}", key),
        ("assigned_secret", f"PGPASSWORD={q} psql -h db.example.com", q),
        ("assigned_secret", f"<password>{q}</password>", q),
        ("assigned_secret", f"curl -H 'X-Api-Key: {q}' https://example.com", q),
        ("assigned_secret", f"https://example.com/hook?token={q}&x=1", q),
        ("payment_card", f"id {card[:6]} {card[6:]}", card[6:]),
        ("email", "ana (at) example (dot) com", "ana (at) example"),
    ]


def sensitive(seed=20261121):
    """(kind, line, what must not remain): EACH of every kind, in frames."""
    random = Random(seed)
    for _ in range(EACH):
        for kind, text, secret in (*_tokens(random), *_carried(random), *_personal(random), *_hard(random)):
            frame = random.choice(FRAMES)
            yield kind, frame.replace("{{", "{").replace("}}", "}").replace("{v}", text), secret


def _looks(random):
    h, d = (lambda n, alphabet=alphabet: _of(random, alphabet, n) for alphabet in (HEX, string.digits))
    uuid = f"{h(8)}-{h(4)}-4{h(3)}-a{h(3)}-{h(12)}"
    digest = base64.b64encode(random.randbytes(32)).decode()
    return {
        "git_sha": f"commit {h(40)} by the bot",
        "short_sha": f"merged {h(7)} into main",
        "uuid": f"request_id={uuid}",
        "image": f"pulled registry.example/team/shop@sha256:{h(64)}",
        "integrity": f"sha512-{base64.b64encode(random.randbytes(64)).decode()}",
        "version": f"v{random.randint(0, 40)}.{random.randint(0, 99)}.{d(2)}-rc.{random.randint(1, 9)}+build.{d(8)}",
        "date": f"2026-{random.randint(1, 12):02d}-{random.randint(1, 28):02d} 10:{d(2)}:{d(2)},{d(3)}",
        "epoch_ms": f"ts=17900{d(8)} offset={d(9)}",
        "order": f"order {d(16)} shipped, invoice #{d(12)}, tracking 1Z{d(16)}",
        "order_luhn": f"order_id={(body := '4' + d(14)) + _luhn_digit(body)} paid",
        "snowflake": f"event 17{d(17)} seen",
        "ipv4": f"10.{random.randint(0, 255)}.{random.randint(0, 255)}.{random.randint(1, 254)} - - GET /health",
        "mac": "-".join(h(2) for _ in range(6)),
        "pod": f"checkout-{h(9)}-{_of(random, string.ascii_lowercase, 5)} restarted",
        "trace": f"traceparent: 00-{h(32)}-{h(16)}-01",
        "npm": f"lodash@4.17.{random.randint(1, 30)} and @scope/pkg@1.{d(1)}.0-beta.{d(1)}",
        "unit": "getty@tty1.service: Succeeded; user@1000.service started",
        "retina": f"loaded logo@2x.png in {d(2)} ms",
        "git_remote": "git@github.com:owner/name.git fetched",
        "placeholder": "password: ${DB_PASSWORD}",
        "template": 'apiKey: "{{ .Values.apiKey }}"',
        "redacted": "token=[redacted] password=****** secret: null",
        "count": f"max_tokens: {d(4)} prompt_tokens={d(3)} tokens: {d(4)}",
        "reference": "secretName: db-credentials, token_url: https://auth.example/token, password_file=/run/secrets/db",
        "expiry": "token_expires_at: 2026-12-24T00:00:00Z, token_ttl=3600s",
        "prose": "the bearer of this letter keeps the token secret; reset your password soon",
        "css": "sk-toggleable__label-arrow:before { content: none }",
        "path": "/usr/local/lib/python3.11/site-packages/werkzeug/serving.py:142",
        "class": "com.shop.internal.PaymentService.handleSecretRotation(PaymentService.java:88)",
        "metric": f'http_requests_total{{code="200"}} {d(7)} 17900000{d(5)}',
        "range": f"lines {d(3)}-{d(3)}-{d(2)} of 12345, 100 200 3000 rows",
        "go_mod": f"golang.org/x/crypto v0.0.0-20261121{d(6)}-{h(12)} h1:{digest}",
        "url": f"https://shop.example.com:8443/cart/{d(9)}?page=2&sort=price_asc#top",
        "percent": "GET /search?q=caf%C3%A9%20au%20lait&lang=fr",
        "windows": "C:\\Users\\builder\\AppData\\Local\\Temp\\x1f2.tmp",
        "json_number": f'{{"id": {random.randint(10**9, 10**10)}, "total": {d(3)}.{d(2)}, "weight": 0.{d(12)}}}',
        "mixed": f"job {d(10)} took 00:{d(2)}:{d(2)} on node ip-10-0-{random.randint(1, 99)}-7",
        "base64_word": "internationalization of authenticationServiceConfigurationProvider",
        "icd_like": "gate B12 opens, version A10.2 of the form",
        "bare_number": f"{d(16)} rows, {d(13)} bytes, {d(10)} and {d(11)} in all",
        "luhn_number": f"node {(body := '5' + random.choice('12345') + d(13)) + _luhn_digit(body)} joined",
        "groups": f"{d(3)} {d(3)} {d(4)} units in 3 boxes",
        "dashed": f"part {random.randint(101, 599)}-{random.randint(10, 99)}-{random.randint(1000, 9999)} fits",
        "at_word": "@bob merged pull/12 @ 10:30, price 5@10.00",
        "words": "The token bucket, the secret santa and the password manager: three talks",
        "code": "def reset(password: str, token: bytes | None = None) -> Secret: ...",
        "yaml_ref": "secretKeyRef: {name: db, key: password}",
        "phone_like": f"2026-11-21 1234-5678-{d(2)} ISBN 978-3-16-{d(6)}-0",
    }


def harmless(seed=20261122):
    """(what it looks like, line): HARMLESS_EACH of every look, in frames."""
    random = Random(seed)
    for _ in range(HARMLESS_EACH):
        for look, text in _looks(random).items():
            yield look, random.choice(FRAMES[:2] + FRAMES[4:]).replace("{v}", text)


def _ordinary(random):
    """A line as services write thousands of: times, ids, paths, digests, names of pods and of images."""
    h = lambda count: _of(random, HEX, count)  # noqa: E731
    uuid, number = f"{h(8)}-{h(4)}-4{h(3)}-a{h(3)}-{h(12)}", random.randint(1, 10**9)
    kind = random.randrange(6)
    if kind == 0:
        where = f"method=GET path=/api/v1/orders/{number} status=200 duration_ms={random.random() * 90:.3f}"
        return f"INFO checkout-{h(9)}-x2k4p request_id={uuid} {where}"
    if kind == 1:
        agent = '"https://shop.example.com/cart?page=2" "Mozilla/5.0 (X11; Linux x86_64)"'
        return f'10.1.{number % 250}.4 - - "GET /static/app.{h(8)}.js HTTP/1.1" 200 {number % 90_000} {agent}'
    if kind == 2:
        image = f"registry.example/shop@sha256:{h(64)}"
        return f'{{"level":"info","msg":"pulled image","image":"{image}","attempt":{number % 5}}}'
    if kind == 3:
        return (
            f"WARN com.shop.PaymentService - order ORD-{number % 10**8:08d} retry {number % 7} of 7 (timeout 3000 ms)"
        )
    if kind == 4:
        return f"DEBUG commit {h(40)} built v1.{number % 90}.{number % 30}-rc.1+build.{number % 9999}"
    trace = f"traceparent 00-{h(32)}-{h(16)}-01"
    return (
        f"ERROR at bywire.example.Worker.run(Worker.java:{number % 900}) caused by: connection reset by peer, {trace}"
    )


def log_text(megabytes, seed=20261123):
    """Log lines as bytes: most are ordinary, one in ten is hard, one in fifty holds something sensitive."""
    random = Random(seed)
    looks = [line for _, line in harmless(seed)]
    carried = [line.replace("\n", " ") for kind, line, _ in sensitive(seed) if kind != "private_key"]
    lines, size = [], 0
    while size < megabytes * 1_000_000:
        draw = random.random()
        text = random.choice(carried) if draw < 0.02 else random.choice(looks) if draw < 0.12 else _ordinary(random)
        clock = f"{random.randint(0, 59):02d}:{random.randint(0, 59):02d}.{random.randint(0, 999):03d}"
        line = f"2026-11-21T15:{clock}Z {text}"
        lines.append(line)
        size += len(line) + 1
    return "\n".join(lines).encode()
