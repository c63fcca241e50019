"""``python -m ites_core`` is ``ites``."""

from ites_core.cli import main

if __name__ == "__main__":
    main()
