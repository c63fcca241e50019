"""The paper's tables and figures: which of our systems stand in them, and what the paper claims about them."""

from __future__ import annotations

from ites_core.experiments.systems import ATOMS, WEIGHTS_KD, WEIGHTS_REP
from ites_core.experiments.tables import ERRORS, Claim, Column, Experiment, Line, best, lines, paper

_OURS = {"Martinez et al.": "supervised", "C3DPO": "C3DPO", "ITES-T": "teacher", "ITES-TS": "student"}
_TABLE_1 = {f"{label}, GT": system for label, system in _OURS.items()} | {
    f"{label}, IMG": f"{system} IMG" for label, system in _OURS.items()
}
_TABLE_2 = {"ITES-T": "teacher", "ITES-TS": "student"}

PAPERS = (
    Experiment(
        "table-1",
        "Against other methods, from true (GT) and detected (IMG) 2D joints",
        lines(*((label, _TABLE_1.get(label)) for label in paper()["table-1"]["rows"]), "all depths zero", "mean pose"),
        ERRORS,
        (
            Claim("The student is better than its teacher, from true 2D joints.", (("student", "teacher"),)),
            Claim(
                "The student is better than its teacher, from detected 2D joints.",
                (("student IMG", "teacher IMG"),),
                why=(
                    "A student reproduces its input exactly, errors included; a teacher's stiff body smooths some "
                    "of them away."
                ),
            ),
            Claim("The teacher is better than C3DPO, from true 2D joints.", (("teacher", "C3DPO"),)),
            Claim("The teacher is better than C3DPO, from detected 2D joints.", (("teacher IMG", "C3DPO IMG"),)),
            Claim(
                "Supervision is still ahead of the student.",
                (("supervised", "student"),),
                why="The upper bound of this study is one small network; it need not be the best supervised one.",
            ),
            Claim("The student is better than no depth at all.", (("student", "all depths zero"),), source="ours"),
        ),
        "MPJPE is N-MPJPE, the least-squares scale of each pose. IMG is a model of a detector's errors, in "
        "training and in test; with Human3.6M it is the detections of a cascaded pyramid network, as in the paper. "
        "Our row beside Martinez et al. is a small residual network in their manner. C3DPO gets the steps, the "
        "form of losses and the start of the teacher at this scale; its authors train it far longer.",
    ),
    Experiment(
        "table-2",
        "Trained here, tested on another capture system",
        lines(
            *((label, _TABLE_2.get(label)) for label in paper()["table-2"]["rows"]),
            "C3DPO",
            "supervised",
            "all depths zero",
        ),
        (Column("PCK", "PCK@150", "another system"), Column("AUC", "AUC", "another system")),
        (
            Claim(
                "The student is better than its teacher on people that neither has seen (PCK).",
                (("student @ another system", "teacher @ another system"),),
                "PCK@150",
            ),
            Claim(
                "The student is better than its teacher on people that neither has seen (AUC).",
                (("student @ another system", "teacher @ another system"),),
                "AUC",
            ),
            Claim(
                "What was learnt carries over: the student beats no depth at all on the other system.",
                (("student @ another system", "all depths zero @ another system"),),
                "PCK@150",
                "ours",
            ),
        ),
        "With cmu17 the other system is HDM05, with Human3.6M it is the test set of MPI-INF-3DHP. PCK and AUC "
        "count 17 joints after the least-squares scale of each pose; the release counts 14 joints and flips each.",
    ),
    Experiment(
        "table-3",
        "Which loss does what",
        lines(
            ("ITES-T: REP", "teacher without RIC"),
            ("ITES-T: REP + RIC", "teacher"),
            ("ITES-TS: REC", "student REC only"),
            ("ITES-TS: KD", "student KD only"),
            ("ITES-TS: KD + REC", "student"),
            "all depths zero",
            "teacher on the rays",
        ),
        ERRORS,
        (
            Claim("Without the invariance cycle the teacher is lost.", (("teacher", "teacher without RIC"),)),
            Claim(
                "The equivariance cycle alone teaches a student nothing: with the teacher's depths it is better.",
                (("student KD only", "student REC only"),),
            ),
            Claim(
                "The equivariance cycle alone is worse than no depth at all.",
                (("all depths zero", "student REC only"),),
                why=(
                    "A flat body is consistent under small turns, so a student without labels may stay flat: then "
                    "it scores like no depth at all, not worse."
                ),
            ),
            Claim(
                "Distillation alone already improves on the teacher.",
                (("student KD only", "teacher"),),
            ),
            Claim(
                "The equivariance cycle improves on distillation alone.",
                (("student", "student KD only"),),
                why=(
                    "The labels decide nearly everything here. The cycle asks a student to be consistent, and a "
                    "student that follows its teacher already is."
                ),
            ),
            Claim(
                "A student gains more than its head: it beats its teacher's depths on the rays of the input.",
                (("student", "teacher on the rays"),),
                source="ours",
                why=(
                    "Most of the gain in the tables comes from the head, which puts every joint on the ray of its "
                    "pixel. The graph network then loses a little of the depth in copying it."
                ),
            ),
        ),
    ),
    Experiment(
        "table-4",
        "Other teachers, other students",
        lines(
            ("C3DPO, ResFC", "student ResFC of C3DPO"),
            ("C3DPO, AGCN", "student of C3DPO"),
            ("Pose-dictionary, ResFC", "student ResFC"),
            ("Pose-dictionary, AGCN", "student"),
            "C3DPO on the rays",
            "teacher on the rays",
        ),
        ERRORS,
        (
            Claim(
                "The pose-dictionary teacher makes better students than C3DPO.",
                (("student", "student of C3DPO"), ("student ResFC", "student ResFC of C3DPO")),
            ),
            Claim(
                "Graph convolutions make a better student than a fully connected network.",
                (("student", "student ResFC"), ("student of C3DPO", "student ResFC of C3DPO")),
                why=(
                    "Both networks copy the same labels, and the plain one copies them more closely at this length "
                    "of training. Chapter 4 compares them at equal size."
                ),
            ),
        ),
    ),
    Experiment(
        "table-5",
        "The weight of the reprojection loss",
        (
            *(Line(f"REP {w}, RIC 1", f"teacher REP={w}", f"REP {w}, RIC 1" if w <= 10 else None) for w in WEIGHTS_REP),
            Line("REP of the preset", "teacher"),
        ),
        ERRORS,
        (
            Claim(
                "Of the five weights of reprojection that the paper tries, 5 is the best.",
                best("teacher REP=5", tuple(f"teacher REP={w}" for w in (1, 3, 8, 10))),
                why=(
                    "The best weight goes with the form of the losses. The paper's are squared, ours are norms at "
                    "this scale, and norms ask for a larger weight on the picture."
                ),
            ),
        ),
        "The preset of the scale small has losses that are not squared, and the weight 15.",
    ),
    Experiment(
        "table-6",
        "The weight of distillation",
        tuple(
            Line(f"KD {w}, REC 1", "student" if w == 5 else f"student KD={w}", f"KD {w}, REC 1" if w <= 10 else None)
            for w in sorted({*WEIGHTS_KD, 5})
        ),
        ERRORS,
        (
            Claim(
                "Of the five weights of distillation that the paper tries, 5 is the best.",
                best("student", tuple(f"student KD={w}" for w in (1, 3, 8, 10))),
                why="The weight matters little over a wide range: the two losses do not pull in opposite ways.",
            ),
        ),
    ),
    Experiment(
        "table-7",
        "Graph features in the teacher",
        lines(("AGCN", "teacher AGCN"), ("ResFC", "teacher")),
        ERRORS,
        (
            Claim(
                "A fully connected trunk makes a better teacher than graph convolutions.",
                (("teacher", "teacher AGCN"),),
            ),
        ),
    ),
    Experiment(
        "table-8",
        "Which graph the student needs",
        lines(
            ("Physical only", "student physical graph"),
            ("Nonphysical only", "student nonphysical graph"),
            ("Physical + Nonphysical", "student"),
            "student as released",
        ),
        ERRORS,
        (
            Claim("Both graphs are better than the physical one.", (("student", "student physical graph"),)),
            Claim("Both graphs are better than the nonphysical one.", (("student", "student nonphysical graph"),)),
            Claim(
                "The physical graph is better than the nonphysical one.",
                (("student physical graph", "student nonphysical graph"),),
            ),
        ),
    ),
    Experiment(
        "figure-5",
        "Poses to look at: C3DPO, teacher, student",
        (
            Line("C3DPO", "C3DPO"),
            Line("ITES-T", "teacher"),
            Line("ITES-TS", "student"),
            Line("supervised", "supervised"),
        ),
        ERRORS,
        (
            Claim("The student's poses are more precise than those of C3DPO.", (("student", "C3DPO"),)),
            Claim("The student's poses are better than the teacher's.", (("student", "teacher"),)),
        ),
        "Four views evenly spaced through the test split: nobody picked them.",
    ),
    Experiment(
        "figure-6",
        "The size of the dictionary",
        tuple(Line(f"K = {k}", "teacher" if k == 12 else f"teacher K={k}") for k in sorted({*ATOMS, 12})),
        ERRORS,
        (
            Claim(
                "A dictionary that is too small costs accuracy.",
                best("teacher", tuple(f"teacher K={k}" for k in ATOMS if k < 8)),
                why=(
                    "The curve falls as it should, and at the smallest sizes the gain is many times a seed's. "
                    "Next to 12 atoms it is not, and all orders must be clear for the claim to hold."
                ),
            ),
            Claim(
                "A dictionary that is too large costs accuracy.",
                best("teacher", tuple(f"teacher K={k}" for k in ATOMS if k > 12)),
                why=(
                    "With more atoms the picture can be met in more ways, by mirrored bodies among others. Single "
                    "seeds fall into a wrong basin, others do not, and a mean over both says little."
                ),
            ),
        ),
        "The paper plots this without numbers; it settles on 12 atoms.",
    ),
    Experiment(
        "figure-7",
        "Poses from real detections, not trained on",
        (
            Line("C3DPO", "C3DPO"),
            Line("ITES-T", "teacher"),
            Line("ITES-TS", "student"),
            Line("ITES-TS, trained with errors", "student IMG"),
            Line("supervised", "supervised"),
        ),
        (Column("MPJPE", "N-MPJPE", "the wild"), Column("P-MPJPE", "P-MPJPE", "the wild")),
        (
            Claim(
                "The student carries over to real detections: it beats no depth at all.",
                (("student @ the wild", "all depths zero @ the wild"),),
            ),
        ),
        "With cmu17: one person, four cameras, OpenPose's detections. The reference is triangulated from the same "
        "detections, so errors below two or three centimetres mean nothing.",
    ),
)
