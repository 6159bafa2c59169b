"""The sandbox, attacked: each test is something that code of a judged change would try (RULES 2, 3)."""

import ast
import json
import os
import socket
import sys
import tempfile
import time
from pathlib import Path

import pytest

from bywire.adapters.sandbox import Sandbox
from bywire.adapters.sandbox_result import IsolationLevel, SandboxLimits
from bywire.model.errors import WorkError

SEARCH_PATH = [os.path.dirname(sys.executable), "/usr/local/bin", "/usr/bin", "/bin"]
SECRET = "operator-private-key-material"


def build(hide=(), level_max=IsolationLevel.OWN_UID, **limits):
    return Sandbox(search_path=SEARCH_PATH, hide=hide, limits=SandboxLimits(**limits), level_max=level_max)


HOST_LEVEL = build().isolation().level
isolated = pytest.mark.skipif(HOST_LEVEL is IsolationLevel.NONE, reason="this host offers no namespaces")
LEVELS = [
    level
    for level in (IsolationLevel.OWN_UID, IsolationLevel.NAMESPACES)
    if HOST_LEVEL in (level, IsolationLevel.OWN_UID)
]


@pytest.fixture
def place():
    """A directory beside the source, below nothing that every sandbox covers anyway, so that `hide` has work to do."""
    with tempfile.TemporaryDirectory(prefix=".attacked-", dir=Path(__file__).parents[2]) as name:
        yield Path(name)


@pytest.fixture
def work(place):
    directory = place / "worktree"
    directory.mkdir(mode=0o700)
    return directory


def python(sandbox, work, code, timeout_seconds=20.0, **options):
    return sandbox.run(["python", "-c", code], cwd=work, timeout_seconds=timeout_seconds, **options)


def alive(marker):
    """Pids outside whose command line carries `marker`."""
    found = []
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                if marker.encode() in Path(f"/proc/{name}/cmdline").read_bytes():
                    found.append(int(name))
            except OSError:
                continue
    return found


def wait_gone(marker, seconds=5.0):
    deadline = time.monotonic() + seconds
    while alive(marker) and time.monotonic() < deadline:
        time.sleep(0.02)
    return alive(marker) == []


def test_a_command_works_in_its_directory_and_leaves_files_of_the_callers(work):
    (work / "input.txt").write_text("four")
    code = "import os, sys; open('output.txt', 'w').write(open('input.txt').read() * 2); print('done'); sys.exit(3)"
    result = python(build(), work, code)
    assert (result.exit_code, result.stdout, result.timed_out) == (3, "done\n", False)
    assert (work / "output.txt").read_text() == "fourfour"
    assert (work / "output.txt").stat().st_uid == os.getuid()
    assert result.isolation is HOST_LEVEL
    assert result.peak_memory_bytes > 1_000_000
    assert 0 < result.duration_seconds < 20


def test_a_missing_program_is_an_error_of_its_own(work):
    with pytest.raises(WorkError) as caught:
        build().run(["no-such-program-here"], cwd=work, timeout_seconds=10)
    assert caught.value.code == "command_not_found"


def test_rule_02_the_environment_is_scrubbed_and_standard_input_is_closed(work, monkeypatch):
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    code = "import json, os, sys; print(json.dumps([dict(os.environ), sys.stdin.read()]))"
    environ, stdin = json.loads(python(build(), work, code, env_allow={"SEED": "7"}).stdout)
    assert set(environ) <= {"PATH", "HOME", "TMPDIR", "LANG", "SEED", "LC_CTYPE"}
    assert environ["SEED"] == "7"
    assert SECRET not in str(environ)
    assert environ["HOME"] != os.environ.get("HOME")
    assert stdin == ""


def test_rule_02_allowed_variables_cannot_replace_the_fixed_ones(work):
    result = python(build(), work, "import os; print(os.environ['HOME'])", env_allow={"HOME": "/root"})
    assert result.stdout.strip() != "/root"


