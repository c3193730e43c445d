from pathlib import Path
Path("notes.txt").write_text("one\ntwo\nthree\n")
# %%
Path("notes.txt").read_text().splitlines()
# %%
with open("notes.txt", "a") as file:
    file.write("four\n")
# %%
print(open("notes.txt").read())
# %%
open("missing.txt")
# %%
sorted(path.name for path in Path(".").glob("*.txt"))
# %%
Path("a") / "b"
