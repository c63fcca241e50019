"""How fast it is: every figure beside a plain reference and beside the machine's limit, measured in one run."""
