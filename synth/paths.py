"""Where Burnish's own data lies: prompts, constitutions and the pocket model's weights."""

from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent


def data_dir() -> Path:
    """Beside the packages in a checkout, inside this package in an installed wheel."""
    shipped = _PACKAGE / "_data"
    if shipped.is_dir():
        return shipped
    checkout = _PACKAGE.parent
    if (checkout / "pyproject.toml").is_file() and (checkout / "data").is_dir():
        return checkout / "data"
    raise FileNotFoundError(
        f"Burnish's data folder expected at {shipped} or {checkout / 'data'}, found at neither; "
        "reinstall burnish, or restore data/ in the checkout"
    )
