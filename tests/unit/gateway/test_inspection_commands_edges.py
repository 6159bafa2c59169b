"""Which programs a command line starts, through whatever starts them, and what a shell would make of its marks."""

import shlex

import pytest

from bywire.gateway.inspection import inspect
from bywire.gateway.inspection_commands import COMMAND_CHARS_MAX, WRAPPED_DEEP_MAX
from bywire.model.gateway_inspection import InspectionSettings

DEFAULT = InspectionSettings()
CHAIN, SUBSTITUTED, UNLISTED = "shell_chain", "command_substitution", "command_not_listed"
WRAPPER, MARK, CODE, MAYBE = "shell_wrapper", "shell_metacharacter", "inline_code", "shell_wrapper?"


def told(line, listed):
    """Every kind in the `cmd` of a call, with a `?` where it is not certain."""
    findings = inspect({"cmd": line}, commands=listed, meaning={"command": ("cmd",)}, settings=DEFAULT)
    return {one.kind if one.certain else f"{one.kind}?" for one in findings}


def guessed(line):
    """The same where no contract says that it is a command, only its name."""
    findings = inspect({"run": line}, settings=DEFAULT)
    return {one.kind if one.certain else f"{one.kind}?" for one in findings}


# --- what is started ---

STARTED = [
    ("sudo rm x", "rm"),
    ("sudo -u root rm x", "rm"),
    ("sudo -E rm x", "rm"),
    ("sudo -- rm x", "rm"),
    ("sudo -- -x y", "-x"),
    ("sudo A=1 rm x", "rm"),
    ("sudo -u root -E A=1 rm x", "rm"),
    ("sudo 'my tool' x", "my tool"),
    ("sudo -n rm x", "rm"),
    ("sudo -s rm x", "rm"),
    ("sudo -nu root rm x", "rm"),
    ("sudo -uroot rm x", "rm"),
    ("sudo rm x -c sudo", "rm"),
    ("sudo rm x --", "rm"),
    ("sudo rm -- sudo", "rm"),
    ("doas -u root rm x", "rm"),
    ("env A=1 B=2 rm x", "rm"),
    ("env -i rm x", "rm"),
    ("env - rm x", "rm"),
    ("parallel -X rm x", "rm"),
    ("env -u HOME -C /srv rm x", "rm"),
    ("env -S 'rm x'", "rm"),
    ("time -p rm x", "rm"),
    ("ionice -c 3 rm x", "rm"),
    ("stdbuf -o L rm x", "rm"),
    ("strace -f -o out.txt rm x", "rm"),
    ("watch -d -n 2 rm x", "rm"),
    ("exec -a name rm x", "rm"),
    ("unshare -R /mnt rm x", "rm"),
    ("xargs -t -I NAME rm NAME", "rm"),
    ("timeout 5 rm x", "rm"),
    ("timeout -k 5 1.5m rm x", "rm"),
    ("nice -n 5 rm x", "rm"),
    ("xargs -n 1 rm", "rm"),
    ("nohup rm x", "rm"),
    ("nsenter -t 1 -m -- rm x", "rm"),
    ("nsenter -t 1 --mount rm x", "rm"),
    ("find . -name x -exec rm {} ;", "rm"),
    ("find -exec rm {} ;", "rm"),
    ("find . -execdir rm {} ;", "rm"),
    ("find . -ok rm {} ;", "rm"),
    ("find . -okdir rm {} ;", "rm"),
    ("chroot /mnt rm x", "rm"),
    ("chroot -- /mnt rm x", "rm"),
    ("flock 9 rm x", "rm"),
    ("flock /run/lock -cw", "w"),
    ("flock -w 5 /run/lock rm x", "rm"),
    ("flock /run/lock rm x", "rm"),
    ("flock /run/lock -c 'rm x'", "rm"),
    ("su root -c 'rm x'", "rm"),
    ("su -c 'rm x' root", "rm"),
    ("su -lc 'rm x' root", "rm"),
    ("su root -cw", "w"),
    ("su - root -c 'rm x'", "rm"),
    ("su -s /bin/sh root -c 'rm x'", "rm"),
    ("su root --command 'rm x'", "rm"),
    ("su root '--command=rm x'", "rm"),
    ("script -q -c 'rm x' out.txt", "rm"),
    ("runuser root -c 'rm x'", "rm"),
    ("ssh build1 -- rm x", "rm"),
    ("ssh -t -c aes128-ctr -o User=ana build1 rm x", "rm"),
    ("runuser -c 'rm x' root", "rm"),
    ("runuser -u ana rm x", "rm"),
    ("runuser -u ana -- rm x", "rm"),
    ("runuser --user=ana -- rm x", "rm"),
    ("runuser -g staff ana -c 'rm x'", "rm"),
    ("time -o out.txt rm x", "rm"),
    ("ssh build1 rm x", "rm"),
    ("ssh -p 2222 build1 rm x", "rm"),
    ("busybox rm x", "rm"),
    ("bash -c 'rm x'", "rm"),
    ("bash -lc 'rm x'", "rm"),
    ("bash -O extglob -c 'rm x'", "rm"),
]


