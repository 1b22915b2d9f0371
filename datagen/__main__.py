"""Entry point of `python -m datagen`."""

from datagen.commands.app import main

main()
