"""Memory that is freed stays in the process for the next step, unless the user has said otherwise."""

import platform
import subprocess
import sys

import pytest

pytestmark = [
    pytest.mark.once,
    pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc's allocator can be told to keep memory"),
]

PAGES = 64 * 2**20 // 4096
FAULTS = """
import resource, threading, numpy as np
from hgq2_core.compilation.allocator import keep_freed_memory

set_here = {call}

def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    np.empty(64 * 2**20, np.uint8)[::4096] = 1
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

counts = []
thread = threading.Thread(target=lambda: counts.extend([faults(), faults(), faults()]))
thread.start()
thread.join()
print(set_here, counts[-1])
"""


def faults(call: str, **environment: str) -> tuple[str, int]:
    """Return whether the allocator was set, and the page faults of a thread's third array of 64 MiB."""
    command = [sys.executable, "-c", FAULTS.format(call=call)]
    answer = subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout.split()
    return answer[0], int(answer[1])


def test_what_is_freed_is_used_again_without_page_faults():
    kept, few = faults("keep_freed_memory()")
    returned, many = faults("None")
    assert (kept, returned) == ("True", "None")
    # Where pages are huge, one fault brings 512 of them.
    assert few < PAGES // 1024 < many


def test_settings_in_the_environment_have_precedence():
    assert faults("keep_freed_memory()", MALLOC_TRIM_THRESHOLD_="100000")[0] == "False"


def test_the_command_line_keeps_it(monkeypatch):
    import hgq2_core.cli.main as cli

    called = []
    monkeypatch.setattr(cli, "keep_freed_memory", lambda: called.append(True))
    monkeypatch.setattr(cli, "app", lambda prog_name: called.append(prog_name))
    cli.main()
    assert called == [True, "hgq2"]
