"""Delivers on a disk that fills up; run in a mount namespace of its own, where it mounts that disk.

python full_disk.py DIRECTORY: prints one JSON object with what each command did. A disk that fills is a small tmpfs and
a file that takes what is left of it.
"""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from scene import FAILING, GREETED, Scene, wait_until

DISK_BYTES = 64 * 2**20
CHUNK = b"\0" * 65_536


def fill(place: Path) -> None:
    """Take every byte that is left."""
    descriptor = os.open(place, os.O_WRONLY | os.O_CREAT, 0o600)
    size = len(CHUNK)
    while size:
        try:
            os.write(descriptor, CHUNK[:size])
        except OSError:
            size //= 2
    os.close(descriptor)


def main() -> int:
    """Tell the story of a full disk."""
    disk = Path(sys.argv[1])
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES}", "none", str(disk)], check=True)
    scene = Scene(disk / "scene").prepared()
    ballast = disk / "ballast"
    told: dict[str, Any] = {}
    try:
        scene.released()
        scene.commit("greet", GREETED, branch="greet")
        fill(ballast)
        told["new delivery"] = scene.deliver("greet")
        told["refused"] = scene.bywire("deliver", "--goal", "greet")
        told["status"] = scene.bywire("status", "--json")
        told["verify"] = scene.bywire("audit", "verify", "--json")
        ballast.unlink()
        told["with space"] = scene.deliver("greet")
        told["verify with space"] = scene.bywire("audit", "verify", "--json")

        scene.git("switch", "--quiet", "main")
        scene.commit("bad", FAILING, branch="bad")
        scene.traffic(200)
        assert scene.approve(scene.deliver("bad").approval).code == 0
        good = scene.target.status()["stable"]["digest"]
        rollout = scene.spawn("deliver", "--goal", "bad", "--json")
        wait_until(lambda: (scene.target.status()["canary"] or {}).get("weight"))
        rollout.kill()
        rollout.communicate(timeout=60)
        fill(ballast)
        told["stranger"] = scene.deliver("another")
        told["rollout"] = scene.deliver("bad")
        status = scene.target.status()
        told["target"] = {"stable": status["stable"]["digest"] == good, "canary": status["canary"]}
        ballast.unlink()
        told["after"] = scene.bywire("audit", "verify", "--json")
    finally:
        scene.close()
    sys.stdout.write(json.dumps(told))
    return 0


if __name__ == "__main__":
    sys.exit(main())
