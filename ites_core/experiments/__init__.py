"""The paper's tables and figures as declared experiments, the runs behind them and their artefacts in ``results/``.

:mod:`systems` says what is trained; :mod:`runs` trains it, :mod:`scoring` scores it, :mod:`artefacts` keeps the result.
:mod:`of_the_paper` and :mod:`our_own` say which systems stand in which table and what is claimed about them, in the
words of :mod:`tables`; :mod:`declared` has all by name. :mod:`verdict` holds the claims against the results, and
:mod:`report` puts paper and measurement side by side. :mod:`cost` measures Table 9.
"""
