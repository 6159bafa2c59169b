"""A bounded XML walk for reports that untrusted code wrote.

Nothing is ever expanded or fetched: entity declarations, unknown entities and (unless asked for) document types refuse
the document, so that neither nested entities nor external ones can be used (CWE-611, CWE-776).
"""

from collections.abc import Callable
from typing import NoReturn
from xml.parsers import expat

from bywire.model.errors import EvidenceError

XML_BYTES_MAX = 16 * 1024 * 1024
ELEMENTS_MAX = 500_000
DEPTH_MAX = 64
_AGAIN = "run the command again and let its own reporter write the file"


class _Walk:
    def __init__(self, what: str, start: Callable[[str, dict[str, str]], None], end: Callable[[str], None]) -> None:
        self.what = what
        self.start = start
        self.end = end
        self.depth = 0
        self.elements = 0

    def refuse(self, why: str) -> EvidenceError:
        return EvidenceError(f"the {self.what} {why}", code="report_refused", next_step=_AGAIN)

    def opened(self, name: str, attributes: dict[str, str]) -> None:
        self.depth += 1
        self.elements += 1
        if self.depth > DEPTH_MAX or self.elements > ELEMENTS_MAX:
            raise self.refuse("nests too deeply or has too many elements")
        self.start(name, attributes)

    def closed(self, name: str) -> None:
        self.depth -= 1
        self.end(name)


def walk(
    data: bytes,
    what: str,
    start: Callable[[str, dict[str, str]], None],
    end: Callable[[str], None],
    *,
    text: Callable[[str], None] | None = None,
    doctype: bool = False,
) -> None:
    """Call `start(name, attributes)`, `text(characters)` and `end(name)` in document order; `what` names it in errors.

    `doctype` tolerates a document type *reference* (Cobertura writers emit one); an internal subset is always refused.
    Raises EvidenceError `report_refused` (limits, document type, entities) or `report_malformed` (not XML).
    """
    state = _Walk(what, start, end)
    if len(data) > XML_BYTES_MAX:
        raise state.refuse(f"is larger than {XML_BYTES_MAX} bytes")
    parser = expat.ParserCreate()
    parser.StartElementHandler = state.opened
    parser.EndElementHandler = state.closed
    parser.CharacterDataHandler = text

    def on_doctype(_name: str, _system: str | None, _public: str | None, internal_subset: bool) -> None:
        if internal_subset or not doctype:
            raise state.refuse("declares a document type")

    def on_entity(*_declaration: object) -> NoReturn:
        raise state.refuse("declares or uses an entity")

    parser.StartDoctypeDeclHandler = on_doctype
    parser.EntityDeclHandler = on_entity
    parser.SkippedEntityHandler = on_entity
    parser.ExternalEntityRefHandler = on_entity
    try:
        parser.Parse(data, True)
    except (expat.ExpatError, ValueError, LookupError) as error:
        raise EvidenceError(
            f"the {what} is not well-formed XML: {error}", code="report_malformed", next_step=_AGAIN
        ) from error
