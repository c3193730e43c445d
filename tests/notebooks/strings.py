"text"
# %%
"it's"
# %%
"two\nlines"
# %%
"x" * 200
# %%
["x" * 100, "y" * 100]
# %%
b"bytes\x00"
# %%
"é図😀", r"\d+"
# %%
print("é図😀\ttab")
# %%
"".join(reversed("stressed")).upper().center(20, "*")
