"""The command, killed -9 in the middle of a write: `python tests/study/killed.py checkpoints 3 FLAGS OF study/run.py`.

It dies when, for the third time, a file below `checkpoints` is written aside and not yet renamed into place.
"""

import os
import signal
import sys
from typing import Any

from study import run

folder, left = sys.argv[1], int(sys.argv[2])
replace = os.replace


def replace_or_die(source: Any, target: Any) -> None:
    global left
    if f"/{folder}/" in str(target):
        left -= 1
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
    replace(source, target)


os.replace = replace_or_die  # type: ignore[assignment]
sys.exit(run.main(sys.argv[3:]))
