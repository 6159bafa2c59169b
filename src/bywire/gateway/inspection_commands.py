"""Commands: what a shell would make of a text, and which programs a command starts, through whatever it is wrapped in.

Nothing is run and nothing is expanded. A wrapper counts as a program of its own beside what it starts.
"""

import re
import shlex
from collections.abc import Collection, Iterator, Sequence

COMMAND_CHARS_MAX = 8_192
WRAPPED_DEEP_MAX = 8
NOT_LISTED, WRAPPER, INLINE_CODE = "command_not_listed", "shell_wrapper", "inline_code"
SUBSTITUTION, METACHARACTER, CHAIN = "command_substitution", "shell_metacharacter", "shell_chain"
_SHELLS = frozenset(
    ("sh", "bash", "dash", "zsh", "ksh", "ash", "csh", "tcsh", "fish", "busybox", "pwsh", "powershell",
     "powershell.exe", "cmd", "cmd.exe")
)  # fmt: skip
_RUNNERS = frozenset(
    ("env", "sudo", "doas", "su", "runuser", "nohup", "nice", "ionice", "time", "timeout", "stdbuf", "setsid",
     "setpriv", "xargs", "nsenter", "unshare", "chroot", "watch", "strace", "flock", "exec", "eval", "command",
     "builtin", "parallel", "script", "ssh", "find", "systemd-run", "start-stop-daemon", "trap", "source")
)  # fmt: skip
_INTERPRETERS = frozenset(
    ("python", "python2", "python3", "perl", "ruby", "node", "nodejs", "deno", "bun", "php", "lua", "awk", "gawk",
     "mawk", "osascript", "Rscript", "tclsh")
)  # fmt: skip
_CODE_OPTION = re.compile(
    r"-[A-Za-z]*[ceEr]\Z|--eval\Z|--command\Z|-Command\Z|-EncodedCommand\Z|-[eE][nN][cC]?\Z|/[cCkK]\Z"
)
# Options of other programs that have them start one.
_RUNS_ANOTHER = (
    "-oProxyCommand",
    "ProxyCommand=",
    "--checkpoint-action",
    "core.sshCommand",
    "--upload-pack",
    "--use-compress-program",
)
_AFTER_DASHES = ("kubectl", "oc", "docker", "podman", "nerdctl", "crictl", "helm", "npx", "pipx", "uvx")
# Of those: what stands before the program, in this order.
_MARKS = ("--", "-exec", "-execdir", "-ok", "-okdir", "-c", "--call")
# Runners whose first word is where or as whom they run, and those that may be given a line.
_TARGETED = ("chroot", "ssh", "flock", "su", "runuser")
_GIVEN_A_LINE = ("su", "runuser", "flock", "script")
_LINE_OPTION = re.compile(r"--command(?:=|\Z)|-[aeflmnopqvxFP]*c")
# Their short options that take the next word. What is missing here has its value taken for a program.
_VALUED: dict[str, str] = dict(
    re.findall(
        r"([a-z]+)=(\w+)",
        "sudo=ugpChrtTDRU doas=uC su=gGswT runuser=ugGswT nice=n ionice=cn time=fo timeout=ks stdbuf=ioe"
        " xargs=aEILnPsd nsenter=tSG unshare=SGR watch=n strace=abeEIoOpPsSuUX flock=wE env=uC exec=a"
        " ssh=BbcDEeFIiJLlmOoPpQRSWw",
    )
)
PROGRAMS = sorted(
    {
        *_SHELLS,
        *_INTERPRETERS,
        "sudo", "doas", "nohup", "xargs", "nsenter", "chroot", "curl", "wget", "nc", "ncat", "netcat", "socat",
        "telnet", "ssh", "scp", "sftp", "rsync", "ftp", "rm", "dd", "mkfs", "chmod", "chown", "kill", "pkill",
        "killall", "crontab", "base64", "openssl", "id", "whoami", "uname", "cat", "ls", "cp", "mv", "tee", "touch",
        "mkdir", "kubectl", "docker", "podman", "helm", "git", "apt", "apt-get", "yum", "dnf", "apk", "pip", "npm",
        "systemctl", "iptables", "useradd", "passwd", "mount", "umount", "eval", "exec", "env", "printenv",
        "nslookup", "dig", "ping", "reboot", "shutdown",
    }
)  # fmt: skip
_PROGRAM = "|".join(re.escape(name) for name in PROGRAMS)
# In any text: what only a shell would be given.
CALLS_FOR_A_LOOK = (
    r"\$\(|\$\{[A-Za-z_!#]|`[^`\n]|[<>]\(|\$IFS|/dev/(?:tcp|udp)/",
    rf"(?:[;&|]|(?m:^))\s{{0,8}}(?:/[a-z/]{{1,32}}/)?(?:{_PROGRAM})(?:[\s;|&<>]|\$|(?m:$))",
)
_ACTIVE = re.compile(r"\$\(|`|[<>]\(|\$\{")
_JOINED = re.compile(rf"[;&|\n]\s{{0,8}}(?:/[a-z/]{{1,32}}/)?(?:{_PROGRAM})(?=[\s;|&<>]|\$|\Z)")
_SUBSTITUTED = re.compile(
    rf"\$\(\s*[A-Za-z/<][^)\n]*|`\s*(?:/[a-z/]{{1,32}}/)?(?:{_PROGRAM})\b[^`\n]*`|[<>]\(\s*[a-z/]|\$\{{?IFS|\$\{{[A-Za-z_]\w*[:#%/!@]"
)
_STARTS = re.compile(rf"\s*(?:/[a-z/]{{1,32}}/)?(?:{_PROGRAM})(?=\s+[-/~.\w\"'$]|\Z)")
_OPERATOR = re.compile(r"[;&|\n\r]|[<>](?!\()")
# Always ends in a match, so that no quote makes the rest be read again.
_QUOTED = re.compile(r"\\.|'[^']*'?|\"(?:[^\"\\]|\\.)*+\"?", re.DOTALL)
# A backslash before a line end goes with it; one before anything else stays, and so does what it stands before.
_CONTINUED = re.compile(r"(\\[^\n])|\\\n")
_ASSIGNMENT = re.compile(r"[A-Za-z_]\w*=")
_DURATION = re.compile(r"[0-9.]+[smhd]?\Z")


