"""Entry point of `datagen` and `python -m datagen`."""

from __future__ import annotations

import sys


def main() -> None:
    """Run the command line, if Python finds our packages and not files of the same names."""
    from datagen.commands import siblings
    from datagen.errors import DatagenError

    try:
        siblings.check()
    except DatagenError as error:
        print(f"datagen: {error}", file=sys.stderr)
        sys.exit(2)
    from datagen.commands.app import main as run

    run()


if __name__ == "__main__":
    main()
