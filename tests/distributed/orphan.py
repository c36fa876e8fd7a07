"""A process that starts one child, which must die with it; `prctl` or `thread` says by which means."""

import os
import subprocess
import sys
import time

if len(sys.argv) == 2:
    subprocess.run([sys.executable, __file__, sys.argv[1], "child"], check=False)
else:
    from components.launch import parent

    if sys.argv[1] == "thread":
        parent._ask_kernel_to_kill = lambda: False  # as on a system without prctl
    parent.die_with_parent()
    sys.stdout.write(f"{os.getpid()}\n")
    sys.stdout.flush()
    time.sleep(60)
