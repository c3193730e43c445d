import re
text = "tel 555-1234, fax 555-9876"
re.findall(r"\d{3}-\d{4}", text)
# %%
re.search(r"(?P<kind>fax)", text)
# %%
re.sub(r"\d", "#", text)
# %%
re.match("x", text)
# %%
re.compile("(")
# %%
[m.span() for m in re.finditer("555", text)]