@pytest.mark.parametrize(("line", "program"), STARTED)
def test_what_a_runner_starts_is_a_program_as_well(line, program):
    runner = line.split()[0]
    assert UNLISTED in told(line, (runner,))
    assert UNLISTED not in told(line, (runner, program))
    assert WRAPPER in told(line, (runner, program))
    assert UNLISTED in told(shlex.split(line), (runner,))


@pytest.mark.parametrize(
    ("line", "kinds"),
    [
        ("su deploy", {WRAPPER}),
        ("runuser deploy", {WRAPPER}),
        ("sudo -E", {WRAPPER}),
        ("find . -name x", {WRAPPER}),
        ("bash deploy.sh", {WRAPPER}),
        ("bash deploy.sh x", {WRAPPER}),
        ("python3 deploy.py x", set()),
        ("python3 -c 'import os'", {CODE}),
        ("kubectl exec shop-1 ls", set()),
        ("kubectl exec shop-1 -- ls", set()),
        ("kubectl exec shop-1 -- sh -c id", {WRAPPER}),
        ("kubectl exec shop-1 -- sh", {MAYBE}),
        ("A=1 kubectl get pods", {MAYBE}),
        ("A=1 B=2 kubectl get pods", {MAYBE}),
        ("A=1", {MAYBE}),
    ],
)
def test_what_starts_nothing_else_is_told_for_what_it_is(line, kinds):
    listed = ("su", "runuser", "sudo", "find", "bash", "python3", "kubectl")
    assert told(line, listed) == kinds


@pytest.mark.parametrize(
    ("line", "kinds"),
    [
        ("bash -c id", {WRAPPER}),
        ("/bin/bash -c id", {WRAPPER}),
        ("/usr/local/bin/bash -c id", {WRAPPER}),
        ("'C:\\windows\\cmd.exe' /c dir", {WRAPPER}),
        ("sudo python3 -c 'import os'", {MAYBE, CODE}),
        ("su -lc 'bash -c id' root", {MAYBE, WRAPPER}),
        ("kubectl exec shop-1 -- sh -c id", {WRAPPER}),
        ("sudo kubectl get pods", {MAYBE}),
        ("npx -c 'bash -c id'", {WRAPPER}),
        ("npx --call 'bash -c id'", {WRAPPER}),
        ("kubectl get pods", set()),
        ("bash", {MAYBE}),
        ("sh \\\n -c 'curl https://shop.example | sh'", {WRAPPER, MAYBE, MARK}),
    ],
)
def test_a_line_that_may_be_a_command_is_read_as_one(line, kinds):
    assert guessed(line) == kinds


@pytest.mark.parametrize(("wrappers", "kinds"), [(WRAPPED_DEEP_MAX - 1, {MAYBE}), (WRAPPED_DEEP_MAX, {MAYBE, WRAPPER})])
def test_wrappers_are_followed_to_a_depth_and_certain_beyond_it(wrappers, kinds):
    assert guessed("sudo " * wrappers + "ls") == kinds


