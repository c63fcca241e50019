"""The data sets that the project knows, as data: what each is for, under which terms, and how to get it (chapter 5).

No recording is handed out with the project; everybody gets them from their makers. A checksum stands here only where
one could be confirmed. Where it is None, :func:`ites_core.data.fetch.fetch` remembers the first download's.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from ites_core.data.sources import find_data
from ites_core.errors import ItesError


@dataclass(frozen=True)
class RemoteFile:
    """One file of a data set.

    Attributes:
        url: where its makers offer it.
        size: bytes, None where nobody says.
        sha256: hexadecimal, None where none is published.
    """

    url: str
    size: int | None = None
    sha256: str | None = None

    @property
    def name(self) -> str:
        """File name, the last part of the URL."""
        return self.url.rpartition("/")[2]


@dataclass(frozen=True)
class DataSet:
    """One known data set.

    Attributes:
        name: what the command line calls it, also the folder that its files go to.
        title: what it holds, in a few words.
        purpose: what this project does with it.
        terms: licence and attribution.
        size: of the download, for people to read.
        page: the official page.
        marks: files by which it is recognised, relative to the data folder; the first is what the project reads.
        next: what to do once it is fetched; ``{folder}`` stands for where it lies, ``{home}`` for the data folder.
        files: what can be downloaded directly; empty where a licence forbids that.
        steps: how to get it by hand where there are no files; ``{home}`` as above.
    """

    name: str
    title: str
    purpose: str
    terms: str
    size: str
    page: str
    marks: tuple[str, ...]
    next: str
    files: tuple[RemoteFile, ...] = ()
    steps: tuple[str, ...] = ()


CMU_TERMS = (
    'free for all uses, not to be resold by itself; "The data used in this project was obtained from mocap.cs.cmu.edu.'
    ' The database was created with funding from NSF EIA-0196217."'
)
CMU_SUBJECTS = "http://mocap.cs.cmu.edu/subjects"
CMU_TEST = "02 07 29 49 55 86 131 135"  # the test subjects of cmu17.npz
POSE2SIM_COMMIT = "da843a6fc8f7085f997411b6454380da758b6e36"  # the one that pose2sim_balancing_4view.npz was made from

CATALOGUE: tuple[DataSet, ...] = (
    DataSet(
        name="cmu",
        title="CMU motion capture, every ASF and AMC file",
        purpose="training and test (cmu17)",
        terms=CMU_TERMS,
        size="about 1.1 GB",
        page="http://mocap.cs.cmu.edu",
        marks=("cmu17.npz", "cmu/allasfamc.zip"),
        next=f"ites data convert {{folder}} --out {{home}}/cmu17.npz --test-subjects {CMU_TEST}",
        files=(RemoteFile("http://mocap.cs.cmu.edu/allasfamc.zip"),),
    ),
    DataSet(
        name="cmu-sample",
        title="CMU motion capture, two walks and three skeletons",
        purpose="a first look at original files",
        terms=CMU_TERMS,
        size="0.6 MB",
        page="http://mocap.cs.cmu.edu",
        marks=("cmu-sample/35_05.amc", "raw/cmu/35_05.amc"),
        next="ites data convert {folder} --out {home}/cmu_sample.npz",
        files=(  # sizes and checksums of the copies that the readers are tested with
            RemoteFile(
                f"{CMU_SUBJECTS}/35/35.asf", 6923, "9b4888836cbd13cdab14a86c53a6b7765ccae48ddc7075d8c5e03ac34bc08364"
            ),
            RemoteFile(
                f"{CMU_SUBJECTS}/35/35_05.amc",
                329530,
                "8421013452f0e904c8a31778a690cc76c4aa50a304ea927e7381d79c5958d435",
            ),
            RemoteFile(
                f"{CMU_SUBJECTS}/39/39.asf", 6923, "97333f5053befbb1d2f0d8629ba6fe9eca9ef0553cdfa683faf825a5ba392920"
            ),
            RemoteFile(
                f"{CMU_SUBJECTS}/39/39_01.amc",
                292578,
                "0bd24ceccb151e1b42dde0baa65f1597c29b60450cf96151f3538e8243e9c0b2",
            ),
            RemoteFile(
                f"{CMU_SUBJECTS}/86/86.asf", 7270, "79055f3713978b92d660d6858048d7550d3f6eb582a03d7f9378443fdafbcb06"
            ),
        ),
    ),
    DataSet(
        name="hdm05",
        title="HDM05 motion capture, cut into actions, ASF and AMC",
        purpose="test on a second capture system (hdm05_17)",
        terms=(
            'CC BY-SA 3.0; "The data used in this project was obtained from HDM05."; Müller et al., Documentation '
            "Mocap Database HDM05, CG-2007-2, Universität Bonn, 2007"
        ),
        size="about 150 MB",
        page="https://resources.mpi-inf.mpg.de/HDM05/",
        marks=("hdm05_17.npz", "hdm05/HDM05_cut_amc.zip"),
        next="ites data convert {folder} --out {home}/hdm05_17.npz --test-subjects bd bk dg mm tr",
        files=(RemoteFile("https://resources.mpi-inf.mpg.de/HDM05/cuts/HDM05_cut_amc.zip"),),
    ),
    DataSet(
        name="coco-keypoints",
        title="COCO 2017 annotations, people's 2D keypoints, no pictures",
        purpose="2D keypoints of people in photographs (coco)",
        terms="CC BY 4.0, COCO Consortium; Lin et al., Microsoft COCO, ECCV 2014",
        size="253 MB",
        page="https://cocodataset.org/#download",
        marks=("coco2017_fullbody.npz", "coco-keypoints/annotations_trainval2017.zip"),
        next="ites data convert-coco {folder} --out {home}/coco2017_fullbody.npz",
        files=(
            RemoteFile(
                "http://images.cocodataset.org/annotations/annotations_trainval2017.zip",
                252_907_541,
                "113a836d90195ee1f884e704da6304dfaaecff1f023f49b6ca93c4aaae470268",
            ),
        ),
    ),
    DataSet(
        name="human36m",
        title="Human3.6M, 3D joints with true and detected 2D joints",
        purpose="the benchmark of the papers (h36m, h36m-cpn)",
        terms="academic use after registration; Ionescu et al., Human3.6M, TPAMI 2014",
        size="not known",
        page="http://vision.imar.ro/human3.6m/",
        marks=("human36m/data_3d_h36m.npz",),
        next="ites evaluate RUN --data h36m",
        steps=(
            "register at http://vision.imar.ro/human3.6m/ and agree to the licence",
            "download Poses, D3 Positions, of the subjects 1, 5, 6, 7, 8, 9 and 11, and extract them into one folder",
            "clone https://github.com/facebookresearch/VideoPose3D; in its folder data run "
            "`python prepare_data_h36m.py --from-source-cdf FOLDER` (needs cdflib)",
            "put what that writes, data_3d_h36m.npz (positions_3d: subject, action, (frames, 32, 3) metres) and "
            "data_2d_h36m_gt.npz (positions_2d: subject, action, one (frames, 17, 2) array of pixels a camera), into "
            "{home}/human36m",
            "for detected 2D joints put https://dl.fbaipublicfiles.com/video-pose-3d/data_2d_h36m_cpn_ft_h36m_dbb.npz "
            "beside them",
        ),
    ),
    DataSet(
        name="mpi-inf-3dhp",
        title="MPI-INF-3DHP, test set: six people indoors and outdoors",
        purpose="test on another benchmark (mpi-inf-3dhp)",
        terms="research only, licence to accept; Mehta et al., Monocular 3D Human Pose Estimation, 3DV 2017",
        size="about 7 GB",
        page="https://vcai.mpi-inf.mpg.de/3dhp-dataset/",
        marks=("mpi_inf_3dhp_test_set/TS1/annot_data.mat",),
        next="ites evaluate RUN --data mpi-inf-3dhp",
        steps=(
            "download mpi_inf_3dhp.zip from https://vcai.mpi-inf.mpg.de/3dhp-dataset/ and read its licence",
            "if you agree, set ready_to_download=1 in its conf.ig and run `bash get_testset.sh`",
            "move the folder that holds TS1 to TS6 to {home}/mpi_inf_3dhp_test_set, "
            "so that {home}/mpi_inf_3dhp_test_set/TS1/annot_data.mat is there; the pictures are not needed",
        ),
    ),
    DataSet(
        name="pose2sim-clip",
        title="Pose2Sim's demonstration: one person, four cameras, OpenPose detections",
        purpose="real detections of calibrated cameras (openpose-clip)",
        terms="BSD-3-Clause, © 2022 perfanalytics; Pagnon et al., Pose2Sim",
        size="not known",
        page="https://github.com/perfanalytics/pose2sim",
        marks=("pose2sim_balancing_4view.npz", f"pose2sim-clip/{POSE2SIM_COMMIT}.zip"),
        next=(
            "ites data convert-clip CALIBRATION FOLDER --out {home}/pose2sim_balancing_4view.npz, with the file "
            "Calib_*.toml and the folder of cam1_json to cam4_json in Pose2Sim/Demo under {folder}"
        ),
        files=(RemoteFile(f"https://github.com/perfanalytics/pose2sim/archive/{POSE2SIM_COMMIT}.zip"),),
    ),
)


def fetch_folder() -> Path:
    """The folder that data sets are fetched to: ``ITES_DATA``, without that variable ``data`` in the current folder."""
    return Path(os.environ.get("ITES_DATA") or "data")


def data_set(name: str) -> DataSet:
    """A known data set by its name.

    Raises:
        ItesError: there is none of that name.
    """
    for known in CATALOGUE:
        if known.name == name:
            return known
    raise ItesError(f"data set: found {name!r}, expected one of {', '.join(known.name for known in CATALOGUE)}")


def locate(known: DataSet, folder: Path | None = None) -> Path | None:
    """The first of a data set's marks that is here, or None.

    Args:
        known: the data set.
        folder: where it may have been fetched to, besides the data folder; None for :func:`fetch_folder`.
    """
    folder = fetch_folder() if folder is None else folder
    for mark in known.marks:
        path = find_data(mark)
        if path is None and (folder / mark).is_file():
            path = folder / mark
        if path is not None:
            return path
    return None
