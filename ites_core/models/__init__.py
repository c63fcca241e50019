"""Networks: teachers (chapter 2), students (chapter 4) and what the paper compares them with."""

from ites_core.models.c3dpo import C3DPO
from ites_core.models.semgcn import SemGCNStudent
from ites_core.models.student import DepthStudent, ResFCStudent, ResidualMLP, Student
from ites_core.models.teacher import DictionaryModel, Teacher, TeacherOutput
from ites_core.models.trivial import MeanPose, ZeroDepth

__all__ = [
    "C3DPO",
    "DepthStudent",
    "DictionaryModel",
    "MeanPose",
    "ResFCStudent",
    "ResidualMLP",
    "SemGCNStudent",
    "Student",
    "Teacher",
    "TeacherOutput",
    "ZeroDepth",
]
