"""ITES: lifting 2D human keypoints to 3D with no 3D labels, as a small readable package.

Data flows one way: ``skeleton`` and ``camera`` know geometry; ``data`` knows recordings; ``models``
and ``losses`` know tensors; ``training`` and ``evaluation`` join them; ``cli`` is the command line.
"""

__version__ = "0.1.0"
