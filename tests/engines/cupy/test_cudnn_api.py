"""The frontend of cuDNN has the names that are used, and cuDNN takes the graphs.

Needs `nvidia-cudnn-frontend`; graphs need cuDNN itself, too (the extra `cudnn`), but no device.
"""

import importlib.util
import re

import pytest

from kbackend.engine.program import Spec
from kbackend_cupy.cudnn import case as cases
from kbackend_cupy.cudnn import library, plans
from tests.engines.cupy import cudnn_stand_in
from tests.gpu_simulator import ingredients

# In the CI's stage with the simulated GPU it must be there.
pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("cudnn") is None and not ingredients.required(),
    reason="nvidia-cudnn-frontend is not installed",
)
PADS = ((0, 1), (2, 0), (1, 1))


@pytest.fixture(scope="module")
def fe():
    library.preload()
    import cudnn

    return cudnn


def parameters(function):
    """Names of the parameters, of all overloads, as the compiled function tells them."""
    return set(re.findall(r"(\w+): ", function.__doc__))


@pytest.mark.parametrize(
    "name",
    ["pygraph", "create_handle", "set_stream", "backend_version", "cudnnGraphNotSupportedError"],
)
def test_names_of_the_module(fe, name):
    assert hasattr(fe, name) and hasattr(cudnn_stand_in.Stand(None).module(), name)


@pytest.mark.parametrize("name", ["data_type", "numerical_note", "heur_mode"])
def test_members(fe, name):
    there = set(getattr(fe, name).__members__)
    assert {one.name for one in getattr(cudnn_stand_in.Stand(None).module(), name)} <= there


def test_all_notes_that_are_barred_exist(fe):
    assert set(plans.barred("float32", True)) <= set(fe.numerical_note.__members__)


@pytest.mark.parametrize("name", [n for n in vars(cudnn_stand_in.Graph) if not n.startswith("_")])
def test_methods_of_graphs(fe, name):
    assert callable(getattr(fe.pygraph, name))


@pytest.mark.parametrize("name", [n for n in vars(cudnn_stand_in.Tensor) if not n.startswith("_")])
def test_methods_of_tensors(fe, name):
    assert callable(getattr(fe.tensor, name))


@pytest.mark.parametrize(
    ("name", "given"),
    [
        ("conv_fprop", {"image", "weight"}),
        ("conv_dgrad", {"loss", "filter"}),
        ("conv_wgrad", {"image", "loss"}),
    ],
)
def test_parameters_of_convolutions(fe, name, given):
    how = {"pre_padding", "post_padding", "stride", "dilation", "compute_data_type"}
    assert given | how <= parameters(getattr(fe.pygraph, name))


def test_parameters_of_graphs(fe):
    given = {"name", "io_data_type", "intermediate_data_type", "compute_data_type", "handle"}
    assert given <= parameters(fe.pygraph.__init__)
    assert {"dim", "stride", "data_type", "name", "uid"} <= parameters(fe.pygraph._make_tensor)


# ----- graphs -----


@pytest.fixture
def whole(fe):
    """The frontend with its library."""
    try:
        fe.backend_version()
    except RuntimeError as error:
        pytest.skip(f"cuDNN is not installed: {error}")
    return fe


def shapes(rank, groups):
    """(image, filter, result), channels last, and the parameters."""
    strides, dilation, padding = (2, 1, 3)[:rank], (1, 2, 1)[:rank], PADS[:rank]
    space, window = (9, 8, 7)[:rank], (3, 2, 3)[:rank]
    out = [
        (n + sum(p) - d * (k - 1) - 1) // s + 1
        for n, p, d, k, s in zip(space, padding, dilation, window, strides, strict=True)
    ]
    how = {"strides": strides, "padding": padding, "dilation": dilation, "groups": groups}
    return ((2, *space, 6), (*window, 6 // groups, 12), (2, *out, 12)), how


@pytest.mark.parametrize("dtype", sorted(cases.DTYPES))
@pytest.mark.parametrize("groups", [1, 2, 6])
@pytest.mark.parametrize("rank", [1, 2, 3])
@pytest.mark.parametrize("name", cases.ROLES)
def test_cudnn_takes_the_graphs(whole, name, rank, groups, dtype):
    found, how = shapes(rank, groups)
    by_role = dict(zip(("image", "filter", "result"), found, strict=True))
    out, *given = [Spec(by_role[role], dtype) for role in cases.ROLES[name]]
    case = cases.of(name, tuple(given), (out,), **how)
    # It checks that dimensions, strides and paddings fit each other.
    assert plans.graph_of(whole, None, case) is not None


def test_cudnn_refuses_what_does_not_fit(whole):
    found, how = shapes(2, 1)
    image, window, result = (Spec(shape, "float32") for shape in found)
    case = cases.of("conv", (image, window), (result,), **how)
    with pytest.raises((RuntimeError, whole.cudnnGraphNotSupportedError)):
        plans.graph_of(whole, None, case._replace(high=(3, 3)))
