"""`python -m doorward` is the command line."""

from doorward.cli import main

main()
