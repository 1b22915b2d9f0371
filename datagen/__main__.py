"""python -m datagen: the command line without the console script."""

from datagen.cli import main

main()
