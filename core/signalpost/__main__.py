"""``python -m signalpost`` is the command ``signalpost``."""

from signalpost.cli import main

main()
