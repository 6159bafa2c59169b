"""Bars of scale: a thousand agents, each with a compiled policy of its own beside the whole knowledge base.

Each agent asks three reads and a write (the ledger of a delivery holds seven reads to a write); writes have a bar of
their own. A reload is what a running process does when another one activated a bundle: read the log's record of it,
parse, build, swap, in a thread beside the one that decides; every policy in it is another. `latest` is the longest that
any decision took from the beginning of a reload to well after it, the median over ROUNDS; a decision is torn when its
answer is not the one of the bundle it names.
Run alone: python -m bench policy_scale
"""

import copy
import json
import resource
import statistics
import threading
import time
from importlib import resources

import msgspec

from bench.decision import ACTION, _files, questions
from bench.measured import at_most, tell
from bywire.policy.bundle import parse_bundle
from bywire.policy.engine import PolicyEngine
from bywire.policy.lint import check

AGENTS = 1_000
P50_MS_MAX = 2.0
WRITE_P50_MS_MAX = 3.0
READS_PER_WRITE = 3
LATEST_MS_MAX = 20.0
LATEST_OVER_P99_MAX = 5
ROUNDS = 7
AFTER = 400
# One write in this many is denied by its agent's own policy, and says which revision of it did.
DENIED_EVERY = 10


def compiled(name, number, revision):
    """An agent's policy as a compiler writes it: tools, environments, a weight, an hour's budget, paths."""
    deny = f'deny contains {{"rule": "agents.{name}.'
    return f"""package bywire.agents["{name}"]

{deny}tool", "facts": {{"tool": input.action.tool}}}} if {{
	not input.action.tool in {{"start_rollout", "set_canary_weight", "rollback", "get_deployment_status"}}
}}

{deny}environment", "facts": {{"environment": input.action.environment}}}} if {{
	not input.action.environment in {{"production", "staging"}}
}}

{deny}weight", "facts": {{"weight": weight, "limit": {30 + number % 60}}}}} if {{
	weight := input.action.parameters.weight
	weight > {30 + number % 60}
}}

{deny}budget", "facts": {{"used": used}}}} if {{
	used := input.state.budget.observed
	used > {100 + number}
}}

{deny}path", "facts": {{"path": path, "revision": {revision}}}}} if {{
	some path in input.change.paths
	startswith(path, "kept-from-{name}/")
}}
"""


def bundle_files(revision):
    """The knowledge base with AGENTS policies beside it."""
    files = {n: data for n, data in _files(resources.files("bywire") / "pkb") if not n.endswith("_test.rego")}
    files["manifest.json"] = json.dumps({**json.loads(files["manifest.json"]), "revision": revision}).encode()
    names = [f"a{number:04d}" for number in range(AGENTS)]
    own = {f"agents/{name}.rego": compiled(name, n, revision).encode() for n, name in enumerate(names)}
    return files | own


class Asked(msgspec.Struct, frozen=True):
    """A question of an agent; `denied` says that its own policy denies it, and names its revision doing so."""

    agent: str
    input: dict
    denied: bool
    write: bool


def asked():
    """READS_PER_WRITE reads and a write for each agent; every DENIED_EVERY-th write is denied by its own policy."""
    kinds = {name: question for name, (_, question) in questions().items()}
    writes = (kinds["start_rollout"], kinds["set_canary_weight"])
    for number in range(AGENTS):
        agent = f"a{number:04d}"
        for _ in range(READS_PER_WRITE):
            yield Asked(agent, _of_agent(kinds["read"], agent), denied=False, write=False)
        question, denied = _of_agent(writes[number % len(writes)], agent), number % DENIED_EVERY == 0
        if denied:
            question["change"]["paths"] = [*question["change"]["paths"], f"kept-from-{agent}/x"]
        yield Asked(agent, question, denied=denied, write=True)


def _of_agent(question, agent):
    question = copy.deepcopy(question)
    question["principal"]["id"] = f"agent:{agent}"
    return question


def timed(engine, question):
    """Milliseconds of one decision, and the decision."""
    began = time.perf_counter()
    decision = engine.decide(ACTION, question.input)
    return (time.perf_counter() - began) * 1_000, decision


def is_torn(decision, question, revisions):
    """Whether a decision's answer is another one than its bundle's."""
    own = [reason.facts["revision"] for reason in decision.reasons if reason.rule == f"agents.{question.agent}.path"]
    expected = [revisions[decision.bundle_digest]] if question.denied else []
    return own != expected or any(reason.rule.startswith("engine.") for reason in decision.reasons)


def record_of(files):
    """A bundle as the log keeps it."""
    return msgspec.json.encode({"files": {name: data.decode() for name, data in files.items()}})


def reload(engine, record):
    """What a running process does with the record of a bundle that another one activated."""
    document = msgspec.json.decode(record)
    bundle = parse_bundle({name: text.encode() for name, text in document["files"].items()})
    engine.swap(bundle, linted=True)


def reload_once(engine, record, inputs, revisions):
    """(latest decision in ms, torn decisions, decisions made) around one reload."""
    latest, torn, made, after = 0.0, 0, 0, 0
    loading = threading.Thread(target=reload, args=(engine, record))
    loading.start()
    while after < AFTER:
        question = inputs[made % len(inputs)]
        took, decision = timed(engine, question)
        latest, torn, made = max(latest, took), torn + is_torn(decision, question, revisions), made + 1
        after += not loading.is_alive()
    loading.join()
    return latest, torn, made


def bars():
    """The bars."""
    inputs = tuple(asked())
    first = parse_bundle(bundle_files(1))
    check(first)
    engine = PolicyEngine(first, linted=True)
    revisions = {first.digest: 1}
    began = time.perf_counter()
    tell(f"first questions: p50 {statistics.median(timed(engine, question)[0] for question in inputs):.2f} ms,")
    tell(f"  {time.perf_counter() - began:.1f} s for all {len(inputs)}")
    taken = [(timed(engine, question)[0], question.write) for question in inputs]
    usual = sorted(took for took, _ in taken)
    p50, p99 = statistics.median(usual), usual[int(len(usual) * 0.99)]
    writes = statistics.median(took for took, write in taken if write)
    rss = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    tell(f"warm: p50 {p50:.2f} ms, writes {writes:.2f} ms, p99 {p99:.2f} ms, latest {usual[-1]:.2f} ms; {rss} MB")
    yield at_most("policy_scale_decision_p50", p50, "ms", P50_MS_MAX)
    yield at_most("policy_scale_write_p50", writes, "ms", WRITE_P50_MS_MAX)
    rounds = []
    for revision in range(2, 2 + ROUNDS):
        files = bundle_files(revision)
        revisions[parse_bundle(files).digest] = revision
        rounds.append(reload_once(engine, record_of(files), inputs, revisions))
        tell(f"reload: latest {rounds[-1][0]:.2f} ms, {rounds[-1][1]} torn of {rounds[-1][2]}")
    engine.release()
    limit = max(LATEST_MS_MAX, LATEST_OVER_P99_MAX * p99)
    latest = statistics.median(latest for latest, _, _ in rounds)
    yield at_most("policy_scale_reload_latest", latest, "ms", round(limit, 1))
    yield at_most("policy_scale_reload_torn", sum(torn for _, torn, _ in rounds), "decisions", 0, digits=0)
