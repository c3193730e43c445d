import asyncio
async def double(n):
    await asyncio.sleep(0)
    return 2 * n

await double(21)
# %%
await asyncio.gather(*(double(n) for n in range(5)))
# %%
async with asyncio.timeout(5):
    print(await double(1))
# %%
async def fail():
    raise LookupError("later")

await fail()
# %%
[n async for n in (double(n) for n in ())] if False else "skipped"
