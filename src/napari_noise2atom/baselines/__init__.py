"""The methods with which the paper compares, and those that came later, behind one call."""

from .method import Method, Progress, UnavailableError

__all__ = ["METHODS", "Method", "Progress", "UnavailableError"]

METHODS: dict[str, Method] = {
    method.name: method
    for method in (
        Method("raw", "Raw", "the movie itself", "filters:raw"),
        Method("noise2void", "Noise2Void", "Krull et al. 2019, by CAREamics", "noise2void:noise2void", trained=True),
        Method("struct-n2v", "struct-N2V", "Broaddus et al. 2020, by CAREamics", "noise2void:struct_n2v", trained=True),
        Method("noise2self", "Noise2Self", "Batson & Royer 2019", "noise2self:noise2self", trained=True),
        Method("ppn2v", "PPN2V", "Krull et al. 2020, Prakash et al. 2020", "ppn2v:ppn2v", trained=True),
        Method("mcnn", "MCNN", "after Wang et al. 2020", "mcnn:mcnn", trained=True),
    )
}
