"""The calls of AgentDojo's tasks as JSON: `python bench/agentdojo_calls.py > calls.json` where agentdojo is installed.

No model is asked: a task's own ground truth says which calls would do it, the user's or the injected one alike.
"""

import json
import sys

from agentdojo.task_suite.load_suites import get_suites

VERSION = "v1.2.2"


def calls(task, environment):
    """[{"name", "arguments"}] in order."""
    prepared = environment.model_copy(deep=True)
    if hasattr(task, "init_environment"):
        prepared = task.init_environment(prepared)
    told = ((call.function, json.loads(json.dumps(call.args, default=str))) for call in task.ground_truth(prepared))
    return [{"name": name, "arguments": arguments} for name, arguments in told]


def suite_calls(suite):
    """Tools and tasks of one suite."""
    environment = suite.load_and_inject_default_environment({})
    tools = [
        {"name": one.name, "description": one.description, "inputSchema": one.parameters.model_json_schema()}
        for one in suite.tools
    ]
    return {
        "tools": tools,
        "user": {name: calls(task, environment) for name, task in suite.user_tasks.items()},
        "injection": {name: calls(task, environment) for name, task in suite.injection_tasks.items()},
    }


if __name__ == "__main__":
    json.dump({name: suite_calls(suite) for name, suite in get_suites(VERSION).items()}, sys.stdout)
