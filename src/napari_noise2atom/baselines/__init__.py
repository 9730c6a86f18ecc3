"""The methods with which the paper compares, and those that came later, behind one call."""

from .method import Method, Progress, UnavailableError

__all__ = ["METHODS", "Method", "Progress", "UnavailableError"]

METHODS: dict[str, Method] = {
    method.name: method
    for method in (
        Method("raw", "Raw", "the movie itself", "filters:raw"),
        Method("gaussian-2d", "Gaussian 2-D", "a blur of each frame", "filters:gaussian_2d"),
        Method("gaussian-3d", "Gaussian 3-D", "a blur of each frame and along time", "filters:gaussian_3d"),
        Method("temporal-mean", "Temporal mean", "a mean of neighbouring frames", "filters:temporal_mean"),
        Method("median", "Median", "a median of 3 × 3 × 3 pixels", "filters:median"),
        Method("bm3d", "BM3D", "Dabov et al. 2007", "bm3d:bm3d", package="bm3d"),
        Method("pgure-svt", "PGURE-SVT", "Furnival et al. 2017", "pgure:pgure_svt"),
        Method("noise2void", "Noise2Void", "Krull et al. 2019, by CAREamics", "noise2void:noise2void", trained=True),
        Method("struct-n2v", "struct-N2V", "Broaddus et al. 2020, by CAREamics", "noise2void:struct_n2v", trained=True),
        Method("noise2self", "Noise2Self", "Batson & Royer 2019", "noise2self:noise2self", trained=True),
        Method("ppn2v", "PPN2V", "Krull et al. 2020, Prakash et al. 2020", "ppn2v:ppn2v", trained=True),
        Method("mcnn", "MCNN", "after Wang et al. 2020", "mcnn:mcnn", trained=True),
        Method("noise2atom-default", "Noise2Atom, default", "this package", "noise2atom:default", trained=True),
        Method("noise2atom-compact", "Noise2Atom, compact", "this package", "noise2atom:compact", trained=True),
        Method("noise2atom-paper", "Noise2Atom, paper", "Wang et al. 2020", "noise2atom:paper", trained=True),
    )
}
"""By name, from the simplest to those that learn."""