@isolated
@pytest.mark.parametrize("level", LEVELS)
def test_rule_03_a_hidden_directory_cannot_be_read_by_any_name(work, place, level):
    operator = place / "operator"
    operator.mkdir()
    (operator / "key.pem").write_text(SECRET)
    (operator / "key.pem").chmod(0o644)
    alias = work / "alias"
    alias.symlink_to(operator / "key.pem")
    (place / "link-to-operator").symlink_to(operator)
    sandbox = build(hide=[place / "link-to-operator"], level_max=level)
    code = f"""
import os
paths = ['{operator}/key.pem', 'alias', '/proc/1/root{operator}/key.pem', '/proc/self/root{operator}/key.pem',
         '/proc/1/cwd/../operator/key.pem', '../operator/key.pem']
for path in paths:
    try:
        print('READ', path, open(path).read())
    except OSError as error:
        print('refused', type(error).__name__)
"""
    result = python(sandbox, work, code)
    assert SECRET not in result.stdout
    assert result.stdout.count("refused") == 6
    assert result.isolation is level


@isolated
@pytest.mark.parametrize("level", LEVELS)
def test_a_hidden_directory_inside_the_worktree_and_around_it_stays_hidden(work, level):
    inner = work / "state"
    inner.mkdir()
    (inner / "key").write_text(SECRET)
    outer_secret = work.parent / "key"
    outer_secret.write_text(SECRET)
    sandbox = build(hide=[inner, work.parent], level_max=level)
    result = python(
        sandbox, work, f"import os; print(os.listdir('.'), os.path.exists('{outer_secret}'), open('state/key').read())"
    )
    assert SECRET not in result.stdout
    assert "PermissionError" in result.stderr or "FileNotFoundError" in result.stderr


@isolated
@pytest.mark.parametrize("level", LEVELS)
def test_rule_03_a_hidden_file_and_socket_are_unusable(work, place, level):
    token = place / "token"
    token.write_text(SECRET)
    token.chmod(0o644)
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(os.path.relpath(place / "s"))
        os.chmod(place / "s", 0o777)
        server.listen()
        code = f"""
import os, socket
for attempt in (lambda: print(open('{token}').read()), lambda: socket.socket(socket.AF_UNIX).connect('../s')):
    try:
        attempt(); print('REACHED')
    except OSError as error:
        print('refused')
"""
        result = python(build(hide=[token, place / "s"], level_max=level), work, code)
    assert SECRET not in result.stdout
    assert result.stdout.split() == ["refused", "refused"]


@isolated
@pytest.mark.parametrize("level", LEVELS)
def test_rule_02_covers_cannot_be_lifted_nor_capabilities_regained(work, place, level):
    operator = place / "operator"
    operator.mkdir()
    (operator / "key").write_text(SECRET)
    code = f"""
import ctypes, errno
libc = ctypes.CDLL(None, use_errno=True)
calls = dict(
    umount=lambda: libc.umount2(b'{operator}', 2),
    mount=lambda: libc.mount(b'proc', b'/tmp', b'proc', 0, None),
    remount=lambda: libc.mount(b'none', b'/', b'', 32 | 4096, None),
    user_namespace=lambda: libc.unshare(0x10000000),
    mount_namespace=lambda: libc.unshare(0x00020000),
    ptrace=lambda: libc.ptrace(16, 1, 0, 0),
    setuid=lambda: libc.setresuid(1, 1, 1),
    keyring=lambda: libc.syscall(250, 0, -4, 1) if __import__('os').uname().machine == 'x86_64' else -1,
)
print([name for name, call in calls.items() if call() >= 0])
status = dict(line.split(':', 1) for line in open('/proc/self/status').read().splitlines())
print([status[name].strip() for name in ('CapEff', 'CapPrm', 'CapBnd', 'CapInh', 'NoNewPrivs')])
try:
    print(open('{operator}/key').read())
except OSError:
    print('still hidden')
"""
    result = python(build(hide=[operator], level_max=level), work, code)
    zero = "0" * 16
    assert result.stdout.splitlines() == ["[]", str([zero, zero, zero, zero, "1"]), "still hidden"], result.stderr


