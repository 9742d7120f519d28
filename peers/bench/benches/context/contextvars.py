"""Answers how long operations of contextvars take: `operation bound times` a line, nanoseconds a line."""

import asyncio
import sys
from contextvars import Context, ContextVar, copy_context
from time import perf_counter_ns as now

VARS = [ContextVar(f"v{i}") for i in range(64)]
UNBOUND = ContextVar("unbound")


def nothing():
    pass


async def nothing_later():
    pass


def bind(bound):
    for var in VARS[:bound]:
        var.set(7)


def get(bound, times):
    read = VARS[bound - 1].get
    start = now()
    for _ in range(times):
        read()
    return now() - start


def unbound(bound, times):
    read = UNBOUND.get
    start = now()
    for _ in range(times):
        try:
            read()
        except LookupError:
            pass
    return now() - start


def reset(bound, times):
    var = VARS[bound - 1]
    start = now()
    for _ in range(times):
        var.reset(var.set(8))
    return now() - start


def shared(bound, times):
    var = VARS[bound - 1]
    start = now()
    for _ in range(times):
        held = copy_context()
        var.reset(var.set(8))
        del held
    return now() - start


def binding(bound, times):
    start = now()
    for _ in range(times):
        Context().run(bind, bound)
    return now() - start


def current(bound, times):
    start = now()
    for _ in range(times):
        copy_context()
    return now() - start


def run(bound, times):
    start = now()
    for _ in range(times):
        copy_context().run(nothing)
    return now() - start


def spawn(bound, times):
    async def main():
        start = now()
        for _ in range(times):
            await asyncio.create_task(nothing_later())
        return now() - start

    return asyncio.run(main())


def crowd(bound, times):
    async def own(value):
        VARS[0].set(value)
        for _ in range(2):
            await asyncio.sleep(0)
        assert VARS[0].get() == value

    async def main():
        start = now()
        for _ in range(times):
            await asyncio.gather(*(asyncio.create_task(own(value)) for value in range(10_000)))
        return now() - start

    return asyncio.run(main())


def empty(times):
    start = now()
    for _ in range(times):
        pass
    return now() - start


OPERATIONS = {f.__name__: f for f in (get, unbound, reset, shared, binding, current, run, spawn, crowd)}

for line in sys.stdin:
    operation, bound, times = line.split()
    bound, times = int(bound), int(times)
    context = Context()
    context.run(bind, bound)
    took = context.run(OPERATIONS[operation], bound, times)
    print(max(took - empty(times), 1), flush=True)
