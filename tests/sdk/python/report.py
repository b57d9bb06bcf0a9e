"""Runs checks one after the other and says how each went; nothing is known here of what they look at."""

import asyncio
import traceback

SECONDS_MAX = 120


def run(checks):
    """Each check is a name and a coroutine. Whether all of them passed."""
    failed = 0
    for name, check in checks:
        try:
            asyncio.run(asyncio.wait_for(check, SECONDS_MAX))
            print(f"ok      {name}", flush=True)
        except BaseException:
            failed += 1
            print(f"FAILED  {name}", flush=True)
            traceback.print_exc()
    print(f"{len(checks) - failed} passed, {failed} failed")
    return failed == 0