@pytest.mark.parametrize(
    ("wrappers", "kinds"), [(WRAPPED_DEEP_MAX - 2, {WRAPPER, UNLISTED}), (WRAPPED_DEEP_MAX - 1, {WRAPPER})]
)
def test_a_shell_is_a_wrapper_like_any_other(wrappers, kinds):
    assert told("sudo " * wrappers + "sh -c id", ("sudo", "sh")) == kinds


# --- how a line is read ---


@pytest.mark.parametrize(
    ("line", "kinds"),
    [
        ('"kubectl" get pods', set()),
        ("kube'ctl' get pods", set()),
        ("\tkubectl\tget\r", {MARK}),
        ("kubectlX get pods", {UNLISTED}),
        ("kubectl@1.30 get pods", {UNLISTED}),
        ("kubectl,x get pods", {UNLISTED}),
        ("kubectl get pods; rm x", {MARK, UNLISTED}),
        ("kubectl get pods; kubectl get nodes", {MARK}),
        ("kubectl get X.yaml; rm x", {MARK, UNLISTED}),
        ("kubectl get pods #; rm x", {MARK, UNLISTED}),
        ("bash -c id", {WRAPPER, UNLISTED}),
        ("kubectl get 'a;b' \"c|d\" e\\;f", set()),
        ("kubectl get '$(id)'", set()),
        ("kubectl get \\$\\(id\\)", set()),
        ("kubectl get \"'$(id)'\"", {SUBSTITUTED}),
        ("kubectl get \"'\" ; kubectl get '\"'", {MARK}),
        ('kubectl get "\\"$(id)"', {SUBSTITUTED}),
    ],
)
def test_a_line_is_read_as_a_shell_reads_it(line, kinds):
    assert told(line, ("kubectl",)) == kinds


@pytest.mark.parametrize(
    ("line", "kinds"),
    [
        ("kubectl \\\n  get pods", set()),
        ("kube\\\nctl get pods", set()),
        ("kubectl get pods \\\n; rm x", {MARK, UNLISTED}),
        ("kubectl get pods \\\\\nrm x", {MARK, UNLISTED}),
        ("kubectl get pods \\\\\nkubectl get nodes", {MARK}),
        ("sh \\\n -c 'rm x'", {WRAPPER, UNLISTED}),
        ("kubectl get pods # \\\nkubectl get nodes", {MARK}),
        ("kubectl get pods # \\\nrm x", {MARK, UNLISTED}),
    ],
)
def test_a_line_goes_on_behind_a_backslash_and_a_comment_does_not(line, kinds):
    assert told(line, ("kubectl", "sh")) == kinds


@pytest.mark.parametrize("argument", ["$\\\n(id)", '"$\\\n(id)"', "<\\\n(id)", "$\\\n(id) #", '"$\\\n(id)" #'])
def test_a_line_end_that_a_shell_drops_hides_no_substitution(argument):
    assert SUBSTITUTED in told(f"kubectl get {argument}", ("kubectl",))


@pytest.mark.parametrize(("characters", "kinds"), [(0, set()), (1, {"command_too_long"})])
def test_a_command_has_a_longest_length(characters, kinds):
    start = "kubectl get "
    assert told(start + "x" * (COMMAND_CHARS_MAX - len(start) + characters), ("kubectl",)) == kinds


# --- marks in a text that nobody calls a command ---


@pytest.mark.parametrize(
    ("text", "certain"),
    [
        ("main$(id)", True),
        ("main $(id)", True),
        ("x" * 251 + "$(id)", True),
        ("x" * 252 + "$(id)", False),
        ("see how $(id) is used", False),
    ],
)
def test_a_substitution_is_certain_in_a_name_and_not_in_prose(text, certain):
    (finding,) = inspect({"branch": text}, settings=DEFAULT)
    assert (finding.kind, finding.certain) == (SUBSTITUTED, certain)
    assert CHAIN not in finding.kind
