"""The commands slt-train, slt-evaluate, slt-translate and slt-extract-flow."""

try:
    import tyro  # noqa: F401
except ModuleNotFoundError as error:
    raise ModuleNotFoundError(
        "slt_fast.commands: found no module tyro; install the extra slt (pip install '.[slt]')",
        name=error.name,
    ) from error
