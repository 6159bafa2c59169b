"""Small damage to a question, for comparing what two engines say of it."""

import copy

# Stands for a part that is not there at all, which is not the same as null.
ABSENT = object()


def places(value, path=()):
    if path:
        yield path
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inside in items:
        yield from places(inside, (*path, key))


def edited(question, edits):
    question = copy.deepcopy(question)
    for number, value in edits:
        known = list(places(question))
        *way, last = known[number % len(known)]
        inside = question
        for key in way:
            inside = inside[key]
        if value is ABSENT:
            del inside[last]
        else:
            inside[last] = copy.deepcopy(value)
    return question
