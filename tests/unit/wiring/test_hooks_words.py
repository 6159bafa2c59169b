"""What a host is told of a refusal."""

from bywire.config.hook_answers import DENY, answer
from bywire.config.hook_input import CODEX, HookCall
from bywire.wiring.hooks import Hook, Told


class Refusing:
    """A way to a gateway that refuses at length."""

    def permit(self, ask):
        return Told({"code": "policy_denied", "reason": f"registered for {'x; ' * 2_000}", "next_step": "ask dana"})


def test_a_long_reason_does_not_push_out_what_to_do_next():
    hook = Hook(CODEX, "agent:a", Refusing())
    verdict = hook.before(HookCall("before", tool="Bash", parameters={"command": "ls"}, session="s", call="c"))
    assert verdict.effect == DENY
    assert answer(CODEX, verdict, decide=False).err.endswith("Next: ask dana")
