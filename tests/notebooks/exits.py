import sys
print("one")
sys.stderr.write("to stderr\n")
# %%
sys.exit
# %%
len(sys.argv) > 0
# %%
sys.stdout.write("no newline")
# %%
print("a", end="")
print("b", flush=True)
# %%
sys.maxsize
