"""A Slurm of one node, of the user who runs the tests, for as long as a test needs it."""

from __future__ import annotations

import getpass
import os
import secrets
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

MUNGE, CONTROLLER, NODE = "munged", "slurmctld", "slurmd"
SECONDS = 30
CONFIG = """\
ClusterName=test
SlurmctldHost={host}(127.0.0.1)
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
ProctrackType=proctrack/pgid
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
ReturnToService=2
MpiDefault=none
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldPort={ports[0]}
SlurmdPort={ports[1]}
NodeName={host} NodeAddr=127.0.0.1 CPUs={cpus} State=UNKNOWN
PartitionName=test Nodes=ALL Default=YES State=UP
"""


@contextmanager
def one_node(folder: Path) -> Iterator[Path]:
    """Yield the configuration of a Slurm that takes jobs; skip where it is not installed, or does not start.

    Args:
        folder: for its files, with a short path, as it holds a socket.
    """
    path = f"{os.environ['PATH']}:/usr/sbin:/sbin"
    programs = {name: shutil.which(name, path=path) for name in (MUNGE, CONTROLLER, NODE)}
    if missing := [name for name, program in programs.items() if program is None]:
        pytest.skip(f"no {', '.join(missing)}; on Debian: apt-get install {NODE} {CONTROLLER} munge")
    config, key = folder / "slurm.conf", folder / "munge.key"
    key.write_bytes(secrets.token_bytes(128))
    key.chmod(0o600)
    folder.chmod(0o711)  # munged refuses a socket that others cannot reach
    for name in ("state", "spool"):
        (folder / name).mkdir()
    host, cpus = socket.gethostname().partition(".")[0], os.cpu_count()
    config.write_text(CONFIG.format(host=host, user=getpass.getuser(), folder=folder, ports=_free_ports(), cpus=cpus))
    files = {"socket": "socket", "pid-file": "pid", "log-file": "log", "seed-file": "seed"}
    own = [f"--{option}={folder}/munge.{name}" for option, name in files.items()]
    commands = [
        [MUNGE, "--foreground", "--force", f"--key-file={key}", *own],
        [CONTROLLER, "-D", "-f", str(config)],
        [NODE, "-D", "-f", str(config)],
    ]
    with ExitStack() as running:
        for command in commands:
            running.enter_context(_running([str(programs[command[0]]), *command[1:]], folder / f"{command[0]}.log"))
        if not _soon(lambda: _asked(config, "sinfo", "--noheader", "--format=%T") == "idle"):
            said = {name: (folder / f"{name}.log").read_text()[-300:] for name in programs}
            pytest.skip(f"Slurm does not start here: {said}")
        try:
            yield config
        finally:
            # A job ends a while after its results are there, and would wait for ever for a controller that is gone.
            _asked(config, "scancel", f"--user={getpass.getuser()}")
            _soon(lambda: not _asked(config, "squeue", "--noheader"))


def _soon(condition: Callable[[], bool]) -> bool:
    end = time.monotonic() + SECONDS
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(0.2)
    return True


@contextmanager
def _running(command: Sequence[str], log: Path) -> Iterator[None]:
    with log.open("w") as file, subprocess.Popen(command, stdout=file, stderr=file) as process:
        try:
            yield
        finally:
            process.terminate()


def _free_ports() -> list[int]:
    with ExitStack() as open_ones:
        sockets = [open_ones.enter_context(socket.socket()) for _ in range(2)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]


def _asked(config: Path, *command: str) -> str:
    environment = {**os.environ, "SLURM_CONF": str(config)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    return done.stdout.strip()
