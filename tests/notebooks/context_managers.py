from contextlib import contextmanager, suppress
@contextmanager
def tag(name):
    print(f"<{name}>")
    yield name.upper()
    print(f"</{name}>")

with tag("b") as name:
    print(name)
# %%
with suppress(KeyError):
    {}["a"]
"went on"
# %%
with tag("i"):
    raise RuntimeError("inside")
# %%
with open("/workspace/x.bin", "wb") as file:
    size = file.write(bytes(10))
size
