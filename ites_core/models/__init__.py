"""Networks: the dictionary teacher (chapter 2) and the graph-convolution student (chapter 4)."""

from ites_core.models.student import Student
from ites_core.models.teacher import Teacher, TeacherOutput

__all__ = ["Student", "Teacher", "TeacherOutput"]
