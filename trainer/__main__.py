"""Entry point of `python -m trainer`."""

from trainer.commands.app import main

main()
