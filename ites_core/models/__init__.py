"""Networks: the dictionary teacher (chapter 2) and the students (chapter 4)."""

from ites_core.models.student import DepthStudent, ResFCStudent, Student
from ites_core.models.teacher import Teacher, TeacherOutput

__all__ = ["DepthStudent", "ResFCStudent", "Student", "Teacher", "TeacherOutput"]
