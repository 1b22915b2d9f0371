"""python -m datagen: the command line without the console script."""

from datagen.commands.app import main

main()
