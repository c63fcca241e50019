"""The paper's tables and figures as declared experiments, the runs behind them and their artefacts in ``results/``.

:mod:`systems` says what is trained, :mod:`runs` trains and scores it, :mod:`tables` says which systems stand in which
table and what the paper claims about them, :mod:`report` puts paper and measurement side by side.
"""
