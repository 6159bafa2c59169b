"""Lines that the engine reads: regorus refuses one of more than 1,024 columns, and a list of tools is longer."""

import re

COLUMNS_MAX = 1_024
# A line is broken behind the first comma past this column, and before a text that would not fit.
_WIDE = 120
_PIECE = re.compile(r'"(?:[^"\\]|\\.)*"|, |[^",]+|.', re.DOTALL)


def narrowed(text: str) -> str:
    """The same Rego with long lines broken behind commas. What stands in quotes, and comments, stay as they are."""
    return "\n".join(
        _broken(line) if len(line) > _WIDE and not line.startswith("#") else line for line in text.split("\n")
    )


def _broken(line: str) -> str:
    pieces, column = [], 0
    for piece in _PIECE.findall(line):
        if piece == ", " and column > _WIDE:
            pieces.append(",\n\t\t")
            column = 0
        elif piece[0] == '"' and column and column + len(piece) >= COLUMNS_MAX - _WIDE:
            pieces += ["\n\t\t", piece]
            column = len(piece)
        else:
            pieces.append(piece)
            column += len(piece)
    return "".join(pieces)
