"""Which of OPA's built-in functions a policy may call: pure ones, with the same answer in OPA and in regorus."""

from types import MappingProxyType

# Name -> number of arguments.
ALLOWED = MappingProxyType(
    {
        "abs": 1,
        "array.concat": 2,
        "array.slice": 3,
        "concat": 2,
        "contains": 2,
        "count": 1,
        "endswith": 2,
        "is_array": 1,
        "is_boolean": 1,
        "is_number": 1,
        "is_object": 1,
        "is_string": 1,
        "lower": 1,
        "max": 1,
        "min": 1,
        "object.get": 3,
        "object.keys": 1,
        "object.subset": 2,
        "object.union": 2,
        "regex.find_n": 3,
        "regex.match": 2,
        "sort": 1,
        "split": 2,
        "startswith": 2,
        "sum": 1,
        "trim_prefix": 2,
        "trim_suffix": 2,
        "union": 1,
    }
)

_RANDOM = "draws random numbers; a decision must replay to the same answer"

# The first prefix that fits says why.
_WHY_NOT = (
    (("time.",), "reads the clock; the input carries `now_ms`"),
    (("rand.", "uuid."), _RANDOM),
    (("http.", "net."), "reaches the network; the input carries every fact"),
    (("opa.", "rego."), "depends on the run-time it is evaluated in"),
    (("trace", "print"), "writes while deciding; a reason carries its facts"),
    (("sprintf",), "formats text, and `%q` differs between engines; put the arguments in `facts`"),
    (("io.", "crypto.", "providers."), "handles keys or tokens; signatures are verified before the policy is asked"),
    (("walk", "graph.", "numbers.range"), "has no bound on its work"),
    (("regex.", "glob.", "strings.", "json.", "yaml."), "is not among the functions proved equal on both engines"),
)


def why_refused(name: str) -> str:
    """Why a function is not allowed, in a few words."""
    for prefixes, reason in _WHY_NOT:
        if name.startswith(prefixes):
            return reason
    return "is neither defined in this bundle nor an allowed built-in function"
