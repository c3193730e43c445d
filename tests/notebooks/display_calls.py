from IPython.display import HTML, JSON, Latex, Markdown, SVG, display
HTML("<i>hello</i>")
# %%
display(1, "two", [3])
"last"
# %%
Markdown("# title")
# %%
Latex("$x^2$")
# %%
display(HTML("<p>one</p>"), Markdown("*two*"))
# %%
SVG('<svg xmlns="http://www.w3.org/2000/svg"><circle r="1"/></svg>')
# %%
for n in range(3):
    display({"n": n})
