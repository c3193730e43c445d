import io
from PIL import Image
image = Image.new("RGB", (4, 3), "red")
image
# %%
image.size, image.getpixel((0, 0))
# %%
from IPython.display import Image as Shown
file = io.BytesIO()
image.save(file, "PNG")
Shown(data=file.getvalue())
# %%
image.resize((2, 2)).convert("L")
# %%
Image.open("no.png")
