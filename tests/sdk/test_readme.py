"""Every Python block of the SDK's README runs, in order, against the kit's gateway."""

import re
from pathlib import Path

from bywire_sdk import use
from bywire_sdk.testing.gateway import TOKEN
from langchain_core.language_models.fake_chat_models import GenericFakeChatModel
from langchain_core.messages import AIMessage
from langchain_core.tools import tool

README = Path(__file__).parents[2] / "sdk" / "README.md"
BLOCKS = re.findall(r"^```python\n(.*?)^```", README.read_text(), re.MULTILINE | re.DOTALL)


class Model(GenericFakeChatModel):
    def bind_tools(self, tools, **_):
        return self


def test_every_block_runs(bywire_gateway, capsys, tmp_path, monkeypatch):
    own = tmp_path / "subject-token"
    own.write_text("header.claims.signature")
    bywire_gateway.keys[own.read_text()] = "agent:test"
    monkeypatch.setenv("BYWIRE_URL", bywire_gateway.url)
    monkeypatch.setenv("BYWIRE_SUBJECT_TOKEN_FILE", str(own))
    for name in ("restart", "scale", "notify", "close"):
        bywire_gateway.allow(f"jobs.{name}", result={"done": name})
    bywire_gateway.deny("jobs.scale", rule="max_replicas", when=lambda asked: asked["replicas"] > 50)
    bywire_gateway.ask_person("jobs.deploy")

    @tool
    def restart(job: str) -> str:
        """Restart a job."""
        return f"restarted {job}"

    asked = {"name": "restart", "args": {"job": "nightly"}, "id": "call-1"}
    says = [AIMessage("", tool_calls=[asked]), AIMessage("done")]
    namespace = {
        "TOKEN": TOKEN,
        "tell_a_person": lambda _: bywire_gateway.approve(),
        "model": Model(messages=iter(says)),
        "restart_tool": restart,
    }
    assert len(BLOCKS) == 8
    try:
        for number, block in enumerate(BLOCKS):
            source = block.replace("http://127.0.0.1:8750", bywire_gateway.url)
            exec(compile(source, f"README block {number + 1}", "exec"), namespace)
    finally:
        use(None)
        namespace["client"].close()
        namespace["test_client"].close()
    said = capsys.readouterr().out
    assert "max_replicas" in said
    assert "restarted a" in said
    assert bywire_gateway.heard
    assert "open" not in bywire_gateway.outcomes()
