"""Where the cookbook is: whole apps without any code, each a .yaml file that begins with a comment on what it is."""

from pathlib import Path

_COOKBOOKS = (
    Path(__file__).parents[3] / "tests" / "fixtures" / "cookbook",  # of the checkout; it comes first, being never stale
    Path(__file__).parents[1] / "cookbook",  # of an installed package
)


def find_cookbook() -> Path:
    """Find the folder of the cookbook."""
    return next(folder for folder in _COOKBOOKS if folder.is_dir())
