"""`python -m dilm` is `dilm`."""

from dilm.cli import main

if __name__ == "__main__":
    main()