@isolated
@pytest.mark.parametrize("level", LEVELS)
def test_rule_02_other_processes_are_invisible_and_cannot_be_signalled(work, level):
    code = f"""
import os
pids = sorted(int(name) for name in os.listdir('/proc') if name.isdigit())
outside = 0
for pid in ({os.getpid()}, {os.getppid()}):
    if pid in pids:
        continue
    try:
        os.kill(pid, 0); outside += 1
    except ProcessLookupError:
        pass
try:
    environ = open('/proc/1/environ', 'rb').read()
except OSError:
    environ = b''
print(len(pids) <= 3, outside, environ.decode())
"""
    result = python(build(level_max=level), work, code)
    assert result.stdout.strip() == "True 0", result.stderr


@isolated
@pytest.mark.parametrize("level", LEVELS)
def test_nothing_outside_the_worktree_can_be_written(work, place, level):
    (place / "neighbour").write_text("intact")
    (place / "neighbour").chmod(0o666)
    place.chmod(0o777)
    code = f"""
places = ['{place}/neighbour', '{place}/new', '/etc/bywire-test', '/usr/bywire-test', '/dev/x', '/var/tmp/x',
          '/proc/sys/kernel/core_pattern', '/proc/sysrq-trigger', '/sys/kernel/uevent_helper', '/root/x', '/run/x']
written = []
for place in places:
    try:
        open(place, 'w').write('changed'); written.append(place)
    except OSError:
        pass
print(written)
import os
for name in os.listdir('/dev'):
    if name not in ('null', 'zero', 'full', 'random', 'urandom', 'shm', 'fd', 'stdin', 'stdout', 'stderr'):
        print('DEVICE', name)
try:
    os.chmod('/dev/null', 0o666); print('CHMOD')
except OSError:
    pass
"""
    result = python(build(level_max=level), work, code)
    # A checkout below a covered directory has an empty copy of it inside, which may be written; the host's may not.
    written = [path for path in ast.literal_eval(result.stdout.strip()) if not path.startswith(f"{place}/")]
    assert written == [], result.stderr
    assert (place / "neighbour").read_text() == "intact"
    assert not (place / "new").exists()


@isolated
@pytest.mark.parametrize("level", LEVELS)
def test_rule_02_no_network_by_default_not_even_the_hosts_loopback(work, level):
    with socket.socket() as server, socket.socket(socket.AF_UNIX) as abstract:
        server.bind(("127.0.0.1", 0))
        server.listen()
        name = f"bywire-test-{os.getpid()}"
        abstract.bind("\0" + name)
        abstract.listen()
        port = server.getsockname()[1]
        code = f"""
import socket
def attempt(family, address):
    try:
        with socket.socket(family) as s:
            s.settimeout(2); s.connect(address)
            return 'CONNECTED'
    except OSError:
        return 'refused'
print(attempt(socket.AF_INET, ('127.0.0.1', {port})), attempt(socket.AF_INET, ('192.0.2.1', 80)),
      attempt(socket.AF_UNIX, chr(0) + '{name}'), attempt(40, (2, 1024)))
with socket.socket() as own:
    own.bind(('127.0.0.1', 0)); own.listen(); print(attempt(socket.AF_INET, own.getsockname()))
"""
        sandbox = build(level_max=level)
        shut = python(sandbox, work, code).stdout.split()
        opened = python(sandbox, work, code, network=True).stdout.split()
    assert shut == ["refused"] * 4 + ["CONNECTED"]  # its own loopback works
    assert opened[0] == "CONNECTED"


