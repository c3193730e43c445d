"""Removes an image together with the steps it was built in."""

from typing import TYPE_CHECKING

from docker.errors import APIError, ImageNotFound

if TYPE_CHECKING:
    from docker import APIClient


def remove_image(api: "APIClient", reference: str) -> None:
    """Removes the tag or image ``reference``, and of its steps those that nothing else is built on.

    Where the image has another tag, only this one goes.
    Raises docker.errors.APIError: ImageNotFound, or a conflict where a container uses it.
    """
    image = str(api.inspect_image(reference)["Id"])
    steps = _steps(api, image)
    api.remove_image(reference)
    # An engine that keeps images in containerd leaves the steps behind; others have removed them.
    left = {each["Id"]: each for each in api.images(all=True)}
    for step in steps:
        if step not in left:
            continue
        if left[step].get("RepoTags") or any(each["ParentId"] == step for each in left.values()):
            return
        try:
            api.remove_image(step)
        except ImageNotFound:
            pass
        except APIError:
            return
        del left[step]


def _steps(api: "APIClient", image: str) -> list[str]:
    """The images that ``image`` was built on, nearest first."""
    parents = {each["Id"]: each["ParentId"] for each in api.images(all=True)}
    steps = []
    while image := parents.get(image, ""):
        steps.append(image)
    return steps
