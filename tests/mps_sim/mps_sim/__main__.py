"""Run a script or module with the simulator installed: python -m mps_sim [-m] script-or-module [arguments]."""

import runpy
import sys

import mps_sim

if __name__ == "__main__":
    arguments = sys.argv[1:]
    if not arguments or arguments == ["-m"]:
        sys.exit(__doc__)
    mps_sim.install()
    if arguments[0] == "-m":
        sys.argv = arguments[1:]
        runpy.run_module(arguments[1], run_name="__main__", alter_sys=True)
    else:
        sys.argv = arguments
        runpy.run_path(arguments[0], run_name="__main__")