def in_text(text: str) -> Iterator[tuple[str, bool]]:
    """(kind, certain) of what a shell would act on in a text that is not said to be a command."""
    if _SUBSTITUTED.search(text):
        # Between spaces and words it may be prose about a shell; in a name it can be nothing else.
        yield SUBSTITUTION, _is_one_word(text)
    if _JOINED.search(text):
        yield CHAIN, _is_one_word(text) or text.count("\n") == 0


def _is_one_word(text: str) -> bool:
    return len(text) <= 256 and not re.search(r"[^\s;&|]\s+[^\s;&|]+\s+[^\s;&|]", text)


def looks_like_command(text: str) -> bool:
    """Whether it begins as a command line does."""
    return _STARTS.match(text) is not None


def in_command(
    command: str | Sequence[str], listed: Collection[str] | None, deep: int = 0
) -> Iterator[tuple[str, bool]]:
    """(kind, certain) for a command, as one text or as arguments. `listed`: programs it may start; None: not asked."""
    if deep >= WRAPPED_DEEP_MAX:
        yield WRAPPER, True
        return
    if isinstance(command, str):
        yield from _in_line(command, listed, deep)
        return
    arguments = list(command)
    if any(_ACTIVE.search(argument) for argument in arguments):
        yield SUBSTITUTION, True
    yield from _started(arguments, listed, deep)


def _in_line(line: str, listed: Collection[str] | None, deep: int) -> Iterator[tuple[str, bool]]:
    if len(line) > COMMAND_CHARS_MAX:
        yield "command_too_long", True
        return
    readings = {_CONTINUED.sub(r"\1", line)}
    if "#" in line:
        # A comment does not go on in the next line; whether it is one is not asked.
        readings.add(_CONTINUED.sub(lambda match: match.group(1) or "\n", line))
    for reading in readings:
        bare = _unquoted(reading)
        if _ACTIVE.search(bare):
            yield SUBSTITUTION, True
        if _OPERATOR.search(bare):
            yield METACHARACTER, True
        for simple in _simple_commands(reading):
            yield from _started(simple, listed, deep)