@pytest.mark.skipif(
    HOST_LEVEL is not IsolationLevel.OWN_UID and os.getuid() == 0, reason="root escapes the process limit here"
)
def test_a_fork_bomb_is_bounded(work):
    code = """
import os, time
count = 0
try:
    while True:
        if os.fork() == 0:
            time.sleep(60)
        count += 1
except OSError:
    print(count)
"""
    result = python(build(process_limit=40), work, code)
    assert 1 <= int(result.stdout.split()[0]) <= 40
    assert result.duration_seconds < 10


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere only the process group is killed")
@pytest.mark.parametrize("level", [*LEVELS, IsolationLevel.NONE])
def test_a_hang_with_a_daemonised_grandchild_is_killed_in_time(work, level):
    marker = f"bywire-daemon-{os.getpid()}-{level}"
    code = f"""
import os, subprocess, sys, time
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        subprocess.run([sys.executable, '-c', 'import time; time.sleep(300)', '{marker}'])
    os._exit(0)
print('forked', flush=True)
time.sleep(300)
"""
    result = python(build(level_max=level), work, code, timeout_seconds=1.0)
    assert result.timed_out
    assert result.exit_code == -1
    assert "forked" in result.stdout
    assert result.duration_seconds < 4
    assert wait_gone(marker)


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere only the process group is killed")
@pytest.mark.parametrize("level", [*LEVELS, IsolationLevel.NONE])
def test_what_a_finished_command_left_behind_is_ended(work, level):
    marker = f"bywire-left-{os.getpid()}-{level}"
    sleeper = f"[sys.executable, '-c', 'import time; time.sleep(300)', '{marker}']"
    code = f"import subprocess, sys; subprocess.Popen({sleeper}, start_new_session=True)"
    result = python(build(level_max=level), work, code)
    assert (result.exit_code, result.timed_out) == (0, False)
    assert wait_gone(marker)


def test_huge_output_is_bounded_and_keeps_both_ends(work):
    code = "import sys; print('first'); print('x' * 20_000_000); sys.stderr.write('e' * 5_000_000); print('last')"
    result = python(build(stdout_limit_bytes=10_000), work, code)
    assert len(result.stdout) < 10_100
    assert len(result.stderr) < 10_100
    assert result.stdout.startswith("first")
    assert result.stdout.endswith("last\n")
    assert "bytes left out" in result.stdout


def test_memory_and_file_sizes_are_limited(work):
    sandbox = build(memory_limit_bytes=300_000_000, file_limit_bytes=100_000)
    hungry = python(sandbox, work, "bytearray(600_000_000)")
    assert "MemoryError" in hungry.stderr
    large = python(sandbox, work, "open('large', 'wb').write(b'x' * 1_000_000)")
    assert large.exit_code != 0
    assert (work / "large").stat().st_size <= 100_000


def test_rule_02_descriptors_of_the_caller_are_not_inherited(work, place):
    (place / "open").write_text(SECRET)
    with open(place / "open") as held:
        os.set_inheritable(held.fileno(), True)
        result = python(
            build(),
            work,
            "import os; print(sorted(int(name) for name in os.listdir('/dev/fd')))",
        )
    assert [number for number in json.loads(result.stdout) if number > 3] == []


@isolated
def test_a_hidden_or_shared_directory_is_no_working_directory(place):
    for cwd in (place / "operator", Path("/"), place / "missing"):
        if cwd.name == "operator":
            cwd.mkdir()
        with pytest.raises(WorkError) as caught:
            build(hide=[place / "operator"]).run(["true"], cwd=cwd, timeout_seconds=5)
        assert caught.value.code == "sandbox_cwd_invalid"


def test_rule_02_the_level_is_said_honestly(work):
    report = build(level_max=IsolationLevel.NONE).isolation()
    assert report.level is IsolationLevel.NONE
    assert "cannot isolate" in report.sentence
    assert python(build(level_max=IsolationLevel.NONE), work, "").isolation is IsolationLevel.NONE
