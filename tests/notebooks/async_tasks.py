import asyncio
log = []
async def work(name, queue):
    while not queue.empty():
        log.append((name, await queue.get()))
        await asyncio.sleep(0)
# %%
queue = asyncio.Queue()
for n in range(4):
    queue.put_nowait(n)
await asyncio.gather(work("a", queue), work("b", queue))
log
# %%
async def stream():
    for n in range(3):
        yield n

[n async for n in stream()]
# %%
stream.__name__, asyncio.iscoroutinefunction(work)
# %%
await asyncio.wait_for(asyncio.sleep(10), 0.01)