def _unquoted(line: str) -> str:
    """`line` without what single quotes keep from a shell, and without operators that double quotes keep from it."""
    return _QUOTED.sub(
        lambda match: _OPERATOR.sub("", match.group()) if match.group().startswith('"') else "",
        line,
    )


def _simple_commands(line: str) -> Iterator[list[str]]:
    """The commands of a line as their words. A line that no shell would take is one command of its plain words."""
    lexer = shlex.shlex(line, posix=True, punctuation_chars=";&|<>()\n")
    lexer.whitespace, lexer.whitespace_split, lexer.commenters = " \t\r", True, ""
    try:
        words = list(lexer)
    except ValueError:
        words = line.split()
    current: list[str] = []
    for word in words:
        if word and not word.strip(";&|()\n"):
            if current:
                yield current
            current = []
        else:
            current.append(word)
    if current:
        yield current


def _started(words: list[str], listed: Collection[str] | None, deep: int) -> Iterator[tuple[str, bool]]:
    """What a simple command starts, from the outside in."""
    while words and _ASSIGNMENT.match(words[0]):
        words = words[1:]
        yield WRAPPER, False
    if not words:
        return
    name = re.split(r"[/\\]", words[0])[-1]
    if listed is not None and words[0] not in listed:
        yield NOT_LISTED, True
    if any(word.startswith(_RUNS_ANOTHER) for word in words):
        yield INLINE_CODE, True
    if name in _SHELLS or name in _INTERPRETERS:
        yield from _interpreted(name, words, listed, deep)
    elif name in _RUNNERS:
        yield WRAPPER, listed is not None
        yield from _inner(_run_by(name, words), listed, deep)
    elif name in _AFTER_DASHES:
        yield from _inner(_run_by(name, words), None, deep)


def _interpreted(name: str, words: list[str], listed: Collection[str] | None, deep: int) -> Iterator[tuple[str, bool]]:
    """What a shell or another interpreter is given as text."""
    code = _code(words)
    if name in _SHELLS:
        yield WRAPPER, listed is not None or code is not None
        if code is not None:
            yield from in_command(code, listed, deep + 1)
        elif name == "busybox":
            yield from _inner(words[1:], listed, deep)
    elif code is not None:
        yield INLINE_CODE, True


def _inner(words: list[str], listed: Collection[str] | None, deep: int) -> Iterator[tuple[str, bool]]:
    if words:
        yield from in_command(words[0] if len(words) == 1 and " " in words[0] else words, listed, deep + 1)


def _code(words: list[str]) -> str | None:
    """The program text of `sh -c TEXT` and its like."""
    return next((words[index + 1] for index, word in enumerate(words[:-1]) if index and _CODE_OPTION.match(word)), None)


def _run_by(name: str, words: list[str]) -> list[str]:
    """What a runner runs: the line it is given, or the first words that are neither its options nor its target."""
    if name in (*_AFTER_DASHES, "find"):
        return next((words[words.index(mark, 1) + 1 :] for mark in _MARKS if mark in words[1:]), [])
    rest, has_target = words[1:], name in _TARGETED
    while rest:
        word = rest[0]
        line = _LINE_OPTION.match(word) if name in _GIVEN_A_LINE else None
        if line is not None:
            return [word[line.end() :]] if word[line.end() :] else rest[1:2]
        if word == "--":
            return rest[2 if has_target else 1 :]
        if word.startswith("-"):
            # Who it is then stands in the option.
            has_target &= not (name == "runuser" and word.startswith(("-u", "--user")))
            rest = rest[2 if _takes_next(word, _VALUED.get(name, "")) else 1 :]
        elif has_target:
            rest, has_target = rest[1:], False
        elif _ASSIGNMENT.match(word) or _DURATION.match(word):
            rest = rest[1:]
        else:
            break
    return rest


def _takes_next(option: str, valued: str) -> bool:
    """Whether a group of short options takes the next word: the first that has a value is the last of the group."""
    first = next((index for index, letter in enumerate(option) if letter in valued), 0)
    return not option.startswith("--") and 0 < first == len(option) - 1
