"""Every program that runs another one, or code, or that only a shell would be given, by name."""

import pytest

from bywire.gateway.inspection import inspect
from bywire.gateway.inspection_commands import in_command, looks_like_command
from bywire.model.gateway_inspection import InspectionSettings

SETTINGS = InspectionSettings()
SHELLS = (
    "sh", "bash", "dash", "zsh", "ksh", "ash", "csh", "tcsh", "fish", "busybox", "pwsh", "powershell",
    "powershell.exe", "cmd", "cmd.exe",
)  # fmt: skip
RUNNERS = (
    "env", "sudo", "doas", "su", "runuser", "nohup", "nice", "ionice", "time", "timeout", "stdbuf", "setsid",
    "setpriv", "xargs", "nsenter", "unshare", "chroot", "watch", "strace", "flock", "exec", "eval", "command",
    "builtin", "parallel", "script", "ssh", "find", "systemd-run", "start-stop-daemon", "trap", "source",
)  # fmt: skip
INTERPRETERS = (
    "python", "python2", "python3", "perl", "ruby", "node", "nodejs", "deno", "bun", "php", "lua", "awk", "gawk",
    "mawk", "osascript", "Rscript", "tclsh",
)  # fmt: skip
OTHERS = (
    "sudo", "doas", "nohup", "xargs", "nsenter", "chroot", "curl", "wget", "nc", "ncat", "netcat", "socat", "telnet",
    "ssh", "scp", "sftp", "rsync", "ftp", "rm", "dd", "mkfs", "chmod", "chown", "kill", "pkill", "killall", "crontab",
    "base64", "openssl", "id", "whoami", "uname", "cat", "ls", "cp", "mv", "tee", "touch", "mkdir", "kubectl", "docker",
    "podman", "helm", "git", "apt", "apt-get", "yum", "dnf", "apk", "pip", "npm", "systemctl", "iptables", "useradd",
    "passwd", "mount", "umount", "eval", "exec", "env", "printenv", "nslookup", "dig", "ping", "reboot", "shutdown",
)  # fmt: skip


def kinds(command, *allowed):
    return {kind for kind, _ in in_command(command, allowed)}


@pytest.mark.parametrize("runner", RUNNERS)
def test_a_program_that_runs_another_is_told_though_it_is_allowed(runner):
    assert kinds(f"{runner} rm x", runner) - kinds("ls rm x", "ls")


@pytest.mark.parametrize("program", [*SHELLS, *INTERPRETERS])
def test_a_program_that_runs_code_is_told_though_it_is_allowed(program):
    assert kinds(f"{program} -c x", program) - kinds("ls -c x", "ls")


@pytest.mark.parametrize("program", [*SHELLS, *INTERPRETERS, *OTHERS])
def test_a_text_that_begins_as_a_command_does_looks_like_one(program):
    assert looks_like_command(f"{program} -x")
    assert not looks_like_command(f"{program}zz -x")


@pytest.mark.parametrize("program", [*SHELLS, *INTERPRETERS, *OTHERS])
def test_a_command_joined_to_a_text_is_told(program):
    assert inspect({"p": f"release-1; {program} x"}, settings=SETTINGS)
    assert inspect({"p": f"release-1; zz{program}zz x"}, settings=SETTINGS) == ()


@pytest.mark.parametrize(
    "program", ["kubectl", "oc", "docker", "podman", "nerdctl", "crictl", "helm", "npx", "pipx", "uvx"]
)
def test_what_stands_behind_dashes_is_a_program_of_its_own(program):
    assert kinds(f"{program} x -- bash -c id", program) - kinds("ls x -- bash -c id", "ls")


@pytest.mark.parametrize(
    "option",
    [
        "-oProxyCommand=id", "ProxyCommand=id", "--checkpoint-action=exec=id", "core.sshCommand=id",
        "--upload-pack=id", "--use-compress-program=id",
    ],
)  # fmt: skip
def test_an_option_that_starts_a_program_is_told(option):
    assert "inline_code" in kinds(f"tool {option} x", "tool")
    assert kinds(f"tool x{option} x", "tool") == kinds("tool x", "tool")
