class Rich:
    def _repr_mimebundle_(self, include=None, exclude=None):
        return {"text/plain": "plain", "text/html": "<b>html</b>", "application/x-custom+json": {"a": 1}}

Rich()
# %%
class Many:
    def _repr_html_(self): return "<i>h</i>"
    def _repr_markdown_(self): return "*m*"
    def _repr_latex_(self): return "$l$"
    def _repr_json_(self): return {"j": [1]}
    def _repr_svg_(self): return "<svg/>"
    def __repr__(self): return "many"

Many()
# %%
class Itself:
    def _ipython_display_(self):
        print("displayed by itself")

Itself()
# %%
class Nothing:
    def _repr_html_(self): return None
    def __repr__(self): return "no html"

Nothing()
# %%
class Pretty:
    def _repr_pretty_(self, p, cycle):
        with p.group(4, "Pretty(", ")"):
            p.pretty(list(range(40)))

Pretty()
# %%
display(Many(), include=["text/html"])
