"""The process: reads its port from the environment, says where it listens, ends on SIGTERM."""

import asyncio
import os
import signal

import pytest

from storefront import __main__ as process


def test_serves_until_sigterm_and_then_drains(capsys: pytest.CaptureFixture[str]) -> None:
    async def scenario() -> str:
        serving = asyncio.create_task(process.run("127.0.0.1", 0, ""))
        said = ""
        for _ in range(500):
            said += capsys.readouterr().err
            if "listens on" in said:
                break
            await asyncio.sleep(0.01)
        os.kill(os.getpid(), signal.SIGTERM)
        await asyncio.wait_for(serving, timeout=5)
        return said

    assert "listens on 127.0.0.1:" in asyncio.run(scenario())


@pytest.mark.parametrize("port", ["", "http", "65536", "-1", "8٠80"])
def test_refuses_what_is_no_port(port: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PORT", port)
    assert process.main() == 2


def test_takes_the_port_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[str, int, str]] = []

    async def remember(host: str, port: int, card_network_url: str) -> None:
        asked.append((host, port, card_network_url))

    monkeypatch.setattr(process, "run", remember)
    monkeypatch.setenv("PORT", "18080")
    assert process.main() == 0
    assert asked == [("127.0.0.1", 18080, "")]
