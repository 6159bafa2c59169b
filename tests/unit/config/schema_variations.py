"""Documents that are nearly right, made of what a reader asks: each bound, one step beyond it, and wrong kinds."""

from functools import cache

from config_documents import edited, schema
from reader_questions import placed, questions, value_at
from schema_documents import DOCUMENTS, READERS
from schema_places import open_mappings

# What is the wrong kind nearly everywhere, and at the edge of some kinds.
MANY = 1_000
ODD = (None, True, False, 0, -1, 1.5, 10**18, "", "7", "x y\n", "é", [], [None], [[]], {}, {"nosuch": 1})


@cache
def asked(name):
    """(document, its questions) for each document of a kind."""
    return [(document, questions(READERS[name], document)) for document in DOCUMENTS[name]]


@cache
def asked_at(name):
    """(document, question) of each thing that is asked about a value of a document."""
    return [
        (document, question)
        for document, found in asked(name)
        for question in found
        if question.path and is_there(document, question.path)
    ]


def is_there(document, path):
    try:
        value_at(document, path)
    except KeyError:
        return False
    return True


def variations(question, value):
    """Other values for what a reader asked: each of its bounds, one step beyond each, and what is of no right kind."""
    yield from ODD
    yield from VARIED[question.kind](value, **question.bounds)


def _of_mapping(value, known, required):
    yield {**value, "nosuch": 1}
    for key in value:
        yield {name: item for name, item in value.items() if name != key}
    for key in sorted(set(known) - set(value)):
        yield {**value, key: None}
        yield {**value, key: "x"}


def _of_list(value, what, least, most, distinct):
    if value:
        yield (value * (most + 1))[: most + 1]
        yield [*value, value[0]]
        yield (value * least)[: least - 1] if least else value
    if value and isinstance(value[0], str | int) and most <= MANY:
        others = [value[0] + n if isinstance(value[0], int) else f"{value[0]}{n}" for n in range(most + 1)]
        yield from (others, others[:-1])


def _of_names(value, what, pattern, most):
    for key, item in list(value.items())[:1]:
        for other in ("", "no name\n", "é", "*", "a" * 200, f"{key}{key}", f" {key}", key.upper(), key.lower()):
            yield {other: item}
        for letters in ("abcdefghij", "ABCDEFGHIJ", "0123456789"):
            names = [key + "".join(letters[int(digit)] for digit in str(number)) for number in range(most + 1)]
            yield from (dict.fromkeys(names, item), dict.fromkeys(names[:-1], item))


def _of_text(value, what="", pattern="", least=1, most=512):
    if isinstance(value, str):
        yield from (f"{value}\n", f" {value}", f"{value}\0", f"{value}é", value.upper(), value.lower(), value[:-1])
        for odd in "/@*:-1":
            yield from (f"{value}{odd}", f"{odd}{value}")
        yield from (value + value[-1:] * (most - len(value)), value + value[-1:] * (most + 1 - len(value)))
        for more in ("/a", ".a", "@a", ":a"):
            longer = value + more * most
            yield from (longer[:most], longer[: most + 1])
        yield from ("a" * most, "a" * (most + 1), value * 2, value.replace("https:", "http:"))


def _of_choice(value, options):
    yield from options
    yield from (f"{value} ", str(value).upper(), "nosuch", [value])


def _of_number(value, least, most, unit="", open_ends=False):
    step = 1 if isinstance(least, int) and not open_ends else 1e-7
    yield from (least, most, least - step, most + step, most * 10 + 1, float(least), str(least), (least + most) / 2)


VARIED = {
    "fields": _of_mapping,
    "items": _of_list,
    "mapping": _of_names,
    "boolean": lambda value: ("true", "yes", 1),
    "text": _of_text,
    "relative_path": _of_text,
    "choice": _of_choice,
    "integer": _of_number,
    "number": _of_number,
    "version": lambda value, supported: (supported + 1, supported - 1, str(supported), float(supported)),
}


def variants(name):
    """(question, document) for each variation of each thing that is asked, each place and kind of question once."""
    chosen, done = open_mappings(schema(f"{name}.schema.json")), set()
    for document, found in asked(name):
        for question in found:
            at = (placed(question.path, chosen), question.kind, question.asker)
            if at in done or not is_there(document, question.path):
                continue
            done.add(at)
            for other in variations(question, value_at(document, question.path)):
                yield (
                    question,
                    (
                        edited(section(name, document, question.path[0]), question.path, other)
                        if question.path
                        else other
                    ),
                )


def section(name, document, key):
    """As little of a long document as the value at `key` can be read in, so that thousands of them are read quickly."""
    if name != "gateway":
        return document
    needed = {"version", key, "credentials"} if key == "upstreams" else {"version", key}
    return {name: value for name, value in document.items() if name in needed}
