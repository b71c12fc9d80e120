"""What a client is tried with: named checks, of which each prints one line of JSON."""

import asyncio
import inspect
import json
import sys
import traceback

_checks = []


def check(name, applies=True):
    """Takes a function, which may be a coroutine's, for the check of that name. It fails by raising."""

    def register(function):
        if applies:
            _checks.append((name, function))
        return function

    return register


async def settled(result):
    """What a call gives, whether its client is asynchronous or not."""
    return await result if inspect.isawaitable(result) else result


async def refusal_of(call):
    """The text of the error that a call has to end with."""
    try:
        await settled(call())
    except Exception as error:  # The clients have a kind of their own each.
        return str(error)
    raise AssertionError("was not refused")


async def _run_all(close):
    for name, function in _checks:
        try:
            await settled(function())
            outcome = {"check": name, "ok": True}
        except BaseException as error:
            at = traceback.extract_tb(error.__traceback__)[-1]
            detail = f"{type(error).__name__}: {error} ({at.line})"
            outcome = {"check": name, "ok": False, "detail": " ".join(detail.split())[:300]}
        print(json.dumps(outcome), flush=True)
    if close is not None:
        await close()


def run(close=None):
    """All of them, in their order, and what ends the client."""
    asyncio.run(_run_all(close))


def arguments():
    """Addresses of the server, and which client is asked for: `REST gRPC client`."""
    return sys.argv[1:4]
