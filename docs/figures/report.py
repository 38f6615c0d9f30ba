"""Train the example on digits for 60 epochs, and picture the top of its report in a headless Chromium.

Run it from the root of the repository: `python docs/figures/report.py`.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).parent
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome")
SIZE = (1000, 1172)


def main(path: Path) -> None:
    """Write the picture."""
    browser = next(filter(None, map(shutil.which, BROWSERS)))
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "examples").symlink_to(HERE.parents[1] / "examples")  # the page shows the command
        command = [str(Path(sys.executable).with_name("hgq2")), "train", "examples/digits.yaml", "-o", "runs/digits"]
        subprocess.run([*command, "--set", "training.epochs=60"], cwd=folder, check=True)
        options = ["--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", f"--screenshot={path}"]
        page = Path(folder) / "runs" / "digits" / "report.html"
        subprocess.run([browser, *options, "--window-size={},{}".format(*SIZE), page.as_uri()], check=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else HERE / "report.png")
